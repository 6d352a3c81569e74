"""Text for the terminal: no character of a name ends the line or commands the terminal."""

import unicodedata
from typing import Optional

# Categories of Unicode: control characters (a line feed, the escape of a terminal's sequences),
# bytes that are not UTF-8 (as Python's surrogates), and separators of lines and paragraphs.
_UNFIT = {"Cc": "holds a control character", "Cs": "is not UTF-8", "Zl": "holds a line separator",
          "Zp": "holds a line separator"}
# These change the order in which a terminal shows the rest of a line.
_REORDERING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def fault_of_character(character: str) -> Optional[str]:
    """Return why a character must not be printed as it is, or None where it can be."""
    if character in _REORDERING:
        return "holds a control character"
    return _UNFIT.get(unicodedata.category(character))


def printable(text: str) -> str:
    """Return the text with an escape, such as \\x1b, for each character that must not be printed.

    Such a character would begin another line, or command the terminal; a byte that is not UTF-8
    cannot be printed at all.
    """
    return "".join(_escape(character) if fault_of_character(character) else character
                   for character in text)


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python keeps a byte that is not UTF-8
        return f"\\x{ord(character) - 0xdc00:02x}"
    return character.encode("unicode_escape").decode("ascii")
