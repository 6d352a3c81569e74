"""What the report says of where its numbers come from, so that each can be made again."""

import os
import shlex
from typing import Any, Dict, Iterable, List, Optional, Sequence

from utils.common.json_files import OBJECT, read_json
from utils.evaluation.evaluated_uap import EvaluatedUap
from utils.report.document import Block, Cell, Code, Commands, line, paragraph, table

SHOWN_HASH_DIGITS = 16  # of a hash; the JSON files hold all 64
# Column, and where its cell stands: in models/<name>.json; in run.json and the rows.
OF_MODEL = {
    "weights": "weights.sha256", "test images": "split.test.sha256", "seed": "arguments.seed",
    "epochs": "epochs", "accuracy, test": "scores.test.accuracy", "started": "started",
    "finished": "finished", "commit": "git"}
OF_UAP = {
    "uap.npy": "rows.uap_sha256", "its images": "run.images.sha256", "seed": "run.arguments.seed",
    "started": "run.started", "finished": "run.finished", "seconds": "run.seconds",
    "commit": "run.git", "predictions.csv": "rows.rows_sha256",
    "predicted": "rows.made.finished", "seed of the controls": "rows.control_seed"}


def provenance(runs: Sequence[EvaluatedUap], models_dir: str) -> List[Block]:
    """Return commands, seeds, versions, hashes and dates of all that a report speaks of.

    models_dir: where the models' JSON files are; a JSON file that is not there leaves question
    marks.
    """
    models = {name: _read(os.path.join(models_dir, name + ".json"))
              for name in dict.fromkeys(run.classifier.name for run in runs)}
    run_records = [_run_record(run) for run in runs]
    everything = [*models.values(), *run_records, *(run.made for run in runs)]
    commands = dict.fromkeys(filter(None, map(command_of, everything)))
    blocks: List[Block] = [
        paragraph("Each result can be made again by its command:"), Commands(tuple(commands)),
        paragraph(f"Hashes are SHA-256, the first {SHOWN_HASH_DIGITS} of 64 digits; ",
                  Code("models/*.json"), ", ", Code("run.json"), " and ",
                  Code("predictions.json"), " hold them in full.")]
    blocks += table([{"model": name, **_cells(record, OF_MODEL)}
                     for name, record in models.items()])
    blocks += table([
        {"UAP": f"{run.classifier.name}/{run.uap.name}",
         **_cells({"rows": _rows_record(run), "run": record}, OF_UAP)}
        for run, record in zip(runs, run_records)])
    for machine in dict.fromkeys(filter(None, map(machine_of, everything))):
        blocks.append(paragraph(f"Made with {machine}."))
    return blocks


def _read(path: str) -> Dict[str, Any]:
    return read_json(path, OBJECT, "make it again") if os.path.exists(path) else {}


def _run_record(run: EvaluatedUap) -> Dict[str, Any]:
    """What run.json says, or nothing where it is of another UAP than the one that was evaluated."""
    record = _read(os.path.join(run.folder, "run.json"))
    return record if value_at(record, "uap.sha256") == run.uap.sha256 else {}


def _rows_record(run: EvaluatedUap) -> Dict[str, Any]:
    return {"uap_sha256": run.uap.sha256, "rows_sha256": run.rows_sha256, "made": run.made,
            "control_seed": run.control_seed}


def value_at(record: Any, key: str) -> Any:
    """Return a value of nested dicts by its key with dots, or None where there is none."""
    for part in key.split("."):
        record = record.get(part) if isinstance(record, dict) else None
    return record


def _cells(record: Dict[str, Any], columns: Dict[str, str]) -> Dict[str, Cell]:
    return {title: _cell(value_at(record, key), key) for title, key in columns.items()}


def _cell(value: Any, key: str) -> Cell:
    if value is None:
        return None
    if key.endswith("sha256"):
        return line(Code(str(value)[:SHOWN_HASH_DIGITS]))
    if key.endswith("git"):
        return str(value_at(value, "commit"))[:10] + (
            " + changes" if value_at(value, "modified") else "")
    if key.endswith("accuracy") and isinstance(value, float):
        return f"{100 * value:.1f}"
    return str(value)


def command_of(record: Dict[str, Any]) -> Optional[str]:
    """Return the command line that made something, from the folder of the scripts."""
    words = record.get("command")
    if not (isinstance(words, list) and len(words) >= 2 and _all_text(words)):
        return None
    return " ".join(map(shlex.quote, [words[0], os.path.basename(words[1]), *words[2:]]))


def _all_text(words: Iterable[Any]) -> bool:
    return all(isinstance(word, str) for word in words)


def machine_of(record: Dict[str, Any]) -> Optional[str]:
    """Return with what something was made: versions and machine."""
    versions = record.get("versions")
    if not isinstance(versions, dict):
        return None
    libraries = ", ".join(f"{name} {versions[name]}" for name in sorted(versions))
    return (f"{libraries}; on {value_at(record, 'machine.system')}, "
            f"{value_at(record, 'machine.cores')} cores")
