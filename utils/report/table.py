"""From per-image rows to the table: every number here is computed from predictions.csv files."""

import collections
import csv
import io

import numpy as np

from utils import metrics
from utils.classifier import ARCHITECTURES
from utils.datasets import ISIC2018_CLASSES, SOURCES, read_csv
from utils.rows import CLASS_COLUMNS

SOURCE_TITLES = {"open_images_v5": "Open Images V5", "ilsvrc2012": "ILSVRC2012",
                 "isic2018": "ISIC2018"}
COLUMNS = (
    "cell", "model", "made_for", "source", "attack", "norm", "target", "run", "published", "rate",
    "low", "high", "rate_8bit", "random", "permuted", "mcnemar_p", "accuracy_clean", "accuracy_uap",
    "target_share", "test_images", "images", "passes", "norm_bound")


def summarise(rows, info):
    """All numbers of one run.

    rows: rows of predictions.csv, as dicts. info: what predictions.json says.
    Returns a dict with COLUMNS; rates are shares 0..1. For a targeted run `rate`, `rate_8bit`,
    `random` and `permuted` are success rates on the images not already predicted as the target.
    """
    labels = {c: np.array([row[c] for row in rows]) for c in CLASS_COLUMNS}
    clean = labels["clean"]
    target = info["target"]

    def hits(column):
        return (metrics.fooled(clean, labels[column]) if target is None
                else metrics.reached(clean, labels[column], target))

    rate = metrics.rate(hits("uap"))
    return dict(
        {c: info[c] for c in ("model", "made_for", "source", "attack", "norm", "target", "run",
                              "images", "passes", "norm_bound")},
        cell=is_cell(info), published=None,
        rate=rate.value, low=rate.low, high=rate.high, test_images=len(rows),
        rate_8bit=metrics.rate(hits("uap_8bit")).value,
        random=metrics.rate(hits("random")).value,
        permuted=metrics.rate(hits("permuted")).value,
        mcnemar_p=metrics.mcnemar_p(hits("uap"), hits("permuted")),
        accuracy_clean=metrics.accuracy(labels["label"], clean).value,
        accuracy_uap=metrics.accuracy(labels["label"], labels["uap"]).value,
        target_share=(None if target is None
                      else metrics.target_share(labels["uap"], target).value))


def read_published(path):
    """The published fooling rates in percent: dict from (source, model) to float. UserError."""
    return {(row["source"], model): float(row[model])
            for row in read_csv(path, ("source",) + ARCHITECTURES, "restore it from git")
            for model in ARCHITECTURES}


def arrange(summaries, published):
    """Give every cell of the study's table a row, those not run too, and the other runs theirs.

    Returns a list of dicts with COLUMNS. Cells that were not run have rate None.
    """
    settings = collections.OrderedDict(
        ((s["attack"], s["norm"]), None) for s in summaries if s["cell"])
    rows = []
    for attack, norm in settings or [("deepfool", "inf")]:
        for source in SOURCES:
            for model in ARCHITECTURES:
                found = [s for s in summaries if s["cell"] and
                         (s["source"], s["model"], s["attack"], s["norm"]) ==
                         (source, model, attack, norm)]
                empty = dict.fromkeys(COLUMNS)
                empty.update(cell=True, source=source, model=model, attack=attack, norm=norm)
                rows += [dict(s, published=published[source, model]) for s in found or [empty]]
    return rows + [s for s in summaries if not s["cell"]]


def is_cell(info):
    """Whether a run is one of the study's table: its classifiers, its classes, its sources.

    info: what predictions.json says.
    """
    return (info["target"] is None and info["model"] in ARCHITECTURES
            and info["made_for"] == info["model"] and info["source"] in SOURCES
            and tuple(info["class_names"]) == ISIC2018_CLASSES)


def to_csv(rows):
    """table.csv as text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_markdown(rows, note=None):
    """table.md as text: the study's table for each attack and norm, then every run in full."""
    lines = ["# Fooling rates, %", ""]
    if note:
        lines += ["**{}**".format(note), ""]
    grid = [row for row in rows if row["published"] is not None]
    for attack, norm in collections.OrderedDict(((r["attack"], r["norm"]), None) for r in grid):
        lines += [
            "UAPs by {}, L{} norm. Each cell: our rate [Wilson 95 % interval]; published rate."
            .format({"deepfool": "DeepFool", "fgsm": "FGSM"}[attack], norm), "",
            "| images the UAP is made from | " + " | ".join(ARCHITECTURES) + " |",
            "|---" * (1 + len(ARCHITECTURES)) + "|"]
        for source in SOURCES:
            cells = []
            for model in ARCHITECTURES:
                cells += ["<br>".join(
                    "{}; published {}".format(_rate_with_interval(row), row["published"])
                    for row in grid if (row["source"], row["model"], row["attack"], row["norm"]) ==
                    (source, model, attack, norm))]
            lines.append("| {} | {} |".format(SOURCE_TITLES[source], " | ".join(cells)))
        lines.append("")
    run = [row for row in rows if row["rate"] is not None]
    for title, chosen in (("Every run", [r for r in run if r["target"] is None]),
                          ("Targeted runs", [r for r in run if r["target"] is not None])):
        if chosen:
            lines += _full_table(title, chosen)
    return "\n".join(lines)


def _rate_with_interval(row):
    if row["rate"] is None:
        return "not run"
    return "**{:.1f}** [{:.1f}, {:.1f}]".format(
        *(100 * row[key] for key in ("rate", "low", "high")))


def _full_table(title, rows):
    targeted = rows[0]["target"] is not None
    lines = [
        "## " + title, "",
        ("UAP: share of the test images not already predicted as the target that are under the UAP."
         if targeted else
         "UAP: share of the test images whose predicted class the UAP changes.")
        + " 8 bit: the same with the attacked image clipped to 0..255 and rounded. Random, "
        "permuted: the same for a random vector of the UAP's norm, and for the UAP's own values at "
        "random places. p: exact McNemar test of UAP against permuted. Accuracy: clean, then under "
        "the UAP.", "",
        "| model | run | images | passes | bound | test images | UAP | 8 bit | random | permuted | "
        "p | accuracy |" + (" predicted as target |" if targeted else ""),
        "|---" * (12 + targeted) + "|"]
    for row in rows:
        percent = {key: "-" if row[key] is None else "{:.1f}".format(100 * row[key]) for key in
                   ("rate_8bit", "random", "permuted", "accuracy_clean", "accuracy_uap",
                    "target_share")}
        lines.append(
            "| {model} | {run} | {images} | {passes} | {bound} | {test_images} | {rate} | "
            "{p[rate_8bit]} | {p[random]} | {p[permuted]} | {mcnemar} | {p[accuracy_clean]}, "
            "{p[accuracy_uap]} |".format(
                rate=_rate_with_interval(row), p=percent,
                mcnemar="{:.1g}".format(row["mcnemar_p"]),
                bound="?" if row["norm_bound"] is None else "{:.4g} (L{})".format(
                    row["norm_bound"], row["norm"]),
                **{key: "?" if row[key] is None else row[key]
                   for key in ("model", "run", "images", "passes", "test_images")})
            + (" {} |".format(percent["target_share"]) if targeted else ""))
    return lines + [""]
