"""When a loop is saved, what becomes of signals meanwhile, and which checkpoints are continued."""

import functools
import json
import os
import signal
import time

import numpy as np
import pytest

from utils.common.checkpoint import (
    FORMAT,
    ArrayKind,
    Checkpoint,
    load_checkpoint,
    require_fit,
    save_checkpoint,
    with_checkpoints,
)
from utils.common.errors import UserError
from utils.common.json_files import NATURAL, NUMBER, fields

BOTH = (signal.SIGINT, signal.SIGTERM)


def events(at=None, number=None):
    """Yields 0 to 4, and sends this process a signal before one of them, or, at 5, behind them."""
    for i in range(6):
        if i == at:
            os.kill(os.getpid(), number)
        if i < 5:
            yield i


def _note_last(seen, saved):
    saved.append(seen[-1])


@pytest.fixture(autouse=True)
def handlers():
    before = [signal.getsignal(number) for number in BOTH]
    yield
    assert [signal.getsignal(number) for number in BOTH] == before  # Ctrl-C works as before


def test_a_loop_is_saved_after_each_period_and_at_its_end():
    for seconds, expected in ((-1, [0, 1, 2, 3, 4, 4]), (1000, [4])):
        seen, saved = [], []
        save = functools.partial(_note_last, seen, saved)
        for event in with_checkpoints(events(), save, seconds):
            seen.append(event)
        assert (seen, saved) == ([0, 1, 2, 3, 4], expected)


@pytest.mark.parametrize("number", BOTH)
@pytest.mark.parametrize("at, last", [(0, 0), (3, 3), (5, 4)])
def test_a_signal_lets_the_event_in_progress_end_saves_it_and_stops(number, at, last):
    seen, saved = [], []
    with pytest.raises(KeyboardInterrupt):
        for event in with_checkpoints(events(at, number), lambda: saved.append(seen[-1]), 1000):
            seen.append(event)
    assert seen == list(range(last + 1)) and saved == [last]


@pytest.mark.parametrize("number", BOTH)
def test_the_first_signal_says_that_the_loop_stops_soon_and_another_says_nothing_more(
        number, capfd):
    said_at_once = []

    def two_signals():
        for i in range(3):
            if i == 1:
                os.kill(os.getpid(), number)
                said_at_once.append(capfd.readouterr().err)
                os.kill(os.getpid(), number)
            yield i

    with pytest.raises(KeyboardInterrupt):
        for _ in with_checkpoints(two_signals(), lambda: None, 1000):
            pass
    assert said_at_once == ["\nstopping after this image or batch\n"]
    assert capfd.readouterr() == ("", "")


def test_the_handlers_are_there_again_when_whoever_takes_the_events_raises():
    """The fixture looks at them."""
    with pytest.raises(ZeroDivisionError):
        for _ in with_checkpoints(events(), lambda: None, 1000):
            raise ZeroDivisionError


@pytest.mark.parametrize("raising", ["events", "save"])
def test_the_handlers_are_there_again_when_the_loop_or_its_checkpoint_raises(raising):
    def fail():
        raise ZeroDivisionError

    def failing():
        yield 0
        fail()

    with pytest.raises(ZeroDivisionError):
        if raising == "events":
            list(with_checkpoints(failing(), lambda: None, 1000))
        else:
            list(with_checkpoints(events(), fail, -1))


def test_a_wall_clock_that_is_set_back_stops_no_checkpoint(monkeypatch):
    hours = iter(range(1000, 0, -1))
    monkeypatch.setattr(time, "time", lambda: 3600 * next(hours))
    saves = []
    for _ in with_checkpoints(events(), lambda: saves.append("saved"), 1e-9):
        time.sleep(1e-6)
    assert len(saves) == 6  # after each of the five events, and at the end


ARRAYS = [np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3), np.array([-2, 0, 6])]
KINDS = [ArrayKind((2, 3), "float32"), ArrayKind((3,), "int64", -2, 6)]
PROGRESS = {"batches": 3, "totals": [1.5]}
SCHEMA = fields(batches=NATURAL, totals={"type": "array", "items": NUMBER})


def saved(folder):
    """The path of a checkpoint."""
    path = str(folder / "checkpoint.npz")
    save_checkpoint(path, Checkpoint({"seed": 0}, PROGRESS, ARRAYS))
    return path


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path):
    path = saved(tmp_path)
    checkpoint = load_checkpoint(path)
    require_fit(checkpoint, path, SCHEMA, KINDS)
    assert checkpoint[:2] == ({"seed": 0}, PROGRESS)
    for array, expected in zip(checkpoint.arrays, ARRAYS):
        assert array.dtype == expected.dtype and np.array_equal(array, expected)


HEADER = {"format": FORMAT, "identity": {}, "progress": {}}


@pytest.mark.parametrize("header, message", [
    ({"identity": {}, "progress": {}}, "of format 1, this version of the code continues format"),
    (dict(HEADER, format=FORMAT + 1), f"of format {FORMAT + 1}, this version .*it, or"),
    (dict(HEADER, format="2"), "of format 2"),
    (dict(HEADER, identity=[]), "not a checkpoint .identity: .. is not of type 'object'"),
    (dict(HEADER, progress=None), "not a checkpoint .progress: None is not of type 'object'"),
    ({"format": FORMAT, "identity": {}}, "not a checkpoint .'progress' is a required property"),
    ([], "of format None"), ("", "of format None"), (float("nan"), "not a checkpoint .NaN")])
def test_a_header_of_another_version_or_type_is_refused(tmp_path, header, message):
    path = str(tmp_path / "checkpoint.npz")
    np.savez(path, header=np.array(json.dumps(header)))
    with pytest.raises(UserError, match=f"npz: .*{message}.*give --restart to begin anew"):
        load_checkpoint(path)


@pytest.mark.parametrize("progress, arrays, message", [
    ({}, ARRAYS, "'batches' is a required property"),
    (dict(PROGRESS, batches=-1), ARRAYS, "batches: -1 is less than the minimum"),
    (dict(PROGRESS, totals="a"), ARRAYS, "totals: 'a' is not of type 'array'"),
    (PROGRESS, ARRAYS[:1], "1 arrays, expected 2"),
    (PROGRESS, ARRAYS + ARRAYS, "4 arrays, expected 2"),
    (PROGRESS, [ARRAYS[0].T, ARRAYS[1]], r"float32 \(3, 2\), expected float32 \(2, 3\)"),
    (PROGRESS, [ARRAYS[0].astype(np.float64), ARRAYS[1]], "an array of float64"),
    (PROGRESS, [np.array([["a", "b", "c"]] * 2), ARRAYS[1]], "an array of <U1"),
    (PROGRESS, [np.full((2, 3), np.nan, np.float32), ARRAYS[1]], "values that are not finite"),
    (PROGRESS, [np.full((2, 3), np.inf, np.float32), ARRAYS[1]], "values that are not finite"),
    (PROGRESS, [ARRAYS[0], ARRAYS[1] + 1], "values from -1 to 7, expected -2 to 6")])
def test_what_a_run_cannot_be_continued_from_is_refused(tmp_path, progress, arrays, message):
    path = str(tmp_path / "checkpoint.npz")
    save_checkpoint(path, Checkpoint({}, progress, arrays))
    expected = f"npz: not a checkpoint of this run .*{message}.*--restart"
    with pytest.raises(UserError, match=expected):
        require_fit(load_checkpoint(path), path, SCHEMA, KINDS)


def test_a_checkpoint_that_would_fill_the_memory_is_refused(tmp_path):
    path = str(tmp_path / "checkpoint.npz")
    np.savez_compressed(path, header=np.array(json.dumps(HEADER)), array_00000=np.zeros(10 ** 6))
    with pytest.raises(UserError, match="npz: not a checkpoint .it would be larger unpacked"):
        load_checkpoint(path)


def test_a_checkpoint_that_is_damaged_anywhere_is_refused_or_whole(tmp_path):
    """Cut and overwritten at many places: zipfile, zlib and NumPy raise very different errors."""
    path = saved(tmp_path)
    with open(path, "rb") as file:
        content = file.read()
    random, refused = np.random.RandomState(0), 0
    for number in range(400):
        damaged = bytearray(content)
        if number % 2:
            del damaged[random.randint(len(damaged)):]
        else:
            for _ in range(3):
                damaged[random.randint(len(damaged))] = random.randint(256)
        with open(path, "wb") as file:
            file.write(damaged)
        try:
            require_fit(load_checkpoint(path), path, SCHEMA, KINDS)
        except UserError as error:
            assert "--restart" in str(error)
            refused += 1
    assert refused > 300
