"""A run that is killed is continued by the same command, and ends with the same files."""

import os
import random
import signal
import time

import checkout

UAP = ("make_uap.py", "--model-file", "models/VGG16.h5", "--source", "ilsvrc2012",
       "--num-images", "6", "--passes", "2", "--checkpoint-images", "1")
TRAIN = ("train_model.py", "--model", "VGG16", "--weights", "none", "--image-size", "32",
         "--limit", "14", "--batch-size", "7", "--epochs", "3", "--checkpoint-batches", "1")


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


def kill_over_and_over(folder, words, option, checkpoint, kills):
    """Run `words` whole, then, into another folder, killed `kills` times: the files of both.

    option: that names the folder to write. checkpoint: its path in that folder. Each kill comes at
    a random moment while the script sets up, or while it works on, after its first checkpoint. A
    polite SIGTERM follows, and a try with another seed.
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

    other = words + ("--seed", "1", option, "often-killed")
    code, output, errors = checkout.script(folder, *other)
    assert code == 2 and "seed 0 then, 1 now" in errors and "--restart" in errors
    code, output, errors = checkout.script(folder, *words, option, "often-killed")
    assert code == 0, errors
    return [files(os.path.join(folder, name)) for name in ("never-killed", "often-killed")]


def test_a_uap_run_killed_at_50_moments_ends_with_the_same_files(trained):
    words = UAP + ("--attack", "fgsm", "--passes", "60", "--norm-ratio", "0.004",
                   "--checkpoint-images", "1")
    whole, broken = kill_over_and_over(
        trained, words, "--results-dir", "VGG16/.ilsvrc2012-fgsm.partial/checkpoint.npz", 50)
    assert "VGG16/ilsvrc2012-fgsm/uap.npy" in whole
    assert broken == whole


def test_a_training_killed_at_10_moments_ends_with_the_same_files(trained):
    words = TRAIN + ("--epochs", "6", "--checkpoint-batches", "1")
    whole, broken = kill_over_and_over(trained, words, "--models-dir", "VGG16/checkpoint.npz", 10)
    assert "VGG16.h5" in whole and "VGG16/history.csv" in whole
    assert broken == whole


def test_a_finished_run_that_is_made_again_replaces_the_earlier_one(trained):
    folder = trained
    words = UAP + ("--results-dir", "twice", "--passes", "1")
    for seed in ("0", "1"):
        assert checkout.script(folder, *words, "--seed", seed)[0] == 0
    assert os.listdir(os.path.join(folder, "twice", "VGG16")) == ["ilsvrc2012"]
    with open(os.path.join(folder, "twice", "VGG16", "ilsvrc2012", "run.json")) as file:
        assert '"seed": 1' in file.read()
