"""The appendices of the report, one for each topic: from numbers to sentences, tables, pictures."""

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

from utils.attack.settings import ATTACKS
from utils.common import figures
from utils.evaluation.evaluated_uap import EvaluatedUap
from utils.report import numbers, pictures, table
from utils.report.contents import Contents, names
from utils.report.document import (
    Block,
    Cell,
    Heading,
    Line,
    Page,
    Span,
    Strong,
    line,
    p_value,
    paragraph,
    percent,
)
from utils.report.document import table as table_of
from utils.report.examples import example_row, first_of_each_class
from utils.report.numbers import NEEDS, ImagesNeeded
from utils.report.provenance import provenance
from utils.report.settings import NO_SOURCE, title_of
from utils.report.study_table import CellKey, StudyTable, in_study_order, of_the_table

RATES = ("Every number is computed from the rows in <model>/<run>/, one for each test image. Rates "
         "are in %, each with its Wilson 95 % interval in brackets. ")
FOOLING = ("The fooling rate is the share of the test images whose predicted class the UAP "
           "changes. ")
FILES = {"uap": "x + v", "uap_8bit": "8 bits, PNG", "jpeg95": "JPEG 95", "jpeg75": "JPEG 75",
         "clean_jpeg75": "no UAP, JPEG 75"}


class Topic(NamedTuple):
    """An appendix: what it is about, and what makes its blocks, which are none where it has none.
    """

    name: str
    title: str
    introduction: str
    blocks: Callable[[Contents], List[Block]]


def appendices(contents: Contents) -> List[Page]:
    """Return the pages of all topics on which there is something to say."""
    pages = []
    for topic in TOPICS:
        blocks = topic.blocks(contents)
        if blocks:
            introduction = paragraph(RATES + topic.introduction)
            pages.append(Page(topic.name, topic.title, (introduction, *blocks)))
    return pages


def for_each_table(section: Callable[[Contents, StudyTable], List[Block]]
                   ) -> Callable[[Contents], List[Block]]:
    """Make the blocks of a topic from those on each attack and norm."""
    def blocks(contents: Contents) -> List[Block]:
        sections: List[Block] = []
        for study_table in contents.tables:
            if study_table.runs:
                sections += [Heading(2, study_table.title), *section(contents, study_table)]
        return sections
    return blocks


# The table


def rates(contents: Contents) -> List[Block]:
    """Return the study's table of each attack and norm, and all numbers of its UAPs."""
    blocks: List[Block] = []
    for study_table in contents.tables:
        blocks.append(Heading(2, study_table.title))
        blocks += table.grid(study_table) + table.in_full(list(study_table.runs.values()))
    return blocks


# Significance


def significance(contents: Contents, study_table: StudyTable) -> List[Block]:
    """Compare each UAP with both controls, and natural sources with the classifier's own domain."""
    against = numbers.against_controls(list(study_table.runs.values()))
    better = sum(each.beats_both for each in against)
    blocks: List[Block] = [paragraph(
        f"UAP against both controls: in {better} of {len(against)} cells the UAP fools more images "
        f"than either, with p (Holm) at most {numbers.SIGNIFICANT}.")]
    blocks += table_of([
        {**names(each.run), "against": control, **_test_cells(test, "UAP", "control")}
        for each in against for control, test in each.tests.items()], keys=3)
    natural = numbers.against_domain(study_table)
    if natural:
        blocks.append(paragraph(
            "UAP from natural images against UAP from ISIC2018, on the same test images:"))
        blocks += table_of([
            {"model": each.run.classifier.name, "natural images": title_of(each.run.uap.source),
             **_test_cells(each.test, "natural", "ISIC2018")} for each in natural], keys=2)
    return blocks


def _test_cells(test: numbers.PairedTest, one: str, other: str) -> Dict[str, Cell]:
    return {one: test.one, other: test.other,
            "fooled by one alone": f"{test.only_one} : {test.only_other}",
            "p": p_value(test.p), "p (Holm)": p_value(test.p_holm)}


# Images needed


def images_needed(contents: Contents, study_table: StudyTable) -> List[Block]:
    """Draw the curves over the number of images, and say how many images reach a rate."""
    runs = [run for run in [*study_table.runs.values(), *study_table.others] if run.curve]
    if not runs:
        return [paragraph("No UAP of this table has snapshots.")]
    title = f"Fooling rate against images shown; {study_table.title}"
    blocks: List[Block] = [contents.gallery.draw(
        ["curve", *study_table.name_parts], title, pictures.curves,
        panels=curve_panels(runs, study_table), styles=contents.styles, title=title,
        xlabel="images shown")]
    levels = numbers.levels_reached(runs)
    factors, rows = [], []
    for run in runs:
        row: Dict[str, Cell] = {"model": run.classifier.name, "UAP from": line_title(
            run, study_table)}
        for level in levels:
            needed = numbers.needed_for(run, study_table.domain_of(run), level)
            row[f"images for {100 * level:.0f} %"] = needed_text(needed)
            if needed.exact_factor is not None and run not in study_table.others:
                factors.append(needed.exact_factor)
        row["steps kept"] = table.steps_kept(table.summarise(run))
        rows.append(row)
    if factors:
        spread = numbers.median_and_range(factors)
        blocks.append(paragraph(
            f"Where a natural source and ISIC2018 both reach a rate, the natural one takes "
            f"{spread.smallest:.1f} to {spread.largest:.1f} times as many images, "
            f"{spread.median:.1f} in the median of {len(factors)} comparisons."))
    return blocks + table_of(rows, keys=2)


def curve_panels(runs: Sequence[EvaluatedUap],
                 study_table: StudyTable) -> Dict[str, List[pictures.CurveLine]]:
    """Return the curves over the images shown, a panel for each model."""
    panels: Dict[str, List[pictures.CurveLine]] = {}
    for model in in_study_order(run.classifier.name for run in runs):
        panels[model] = [curve_line(run, line_title(run, study_table)) for run in runs
                         if run.classifier.name == model]
    return panels


def curve_line(run: EvaluatedUap, title: str) -> pictures.CurveLine:
    """Return the curve of a UAP over the images shown."""
    return pictures.CurveLine(
        title=title, source=title_of(run.uap.source), points=numbers.curve_of(run, float),
        control=run.rate("permuted"), published=table.summarise(run).published)


def line_title(run: EvaluatedUap, study_table: StudyTable) -> str:
    """Return what a curve is called: its source, or the name of a further UAP of the same cell."""
    return run.uap.name if run in study_table.others else title_of(run.uap.source)


def needed_text(needed: ImagesNeeded) -> str:
    """Return the images that a UAP needs, with the interval, and the factor to its own domain."""
    if needed.at_rate.images is None:
        return "not reached"
    rate, high, low = (_crossing_text(crossing, needed.shown) for crossing in (
        needed.at_rate, needed.at_high, needed.at_low))
    factor = "" if needed.factor is None else f"; x {needed.sign}{needed.factor:.1f}"
    return f"{rate} [{high}, {low}]{factor}"


def _crossing_text(crossing: numbers.Crossing, shown: int) -> str:
    if crossing.images is None:
        return f"> {shown:,}"
    return f"{'≤ ' if crossing.is_upper_bound else ''}{crossing.images:,.0f}"


# Examples


def examples(contents: Contents, study_table: StudyTable) -> List[Block]:
    """Draw a picture for each model: the first test image of each class under each UAP."""
    blocks: List[Block] = []
    for model, runs in study_table.by_model().items():
        titled = {title_of(run.uap.source): run for run in runs}
        blocks.append(examples_of(contents, titled, [model, *study_table.name_parts],
                                  what=f"{model}, {study_table.title}"))
    return blocks


def examples_of(contents: Contents, titled: Dict[str, EvaluatedUap], name_parts: List[str],
                what: str) -> Block:
    """Draw some UAPs of one model on the first test image of each class.

    titled: the UAPs by their titles; one with other test images than the first is not shown.
    """
    images = first_of_each_class(next(iter(titled.values())), contents.read_images)
    if images is None:
        return paragraph(f"{what}: the test images are not at hand.")
    rows = [row for row in (example_row(title, run, images) for title, run in titled.items())
            if row is not None]
    if not rows:
        return paragraph(f"{what}: the UAPs are not at hand.")
    title = f"{what}: the first test image of each class"
    return contents.gallery.draw(
        ["examples", *name_parts], title, pictures.example_grid,
        images=images.pixels, heads=images.heads, rows=rows, title=title)


# Predicted classes


def predicted_classes(contents: Contents, study_table: StudyTable) -> List[Block]:
    """Show how the predicted classes move under each UAP."""
    blocks: List[Block] = []
    rows = []
    for model, runs in study_table.by_model().items():
        panels = {}
        for run in runs:
            classes = numbers.predicted_classes(run)
            panels["UAP from " + title_of(run.uap.source)] = classes.counts
            rows.append({**names(run), "clean images": _dominant(classes.clean),
                         "attacked images": _dominant(classes.attacked),
                         "attacked images that are fooled": _dominant(classes.fooled)})
        title = f"{model}: predictions of the test images, clean and under the UAP"
        blocks.append(contents.gallery.draw(
            ["confusion", model, *study_table.name_parts], f"{title}; {study_table.title}",
            figures.confusion_matrices, panels=panels,
            class_names=runs[0].classifier.class_names, title=title, ylabel="predicted clean",
            xlabel="predicted under the UAP"))
    return blocks + table_of(rows, keys=2)


def _dominant(most_frequent: numbers.ClassShare) -> str:
    if most_frequent.name is None:
        return "-"
    return f"{most_frequent.name} {percent(most_frequent.share)}"


# Image files


def image_files(contents: Contents, study_table: StudyTable) -> List[Block]:
    """Show what is left of each UAP in an image file."""
    return list(table_of([{**names(run), **file_cells(run)}
                          for run in study_table.runs.values()], keys=2))


def file_cells(run: EvaluatedUap) -> Dict[str, Cell]:
    """Return the rates of a UAP in each kind of image file."""
    return {title: run.rate(column) for column, title in FILES.items()}


# Transfer


def transfer(contents: Contents, study_table: StudyTable) -> List[Block]:
    """Show how each UAP fools the other models."""
    blocks: List[Block] = []
    models = list(study_table.by_model())
    for source in study_table.sources:
        runs = {model: study_table.runs[CellKey(model, source)] for model in models
                if CellKey(model, source) in study_table.runs}
        if not runs:
            continue
        rows: List[Dict[str, Cell]] = []
        for made_for, made in runs.items():
            rows.append({"made for": made_for, **{
                "on " + model: transfer_cell(runs.get(model), made) for model in models}})
        rows.append({"made for": "permuted", **{
            "on " + model: runs[model].rate("permuted") if model in runs else "-"
            for model in models}})
        blocks += [paragraph(f"UAPs from {title_of(source)}:"), *table_of(rows)]
    return blocks


def transfer_cell(on: Optional[EvaluatedUap], made: EvaluatedUap) -> Cell:
    """Return how the UAP `made` fools the model of the run `on`, None where that was not run."""
    if on is made:
        return line(Strong(percent(made.rate())))
    if on is None:
        return "not run"
    if on.classifier.image_size != made.classifier.image_size:
        return "other input size"
    if on.classifier.class_names != made.classifier.class_names:
        return "other classes"
    if on.test_sha256 != made.test_sha256:
        return "other test images"
    return on.transfer.get(made.uap.sha256, "not run")


# Sensitivity


def sensitivity(contents: Contents, study_table: StudyTable) -> List[Block]:
    """Show how the fooling rate depends on the image."""
    titles = [title_of(source) for source in study_table.sources]
    overall, by_confidence, by_class = [], [], []
    intervals = list(zip(numbers.CONFIDENCES, numbers.CONFIDENCES[1:]))
    for model, runs in study_table.by_model().items():
        by_title = {title_of(run.uap.source): numbers.sensitivity(run) for run in runs}
        for run in runs:
            each = by_title[title_of(run.uap.source)]
            overall.append({
                **names(run), "accuracy, clean": each.accuracy_clean,
                "accuracy, attacked": each.accuracy_attacked,
                "fooling rate where the model was right": each.where_right,
                "where it was wrong": each.where_wrong})
            by_confidence.append({**names(run), **{
                f"{low:.0%} to {high:.0%}": rate
                for (low, high), rate in zip(intervals, each.by_confidence)}})
        first = next(iter(by_title.values()))
        for name, count in first.images_of_class.items():
            row: Dict[str, Cell] = {"model": model, "true class": name, "images": count}
            for title in titles:
                row[title] = by_title[title].by_class[name] if title in by_title else "-"
            by_class.append(row)
    blocks: List[Block] = [*table_of(overall, keys=2)]
    blocks.append(paragraph(
        "Fooling rate of the images predicted clean with a probability of:"))
    blocks += table_of(by_confidence, keys=2)
    blocks.append(paragraph("Fooling rate of each true class:"))
    return blocks + table_of(by_class, keys=3)


# What the attacker needs


def attacker(contents: Contents) -> List[Block]:
    """Name the strongest attack on what an attacker has, and draw rates against seconds."""
    blocks: List[Block] = []
    for bound, runs in numbers.by_bound(contents.runs).items():
        runs = [run for run in runs if numbers.need_of(run) is not None]
        if {run.uap.attack for run in runs} <= {"deepfool"}:
            continue
        models = in_study_order(run.classifier.name for run in runs)
        rows: List[Dict[str, Cell]] = []
        for need in NEEDS:
            row: Dict[str, Cell] = {"the attacker has": need}
            for model in models:
                row[model] = _strongest_cell([run for run in runs if run.classifier.name == model
                                              and numbers.need_of(run) == need])
            rows.append(row)
        blocks += [paragraph(_bound_text(bound) + ":"), *table_of(rows)]
    return blocks + _times(contents)


def _bound_text(bound: numbers.NormBound) -> str:
    return f"L{bound.norm} norm, ratio {'?' if bound.ratio is None else bound.ratio}"


def _strongest_cell(runs: Sequence[EvaluatedUap]) -> Cell:
    run = numbers.strongest(runs)
    if run is None:
        return "not run"
    what = title_of(run.uap.attack)
    if run.uap.source != NO_SOURCE:
        what += f", {run.uap.images} {title_of(run.uap.source)}"
    spans: List[Span] = [what + ": ", Strong(percent(run.rate()))]
    spans.append(f" ({percent(run.rate('random'))}, {percent(run.rate('permuted'))})")
    return Line(tuple(spans))


def _times(contents: Contents) -> List[Block]:
    """Pictures of the fooling rate against seconds, for several attacks on a model."""
    blocks: List[Block] = []
    for bound, runs in numbers.by_bound(of_the_table(contents.runs)).items():
        for source in sorted({run.uap.source for run in runs}):
            panels = _time_panels([run for run in runs if run.uap.source == source and run.curve])
            if panels:
                title = (f"Fooling rate against time; UAPs from {title_of(source)}, "
                         f"{_bound_text(bound)}")
                blocks.append(contents.gallery.draw(
                    ["time", source.rstrip("/"), "l" + bound.norm, str(bound.ratio)], title,
                    pictures.curves, panels=panels, styles=contents.styles, title=title,
                    xlabel="seconds of computing"))
    return blocks


def _time_panels(runs: Sequence[EvaluatedUap]) -> Dict[str, List[pictures.CurveLine]]:
    """For each model with several attacks, the first UAP of each attack."""
    panels: Dict[str, Dict[str, pictures.CurveLine]] = {}
    for run in sorted(runs, key=lambda run: [*ATTACKS, run.uap.attack].index(run.uap.attack)):
        points = numbers.curve_of(run, run.uap.snapshots.get)
        lines = panels.setdefault(run.classifier.name, {})
        if points and title_of(run.uap.attack) not in lines:
            lines[title_of(run.uap.attack)] = pictures.CurveLine(
                title=title_of(run.uap.attack), source=title_of(run.uap.source), points=points,
                control=run.rate("permuted"))
    return {model: list(panels[model].values()) for model in in_study_order(panels)
            if len(panels[model]) > 1}


# UAPs that are no cell of a table


def targeted(contents: Contents) -> List[Block]:
    """Return all numbers of the targeted UAPs, and pictures."""
    runs = [run for run in contents.runs if run.uap.target is not None]
    blocks: List[Block] = list(table.in_full(runs))
    if runs:
        blocks.append(paragraph("Success rates in image files:"))
    blocks += table_of([{"model": run.classifier.name, "UAP": run.uap.name, **file_cells(run)}
                        for run in runs], keys=2)
    for model in in_study_order(run.classifier.name for run in runs):
        titled = {run.uap.name: run for run in runs if run.classifier.name == model}
        blocks.append(examples_of(contents, titled, [model, "targeted"],
                                  what=f"{model}, targeted UAPs"))
    return blocks


def other_uaps(contents: Contents) -> List[Block]:
    """Return all numbers of the untargeted UAPs that stand for no cell of a table."""
    chosen = [run for study_table in contents.tables for run in study_table.runs.values()]
    return table.in_full([run for run in contents.runs
                          if run.uap.target is None and run not in chosen])


TOPICS = (
    Topic("rates", "The table", FOOLING, blocks=rates),
    Topic("significance", "Significance",
          FOOLING + "McNemar's exact test, two-sided, paired by test image: only the images on "
          "which one fools the model and the other does not count. Each control is one draw: the "
          "UAP's own values at random places (permuted), or a random vector of the same norm "
          "(random). p (Holm) is corrected for the number of tests in its table.",
          blocks=for_each_table(significance)),
    Topic("images-needed", "Images needed",
          FOOLING + "Images shown count every pass: an image shown in two passes counts twice. "
          "The control is that of the finished UAPs. The tables hold the images shown when a curve "
          "first reaches a rate, between two measurements by a straight line over the logarithm of "
          "the images; in brackets, where the upper and the lower end of the 95 % band reach it "
          "(> : not within the images shown); x: how many times the images that ISIC2018 takes. "
          "The study's statement is 10 or more. Steps kept: the share of the steps that changed "
          "the label; the others are dropped, so a source whose steps are seldom kept takes more "
          "images.", blocks=for_each_table(images_needed)),
    Topic("examples", "Examples",
          "The first test image of each class, clean and under each UAP: the predicted class, and "
          "its softmax probability; bold where the class changed. The UAP is shown about mid-grey, "
          "magnified by the factor beside it; the attacked images are at true scale, clipped to "
          "0..255 and rounded.", blocks=for_each_table(examples)),
    Topic("predicted-classes", "Predicted classes",
          "The dominant label is the class that is predicted most often, with its share.",
          blocks=for_each_table(predicted_classes)),
    Topic("image-files", "Image files",
          FOOLING + "x + v as published, unclipped; clipped to 0..255 and rounded to 8 bits, as an "
          "image file holds it (PNG is lossless: the same pixels); and saved as JPEG of quality 95 "
          "and 75 (Pillow). Last: what JPEG 75 alone does to the clean image.",
          blocks=for_each_table(image_files)),
    Topic("transfer", "Transfer",
          FOOLING + "The UAP made for one model, on another; same source, same test images. Bold: "
          "on its own model. Last line: the UAP that was made for the model itself, permuted.",
          blocks=for_each_table(transfer)),
    Topic("sensitivity", "Sensitivity", FOOLING, blocks=for_each_table(sensitivity)),
    Topic("attacker", "What the attacker needs",
          FOOLING + "Of the attacks on what the attacker has, the one that fools most of these "
          "test images: the attack, the images, its rate; in parentheses its controls, a random "
          "vector of the same norm, and the UAP's own values at random places.", blocks=attacker),
    Topic("targeted", "Targeted UAPs", "", blocks=targeted),
    Topic("other-uaps", "Other UAPs",
          FOOLING + "These UAPs stand for no cell of the table: further ones of the same cells, "
          "and those that were made for another model.", blocks=other_uaps),
    Topic("provenance", "Provenance", "",
          blocks=lambda contents: provenance(contents.runs, contents.models_dir)))
