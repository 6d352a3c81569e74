"""The first page of the report: the verdict, one table, a picture for each question."""

from typing import Dict, Iterable, List, Optional, Sequence

from utils.evaluation.evaluated_uap import EvaluatedUap
from utils.evaluation.metrics import Rate
from utils.report import pictures, table
from utils.report.appendices import curve_line
from utils.report.contents import Contents
from utils.report.document import (
    Block,
    Bullets,
    Cell,
    Columns,
    Heading,
    Line,
    Link,
    Page,
    Paragraph,
    Span,
    Strong,
    line,
    note,
    paragraph,
    percent_alone,
    strong_percent,
)
from utils.report.document import table as table_of
from utils.report.examples import example_row, first_that_are_right
from utils.report.numbers import NATURAL_IMAGES, NO_IMAGE
from utils.report.settings import NO_SOURCE, title_of
from utils.report.study_table import common_differences
from utils.report.verdict import OWN_DOMAIN, ClassifierVerdict, verdicts

MOST_SENTENCES = 3  # classifiers of which a sentence each is said
MOST_CURVES = 3     # classifiers in the picture of curves
MOST_LESIONS = 3    # images in the picture of a UAP at work
LESION_INCHES = 1.1
FEWEST_NUMBERS = 2  # points that make a curve


def first_page(contents: Contents, topics: Sequence[Page]) -> Page:
    """Return the first page; topics: the appendices, to which it leads."""
    judged = verdicts(contents.runs)
    blocks: List[Block] = table.note_above(contents.note)
    if not judged:
        blocks.append(paragraph("No UAP has been evaluated on the classifier it was made for."))
    lines = list(map(_verdict_line, judged))
    if len(judged) > MOST_SENTENCES:
        lines = _verdict_lines_of_many(judged)
    blocks += [Bullets(tuple(lines))] if judged else []
    blocks += _table(judged)
    side_by_side = tuple(
        (Heading(2, heading), *pictures_and_notes) for heading, pictures_and_notes in (
            ("Does it fool?", _rates_picture(contents, judged)),
            ("What does it look like?", _example_picture(contents, judged)))
        if pictures_and_notes)
    if side_by_side:
        blocks.append(Columns(side_by_side, shares=(1,) * len(side_by_side)))
    curves, differences = _curves_picture(contents, judged), tuple(_differences(judged))
    if curves is None:
        blocks += differences
    else:
        heading = Heading(2, "How many images does it take?")
        blocks.append(Columns(((heading, curves), differences), shares=(2, 1)))
    blocks.append(_links(topics))
    return Page("report", "Do universal adversarial perturbations fool these classifiers?",
                tuple(blocks))


def _links(topics: Sequence[Page]) -> Paragraph:
    spans: List[Span] = [Strong("Everything else:")]
    for topic in topics:
        spans += [" · " if len(spans) > 1 else " ", Link(topic.title, topic.name)]
    return paragraph(*spans)


# The verdict in words: whether natural images fool a classifier more than random patterns do.
ANSWERS = {True: "natural images fool {} more often than random patterns do",
           False: "natural images fool {} no more often than random patterns do",
           None: "not tested with natural images"}


def _verdict_line(verdict: ClassifierVerdict) -> Line:
    rates = []
    for kind, against in verdict.uaps.items():
        images = "no image" if kind == NO_IMAGE else _images_of(against.run)
        domain = ", its own domain," if kind == OWN_DOMAIN else ""
        rates.append(f"by {title_of(against.run.uap.attack)} from {images}{domain} changes "
                     f"{percent_alone(against.run.rate())} %")
        if kind != NATURAL_IMAGES and not against.beats_both:
            rates[-1] += " (no more often than random patterns do)"
    controls = [test.other for against in verdict.uaps.values()
                for test in against.tests.values()]
    most = max(controls, key=lambda rate: rate.value)
    sentence = (f" A UAP {', one '.join(rates)} of its answers; random patterns of the same size "
                f"change at most {percent_alone(most)} %.")
    answer = ANSWERS[verdict.is_fooled_by_natural_images]
    return line(Strong(f"{verdict.name}: {answer.format('it')}."), sentence)


def _verdict_lines_of_many(judged: Sequence[ClassifierVerdict]) -> List[Line]:
    """Say of each answer of which classifiers it is true."""
    lines = []
    for is_fooled, answer in ANSWERS.items():
        same = [verdict for verdict in judged if verdict.is_fooled_by_natural_images is is_fooled]
        if not same:
            continue
        names = ", ".join(verdict.name for verdict in same)
        whom = "it" if len(same) == 1 else "them"
        spans: List[Span] = [Strong(f"{names}: {answer.format(whom)}.")]
        if is_fooled is not None:
            natural = [verdict.uaps[NATURAL_IMAGES] for verdict in same]
            controls = [test.other for against in natural for test in against.tests.values()]
            spans.append(
                f" UAPs from natural images change {_range(each.run.rate() for each in natural)} "
                f"of the answers, random patterns of the same size {_range(controls)}.")
        lines.append(Line(tuple(spans)))
    return lines


def _range(rates: Iterable[Rate]) -> str:
    """The lowest and the highest of some rates."""
    ordered = sorted(rates, key=lambda rate: rate.value)
    low, high = percent_alone(ordered[0]), percent_alone(ordered[-1])
    return f"{low} %" if low == high else f"{low} to {high} %"


def _images_of(run: EvaluatedUap) -> str:
    count = "an unknown number of" if run.uap.images is None else f"{run.uap.images:,}"
    return f"{count} images of {title_of(run.uap.source)}"


def _uap_title(run: EvaluatedUap) -> str:
    if run.uap.source == NO_SOURCE:
        return f"no image, {title_of(run.uap.attack)}"
    count = "?" if run.uap.images is None else f"{run.uap.images:,}"
    return f"{count} of {title_of(run.uap.source)}, {title_of(run.uap.attack)}"


# The table


def _table(judged: Sequence[ClassifierVerdict]) -> List[Block]:
    rows: List[Dict[str, Cell]] = []
    for verdict in judged:
        for against in verdict.uaps.values():
            summary = table.summarise(against.run)
            rows.append({
                "classifier": verdict.name, "the UAP is made from, by": _uap_title(against.run),
                "fooling rate": strong_percent(summary.rate),
                "random control": percent_alone(summary.random),
                "permuted control": percent_alone(summary.permuted),
                "accuracy, clean": percent_alone(summary.accuracy_clean),
                "attacked": percent_alone(summary.accuracy_uap),
                "largest class": table.class_share(summary.largest_label)})
    if not rows:
        return []
    return [*table_of(rows, keys=2), note(
        "In %, of the test images. Fooling rate: the share whose predicted class the UAP changes "
        "[Wilson 95 % interval]. Controls: a random vector of the UAP's norm; the UAP's own values "
        "at random places. More often than random patterns: than both (McNemar's exact test, p at "
        "most 0.05 after Holm's correction). Largest class: what a classifier that always answers "
        "it would get right. Of several UAPs of a kind with one bound, the one that fools most of "
        "these images; the others stand in ", Link("The table", "rates"), ".")]


# The pictures


def _rates_picture(contents: Contents, judged: Sequence[ClassifierVerdict]) -> List[Block]:
    bars = []
    for verdict in judged:
        for against in verdict.uaps.values():
            run = against.run
            bars.append(pictures.RateBar(
                title=f"{verdict.name}, {title_of(run.uap.attack)}",
                source=title_of(run.uap.source), rate=run.rate(),
                controls=[run.rate("random"), run.rate("permuted")]))
    if not bars:
        return []
    return [contents.gallery.draw(
        ["fooling-rates"], "Fooling rate of each UAP with its 95 % interval, and of its controls",
        pictures.rates, bars=bars, styles=contents.styles)]


def _curves_picture(contents: Contents, judged: Sequence[ClassifierVerdict]) -> Optional[Block]:
    panels: Dict[str, List[pictures.CurveLine]] = {}
    for verdict in judged:
        runs = [against.run for against in verdict.uaps.values()]
        lines = [curve_line(run, f"{title_of(run.uap.source)}, {title_of(run.uap.attack)}")
                 for run in runs if len(run.curve) >= FEWEST_NUMBERS]
        if lines and len(panels) < MOST_CURVES:
            panels[verdict.name] = lines
    if not panels:
        return None
    return contents.gallery.draw(
        ["images"], "Fooling rate against the number of images that the UAP is made from",
        pictures.curves, panels=panels, styles=contents.styles, title=None, xlabel="images shown",
        size=pictures.PART_OF_A_PAGE)


def _example_picture(contents: Contents, judged: Sequence[ClassifierVerdict]) -> List[Block]:
    for verdict in judged:
        for against in verdict.uaps.values():
            run = against.run
            images = first_that_are_right(run, MOST_LESIONS, contents.read_images)
            if images is None:
                continue
            row = example_row(title_of(run.uap.source), run, images)
            if row is not None:
                title = (f"{verdict.name}: images that it gets right, and the same images under a "
                         f"UAP from {_uap_title(run)}")
                return [contents.gallery.draw(
                    ["example"], title, pictures.example_grid, images=images.pixels,
                    heads=images.heads, rows=[row], title=None, most_inches=LESION_INCHES),
                        note(title + ".")]
    return []


# What differs from the study


def _differences(judged: Sequence[ClassifierVerdict]) -> List[Block]:
    runs = [against.run for verdict in judged for against in verdict.uaps.values()]
    if not runs:
        return []
    common, published = common_differences(runs), table.published().values()
    lines = [line("All of them: " + "; ".join(common))] if common else []
    for verdict in judged:
        marks = [mark for mark in common_differences(
            against.run for against in verdict.uaps.values()) if mark not in common]
        if marks:
            lines.append(line(f"{verdict.name}: {'; '.join(marks)}"))
    if not lines:
        return [Heading(2, "What differs from the study?"),
                paragraph("Nothing that this report knows of.")]
    return [Heading(2, "What differs from the study?"),
            paragraph("In the settings of the published table, whose rates are from "
                      f"{min(published):.1f} to {max(published):.1f} %, beside the attacks and "
                      "numbers of images above:"), Bullets(tuple(lines))]
