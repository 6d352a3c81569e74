"""A run that is killed is continued by the same command, and ends with the same files."""

import os
import signal
import subprocess
import sys
import time

import numpy as np

import checkout

UAP = ("make_uap.py", "--model-file", "models/VGG16.h5", "--source", "ilsvrc2012",
       "--num-images", "6", "--passes", "2", "--checkpoint-seconds", "0.001")
TRAIN = ("train_model.py", "--model", "VGG16", "--weights", "none", "--image-size", "32",
         "--limit", "14", "--batch-size", "7", "--epochs", "3")


def stop_at_checkpoint(folder, words, checkpoint, number):
    """Start the command and send it a signal as soon as it has written a new checkpoint."""
    path = os.path.join(folder, checkpoint)
    before = os.stat(path).st_mtime_ns if os.path.exists(path) else None
    process = subprocess.Popen([sys.executable] + list(words), cwd=folder,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               universal_newlines=True)
    while process.poll() is None:
        if os.path.exists(path) and os.stat(path).st_mtime_ns != before:
            process.send_signal(number)
            break
        time.sleep(0.005)
    output = process.communicate()[0]
    assert process.returncode == (130 if number == signal.SIGTERM else -number), output
    return output


def files(folder):
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            if not name.endswith((".json", ".png")):
                with open(os.path.join(where, name), "rb") as file:
                    found[os.path.relpath(os.path.join(where, name), folder)] = file.read()
    return found


def test_a_killed_uap_run_is_continued_to_the_same_files(trained):
    folder = trained
    assert checkout.script(folder, *UAP, "--results-dir", "whole")[0] == 0
    broken = UAP + ("--results-dir", "broken")
    checkpoint = "broken/VGG16/.ilsvrc2012.partial/checkpoint.npz"
    stop_at_checkpoint(folder, broken, checkpoint, signal.SIGKILL)
    stop_at_checkpoint(folder, broken, checkpoint, signal.SIGKILL)
    output = stop_at_checkpoint(folder, broken, checkpoint, signal.SIGTERM)
    assert "continuing after image" in output and "the same command continues" in output

    code, _, errors = checkout.script(folder, *broken, "--norm-ratio", "0.05")
    assert code == 2 and "norm_ratio 0.04 then, 0.05 now" in errors and "--restart" in errors

    assert checkout.script(folder, *broken)[0] == 0
    assert os.listdir(os.path.join(folder, "broken", "VGG16")) == ["ilsvrc2012"]
    whole = files(os.path.join(folder, "whole"))
    assert "VGG16/ilsvrc2012/uap.npy" in whole
    assert files(os.path.join(folder, "broken")) == whole


def test_a_killed_training_is_continued_to_the_same_weights(trained):
    import h5py

    folder = trained
    assert checkout.script(folder, *TRAIN, "--models-dir", "whole-models")[0] == 0
    broken = TRAIN + ("--models-dir", "broken-models")
    stop_at_checkpoint(folder, broken, "broken-models/VGG16/checkpoint.npz", signal.SIGKILL)
    code, output, _ = checkout.script(folder, *broken)
    assert code == 0 and "continuing after epoch" in output

    arrays = []
    for models in ("whole-models", "broken-models"):
        found = {}
        with h5py.File(os.path.join(folder, models, "VGG16.h5"), "r") as file:
            file.visititems(lambda name, item: found.update(
                {name: item[()]} if isinstance(item, h5py.Dataset) else {}))
        arrays.append(found)
    assert len(arrays[0]) == 28 and set(arrays[0]) == set(arrays[1])
    for name in arrays[0]:
        assert np.array_equal(arrays[0][name], arrays[1][name]), name


def test_a_finished_run_that_is_made_again_replaces_the_earlier_one(trained):
    folder = trained
    words = UAP + ("--results-dir", "twice", "--passes", "1")
    for seed in ("0", "1"):
        assert checkout.script(folder, *words, "--seed", seed)[0] == 0
    assert os.listdir(os.path.join(folder, "twice", "VGG16")) == ["ilsvrc2012"]
    with open(os.path.join(folder, "twice", "VGG16", "ilsvrc2012", "run.json")) as file:
        assert '"seed": 1' in file.read()
