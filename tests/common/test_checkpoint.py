"""When a loop is saved, and what becomes of signals meanwhile and afterwards."""

import os
import signal

import pytest

from utils.common.checkpoint import with_checkpoints

BOTH = (signal.SIGINT, signal.SIGTERM)


def events(at=None, number=None):
    """Yields 0 to 4, and sends this process a signal before one of them, or, at 5, behind them."""
    for i in range(6):
        if i == at:
            os.kill(os.getpid(), number)
        if i < 5:
            yield i


@pytest.fixture(autouse=True)
def handlers():
    before = [signal.getsignal(number) for number in BOTH]
    yield
    assert [signal.getsignal(number) for number in BOTH] == before  # Ctrl-C works as before


def test_a_loop_is_saved_after_each_period_and_at_its_end():
    for seconds, expected in ((-1, [0, 1, 2, 3, 4, 4]), (1000, [4])):
        seen, saved = [], []
        for event in with_checkpoints(events(), lambda: saved.append(seen[-1]), seconds):
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
