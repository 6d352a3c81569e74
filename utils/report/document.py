"""What a page of the report consists of, whatever it is shown as: Markdown or HTML.

All text is plain: whoever shows it escapes it.
"""

from dataclasses import dataclass
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, Union

from utils.evaluation.metrics import Rate

MOST_COLUMNS = 8  # of a table


class Strong(NamedTuple):
    """Text that stands out."""

    text: str


class Code(NamedTuple):
    """Text as a computer has it."""

    text: str


class Link(NamedTuple):
    """Text that leads to another page of the report, by the page's name."""

    text: str
    page: str


class Break(NamedTuple):
    """The end of a line within a cell."""


Span = Union[str, Strong, Code, Link, Break]


class Line(NamedTuple):
    """Text of several spans: of a paragraph, or of a cell."""

    spans: Tuple[Span, ...]


# What a cell holds: a Rate is shown in percent with its interval, None as a question mark.
Cell = Union[None, str, int, float, Rate, Line]


@dataclass(frozen=True)
class Heading:
    """A heading. level: 2 for a section of a page, 3 for a part of it."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """Sentences."""

    line: Line


@dataclass(frozen=True)
class Bullets:
    """A list."""

    lines: Tuple[Line, ...]


@dataclass(frozen=True)
class Table:
    """A table. rows: each with as many cells as there are columns."""

    columns: Tuple[str, ...]
    rows: Tuple[Tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Picture:
    """A picture. file: its name in the folder of the report. note: a sentence below it, if any."""

    file: str
    alternative: str
    note: Optional[str]


@dataclass(frozen=True)
class Note:
    """Sentences that explain the table or the picture above them."""

    line: Line


@dataclass(frozen=True)
class Commands:
    """Lines for a shell."""

    lines: Tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """Blocks that stand side by side where there is room, else one below the other.

    shares: of the width, for each column.
    """

    columns: Tuple[Tuple["Block", ...], ...]
    shares: Tuple[int, ...]


Block = Union[Heading, Paragraph, Bullets, Table, Picture, Note, Commands, Columns]


@dataclass(frozen=True)
class Page:
    """A page of the report. name: of its file without an ending."""

    name: str
    title: str
    blocks: Tuple[Block, ...]


def line(*spans: Span) -> Line:
    """Make a line of spans."""
    return Line(spans)


def paragraph(*spans: Span) -> Paragraph:
    """Make a paragraph of spans."""
    return Paragraph(Line(spans))


def note(*spans: Span) -> Note:
    """Make a note of spans."""
    return Note(Line(spans))


def table(rows: Sequence[Any], keys: int = 1) -> List[Table]:
    """Make tables of at most MOST_COLUMNS columns of rows: dicts from a column to its cell.

    All rows have the same columns. Where they are too many, the first `keys` columns, which say
    what a row is about, stand in each of the tables. No rows give no table.
    """
    if not rows:
        return []
    columns = list(rows[0])
    rest, width = columns[keys:], MOST_COLUMNS - keys
    parts = [rest[i:i + width] for i in range(0, len(rest), width)] or [[]]
    tables = []
    for part in parts:
        chosen = columns[:keys] + part
        tables.append(Table(
            columns=tuple(chosen),
            rows=tuple(tuple(row[column] for column in chosen) for row in rows)))
    return tables


def percent(rate: Rate) -> str:
    """Return a rate in % with its interval: 63.1 [52.4, 72.6]; - when it is of no image."""
    if not rate.total:
        return "-"
    return f"{100 * rate.value:.1f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"


def percent_alone(rate: Rate) -> str:
    """Return a rate in % without its interval."""
    return f"{100 * rate.value:.1f}" if rate.total else "-"


def strong_percent(rate: Rate) -> Line:
    """Return a rate in % with its interval, the rate itself standing out."""
    if not rate.total:
        return line("-")
    return line(Strong(percent_alone(rate)), percent(rate)[len(percent_alone(rate)):])


def p_value(p: float) -> str:
    """Return a p-value with one digit: 7e-05; exact tests can give less than floats hold."""
    return f"{p:.1g}" if p >= 1e-300 else "< 1e-300"


def cell_text(cell: Cell) -> str:
    """Return the text of a cell that is no Line."""
    if isinstance(cell, Rate):
        return percent(cell)
    return "?" if cell is None else str(cell)
