"""What the report says of where its numbers come from, so that each can be made again."""

import os
import shlex

from utils.json_files import OBJECT, read_json
from utils.report import markdown

DIGITS = 16  # of a hash; the JSON files hold all 64


def provenance(runs, models_dir):
    """The lines of the section: commands, seeds, versions, hashes, dates.

    runs: a list of rows.Run. models_dir: where the models' JSON files are; a JSON file that is not
    there leaves question marks.
    """
    models = {name: _read(os.path.join(models_dir, name + ".json"))
              for name in dict.fromkeys(run.info["model"] for run in runs)}
    made = [(run, _run_json(run)) for run in runs]
    everything = list(models.values()) + [its for _, its in made] + [
        run.info["made"] for run in runs]
    lines = ["Each result can be made again by its command:", "", "```sh"]
    lines += dict.fromkeys(filter(None, map(_command, everything)))
    lines += ["```", "", "Hashes are SHA-256, the first {} of 64 digits; `models/*.json`, "
              "`run.json` and `predictions.json` hold them in full.".format(DIGITS), ""]
    lines += markdown.table(
        ["model", "weights", "test images", "seed", "epochs", "accuracy, test", "started",
         "finished", "commit"],
        [[name] + _values(its, "weights.sha256", "split.test.sha256", "arguments.seed", "epochs",
                          "scores.test.accuracy", "started", "finished") + [_commit(its)]
         for name, its in models.items()])
    lines += markdown.table(
        ["UAP", "uap.npy", "its images", "seed", "started", "finished", "seconds", "commit",
         "predictions.csv", "predicted", "seed of the controls"],
        [["{model}/{run}".format(**run.info)] + _values(run.info, "uap_sha256")
         + _values(its, "images.sha256", "arguments.seed", "started", "finished", "seconds")
         + [_commit(its)] + _values(run.info, "rows_sha256", "made.finished", "seed")
         for run, its in made])
    machines = dict.fromkeys(filter(None, map(_machine, everything)))
    return lines + ["Made with " + text + "." for text in machines] + [""]


def _read(path):
    return read_json(path, OBJECT, "make it again") if os.path.exists(path) else {}


def _run_json(run):
    """run.json, unless another UAP than the one that was evaluated is described there."""
    values = _read(os.path.join(run.folder, "run.json"))
    return values if _get(values, "uap.sha256") == run.info["uap_sha256"] else {}


def _get(values, key):
    """A value of nested dicts by its key with dots, or None."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _values(values, *keys):
    """Cells of a table: hashes shortened, shares in %."""
    cells = []
    for key in keys:
        value = _get(values, key)
        if value is not None and key.endswith("sha256"):
            value = "`{}`".format(value[:DIGITS])
        elif value is not None and key.endswith("accuracy"):
            value = "{:.1f}".format(100 * value)
        cells.append(value)
    return cells


def _command(values):
    """The command line that made something, from the folder of the scripts."""
    words = list(values.get("command") or ())
    return " ".join(map(shlex.quote, words[:1] + [os.path.basename(words[1])] + words[2:])) \
        if words else None


def _commit(values):
    commit = _get(values, "git.commit")
    return commit and commit[:10] + (" + changes" if _get(values, "git.modified") else "")


def _machine(values):
    versions = values.get("versions")
    return versions and "{}; on {}, {} cores".format(
        ", ".join("{} {}".format(name, versions[name]) for name in sorted(versions)),
        _get(values, "machine.system"), _get(values, "machine.cores"))
