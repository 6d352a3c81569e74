"""Full disks, folders that cannot be written, and two runs that want the same folder."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

import checkout
from utils.common.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from utils.common.errors import UserError
from utils.common.hashes import sha256_of_file
from utils.common.locks import lock_until_exit

UAP = ("make_uap.py", "--model-file", "models/VGG16.h5", "--source", "ilsvrc2012",
       "--name", "ilsvrc2012", "--passes", "2", "--checkpoint-seconds", "0.000001")


def limit_file_size():
    """The kernel refuses what is written to a file beyond 20 kB, as it would on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))


def test_a_full_disk_ends_with_a_message_and_keeps_what_was_there(trained, tmp_path):
    folder = str(tmp_path / "checkout")
    shutil.copytree(trained, folder)
    uap = os.path.join(folder, "results", "VGG16", "ilsvrc2012", "uap.npy")
    before = sha256_of_file(uap)
    done = subprocess.run((sys.executable,) + UAP + ("--restart",), cwd=folder,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          universal_newlines=True, preexec_fn=limit_file_size)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    for word in ("uap.png: cannot be written (File too large)", "make room"):
        assert word in done.stderr.splitlines()[-1]
    assert sha256_of_file(uap) == before
    code, output, errors = checkout.script(folder, *UAP)  # now there is room
    assert code == 0, errors
    assert "continuing after image 12 of at most 12" in output


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_failed_write_keeps_the_checkpoint_before(number, tmp_path, monkeypatch):
    path = str(tmp_path / "checkpoint.npz")
    save_checkpoint(path, Checkpoint({"seed": 1}, {"done": 3}, [np.arange(5)]))

    def fail(file, **arrays):
        with open(file, "wb") as half:
            half.write(b"half of it")
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(UserError, match="npz: cannot be written.*" + os.strerror(number)):
        save_checkpoint(path, Checkpoint({"seed": 1}, {"done": 4}, [np.arange(5) + 1]))
    assert os.listdir(str(tmp_path)) == ["checkpoint.npz"]
    checkpoint = load_checkpoint(path)
    assert checkpoint.progress == {"done": 3}
    assert np.array_equal(checkpoint.arrays[0], np.arange(5))


def test_another_name_is_free_while_one_is_held_and_that_one_when_its_holder_has_ended(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1])\n"
         "from utils.common.locks import lock_until_exit\nlock_until_exit(sys.argv[2], 'VGG16')\n"
         "print('held', flush=True); sys.stdin.read()", checkout.ROOT, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="VGG16 is being written by another run, process"):
        lock_until_exit(str(tmp_path), "VGG16")
    lock_until_exit(str(tmp_path), "ResNet50")
    holder.communicate()
    assert os.listdir(str(tmp_path)) == [".ResNet50.lock"]
    lock_until_exit(str(tmp_path), "VGG16")
