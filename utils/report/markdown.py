"""Tables and numbers as Markdown text."""

import re

from utils.common.terminal import printable
from utils.evaluation.metrics import Rate


class Markup(str):
    """Text that is Markdown already: a table shows it as it is."""


def escape(text):
    """Text, such as a name from a file, as Markdown that displays just this text on one line."""
    if isinstance(text, Markup):
        return text
    escaped = re.sub(r"[\\`*|~]|<(?! )|\b_|_\b|(?<=\])\(", lambda match: "\\" + match.group(),
                     printable(str(text)))
    return Markup(escaped.replace("&", "&amp;").replace("$", "&#36;"))


def top(title, note):
    """The first lines of a file: its title, and a sentence below, if any."""
    return ["# " + title, ""] + (["**{}**".format(note), ""] if note else [])


def table(rows):
    """A table as lines, an empty one behind it; none without rows.

    rows: dicts from the title of a column to its cell, all with the same columns. A metrics.Rate
    is printed by percent(), what is not known as a question mark, and text but Markup escaped.
    """
    if not rows:
        return []
    lines = ["| {} |".format(" | ".join(map(_cell, cells)))
             for cells in [rows[0].keys()] + [row.values() for row in rows]]
    return lines[:1] + ["|---" * len(rows[0]) + "|"] + lines[1:] + [""]


def _cell(value):
    if isinstance(value, Rate):
        return percent(value)
    return "?" if value is None else escape(value)


def percent(rate):
    """A metrics.Rate in % with its interval: 63.1 [52.4, 72.6]; - when it is of no image."""
    if not rate.total:
        return "-"
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * share for share in rate[:3]))


def bold_percent(rate):
    """The same, the rate itself in bold."""
    first, *interval = percent(rate).split(" ", 1)
    return Markup(" ".join(["**{}**".format(first)] + interval))


def p_value(p):
    """A p-value with one digit: 7e-05; an exact test of many images can give less than floats hold.
    """
    return "{:.1g}".format(p) if p >= 1e-300 else "< 1e-300"
