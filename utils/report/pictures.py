"""The pictures of the report. Each function writes one file from numbers that are given to it.

Each returns what figures.Labels.note says of the names in its picture. No picture is wider than
figures.MOST_WIDTH, and its letters can be read at the width of a page.
"""

import itertools
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from utils.attack.pictures import magnified
from utils.common.figures import (
    BLUE,
    FONT_SIZE,
    GREEN,
    GREY,
    MOST_PANELS,
    ORANGE,
    PANEL_WIDTHS,
    TITLE_SIZE,
    Labels,
    plt,
    save,
    shorten,
    wrapped,
)
from utils.evaluation.metrics import Rate
from utils.images.pixels import to_model_input, to_pixels
from utils.report.numbers import CurvePoint

BLACK = "#000000"
MOST_EXAMPLES = 7  # images in a row beside a UAP
LINE = 1.25 * FONT_SIZE / 72  # inches of a line of text


class Style(NamedTuple):
    """Colour and marker of everything that shows UAPs from one source."""

    color: str
    marker: str


# The three sources of the study differ in lightness, too: black, dark, light.
STUDY_STYLES = {"Open Images V5": Style(ORANGE, "o"), "ILSVRC2012": Style(BLUE, "^"),
                "ISIC2018": Style(BLACK, "s")}
MORE_STYLES = (Style(GREEN, "D"), Style("#CC79A7", "v"), Style("#56B4E9", "X"),
               Style("#D55E00", "<"), Style("#8C6D31", "P"))
# The band of the controls.
CONTROL = {"facecolor": "none", "edgecolor": "#999999", "hatch": "////", "linewidth": 0}
# Line styles and markers of several lines from one source, which have its colour; the first has its
# marker, too, and the others have markers that no source has.
LINE_STYLES = ("-", "--", "-.", ":")
MORE_MARKERS = (">", "*", "d")
PUBLISHED_DASHES = (0, (6, 3))


def source_styles(sources: Iterable[str]) -> Dict[str, Style]:
    """Return a style for each source, by its title: the same in every picture of a report."""
    others = sorted(set(sources) - set(STUDY_STYLES))
    return {**STUDY_STYLES, **dict(zip(others, itertools.cycle(MORE_STYLES)))}


@dataclass(frozen=True)
class RateBar:
    """A UAP in the picture of rates.

    title: bars of one title stand in one row. source: whose style it has. controls: the Rates of
    both.
    """

    title: str
    source: str
    rate: Rate
    controls: Sequence[Rate]


def rates(path: str, bars: Sequence[RateBar], styles: Dict[str, Style]) -> Optional[str]:
    """Draw the fooling rate of each UAP with its interval, and its two controls."""
    label = Labels()
    titles = list(dict.fromkeys(bar.title for bar in bars))
    figure, axis = plt.subplots(figsize=(PANEL_WIDTHS[1], 0.8 + 0.26 * len(titles)))
    for bar in bars:
        style, place = styles[bar.source], titles.index(bar.title)
        for rate, marker in zip(bar.controls, ("|", "x")):
            axis.plot(100 * rate.value, place, marker=marker, color=GREY, markersize=9)
        axis.plot([100 * bar.rate.low, 100 * bar.rate.high], [place, place], color=style.color,
                  linewidth=2.5)
        axis.plot(100 * bar.rate.value, place, marker=style.marker, color=style.color,
                  markersize=8)
    axis.set_yticks(range(len(titles)))
    axis.set_yticklabels([shorten(label(title), 30) for title in titles])
    axis.set(xlim=(-2, 102), ylim=(len(titles) - 0.4, -0.6), xlabel="fooling rate, %")
    axis.grid(alpha=0.25, linewidth=0.6)
    handles = _source_handles([bar.source for bar in bars], styles, label)
    handles += [Line2D([], [], color=GREY, marker=marker, linestyle="none", label=text)
                for marker, text in (("|", "control: a random vector of the same size"),
                                     ("x", "control: the UAP's own values at random places"))]
    _finish(figure, handles, None, path=path)
    return label.note()


@dataclass(frozen=True)
class CurveLine:
    """A UAP in a picture of curves.

    title: what the legend calls it; lines of one title look alike. source: whose colour it has.
    control: the Rate of the UAP's own values at random places. published: a rate in % that may
    stand beside it, if any.
    """

    title: str
    source: str
    points: Sequence[CurvePoint]
    control: Rate
    published: Optional[float] = None


class CurvesSize(NamedTuple):
    """Inches of a picture of curves. widths: from the number of its panels in a row to its own."""

    widths: Dict[int, float]
    panel_height: float


WHOLE_PAGE = CurvesSize(PANEL_WIDTHS, panel_height=2.9)
PART_OF_A_PAGE = CurvesSize({1: 5.0, 2: 6.5, 3: 8.0}, panel_height=2.2)


def curves(path: str, panels: Dict[str, List[CurveLine]], styles: Dict[str, Style],
           title: Optional[str], xlabel: str, size: CurvesSize = WHOLE_PAGE) -> Optional[str]:
    """Draw fooling rates against what was spent on a UAP, on a logarithmic axis.

    panels: from the title of a panel to its lines.
    """
    label = Labels()
    all_lines = [each for lines in panels.values() for each in lines]
    places = _places_among_lines_of_a_source(all_lines)
    in_row = min(len(panels), MOST_PANELS)
    in_column = -(-len(panels) // in_row)
    figure, axes = plt.subplots(in_column, in_row, sharey=True, squeeze=False,
                                figsize=(size.widths[in_row], (1.3 if title else 0.8)
                                         + size.panel_height * in_column))
    for axis in axes.flat[len(panels):]:
        axis.set_axis_off()
    characters = int(12 * size.widths[in_row] / in_row)  # above a panel
    for axis, (panel_title, lines) in zip(axes.flat, panels.items()):
        low = min(each.control.low for each in lines)
        high = max(each.control.high for each in lines)
        axis.axhspan(100 * low, 100 * high, **CONTROL)
        for each in lines:
            _draw_curve(axis, each, _look(styles[each.source], places[each.title]))
        _logarithmic(axis, [point.spent for each in lines for point in each.points])
        axis.set(ylim=(-2, 102), title=shorten(label(panel_title), characters), xlabel=xlabel)
        axis.grid(alpha=0.25, linewidth=0.6)
    for axis in axes[:, 0]:
        axis.set_ylabel("fooling rate, %")
    handles = [Line2D([], [], label=shorten(label(each.title), 40),
                      **_look(styles[each.source], places[each.title]))
               for each in {each.title: each for each in all_lines}.values()]
    if any(point.repeated for each in all_lines for point in each.points):
        handles.append(Line2D([], [], color=GREY, marker="o", linestyle="none",
                              markerfacecolor="white", label="images shown again"))
    if any(each.published is not None for each in all_lines):
        handles.append(Line2D([], [], color=GREY, linestyle=PUBLISHED_DASHES,
                              label="published rate"))
    handles.append(Patch(label="control: the UAPs' own values at random places", **CONTROL))
    _finish(figure, handles, None if title is None else label(title), path=path)
    return label.note()


def _draw_curve(axis, each: CurveLine, look: Dict[str, Any]) -> None:
    spent = np.array([point.spent for point in each.points])
    repeated = np.array([point.repeated for point in each.points])
    value = np.array([100 * point.rate.value for point in each.points])
    color = look["color"]
    axis.fill_between(spent, [100 * point.rate.low for point in each.points],
                      [100 * point.rate.high for point in each.points], color=color, alpha=0.13,
                      linewidth=0)
    axis.plot(spent, value, color=color, linewidth=1.6, linestyle=look["linestyle"])
    for chosen, face in ((~repeated, color), (repeated, "white")):
        axis.plot(spent[chosen], value[chosen], linestyle="none", marker=look["marker"],
                  color=color, markerfacecolor=face, markersize=6)
    if each.published is not None:
        axis.axhline(each.published, color=color, linewidth=1.2, linestyle=PUBLISHED_DASHES)


def _look(style: Style, place: int) -> Dict[str, Any]:
    """How the line at a place among those from one source looks."""
    marker = (style.marker, *MORE_MARKERS)[place % len(LINE_STYLES)]
    return {"color": style.color, "marker": marker,
            "linestyle": LINE_STYLES[place % len(LINE_STYLES)]}


def _places_among_lines_of_a_source(lines: Sequence[CurveLine]) -> Dict[str, int]:
    """From each title to its place among the titles of lines from the same source."""
    places: Dict[str, int] = {}
    titles_of_source: Dict[str, int] = {}
    for each in lines:
        if each.title not in places:
            places[each.title] = titles_of_source.get(each.source, 0)
            titles_of_source[each.source] = places[each.title] + 1
    return places


def _logarithmic(axis, spent: Sequence[float]) -> None:
    axis.set_xscale("log")
    is_short = max(spent) / min(spent) < 30
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if is_short else (1,)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())


@dataclass(frozen=True)
class ExampleRow:
    """A UAP and what is predicted of some images under it.

    v: float32, (h, w, 3), model-input units. captions: a line for each attacked image. changed:
    whether its prediction changed.
    """

    title: str
    v: np.ndarray
    captions: Sequence[str]
    changed: Sequence[bool]


def example_grid(path: str, images: np.ndarray, heads: Sequence[str], rows: Sequence[ExampleRow],
                 title: Optional[str], most_inches: float = 1.7) -> Optional[str]:
    """Draw the same images clean and under several UAPs, a row for each.

    images: uint8, (n, h, w, 3). heads: n lines of text above the clean images. most_inches: how
    wide an image may be. The attacked images are drawn as image files hold them: clipped to 0..255
    and rounded.
    """
    label = Labels()
    columns, cell = 1 + len(images), min(PANEL_WIDTHS[3] / (1 + len(images)), most_inches)
    width, side = cell * columns, 0.94 * cell  # inches, as all that follows
    shown = [magnified(row.v) for row in rows]
    names = [f"{row.title}\nUAP " + (f"× {uap.factor:.1f}" if row.v.any() else "is 0")
             for row, uap in zip(rows, shown)]
    texts = [*heads, *names, *(caption for row in rows for caption in row.captions)]
    step = side + 0.1 + LINE * max(text.count("\n") + 1 for text in texts)  # from row to row
    height = step * (1 + len(rows))
    heading = ""
    if title is not None:
        heading = wrapped(label(title), width)
        height += 1.2 * LINE * (heading.count("\n") + 1)
    figure = plt.figure(figsize=(width, height))
    # One panel for all: matplotlib takes longer for a panel than for what is in one.
    panel = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    panel.set_axis_off()

    def show(row: int, column: int, picture: np.ndarray, caption: str,
             is_strong: bool = False) -> None:
        left, bottom = column * cell + (cell - side) / 2, (len(rows) - row) * step + 0.02
        panel.imshow(picture, interpolation="nearest", aspect="auto",
                     extent=(left, left + side, bottom, bottom + side))
        lines = [shorten(each, int(12 * cell)) for each in label(caption).split("\n")]
        panel.text(left + side / 2, bottom + side + 0.03, "\n".join(lines), ha="center",
                   va="bottom", fontweight="bold" if is_strong else "normal")

    panel.text(cell / 2, len(rows) * step + side / 2, "clean", ha="center", va="center")
    for i, (image, head) in enumerate(zip(images, heads), 1):
        show(0, i, image, head)
    for k, (row, uap, name) in enumerate(zip(rows, shown, names), 1):
        show(k, 0, uap.picture, name)
        for i, (image, caption, changed) in enumerate(zip(images, row.captions, row.changed), 1):
            show(k, i, to_pixels(to_model_input(image) + row.v), caption, is_strong=changed)
    panel.text(width / 2, height - 0.05, heading, ha="center", va="top", fontsize=TITLE_SIZE)
    save(figure, path)
    return label.note()


def _source_handles(sources: Iterable[str], styles: Dict[str, Style], label: Labels) -> List:
    return [Line2D([], [], color=styles[source].color, marker=styles[source].marker,
                   label="UAP from " + shorten(label(source), 30))
            for source in dict.fromkeys(sources)]


def _finish(figure, handles: List, title: Optional[str], path: str) -> None:
    """Put a title above and one legend below, in as many columns as fit, and save the figure."""
    width, height = figure.get_size_inches()
    if title is not None:
        figure.suptitle(wrapped(title, width))
    for columns in range(min(4, len(handles)), 0, -1):
        legend = figure.legend(handles=handles, loc="lower center", ncol=columns, frameon=False)
        extent = legend.get_window_extent(figure.canvas.get_renderer())
        if extent.width <= 0.98 * figure.bbox.width or columns == 1:
            break
        legend.remove()
    extra = extent.height / figure.dpi  # inches, below the panels
    figure.set_size_inches(width, height + extra)
    figure.tight_layout(rect=(0, extra / (height + extra), 1, 1))
    save(figure, path)
