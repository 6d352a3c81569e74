"""The reviewer's report: every number with its interval, computed from the rows alone."""

import functools
import os
import re

from utils.common.hashes import sha256_of_lines
from utils.common.whole_files import write_text
from utils.report import cost, markdown, sections, table
from utils.report.origins import provenance
from utils.report.settings import find_settings

INTRODUCTION = (
    "Every number is computed from the rows in `<model>/<run>/`, one for each test image; "
    "[README.md](README.md) describes the files. Rates are in %, each with its Wilson 95 % "
    "interval in brackets. *Fooling rate*: the share of the test images whose predicted class the "
    "UAP changes. *Control*: the UAP's own values at random places (permuted), or a random vector "
    "of the same norm (random).")


def write_report(results_dir, models_dir, runs, note, read_images):
    """Write report.md, and its pictures in report/, below `results_dir`.

    models_dir: where the models' JSON files are, for the provenance. runs: a list of EvaluatedUap.
    note: a sentence to print above, or None. read_images: function (AttackedClassifier, files) ->
    uint8 (n, h, w, 3), or None when the images are not at hand. Returns the path of the
    report.
    """
    folder, drawn = os.path.join(results_dir, "report"), set()

    def draw(parts, alternative, function, *arguments):
        """Draw a picture, named after some names; the lines that show it and what it lacks."""
        name = picture_name(*parts)
        note = function(os.path.join(folder, name), *arguments)
        drawn.add(name)
        lines = ["![{}](report/{})".format(markdown.escape(alternative), name), ""]
        return lines + ([] if note is None else [markdown.escape(note), ""])

    settings = find_settings(runs)
    lines = markdown.top("Report", note) + [INTRODUCTION, ""]
    for title, section in (
            ("The table", sections.rates), ("Significance", sections.significance),
            ("Images needed", cost.images),
            ("Examples", functools.partial(sections.examples, read_images)),
            ("Predicted classes", sections.predicted_classes),
            ("Image files", sections.image_files), ("Transfer", sections.transfer),
            ("Sensitivity", sections.sensitivity)):
        lines += ["## " + title, ""]
        for setting in settings:
            if len(settings) > 1:
                lines += ["### {}: {}".format(title, markdown.escape(setting.title)), ""]
            lines += section(setting, draw) if setting.runs or section is sections.rates else [
                "Not run.", ""]
    chosen = [run for setting in settings for run in setting.runs.values()]
    others = [run for run in runs if run.uap.target is None and run not in chosen]
    for title, found in (("What the attacker needs", cost.needs(runs, draw)),
                         ("Targeted UAPs", _targeted(runs, read_images, draw)),
                         ("Other UAPs", table.in_full(others))):
        lines += ["## " + title, ""] + found if found else []
    lines += ["## Provenance", ""] + provenance(runs, models_dir)
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name not in drawn and name.endswith(".png"):  # of an earlier report
            os.remove(os.path.join(folder, name))
    path = os.path.join(results_dir, "report.md")
    write_text(path, "\n".join(lines))
    return path


def picture_name(*parts):
    """The name of a picture's file: parts with hyphens between them, which may come from any file.

    What is neither a letter of ASCII nor a digit, dot, hyphen or underscore becomes an underscore;
    then digits of the SHA-256 of what was there keep equal names apart.
    """
    wanted = "-".join(map(str, parts))
    name = re.sub(r"[^A-Za-z0-9._-]", "_", wanted)
    if name != wanted:
        name += "-" + sha256_of_lines([wanted])[:8]
    return name + ".png"


def _targeted(runs, read_images, draw):
    runs = [run for run in runs if run.uap.target is not None]
    lines, by_model = table.in_full(runs), {}
    if runs:
        lines += sections.files_table([({"model": run.classifier.name, "UAP": run.uap.name}, run)
                                       for run in runs])
    for run in runs:
        by_model.setdefault(run.classifier.name, {})[run.uap.name] = run
    for model, its in by_model.items():
        lines += sections.examples_of(its, model + ", targeted UAPs", "-targeted", read_images,
                                      draw)
    return lines
