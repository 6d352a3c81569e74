"""The first page of the report: the verdict, one table, a picture for each question."""

from typing import Dict, List, Optional, Sequence

from utils.evaluation.evaluated_uap import EvaluatedUap
from utils.report import pictures, table
from utils.report.appendices import curve_line
from utils.report.contents import Contents
from utils.report.document import (
    Block,
    Bullets,
    Cell,
    Heading,
    Line,
    Link,
    Page,
    Strong,
    line,
    paragraph,
    percent_alone,
    strong_percent,
)
from utils.report.document import table as table_of
from utils.report.examples import example_row, first_that_are_right
from utils.report.settings import NO_SOURCE, title_of
from utils.report.study_table import common_differences
from utils.report.verdict import (
    NATURAL,
    NO_IMAGE,
    OWN_DOMAIN,
    ClassifierVerdict,
    verdicts,
)

MOST_CURVES = 3   # classifiers in the picture of curves
MOST_LESIONS = 3  # images in the picture of a UAP at work
FEWEST_NUMBERS = 2  # points that make a curve


def first_page(contents: Contents, topics: Sequence[Page]) -> Page:
    """Return the first page; topics: the appendices, to which it leads."""
    judged = verdicts(contents.runs)
    blocks: List[Block] = table.note_above(contents.note)
    if not judged:
        blocks.append(paragraph("No UAP has been evaluated on the classifier it was made for."))
    blocks += [Bullets(tuple(map(_verdict_line, judged)))] if judged else []
    blocks += _table(judged)
    for heading, picture in (
            ("Does it fool?", _rates_picture(contents, judged)),
            ("How many images does it take?", _curves_picture(contents, judged)),
            ("What does it look like?", _example_picture(contents, judged))):
        if picture is not None:
            blocks += [Heading(2, heading), picture]
    blocks += _differences(judged)
    blocks += [Heading(2, "Everything else"), Bullets(tuple(
        line(Link(topic.title, topic.name)) for topic in topics))]
    return Page("report", "Do universal adversarial perturbations fool these classifiers?",
                tuple(blocks))


# The verdict in words


def _verdict_line(verdict: ClassifierVerdict) -> Line:
    is_fooled = verdict.is_fooled_by_natural_images
    if is_fooled is None:
        answer = "not tested with natural images."
    elif is_fooled:
        answer = "natural images fool it more often than random patterns do."
    else:
        answer = "natural images fool it no more often than random patterns do."
    rates = []
    for kind, against in verdict.uaps.items():
        images = "no image" if kind == NO_IMAGE else _images_of(against.run)
        own = ", its own domain," if kind == OWN_DOMAIN else ""
        rates.append(f"from {images}{own} changes {percent_alone(against.run.rate())} %")
        if kind != NATURAL and not against.beats_both:
            rates[-1] += " (no more often than random patterns do)"
    controls = [test.other for against in verdict.uaps.values()
                for test in against.tests.values()]
    most = max(controls, key=lambda rate: rate.value)
    sentence = (f" A UAP {', one '.join(rates)} of its answers; random patterns of the same size "
                f"change at most {percent_alone(most)} %.")
    return line(Strong(f"{verdict.name}: {answer}"), sentence)


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
    return [*table_of(rows, keys=2), paragraph(
        "In %, of the test images. Fooling rate: the share whose predicted class the UAP changes "
        "[Wilson 95 % interval]. Controls: a random vector of the UAP's norm; the UAP's own values "
        "at random places. ",
        "More often than random patterns: than both controls (McNemar's exact test, p at most 0.05 "
        "after Holm's correction). Largest class: the most frequent true class, which a classifier "
        "that always answers it would get right. Of several UAPs of a kind with one bound, the one "
        "that fools most of these images; the others stand in ", Link("The table", "rates"), ".")]


# The pictures


def _rates_picture(contents: Contents, judged: Sequence[ClassifierVerdict]) -> Optional[Block]:
    bars = []
    for verdict in judged:
        for against in verdict.uaps.values():
            run = against.run
            bars.append(pictures.RateBar(
                title=f"{verdict.name}: {_uap_title(run)}", source=title_of(run.uap.source),
                rate=run.rate(), controls=[run.rate("random"), run.rate("permuted")]))
    if not bars:
        return None
    title = "Fooling rate of each UAP with its 95 % interval, and of its controls"
    return contents.gallery.draw(["fooling-rates"], title, pictures.rates, bars, contents.styles,
                                 title)


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
    title = "Fooling rate against the number of images that the UAP is made from"
    return contents.gallery.draw(["images"], title, pictures.curves, panels, contents.styles,
                                 title, "images shown")


def _example_picture(contents: Contents, judged: Sequence[ClassifierVerdict]) -> Optional[Block]:
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
                return contents.gallery.draw(
                    ["example"], title, pictures.example_grid, images.pixels, images.heads, [row],
                    title)
    return None


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
