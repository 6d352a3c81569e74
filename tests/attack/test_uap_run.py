"""What a run of make_uap.py records of the events of its loop."""

import os

import numpy as np
import pytest

from utils.attack.events import ImagesShown, PassDone, Visit
from utils.attack.settings import AttackSettings, run_name
from utils.attack.state import first_state
from utils.attack.uap_run import RunRecorder, uap_stage
from utils.common.csv_files import read_written_csv, write_csv
from utils.common.errors import UserError
from utils.common.names import fault_of_file_name


def test_visits_are_rows_of_the_log_and_snapshots_are_named_by_the_images_shown(tmp_path):
    names = [f"{i}.jpg" for i in range(16)]
    state = first_state((2, 2, 3), len(names))
    run = RunRecorder(uap_stage(str(tmp_path / "run"), {}, False), names, ["MEL", "NV"],
                      beginning=state, p=np.inf, checkpoint=None)

    def shown(visits, path, kept):
        state.visits = visits[-1]
        return ImagesShown([Visit(i, 1, i - 1, 1, 1, path, kept) for i in visits])

    run.record(shown(range(1, 8), [], False))       # v fools them
    run.record(shown([8], [0, 0], False))
    state.steps, state.updates = 2, 1
    assert run.snapshots == {}
    state.v[0, 0, 0] = -0.5
    run.record(shown(range(9, 17), [0], True))      # a minibatch, the tenth image in its middle
    run.record(PassDone(1, None))
    assert {name: snapshot["images"] for name, snapshot in run.snapshots.items()} == {
        "images_0000016": 16, "pass_001": 16}
    for snapshot in run.snapshots.values():
        assert [snapshot[key] for key in ("norm", "steps_made", "steps_kept")] == [0.5, 2, 1]
    for name in run.snapshots:
        v = np.load(str(tmp_path / ".run.partial" / "snapshots" / (name + ".npy")))
        np.testing.assert_array_equal(v, state.v)
    log = (tmp_path / ".run.partial" / "log.csv").read_text().splitlines()
    assert log[0] == "visit,pass,file,clean,under_v,iterations,path,kept,norm"
    assert len(log) == 17
    assert log[1] == "1,1,0.jpg,NV,NV,0,,,0"
    assert log[8] == "8,1,7.jpg,NV,NV,2,MEL MEL,no,0"
    assert log[16] == "16,1,15.jpg,NV,NV,1,MEL,yes,0.5"


def test_a_file_name_that_is_not_utf_8_is_logged_as_it_is(tmp_path):
    name = os.fsdecode(b"b\xfcro.jpg")
    run = RunRecorder(uap_stage(str(tmp_path / "run"), {}, False), [name], ["MEL"],
                      beginning=first_state((2, 2, 3), 1), p=np.inf, checkpoint=None)
    run.record(ImagesShown([Visit(1, 1, 0, 0, 0, [], False)]))
    write_csv(str(tmp_path / "images.csv"), None, [(name, "used")])
    assert read_written_csv(str(tmp_path / "images.csv"), None, "") == [[name, "used"]]
    assert b"\n1,1,b\xfcro.jpg,MEL" in (tmp_path / ".run.partial" / "log.csv").read_bytes()


def test_the_name_of_a_run_is_that_of_one_folder_whatever_the_class_is_called():
    assert run_name("isic2018", AttackSettings(target="basal/squamous", norm_ratio=0.1)) == (
        "isic2018-ratio-0.1-target-basal-squamous")


@pytest.mark.parametrize("source, name", [
    (".photos", "photos"), ("-rf", "rf"), ("a/b", "a-b"), ("a:b?", "a-b-"), ("x. ", "x"),
    ("b\udcfcro", "b-ro"), ("a\nb", "a-b"), ("...", "images"),
    ("Fotos für Anna", "Fotos für Anna")])
def test_the_name_of_a_run_is_one_that_every_file_system_takes_and_shows(source, name):
    assert run_name(source, AttackSettings()) == name
    assert fault_of_file_name(name) is None


@pytest.mark.parametrize("ratio, text", [(0.04000001, "0.04000001"), (0.1, "0.1"), (1e-05, "1e-05"),
                                         (0.123456789, "0.123456789"), (2.0, "2")])
def test_a_name_holds_the_number_that_was_asked_for(ratio, text):
    name = run_name("isic2018", AttackSettings(norm_ratio=ratio))
    assert name == "isic2018-ratio-" + text and float(text) == ratio


def interrupted_run(tmp_path):
    """A run of two images that saved a checkpoint; its stage, and how it is begun again."""
    stage = uap_stage(str(tmp_path / "run"), {}, False)

    def begin(checkpoint):
        return RunRecorder(stage, ["a.jpg", "b.jpg"], ["MEL", "NV"], first_state((2, 2, 3), 2),
                           np.inf, checkpoint)

    run = begin(None)
    run.record(ImagesShown([Visit(1, 1, 0, 0, 0, [], False)]))
    run.state.clean[0] = 1
    run.state.classes_ahead = [1]
    run.save_checkpoint()
    return stage, begin


def test_a_run_continues_its_log_where_the_checkpoint_was_saved(tmp_path):
    stage, begin = interrupted_run(tmp_path)
    log = tmp_path / ".run.partial" / "log.csv"
    whole = log.read_text()
    log.write_text(whole + "2,1,b.jpg")  # killed while it was written
    run = begin(stage.last_checkpoint())
    assert log.read_text() == whole
    assert run.state.clean.tolist() == [1, -1] and run.state.classes_ahead == [1]
    run.record(ImagesShown([Visit(2, 1, 1, 0, 0, [], False)]))
    assert log.read_text() == whole + "2,1,b.jpg,MEL,MEL,0,,,0\n"


def test_a_log_shorter_than_its_checkpoint_says_is_refused(tmp_path):
    stage, begin = interrupted_run(tmp_path)
    log = tmp_path / ".run.partial" / "log.csv"
    log.write_text(log.read_text()[:-1])
    with pytest.raises(UserError, match="log.csv: 79 bytes, expected 80 or more as the checkpoint "
                                        "beside it says; give --restart"):
        begin(stage.last_checkpoint())
    log.unlink()
    with pytest.raises(UserError, match="log.csv: 0 bytes"):
        begin(stage.last_checkpoint())


def test_a_log_that_is_a_symbolic_link_is_not_followed(tmp_path):
    stage, begin = interrupted_run(tmp_path)
    log = tmp_path / ".run.partial" / "log.csv"
    log.rename(tmp_path / "victim")
    before = (tmp_path / "victim").read_text()
    log.symlink_to(tmp_path / "victim")
    with pytest.raises(UserError, match="log.csv: is a symbolic link"):
        begin(stage.last_checkpoint())
    assert (tmp_path / "victim").read_text() == before


@pytest.mark.parametrize("change, message", [
    (lambda progress, arrays: progress["state"].update(visits="1"), "state.visits: '1' is not"),
    (lambda progress, arrays: progress["state"].pop("rates"), "state: 'rates' is a required"),
    (lambda progress, arrays: progress["state"].update(classes_ahead=[2]), "2 is greater than"),
    (lambda progress, arrays: progress.update(broken=[]), "broken: .. is not of type 'object'"),
    (lambda progress, arrays: progress.update(snapshots={"a": 1}), "snapshots.a: 1 is not of type"),
    (lambda progress, arrays: progress.pop("log_bytes"), "'log_bytes' is a required property"),
    (lambda progress, arrays: arrays.pop(), "1 arrays, expected 2"),
    (lambda progress, arrays: arrays[0].fill(np.nan), "not finite"),
    (lambda progress, arrays: arrays[1].fill(2), "values from 2 to 2, expected -2 to 1")])
def test_a_checkpoint_of_another_kind_of_state_is_refused(tmp_path, change, message):
    stage, begin = interrupted_run(tmp_path)
    checkpoint = stage.last_checkpoint()
    change(checkpoint.progress, checkpoint.arrays)
    with pytest.raises(UserError, match="npz: not a checkpoint of this run .*" + message):
        begin(checkpoint)
