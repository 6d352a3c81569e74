"""make_uap.py --estimate: hours before they are spent."""

import os
import re

import pytest

import checkout
from utils.attack import estimate
from utils.attack.events import ImagesShown, PassDone
from utils.attack.settings import AttackSettings


@pytest.mark.parametrize("attack, training, n, passes, measured, printed", [
    ("deepfool", 5000, 10000, 1, 4, ["10 seconds", "27.8 hours", "69.4 hours"]),
    ("deepfool", 5000, 100000, 1, 4, ["10 seconds", "277.8 hours", "569.4 hours"]),
    ("deepfool", 5000, 10000, 5, 4, ["10 seconds", "138.9 hours", "347.2 hours"]),
    ("deepfool", None, 5000, 1, 4, ["10 seconds", "13.9 hours"]),
    ("deepfool", 0, 5000, 1, 4, ["10 seconds", "13.9 hours"]),
    ("deepfool", 5000, 2, 1, 2, ["10 seconds", "0.0 hours", "13.9 hours"]),
    ("sgd", 5000, 10000, 1, 32, ["10 seconds", "27.8 hours", "69.4 hours"]),
])
def test_hours_grow_with_images_and_passes(monkeypatch, capsys, attack, training, n, passes,
                                           measured, printed):
    """On a machine that takes 10 s an image, and 1,000 s more for the first ever."""
    seen, clock = [], [0.0]
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: clock[0])

    def start_attack(state):
        clock[0] += 10 * len(state.clean) if seen else 1000
        seen.append(len(state.clean))
        yield ImagesShown([])
        yield PassDone(1, None)

    estimate.print_estimate(AttackSettings(attack=attack, passes=passes), start_attack, (32, 32, 3),
                            number_of_images=n, training_images=training)
    assert seen == [1, measured]
    assert re.findall(r"[\d.,]+ (?:seconds|hours)", capsys.readouterr().out) == printed


@pytest.mark.parametrize("attack, source, lines", [
    ("deepfool", "ilsvrc2012", 3), ("sgd", "ilsvrc2012", 3)])
def test_an_estimate_measures_this_machine_and_writes_nothing(trained, attack, source, lines):
    before = checkout.tree(trained, os.path.getmtime)
    code, output, errors = checkout.script(
        trained, "make_uap.py", "--model-file", "models/VGG16.h5", "--source", source,
        "--attack", attack, "--num-images", "6", "--estimate")
    assert code == 0, errors
    assert float(output.split()[0]) > 0
    assert len(output.splitlines()) == lines
    assert checkout.tree(trained, os.path.getmtime) == before
