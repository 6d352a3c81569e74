"""The table of fooling rates: as table.csv, as Markdown, and beside expected rates."""

import functools
import pathlib
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from utils.common.csv_files import read_csv
from utils.common.errors import UserError
from utils.evaluation.evaluated_uap import EvaluatedUap
from utils.report import markdown, numbers
from utils.report.document import (
    Block,
    Break,
    Cell,
    Heading,
    Line,
    Page,
    Paragraph,
    Span,
    Strong,
    line,
    p_value,
    paragraph,
    strong_percent,
    table,
)
from utils.report.numbers import UapSummary
from utils.report.settings import differences, title_of
from utils.report.study_table import CellKey, StudyTable, study_tables

TABLE_COLUMNS = (
    "cell", "model", "made_for", "source", "attack", "norm", "norm_ratio", "target", "run", "seed",
    "published", "differs", "rate", "low", "high", "rate_8bit", "random", "permuted", "mcnemar_p",
    "accuracy_clean", "accuracy_uap", "largest_label", "largest_label_share", "dominant",
    "dominant_share", "target_share", "test_images", "images", "passes", "steps_made",
    "steps_kept", "norm_bound", "bound_from", "largest_change")


class ExpectedKey(NamedTuple):
    """Of which UAP a rate is expected; attack is None where any published attack will do."""

    source: str
    model: str
    attack: Optional[str]


def read_rates(path: str) -> Dict[ExpectedKey, float]:
    """Read rates in percent from a csv file: a column source, one for each model, perhaps attack.

    An empty cell is no rate. Raises UserError.
    """
    rates = {}
    for row in read_csv(path, ("source",), "restore it from git"):
        source, attack = row.pop("source"), row.pop("attack", None) or None
        for model, cell in row.items():
            try:
                if cell:
                    rates[ExpectedKey(source, model, attack)] = float(cell)
            except (TypeError, ValueError):
                raise UserError(f"{path}: {source}, {model}: expected a rate in percent, found "
                                f"{cell!r}")
    return rates


@functools.lru_cache(None)
def published() -> Dict[CellKey, float]:
    """Return the published fooling rates in percent, by cell. Raises UserError."""
    path = pathlib.Path(__file__).resolve().parents[2] / "results" / "published.csv"
    return {CellKey(key.model, key.source): rate for key, rate in read_rates(str(path)).items()}


@functools.lru_cache(None)
def summarise(run: EvaluatedUap) -> UapSummary:
    """Return all numbers of a UAP, beside the published rate where nothing differs."""
    return numbers.summarise(run, published())


# table.csv


def csv_rows(runs: Sequence[EvaluatedUap]) -> List[List[Any]]:
    """Return the rows of table.csv, by TABLE_COLUMNS.

    First the cells of the study's table that were not run, then every UAP. Rates are 0..1, but the
    published ones in percent.
    """
    summaries = [summarise(run) for run in runs]
    done = {CellKey(each.model, each.source) for each in summaries if each.cell}
    missing: List[Dict[str, Any]] = [
        {"cell": True, "model": key.model, "source": key.source, "published": rate}
        for key, rate in published().items() if key not in done]
    rows = missing + list(map(_csv_values, summaries))
    return [[for_spreadsheet(row.get(name)) for name in TABLE_COLUMNS] for row in rows]


def _csv_values(summary: UapSummary) -> Dict[str, Any]:
    values = {name: getattr(summary, name) for name in TABLE_COLUMNS if hasattr(summary, name)}
    for name in ("rate", "rate_8bit", "random", "permuted", "accuracy_clean", "accuracy_uap"):
        values[name] = getattr(summary, name).value
    for name in ("largest_label", "dominant"):
        values[name] = getattr(summary, name).name
        values[name + "_share"] = getattr(summary, name).share.value
    if summary.target_share is not None:
        values["target_share"] = summary.target_share.value
    values.update(low=summary.rate.low, high=summary.rate.high, differs="; ".join(summary.differs))
    return values


def for_spreadsheet(cell: Any) -> Any:
    """Return a cell of a csv file that people open in a spreadsheet, which computes no text."""
    if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + cell
    return cell


# The study's table


class Entry(NamedTuple):
    """What stands in a cell: a UAP, None where there is none, and texts beside its rate."""

    run: Optional[EvaluatedUap]
    texts: Tuple[str, ...]


def entries(study_table: StudyTable) -> Dict[CellKey, List[Entry]]:
    """Return what stands in each cell of the study's table, and of its further rows and columns.

    Beside a rate stands the published one, or in what the UAP differs from the published ones;
    that which all of the table have in common stands above it.
    """
    cells: Dict[CellKey, List[Entry]] = {
        CellKey(model, source): [] for model in study_table.models
        for source in study_table.sources}
    for run in [*study_table.runs.values(), *study_table.others]:
        rate = summarise(run).published
        texts = [f"published {rate}"]
        if rate is None:
            texts = [mark for mark in differences(run) if mark not in study_table.common]
        if run in study_table.others:
            texts.append(run.uap.name)
        cells[CellKey(run.classifier.name, run.uap.source)].append(Entry(run, tuple(texts)))
    for key, entries_there in cells.items():
        if not entries_there:
            rate = published().get(key) if study_table.is_published else None
            text = "not run" if rate is None else f"not run; published {rate}"
            entries_there.append(Entry(None, (text,)))
    return cells


def grid(study_table: StudyTable) -> List[Block]:
    """Return the study's table for one attack and norm."""
    cells = entries(study_table)
    rows: List[Dict[str, Cell]] = []
    for source in study_table.sources:
        row: Dict[str, Cell] = {"images the UAP is made from": title_of(source)}
        for model in study_table.models:
            row[model] = _entries_cell(cells[CellKey(model, source)])
        rows.append(row)
    sentence = (f"{study_table.title}. Each cell: our rate in % [Wilson 95 % interval]; then the "
                f"published rate, or in what the UAP differs from the published ones. "
                f"{study_table.in_common}")
    return [paragraph(sentence.strip()), *table(rows)]


def _entries_cell(entries_there: Sequence[Entry]) -> Line:
    spans: List[Span] = []
    for entry in entries_there:
        if spans:
            spans.append(Break())
        texts = "; ".join(entry.texts)
        if entry.run is None:
            spans.append(texts)
        else:
            spans += strong_percent(entry.run.rate()).spans
            spans += ["; " + texts] if texts else []
    return Line(tuple(spans))


# All numbers of each UAP

UNTARGETED = "UAP: the share of the test images whose predicted class the UAP changes, in %. "
TARGETED = ("UAP: the share of the test images not already predicted as the target that are "
            "predicted as the target under the UAP, in %. ")
NOTES = (
    "Random: a random vector of the UAP's norm. Permuted: the UAP's own values at random places. "
    "p: McNemar's exact test of UAP against permuted, paired by image. 8 bits: the attacked image "
    "clipped to 0..255 and rounded. Largest class: of the true ones; dominant: the class that is "
    "predicted most often under the UAP; each with its share in %. Steps kept: of those made. "
    "Bound: of the UAP's norm, in model-input units (1 unit = 128 grey levels), and who says so; "
    "largest change: of one value of a pixel, in grey levels. Differs: in what the UAP is not one "
    "of the published table, whose rate stands only beside one that is.")


def in_full(runs: Sequence[EvaluatedUap]) -> List[Block]:
    """Return tables with all numbers of each UAP, all of them targeted or none; [] of no UAP."""
    if not runs:
        return []
    is_targeted = runs[0].uap.target is not None
    summaries = [summarise(run) for run in runs]
    blocks: List[Block] = [paragraph((TARGETED if is_targeted else UNTARGETED) + NOTES)]
    for columns in (_rate_columns, _class_columns, _making_columns):
        blocks += table([{"model": each.model, "run": each.run, **columns(each)}
                         for each in summaries], keys=2)
    return blocks


def _rate_columns(summary: UapSummary) -> Dict[str, Cell]:
    return {"UAP": strong_percent(summary.rate),
            "published": "-" if summary.published is None else summary.published,
            "8 bits": summary.rate_8bit, "random": summary.random, "permuted": summary.permuted,
            "p": p_value(summary.mcnemar_p)}


def _class_columns(summary: UapSummary) -> Dict[str, Cell]:
    columns: Dict[str, Cell] = {
        "accuracy, clean": summary.accuracy_clean, "under the UAP": summary.accuracy_uap,
        "largest class": class_share(summary.largest_label),
        "dominant": class_share(summary.dominant), "test images": summary.test_images}
    if summary.target is not None:
        columns["predicted as target"] = summary.target_share
    return columns


def _making_columns(summary: UapSummary) -> Dict[str, Cell]:
    bound = change = None
    if summary.norm_bound is not None:
        bound = f"{summary.norm_bound:.4g} (L{summary.norm}, {summary.bound_from or '?'})"
    if summary.largest_change is not None:
        change = f"{summary.largest_change:.1f}"
    return {"images": summary.images, "passes": summary.passes, "steps kept": steps_kept(summary),
            "bound": bound, "largest change": change, "differs": "; ".join(summary.differs) or "-"}


def class_share(most_frequent: numbers.ClassShare) -> str:
    """Return a class with its share in percent, as text."""
    if most_frequent.name is None:
        return "-"
    return f"{most_frequent.name} {100 * most_frequent.share.value:.1f}"


def steps_kept(summary: UapSummary) -> str:
    """Return the share of steps that were kept, as text; - where none was made or known."""
    share = summary.share_of_steps_kept
    return "-" if share is None else f"{100 * share:.1f} %"


def to_markdown(runs: Sequence[EvaluatedUap], note: Optional[str] = None) -> str:
    """Return table.md: the study's table for each attack and norm, then every UAP in full."""
    blocks: List[Block] = note_above(note)
    for study_table in study_tables(runs):
        blocks += grid(study_table)
    for heading, is_targeted in (("Every run", False), ("Targeted runs", True)):
        full = in_full([run for run in runs if (run.uap.target is not None) == is_targeted])
        blocks += [Heading(2, heading), *full] if full else []
    return markdown.write_page(Page("table", "Fooling rates, %", tuple(blocks)), is_first=True)


def note_above(note: Optional[str]) -> List[Block]:
    """Return the sentence that a user gave to stand above everything, if any."""
    return [] if note is None else [Paragraph(line(Strong(note)))]


class Comparison(NamedTuple):
    """How many rates were compared with expected ones, and a line for each that is further off."""

    compared: int
    deviations: List[str]


def compare(runs: Sequence[EvaluatedUap], expected: Dict[ExpectedKey, float],
            tolerance: float) -> Comparison:
    """Compare fooling rates with expected ones.

    expected: as read_rates returns it; a rate without an attack is that of each attack with which
    the published table may have been made. tolerance: in points.
    """
    compared, deviations = 0, []
    for study_table in study_tables([run for run in runs if run.uap.norm == "inf"]):
        for key, run in study_table.runs.items():
            rate = expected.get(ExpectedKey(key.source, key.model, study_table.attack))
            if rate is None and study_table.is_published:
                rate = expected.get(ExpectedKey(key.source, key.model, None))
            if rate is None:
                continue
            compared += 1
            ours = 100 * run.rate().value
            if not abs(ours - rate) <= tolerance:
                marks = "; ".join(differences(run)) or "settings as published"
                deviations.append(f"{key.model}/{run.uap.name}: {ours:.1f} %, expected "
                                  f"{rate:.1f} ({marks})")
    return Comparison(compared, deviations)
