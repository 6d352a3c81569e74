"""Pages of the report as Markdown."""

import re
from typing import List, Sequence

from utils.common.terminal import printable
from utils.report.document import (
    Block,
    Break,
    Bullets,
    Cell,
    Code,
    Columns,
    Commands,
    Heading,
    Line,
    Link,
    Note,
    Page,
    Paragraph,
    Picture,
    Span,
    Strong,
    Table,
    cell_text,
)

REPORT_FOLDER = "report"  # of the pictures and of all pages but the first, beside the first


def escape(text: str) -> str:
    """Return Markdown that displays just this text, which may be a name from a file, on one line.
    """
    escaped = re.sub(r"[\\`*|~]|<(?! )|\b_|_\b|(?<=\])\(", lambda match: "\\" + match.group(),
                     printable(text))
    return escaped.replace("&", "&amp;").replace("$", "&#36;")


def write_page(page: Page, is_first: bool) -> str:
    """Return a page as Markdown.

    is_first: whether it lies beside the folder REPORT_FOLDER, and not in it.
    """
    folder = REPORT_FOLDER + "/" if is_first else ""
    return "\n".join(["# " + escape(page.title), "", *_lines_of_blocks(page.blocks, folder)])


def _lines_of_blocks(blocks: Sequence[Block], folder: str) -> List[str]:
    lines = []
    for block in blocks:
        lines += [*_block_lines(block, folder), ""]
    return lines


def _block_lines(block: Block, folder: str) -> List[str]:
    if isinstance(block, Heading):
        return ["#" * block.level + " " + escape(block.text)]
    if isinstance(block, (Paragraph, Note)):
        return [_line(block.line, folder)]
    if isinstance(block, Columns):
        return [line for column in block.columns for line in _lines_of_blocks(column, folder)][:-1]
    if isinstance(block, Bullets):
        return ["- " + _line(each, folder) for each in block.lines]
    if isinstance(block, Commands):
        return ["```sh", *map(printable, block.lines), "```"]
    if isinstance(block, Picture):
        lines = [f"![{escape(block.alternative)}]({folder}{block.file})"]
        return lines if block.note is None else [*lines, "", escape(block.note)]
    return table_lines(block, folder)


def table_lines(table: Table, folder: str = "") -> List[str]:
    """Return the lines of a table. folder: in which the pages lie that its cells lead to."""
    lines = [_row([escape(column) for column in table.columns]), "|---" * len(table.columns) + "|"]
    return lines + [_row([_cell(cell, folder) for cell in row]) for row in table.rows]


def _row(cells: List[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell, folder: str) -> str:
    return _line(cell, folder) if isinstance(cell, Line) else escape(cell_text(cell))


def _line(line: Line, folder: str) -> str:
    return "".join(_span(span, folder) for span in line.spans)


def _span(span: Span, folder: str) -> str:
    if isinstance(span, str):
        return escape(span)
    if isinstance(span, Break):
        return "<br>"
    if isinstance(span, Strong):
        return f"**{escape(span.text)}**"
    if isinstance(span, Code):  # a code span in a table cannot hold every character
        return f"`{span.text}`" if re.fullmatch(r"[\w .-]+", span.text) else escape(span.text)
    if isinstance(span, Link):
        return f"[{escape(span.text)}]({folder}{span.page}.md)"
    raise TypeError(span)
