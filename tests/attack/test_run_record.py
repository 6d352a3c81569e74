"""run.json, read into a dataclass."""

import glob
import json
import os

import numpy as np
import pytest

import checkout
from utils.attack.run_record import Snapshot, read_run_record
from utils.common.errors import UserError

COMMITTED = sorted(glob.glob(os.path.join(
    checkout.ROOT, "results", "reproduction", "**", "run.json"), recursive=True))


def test_every_committed_run_json_is_read():
    assert len(COMMITTED) > 10
    for path in COMMITTED:
        with open(path) as file:
            values = json.load(file)
        record = read_run_record(path)
        assert record.norm in (2, np.inf) and record.norm_bound == values["norm"]["bound"]
        assert record.network.name == values["model"]["name"]
        assert (record.steps_made, record.steps_kept) == (
            values["steps"]["made"], values["steps"]["kept"])
        name, snapshot = next(iter(record.snapshots.items()))
        assert snapshot == Snapshot(**{
            key: values["snapshots"][name][key] for key in ("images", "seconds")})


def test_a_field_of_another_type_is_named(tmp_path):
    with open(COMMITTED[0]) as file:
        values = json.load(file)
    values["steps"]["kept"] = "many"
    (tmp_path / "run.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match="run.json: steps.kept: 'many' is not of type 'integer'"):
        read_run_record(str(tmp_path / "run.json"))


@pytest.mark.parametrize("change, message", [
    (lambda values: values.update(attack="x/../../../victim/cell"), "attack: the name"),
    (lambda values: values.update(made_for="../VGG16"), "made_for: the name"),
    (lambda values: values["model"].update(name="../../VGG16"), "model.name: the name"),
    (lambda values: values.update(snapshots={"../uap": {"images": 1, "seconds": 1}}),
     "snapshots: the name")])
def test_a_text_that_becomes_part_of_a_path_is_a_plain_name(tmp_path, change, message):
    with open(COMMITTED[0]) as file:
        values = json.load(file)
    change(values)
    (tmp_path / "run.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=f"run.json: {message} .* is no plain name but a path"):
        read_run_record(str(tmp_path / "run.json"))
