"""The whole report as one HTML file, which needs no network: pages, pictures, and the viewer."""

import base64
import os
import re
from typing import Any, Dict, List, Optional, Sequence

from utils.common.terminal import printable
from utils.evaluation.metrics import Rate
from utils.report.document import Cell, Code, Line, Page, Picture, cell_text

TEMPLATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")
MOST_UNBROKEN = 40  # characters of a cell that stands in one line
# What a cell begins with that sorts by its number: 63.1 [52.4, 72.6], < 1e-300, > 1,000.
LEADING_NUMBER = re.compile(r"[<>≤≥ ]*(-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)")


def write_report(first: Page, topics: Sequence[Page], classifiers: List[Dict[str, Any]],
                 picture_folder: str) -> str:
    """Return the HTML of a report.

    classifiers: what utils.report.viewer returns. picture_folder: where the pictures lie, which
    become part of the file.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=jinja2.StrictUndefined, finalize=_printable)
    environment.filters.update(
        kind=lambda block: type(block).__name__, is_line=lambda cell: isinstance(cell, Line),
        cell_text=cell_text, sort_value=sort_value,
        is_short=lambda cell: len(_plain_text(cell)) <= MOST_UNBROKEN,
        data_uri=lambda picture: picture_uri(picture, picture_folder))
    return environment.get_template("report.html").render(
        first=first, topics=topics, classifiers=classifiers)


def _printable(value: Any) -> Any:
    """Every text that a template shows passes here: control characters become escapes."""
    return printable(value) if type(value) is str else value


def sort_value(cell: Cell) -> Optional[float]:
    """Return the number by which a cell is sorted, None where it is sorted as text."""
    if isinstance(cell, Rate):
        return cell.value if cell.total else None
    if isinstance(cell, Line) and any(isinstance(span, Code) for span in cell.spans):
        return None
    number = LEADING_NUMBER.match(_plain_text(cell))
    return float(number.group(1).replace(",", "")) if number else None


def _plain_text(cell: Cell) -> str:
    if not isinstance(cell, Line):
        return cell_text(cell)
    return "".join(span if isinstance(span, str) else getattr(span, "text", "")
                   for span in cell.spans)


def picture_uri(picture: Picture, folder: str) -> str:
    """Return a picture of the report as an address that holds it."""
    with open(os.path.join(folder, picture.file), "rb") as file:
        return "data:image/png;base64," + base64.b64encode(file.read()).decode()
