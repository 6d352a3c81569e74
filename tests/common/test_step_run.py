"""The life of a step: when it begins, where it continues, and what it leaves."""

import os

import numpy as np
import pytest

from utils.common import step_run
from utils.common.errors import UserError
from utils.common.json_files import write_json
from utils.common.step_run import ResumableStep, Step
from utils.common.whole_files import write_text


@pytest.fixture(autouse=True)
def no_locks(monkeypatch):
    """Locks last as long as the process, and one process cannot take one twice."""
    monkeypatch.setattr(step_run, "lock_until_exit", lambda folder, name: None)


def step_below(folder, restart=False, **identity):
    place = str(folder / "run")
    return ResumableStep(
        place=place, record=os.path.join(place, "run.json"),
        product=os.path.join(place, "uap.npy"), checkpoint=str(folder / "checkpoint.npz"),
        identity=dict({"seed": 0, "epochs": 3}, **identity), restart=restart,
        extendable=["epochs"])


def finish(step):
    write_text(step.product, "the product")
    write_json(step.record, {"identity": step.identity})


def test_a_step_begins_until_it_is_finished_and_again_with_restart(tmp_path):
    assert step_below(tmp_path).begins()
    finish(step_below(tmp_path))
    assert not step_below(tmp_path).begins()
    assert step_below(tmp_path, restart=True).begins()
    os.remove(step_below(tmp_path).product)
    assert step_below(tmp_path).begins()


def test_a_step_that_another_process_finishes_while_the_lock_is_waited_for_does_not_begin(
        tmp_path, monkeypatch):
    step = step_below(tmp_path)
    monkeypatch.setattr(step_run, "lock_until_exit", lambda folder, name: finish(step))
    assert not step.begins()


def test_a_finished_step_of_another_identity_is_never_overwritten(tmp_path):
    finish(step_below(tmp_path))
    with pytest.raises(UserError, match="run.json: a finished run.*seed 0 then, 1 now"):
        step_below(tmp_path, seed=1).begins()


def test_an_interrupted_run_is_continued_and_only_by_the_same_choices_or_extended_ones(tmp_path):
    assert step_below(tmp_path).last_checkpoint() is None
    step_below(tmp_path).save_checkpoint({"done": 3}, [np.arange(4)])
    for step in (step_below(tmp_path), step_below(tmp_path, epochs=5)):
        assert step.begins()
        checkpoint = step.last_checkpoint()
        assert checkpoint.progress == {"done": 3}
        assert np.array_equal(checkpoint.arrays[0], np.arange(4))
    with pytest.raises(UserError, match="npz: an interrupted run.*seed 0 then, 1 now"):
        step_below(tmp_path, seed=1).last_checkpoint()
    assert step_below(tmp_path, seed=1, restart=True).last_checkpoint() is None


def test_a_published_folder_takes_the_place_of_the_one_before_of_which_nothing_stays(tmp_path):
    step = Step(str(tmp_path / "run"))
    for name in ("before", "after"):
        write_text(os.path.join(step.work, name), name)
        step.publish(step.work)
    assert os.listdir(str(tmp_path)) == ["run"] and os.listdir(step.place) == ["after"]


def test_a_work_folder_that_is_a_symbolic_link_is_not_followed(tmp_path):
    """Somebody who may write here, too, could have unfinished files written anywhere."""
    step = step_below(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    os.symlink(str(tmp_path / "elsewhere"), step.work)
    with pytest.raises(UserError, match="run.partial: is a symbolic link.*; remove it"):
        step.begins()
