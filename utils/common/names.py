"""Names that people give to classes, models, runs and data sets: which are accepted."""

import unicodedata

from utils.common.errors import UserError

# Unicode's categories of what is no visible text: control characters (a newline, an escape
# sequence), line and paragraph separators, and the surrogates by which Python holds bytes that are
# not UTF-8.
NOT_TEXT = ("Cc", "Zl", "Zp", "Cs")


def is_text(name: str) -> bool:
    """Return whether a name is UTF-8 without control characters, so that every file can hold it."""
    return not any(unicodedata.category(character) in NOT_TEXT for character in name)


def shown(name: str) -> str:
    """Return a name as a terminal may show it: what is no text in it is written as an escape."""
    return "".join(character if unicodedata.category(character) not in NOT_TEXT
                   else character.encode("unicode_escape", "surrogatepass").decode("ascii")
                   for character in name)


def require_text(name: str, what: str, mend: str) -> None:
    """Raise UserError where a name is not UTF-8 or holds a control character.

    what: what it names, with its place, to begin the message. mend: what to do, to end it.
    """
    if not is_text(name):
        raise UserError(f"{what}: the name '{shown(name)}' is not UTF-8 text without control "
                        f"characters; {mend}")
