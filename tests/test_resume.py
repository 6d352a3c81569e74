"""A run that is killed is continued by the same command, and ends with the same files."""

import os
import random
import signal
import sys
import time
from unittest import mock

import pytest

import checkout
import make_uap

UAP = ("make_uap.py", "--model-file", "models/VGG16.h5", "--source", "ilsvrc2012",
       "--num-images", "6", "--passes", "2", "--checkpoint-seconds", "0.000001")
TRAIN = ("train_model.py", "--model", "VGG16", "--weights", "none", "--image-size", "32",
         "--limit", "14", "--batch-size", "7", "--epochs", "3", "--checkpoint-seconds", "0.000001")


RUN = "ilsvrc2012-fgsm-ratio-0.004-images-6-passes-60"


def files(folder):
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            if not name.endswith((".json", ".png")):
                with open(os.path.join(where, name), "rb") as file:
                    found[os.path.relpath(os.path.join(where, name), folder)] = file.read()
    return found


def written(path):
    """When the file was last written, or None."""
    return os.stat(path).st_mtime_ns if os.path.exists(path) else None


def kill_over_and_over(folder, words, other, option, checkpoint, kills):
    """Run `words` whole, then, into another folder, killed `kills` times: the files of both.

    option: that names the folder to write. checkpoint: its path in that folder. Each kill comes at
    a random moment while the script sets up, or while it works on, after its first checkpoint. A
    polite SIGTERM follows, and a try with the words `other`, of another seed.
    """
    server = checkout.fork_server()
    began = time.time()
    server.start(folder, words + (option, "never-killed"))
    path = os.path.join(folder, "never-killed", checkpoint)
    while not os.path.exists(path):
        time.sleep(0.001)
    set_up = time.time() - began
    assert server.wait()[0] == 0
    work = time.time() - began - set_up

    moments = random.Random(0)
    path = os.path.join(folder, "often-killed", checkpoint)

    def start_and_wait_for_checkpoint():
        before = written(path)
        process = server.start(folder, words + (option, "often-killed"))
        while written(path) == before:
            time.sleep(0.001)
        return process

    for _ in range(kills):
        if moments.random() < 0.5:
            process = server.start(folder, words + (option, "often-killed"))
            time.sleep(moments.uniform(0, set_up / 2))
        else:
            process = start_and_wait_for_checkpoint()
            time.sleep(moments.uniform(0, work / kills / 4))
        os.kill(process, signal.SIGKILL)
        assert server.wait()[0] == -signal.SIGKILL
    os.kill(start_and_wait_for_checkpoint(), signal.SIGTERM)
    code, output, errors = server.wait()
    assert code == 130 and "the same command continues" in errors
    assert "continuing after" in output

    code, output, errors = checkout.script(folder, *words, *other, option, "often-killed")
    assert code == 2 and "seed 0 then, 1 now" in errors and "--restart" in errors
    code, output, errors = checkout.script(folder, *words, option, "often-killed")
    assert code == 0, errors
    return [files(os.path.join(folder, name)) for name in ("never-killed", "often-killed")]


def test_a_uap_run_killed_at_50_moments_ends_with_the_same_files(trained):
    words = UAP + ("--attack", "fgsm", "--passes", "60", "--norm-ratio", "0.004",
                   "--checkpoint-seconds", "0.000001")
    whole, broken = kill_over_and_over(
        trained, words, ("--seed", "1", "--name", RUN), "--results-dir",
        "VGG16/.{}.partial/checkpoint.npz".format(RUN), 50)
    assert "VGG16/{}/uap.npy".format(RUN) in whole
    assert broken == whole


def test_a_training_killed_at_10_moments_ends_with_the_same_files(trained):
    words = TRAIN + ("--epochs", "6", "--checkpoint-seconds", "0.000001")
    whole, broken = kill_over_and_over(
        trained, words, ("--seed", "1"), "--models-dir", "VGG16/checkpoint.npz", 10)
    assert "VGG16.h5" in whole and "VGG16/history.csv" in whole
    assert broken == whole


def test_a_finished_run_started_again_is_left_as_it_is_and_says_so(trained):
    words = UAP + ("--results-dir", "twice", "--passes", "1")
    assert checkout.script(trained, *words)[0] == 0
    folder = os.path.join(trained, "twice", "VGG16", "ilsvrc2012-images-6")
    before = written(os.path.join(folder, "run.json"))
    code, output, imports = checkout.script(trained, *words, PYTHONPROFILEIMPORTTIME="1")
    assert code == 0 and "finished" in output and "--restart" in output
    assert "numpy" in imports and "tensorflow" not in imports     # which would take seconds
    assert written(os.path.join(folder, "run.json")) == before
    assert checkout.script(trained, *words, "--restart")[0] == 0
    assert written(os.path.join(folder, "run.json")) != before


def test_a_finished_training_started_again_is_left_as_it_is_and_another_is_refused(trained):
    words = TRAIN + ("--models-dir", "twice", "--epochs", "1")
    assert checkout.script(trained, *words)[0] == 0
    path = os.path.join(trained, "twice", "VGG16.h5")
    before = written(path)
    code, output, imports = checkout.script(trained, *words, PYTHONPROFILEIMPORTTIME="1")
    assert code == 0 and "finished" in output
    assert "numpy" in imports and "tensorflow" not in imports
    code, _, errors = checkout.script(trained, *words, "--seed", "1")
    assert code == 2 and "seed 0 then, 1 now" in errors and "--name" in errors
    assert written(path) == before


@pytest.mark.parametrize("option, value, folder", [
    ("--seed", "1", "seed-1"), ("--norm-ratio", "0.1", "ratio-0.1"), ("--passes", "2", "passes-2"),
    ("--target-fooling-rate", "0.5", "until-0.5"), ("--norm", "2", "l2"), ("--num-images", "2", "images-2"),
    ("--target", "NV", "target-NV"), ("--attack", "fgsm", "fgsm")])
def test_a_run_with_another_choice_has_another_folder(option, value, folder):
    plain = ["make_uap.py", "--model-file", "m.h5", "--source", "ilsvrc2012"]
    names = []
    for words in (plain, plain + [option, value]):
        with mock.patch.object(sys, "argv", words):
            names.append(make_uap.parse_arguments().name)
    assert names == ["ilsvrc2012", "ilsvrc2012-" + folder]
