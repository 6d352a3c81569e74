"""The life of a stage: when it begins, where it continues, and what it leaves."""

import os

import numpy as np
import pytest

from utils.common import stage as stage_module
from utils.common.errors import UserError
from utils.common.json_files import write_json
from utils.common.stage import ResumableStage, Stage
from utils.common.whole_files import write_text


@pytest.fixture(autouse=True)
def no_locks(monkeypatch):
    """Locks last as long as the process, and one process cannot take one twice."""
    monkeypatch.setattr(stage_module, "lock_until_exit", lambda folder, name: None)


def stage_below(folder, restart=False, **identity):
    place = str(folder / "run")
    return ResumableStage(
        place=place, record=os.path.join(place, "run.json"),
        product=os.path.join(place, "uap.npy"), checkpoint=str(folder / "checkpoint.npz"),
        identity=dict({"seed": 0, "epochs": 3}, **identity), restart=restart,
        extendable=["epochs"])


def finish(stage):
    write_text(stage.product, "the product")
    write_json(stage.record, {"identity": stage.identity})


def test_a_stage_is_locked_until_it_is_finished_and_again_with_restart(tmp_path):
    assert stage_below(tmp_path).lock_unless_finished()
    finish(stage_below(tmp_path))
    assert not stage_below(tmp_path).lock_unless_finished()
    assert stage_below(tmp_path, restart=True).lock_unless_finished()
    os.remove(stage_below(tmp_path).product)
    assert stage_below(tmp_path).lock_unless_finished()


def test_a_stage_that_another_process_finishes_while_the_lock_is_waited_for_is_finished(
        tmp_path, monkeypatch):
    stage = stage_below(tmp_path)
    monkeypatch.setattr(stage_module, "lock_until_exit", lambda folder, name: finish(stage))
    assert not stage.lock_unless_finished()


def test_a_finished_stage_of_another_identity_is_never_overwritten(tmp_path):
    finish(stage_below(tmp_path))
    with pytest.raises(UserError, match="run.json: a finished run.*seed 0 then, 1 now"):
        stage_below(tmp_path, seed=1).lock_unless_finished()


def test_an_interrupted_run_is_continued_and_only_by_the_same_choices_or_extended_ones(tmp_path):
    assert stage_below(tmp_path).last_checkpoint() is None
    stage_below(tmp_path).save_checkpoint({"done": 3}, [np.arange(4)])
    for stage in (stage_below(tmp_path), stage_below(tmp_path, epochs=5)):
        assert stage.lock_unless_finished()
        checkpoint = stage.last_checkpoint()
        assert checkpoint.progress == {"done": 3}
        assert np.array_equal(checkpoint.arrays[0], np.arange(4))
    with pytest.raises(UserError, match="npz: an interrupted run.*seed 0 then, 1 now"):
        stage_below(tmp_path, seed=1).last_checkpoint()
    assert stage_below(tmp_path, seed=1, restart=True).last_checkpoint() is None


def test_a_published_folder_takes_the_place_of_the_one_before_of_which_nothing_stays(tmp_path):
    stage = Stage(str(tmp_path / "run"))
    for name in ("before", "after"):
        write_text(os.path.join(stage.work, name), name)
        stage.publish(stage.work)
    assert os.listdir(str(tmp_path)) == ["run"] and os.listdir(stage.place) == ["after"]


def test_a_work_folder_that_is_a_symbolic_link_is_not_followed(tmp_path):
    """Somebody who may write here, too, could have unfinished files written anywhere."""
    stage = stage_below(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    os.symlink(str(tmp_path / "elsewhere"), stage.work)
    with pytest.raises(UserError, match="run.partial: is a symbolic link.*; remove it"):
        stage.lock_unless_finished()
