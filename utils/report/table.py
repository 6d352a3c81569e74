"""One row of numbers for each run: as table.csv, as Markdown, and beside expected rates."""

import functools
import pathlib

import numpy as np

from utils.classifier.architectures import ARCHITECTURES
from utils.common.csv_files import read_csv
from utils.common.errors import UserError
from utils.evaluation import metrics
from utils.images.datasets import SOURCE_FOLDERS
from utils.images.isic2018 import ISIC2018_CLASSES
from utils.report import markdown
from utils.report.settings import differences, find_settings, printed

COLUMNS = (
    "cell", "model", "made_for", "source", "attack", "norm", "norm_ratio", "target", "run", "seed",
    "published", "differs", "rate", "low", "high", "rate_8bit", "random", "permuted", "mcnemar_p",
    "accuracy_clean", "accuracy_uap", "dominant", "dominant_share", "target_share", "test_images",
    "images", "passes", "steps_made", "steps_kept", "norm_bound")
NOTES = (
    "Random: a random vector of the UAP's norm. Permuted: the UAP's own values at random places. "
    "p: McNemar's exact test of UAP against permuted, paired by image. 8 bits: the attacked image "
    "clipped to 0..255 and rounded. Dominant: the class that is predicted most often under the "
    "UAP, and its share. Steps kept: of those made. Differs: in what the run is not one of the "
    "published table, whose rate stands only beside a run that is.")


@functools.lru_cache(None)
def summarise(run):
    """All numbers of an EvaluatedUap: a dict with COLUMNS, rates as metrics.Rate, or None.

    For a targeted run rate, rate_8bit, random and permuted are success rates on the images not
    already predicted as the target.
    """
    uap, label = run.predictions["uap"], run.predictions["label"]
    marks, steps, dominant = differences(run), run.uap.steps, most_frequent(uap)
    rate, target = run.rate(), run.uap.target
    cell = (target is None and run.uap.made_for == run.classifier.name in ARCHITECTURES
            and run.uap.source in SOURCE_FOLDERS and run.classifier.class_names == ISIC2018_CLASSES)
    return dict(
        {name: getattr(run.uap, name) for name in (
            "made_for", "source", "attack", "norm", "norm_ratio", "target", "images", "passes",
            "norm_bound")},
        model=run.classifier.name, run=run.uap.name, cell=cell,
        seed=run.uap.identity.get("seed"), differs="; ".join(marks),
        published=None if marks else published().get((run.uap.source, run.classifier.name)),
        rate=rate, low=rate.low, high=rate.high, rate_8bit=run.rate("uap_8bit"),
        random=run.rate("random"), permuted=run.rate("permuted"),
        mcnemar_p=metrics.mcnemar_p(run.hits(), run.hits("permuted")),
        accuracy_clean=metrics.accuracy(label, run.predictions["clean"]),
        accuracy_uap=metrics.accuracy(label, uap),
        dominant=dominant, dominant_share=float(np.mean(uap == dominant)),
        target_share=None if target is None else metrics.rate(uap == target),
        test_images=run.test_images, steps_made=steps and steps.made, steps_kept=steps and steps.kept)


def most_frequent(classes):
    """The most frequent class name, the first by name of several; None of no image."""
    names, counts = np.unique(classes, return_counts=True)
    return names[counts.argmax()] if len(names) else None


def steps_kept(run):
    """The share of its steps that a run kept, as text; - where none was made or it is not known."""
    steps = run.uap.steps
    return "{:.1f} %".format(100 * steps.kept / steps.made) if steps and steps.made else "-"


def read_rates(path):
    """Rates in percent from a csv file with a column source, one for each model, perhaps attack.

    Returns a dict from (source, model, attack) to float; attack is None where the file names none.
    An empty cell is no rate. Raises UserError.
    """
    rates = {}
    for row in read_csv(path, ("source",), "restore it from git"):
        source, attack = row.pop("source"), row.pop("attack", None) or None
        for model, cell in row.items():
            try:
                if cell:
                    rates[source, model, attack] = float(cell)
            except (TypeError, ValueError):
                raise UserError("{}: {}, {}: expected a rate in percent, found {!r}".format(
                    path, source, model, cell))
    return rates


@functools.lru_cache(None)
def published():
    """The published fooling rates in percent: dict from (source, model). Raises UserError."""
    path = pathlib.Path(__file__).resolve().parents[2] / "results" / "published.csv"
    return {key[:2]: rate for key, rate in read_rates(str(path)).items()}


def csv_rows(runs):
    """table.csv: the cells of the study's table that were not run, then every run, by COLUMNS."""
    found = [summarise(run) for run in runs]
    done = {(row["source"], row["model"]) for row in found if row["cell"]}
    missing = [{"cell": True, "model": model, "source": source, "published": rate}
               for (source, model), rate in published().items() if (source, model) not in done]
    return [[for_spreadsheet(getattr(row.get(name), "value", row.get(name))) for name in COLUMNS]
            for row in missing + found]


def for_spreadsheet(cell):
    """A cell of a csv file that people open in a spreadsheet, which takes no text for a formula."""
    if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + cell
    return cell


def to_markdown(runs, note=None):
    """table.md as text: the study's table for each attack and norm, then every run in full."""
    lines = markdown.top("Fooling rates, %", note)
    for setting in find_settings(runs):
        lines += grid(setting)
    for heading, targeted in (("Every run", False), ("Targeted runs", True)):
        full = in_full([run for run in runs if (run.uap.target is not None) == targeted])
        lines += ["## " + heading, ""] + full if full else []
    return "\n".join(lines)


def cells(setting):
    """The 3 x 3 table, and its further models and sources.

    Returns a dict from (source, model) to the list of what stands there: for each run the run, and
    what there is to say beside its rate; for a cell without runs (None, what there is to say).
    """
    found = {(source, model): [] for source in setting.sources for model in setting.models}
    for run in list(setting.runs.values()) + setting.others:
        theirs = summarise(run)["published"]
        texts = ([mark for mark in differences(run) if mark not in setting.common]
                 if theirs is None else ["published {}".format(theirs)])
        texts += [run.uap.name] * (run in setting.others)
        found[run.uap.source, run.classifier.name].append((run, "; ".join(texts)))
    for key, its in found.items():
        theirs = published().get(key) if setting.published else None
        if not its:
            its.append((None, "not run; published {}".format(theirs) if theirs else "not run"))
    return found


def grid(setting):
    """The lines of the study's table for one attack and norm."""
    found, body = cells(setting), []
    for source in setting.sources:
        body.append({"images the UAP is made from": printed(source)})
        for model in setting.models:
            body[-1][model] = markdown.Markup("<br>".join(
                "; ".join(([] if run is None else [markdown.bold_percent(run.rate())])
                          + [markdown.escape(more)] * bool(more))
                for run, more in found[source, model]))
    return ["{}. Each cell: our rate [Wilson 95 % interval]; then the published rate, or in what "
            "the run differs from the published ones.{}".format(markdown.escape(setting.title),
                                                            markdown.escape(setting.in_common)),
            ""] + markdown.table(body)


def in_full(runs):
    """Lines: a table with all numbers of each run, all of them targeted or none; [] of no run."""
    if not runs:
        return []
    what, body = "share of the test images whose predicted class the UAP changes", []
    for run in runs:
        row = summarise(run)
        body.append({
            "model": row["model"], "run": row["run"], "UAP": markdown.bold_percent(row["rate"]),
            "published": "-" if row["published"] is None else row["published"],
            "8 bits": row["rate_8bit"], "random": row["random"], "permuted": row["permuted"],
            "p": markdown.p_value(row["mcnemar_p"]),
            "dominant": "{dominant} {:.1f}".format(100 * row["dominant_share"], **row),
            "accuracy, clean": row["accuracy_clean"], "under the UAP": row["accuracy_uap"],
            "images": row["images"], "passes": row["passes"],
            "bound": row["norm_bound"] and "{norm_bound:.4g} (L{norm})".format(**row),
            "steps kept": steps_kept(run), "test images": row["test_images"],
            "differs": row["differs"] or "-"})
        if row["target"] is not None:
            body[-1]["predicted as target"] = row["target_share"]
            what = ("share of the test images not already predicted as the target that are under "
                    "the UAP")
    return ["UAP: {}. {}".format(what, NOTES), ""] + markdown.table(body)


def compare(runs, expected, tolerance):
    """Compare fooling rates with expected ones.

    expected: as read_rates returns it; a rate without an attack is that of each attack with which
    the published table may have been made. tolerance: in points.
    Returns (how many were compared, lines about those that are further off).
    """
    compared, off = 0, []
    for setting in find_settings([run for run in runs if run.uap.norm == "inf"]):
        for (model, source), run in setting.runs.items():
            theirs = expected.get((source, model, setting.attack), expected.get(
                (source, model, None)) if setting.published else None)
            if theirs is None:
                continue
            compared += 1
            ours = 100 * run.rate().value
            if not abs(ours - theirs) <= tolerance:
                off.append("{}/{}: {:.1f} %, expected {:.1f} ({})".format(
                    model, run.uap.name, ours, theirs,
                    "; ".join(differences(run)) or "settings as published"))
    return compared, off
