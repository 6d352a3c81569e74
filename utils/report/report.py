"""The reviewer's report: every number with its interval, computed from the rows alone."""

import os
import urllib.parse

from utils.report import sections
from utils.files import write_text
from utils.report.provenance import provenance

TABLE = "The table"
INTRODUCTION = (
    "Every number is computed from the rows in `<model>/<run>/`, one for each test image; "
    "[README.md](README.md) describes the files. Rates are in %, each with its Wilson 95 % "
    "interval in brackets. *Fooling rate*: the share of the test images whose predicted class the "
    "UAP changes. *Control*: the UAP's own values at random places (permuted), or a random vector "
    "of the same norm (random).")


def write_report(results_dir, models_dir, evaluated, published, note, read_images):
    """Write report.md, and its pictures in report/, below `results_dir`.

    models_dir: where the models' JSON files are, for the provenance. evaluated: a list of
    rows.Evaluated. published: as table.read_published gives it. note: a sentence to print above,
    or None. read_images: function (what predictions.json says, files) -> uint8 (n, h, w, 3), or
    None when the images are not at hand. Returns the path of the report.
    """
    folder = os.path.join(results_dir, "report")
    drawn = set()

    def draw(name, alternative, function, *arguments):
        """Draw a picture; the lines that show it."""
        function(os.path.join(folder, name), *arguments)
        drawn.add(name)
        return ["![{}](report/{})".format(alternative, urllib.parse.quote(name)), ""]

    settings = sections.find_settings(evaluated)
    lines = ["# Report", ""] + (["**{}**".format(note), ""] if note else []) + [INTRODUCTION, ""]
    for title, section in (
            (TABLE, lambda setting: sections.table(setting, published, draw)),
            ("Is it real?", sections.reality),
            ("How many images does it take?", lambda setting: sections.curve(setting, draw)),
            ("What it looks like", lambda setting: sections.looks(setting, read_images, draw)),
            ("What it does", lambda setting: sections.classes(setting, draw)),
            ("The attack one could carry out", sections.files),
            ("Transfer", sections.transfer),
            ("Sensitivity", lambda setting: sections.sensitivity(setting, draw))):
        lines += ["## " + title, ""]
        for setting in settings:
            if len(settings) > 1:
                lines += ["### {}: {}".format(title, setting.title), ""]
            lines += section(setting) if setting.runs or title == TABLE else ["Not run.", ""]
    in_table = [run for setting in settings for run in setting.runs.values()]
    others = [e for e in evaluated if e.info["target"] is None and e not in in_table]
    targeted = [e for e in evaluated if e.info["target"] is not None]
    if targeted:
        lines += ["## Targeted UAPs", ""] + sections.targeted(targeted, read_images, draw)
    if others:
        lines += ["## Other UAPs", ""] + sections.others(others)
    lines += ["## Provenance", ""] + provenance(evaluated, models_dir)
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name not in drawn and name.endswith(".png"):  # of an earlier report
            os.remove(os.path.join(folder, name))
    path = os.path.join(results_dir, "report.md")
    write_text(path, "\n".join(lines))
    return path
