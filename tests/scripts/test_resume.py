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


def written(path):
    """When the file was last written, or None."""
    return os.stat(path).st_mtime_ns if os.path.exists(path) else None


def kill_over_and_over(folder, words, option, checkpoint, kills):
    """Run `words` whole, then, into another folder, killed `kills` times: the files of both.

    option: that names the folder to write. checkpoint: its path in that folder. Each kill comes at
    a random moment while the script sets up, or while it works on, after its first checkpoint. A
    polite SIGTERM follows, and a try with another seed.
    """
    server, moments, began = checkout.fork_server(), random.Random(0), time.time()

    def start_and_wait_for_checkpoint(name):
        path = os.path.join(folder, name, checkpoint)
        before = written(path)
        process = server.start(folder, words + (option, name))
        while written(path) == before:
            os.kill(process, 0)  # an error where it has ended
            time.sleep(0.001)
        return process

    start_and_wait_for_checkpoint("never-killed")
    set_up = time.time() - began
    assert server.wait()[0] == 0
    work = time.time() - began - set_up
    for _ in range(kills):
        if moments.random() < 0.5:
            process = server.start(folder, words + (option, "often-killed"))
            time.sleep(moments.uniform(0, set_up / 2))
        else:
            process = start_and_wait_for_checkpoint("often-killed")
            time.sleep(moments.uniform(0, work / kills / 4))
        os.kill(process, signal.SIGKILL)
        assert server.wait()[0] == -signal.SIGKILL
    os.kill(start_and_wait_for_checkpoint("often-killed"), signal.SIGTERM)
    code, output, errors = server.wait()
    assert code == 130 and "the same command continues" in errors
    assert "continuing after" in output

    words += (option, "often-killed")
    code, output, errors = checkout.script(folder, *words, "--seed", "1")
    assert code == 2 and "seed 0 then, 1 now" in errors and "--restart" in errors
    code, output, errors = checkout.script(folder, *words)
    assert code == 0, errors
    return [{path: content for path, content in checkout.tree(os.path.join(folder, name)).items()
             if not path.endswith((".json", ".png"))}  # which have times
            for name in ("never-killed", "often-killed")]


@pytest.mark.parametrize("words, option, checkpoint, kills, expected", [
    (UAP + ("--attack", "fgsm", "--passes", "60", "--norm-ratio", "0.004", "--name", "run"),
     "--results-dir", "VGG16/.run.partial/checkpoint.npz", 15, "VGG16/run/uap.npy"),
    (UAP + ("--attack", "sgd", "--passes", "30", "--batch-size", "4", "--name", "sgd"),
     "--results-dir", "VGG16/.sgd.partial/checkpoint.npz", 5, "VGG16/sgd/uap.npy"),
    (TRAIN + ("--epochs", "6"), "--models-dir", "VGG16/checkpoint.npz", 10, "VGG16.h5")])
def test_a_run_killed_at_many_moments_ends_with_the_same_files(
        trained, words, option, checkpoint, kills, expected):
    whole, broken = kill_over_and_over(trained, words, option, checkpoint, kills)
    assert expected in whole and broken == whole


@pytest.mark.parametrize("words, name, path", [
    (UAP + ("--results-dir", "twice", "--passes", "1"), "ilsvrc2012-images-6",
     "twice/VGG16/ilsvrc2012-images-6/run.json"),
    (TRAIN + ("--models-dir", "twice", "--epochs", "1"), "VGG16", "twice/VGG16.h5")])
def test_a_finished_run_is_left_as_it_is_and_says_so_and_another_is_refused(
        trained, words, name, path):
    path = os.path.join(trained, path)
    assert checkout.script(trained, *words)[0] == 0
    before = written(path)
    code, output, imports = checkout.script(trained, *words, PYTHONPROFILEIMPORTTIME="1")
    assert code == 0 and "finished" in output and "--restart" in output
    assert "numpy" in imports and "tensorflow" not in imports     # which would take seconds
    code, _, errors = checkout.script(trained, *words, "--seed", "1", "--name", name)
    assert code == 2 and "seed 0 then, 1 now" in errors and "--name" in errors
    assert written(path) == before
    product = path.replace("run.json", "uap.npy")
    for again in ((), ("--restart",)):  # where the product is gone, and when asked for
        if not again:
            os.remove(product)
        assert checkout.script(trained, *words, *again)[0] == 0
        assert os.path.exists(product) and written(path) != before
        before = written(path)


@pytest.mark.parametrize("option, value, folder", [
    ("--seed", "1", "seed-1"), ("--norm-ratio", "0.1", "ratio-0.1"), ("--passes", "2", "passes-2"),
    ("--passes 2 --target-fooling-rate", "0.5", "passes-2-until-0.5"), ("--norm", "2", "l2"),
    ("--norm-ratio", "0.04000001", "ratio-0.04000001"),
    ("--num-images", "2", "images-2"), ("--target", "NV", "target-NV"),
    ("--attack", "fgsm", "fgsm"), ("--attack fgsm --step-size", "0.01", "fgsm-step-0.01"),
    ("--attack sgd --batch-size", "4", "sgd-batch-4")])
def test_a_run_with_another_choice_has_another_folder(option, value, folder):
    plain = ["make_uap.py", "--model-file", "m.h5", "--source", "ilsvrc2012"]
    names = []
    for words in (plain, plain + option.split() + [value]):
        with mock.patch.object(sys, "argv", words):
            names.append(make_uap.parse_arguments().name)
    assert names == ["ilsvrc2012", "ilsvrc2012-" + folder]


@pytest.mark.parametrize("folder, name", [
    (".photos", "photos"), ("pictures/-2019", "2019"), ("pictures/", "pictures"), ("a:b", "a-b")])
def test_the_run_of_any_folder_of_images_has_a_name_that_is_neither_hidden_nor_an_option(
        folder, name, monkeypatch):
    monkeypatch.setattr("sys.argv", ["make_uap.py", "--model-file", "m.h5", "--source-dir", folder])
    assert make_uap.parse_arguments().name == name
