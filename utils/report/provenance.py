"""What the report says of where its numbers come from, so that each can be made again."""

import collections
import os
import shlex

from utils.report import markdown
from utils.files import read_json

DIGITS = 16  # of a hash; the JSON files hold all 64


def provenance(evaluated, models_dir):
    """The lines of the section: commands, seeds, versions, hashes, dates.

    evaluated: a list of rows.Evaluated. models_dir: where the models' JSON files are; a JSON file
    that is not there leaves question marks.
    """
    models = collections.OrderedDict((e.info["model"], _read(os.path.join(
        models_dir, e.info["model"] + ".json"))) for e in evaluated)
    runs = [(e, _run_of(e)) for e in evaluated]
    made = [e.info["made"] for e in evaluated]
    commands = [_command(values) for values in (
        list(models.values()) + [run for _, run in runs] + made)]
    lines = ["Each result can be made again by its command:", "", "```sh"]
    lines += list(collections.OrderedDict.fromkeys(c for c in commands if c)) + ["```", ""]
    lines += ["Hashes are SHA-256, the first {} of 64 digits; `models/*.json`, `run.json` and "
              "`predictions.json` hold them in full.".format(DIGITS), ""]
    lines += markdown.table(
        ["model", "weights", "test images", "seed", "epochs", "accuracy, test", "started",
         "finished", "commit"],
        [[name, _short(_get(values, "weights", "sha256")),
          _short(_get(values, "split", "test", "sha256")), _get(values, "arguments", "seed"),
          _get(values, "epochs"), _share(_get(values, "scores", "test", "accuracy")),
          _get(values, "started"), _get(values, "finished"), _commit(values)]
         for name, values in models.items()])
    lines += markdown.table(
        ["UAP", "uap.npy", "its images", "seed", "started", "finished", "seconds", "commit",
         "predictions.csv", "predicted", "seed of the controls"],
        [["{}/{}".format(e.info["model"], e.info["run"]), _short(e.info["uap_sha256"]),
          _short(_get(run, "images", "sha256")), _get(run, "arguments", "seed"),
          _get(run, "started"), _get(run, "finished"), _get(run, "seconds"), _commit(run),
          _short(e.info["rows_sha256"]), _get(e.info, "made", "finished"), e.info["seed"]]
         for e, run in runs])
    machines = collections.OrderedDict.fromkeys(
        filter(None, map(_machine, list(models.values()) + [run for _, run in runs] + made)))
    return lines + ["Made with " + text + "." for text in machines] + [""]


def _read(path):
    return read_json(path, "make it again") if os.path.exists(path) else {}


def _run_of(e):
    """run.json of a run, unless another UAP than the one that was evaluated is described there."""
    run = _read(os.path.join(e.folder, "run.json"))
    return run if _get(run, "uap", "sha256") == e.info["uap_sha256"] else {}


def _get(values, *keys):
    """A value of nested dicts, or None."""
    for key in keys:
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _command(values):
    """The command line that made something, from the folder of the scripts."""
    words = list(values.get("command") or ())
    if not words:
        return None
    words[1] = os.path.basename(words[1])
    return " ".join(map(shlex.quote, words))


def _short(sha256):
    return None if sha256 is None else "`{}`".format(sha256[:DIGITS])


def _share(value):
    return None if value is None else "{:.1f}".format(100 * value)


def _commit(values):
    commit = _get(values, "git", "commit")
    if commit is None:
        return None
    return commit[:10] + (" + changes" if _get(values, "git", "modified") else "")


def _machine(values):
    versions = values.get("versions")
    if not versions:
        return None
    return "{}; on {}, {} cores".format(
        ", ".join("{} {}".format(name, versions[name]) for name in sorted(versions)),
        _get(values, "machine", "system"), _get(values, "machine", "cores"))
