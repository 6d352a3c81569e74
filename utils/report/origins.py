"""What the report says of where its numbers come from, so that each can be made again."""

import os
import shlex

from utils.common.json_files import OBJECT, read_json
from utils.common.terminal import printable
from utils.report import markdown

DIGITS = 16  # of a hash; the JSON files hold all 64
# Column, and where its cell stands: in models/<name>.json; in run.json and predictions.json.
MODEL = {"weights": "weights.sha256", "test images": "split.test.sha256", "seed": "arguments.seed",
         "epochs": "epochs", "accuracy, test": "scores.test.accuracy", "started": "started",
         "finished": "finished", "commit": "git"}
UAP = {"uap.npy": "evaluated.uap_sha256", "its images": "run.images.sha256",
       "seed": "run.arguments.seed", "started": "run.started", "finished": "run.finished",
       "seconds": "run.seconds", "commit": "run.git", "predictions.csv": "evaluated.rows_sha256",
       "predicted": "evaluated.made.finished", "seed of the controls": "evaluated.seed"}


def provenance(runs, models_dir):
    """The lines of the section: commands, seeds, versions, hashes, dates.

    runs: a list of EvaluatedUap. models_dir: where the models' JSON files are; a JSON file that
    is not there leaves question marks.
    """
    models = {name: _read(os.path.join(models_dir, name + ".json"))
              for name in dict.fromkeys(run.classifier.name for run in runs)}
    made = [{"evaluated": {"run": run.uap.name, "model": run.classifier.name,
                           "uap_sha256": run.uap.sha256, "rows_sha256": run.rows_sha256,
                           "made": run.made, "seed": run.control_seed},
             "run": _read(os.path.join(run.folder, "run.json"))} for run in runs]
    for its in made:
        if _get(its, "run.uap.sha256") != its["evaluated"]["uap_sha256"]:
            its["run"] = {}  # of another UAP than the one that was evaluated
    everything = list(models.values()) + [its["run"] for its in made] + [
        run.made for run in runs]
    lines = ["Each result can be made again by its command:", "", "```sh"]
    lines += dict.fromkeys(filter(None, map(_command, everything)))
    lines += ["```", "", "Hashes are SHA-256, the first {} of 64 digits; `models/*.json`, "
              "`run.json` and `predictions.json` hold them in full.".format(DIGITS), ""]
    lines += markdown.table([{"model": name, **_cells(its, MODEL)} for name, its in models.items()])
    lines += markdown.table([{"UAP": "{model}/{run}".format(**its["evaluated"]), **_cells(its, UAP)}
                             for its in made])
    machines = dict.fromkeys(filter(None, map(_machine, everything)))
    return lines + ["Made with " + markdown.escape(text) + "." for text in machines] + [""]


def _read(path):
    return read_json(path, OBJECT, "make it again") if os.path.exists(path) else {}


def _get(values, key):
    """A value of nested dicts by its key with dots, or None."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _cells(values, columns):
    cells = {}
    for title, key in columns.items():
        value = _get(values, key)
        if value and key.endswith("sha256"):
            value = markdown.Markup("`{}`".format(value[:DIGITS]))
        elif value and key.endswith("git"):
            value = value["commit"][:10] + (" + changes" if value["modified"] else "")
        elif value is not None and key.endswith("accuracy"):
            value = "{:.1f}".format(100 * value)
        cells[title] = value
    return cells


def _command(values):
    """The command line that made something, from the folder of the scripts."""
    python, script, *words = values.get("command") or (None, None)
    return python and printable(
        " ".join(map(shlex.quote, [python, os.path.basename(script)] + words)))


def _machine(values):
    versions = values.get("versions")
    return versions and "{}; on {}, {} cores".format(
        ", ".join("{} {}".format(name, versions[name]) for name in sorted(versions)),
        _get(values, "machine.system"), _get(values, "machine.cores"))
