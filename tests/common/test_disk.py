"""Full disks, folders that cannot be written, and two runs that want the same folder."""

import errno
import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
import types

import numpy as np
import pytest

import checkout
from utils.common.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from utils.common.errors import UserError
from utils.common.hashes import sha256_of_file
from utils.common.locks import lock_until_exit
from utils.common.whole_files import write_text

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

    def fail(file):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match="npz: cannot be written.*" + os.strerror(number)):
        save_checkpoint(path, Checkpoint({"seed": 1}, {"done": 4}, [np.arange(5) + 1]))
    assert os.listdir(str(tmp_path)) == ["checkpoint.npz"]
    checkpoint = load_checkpoint(path)
    assert checkpoint.progress == {"done": 3}
    assert np.array_equal(checkpoint.arrays[0], np.arange(5))


def test_a_disk_that_fills_up_during_a_checkpoint_leaves_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1])\nimport numpy as np\n"
         "from utils.common.checkpoint import Checkpoint, save_checkpoint\n"
         "from utils.common.errors import run_script\n"
         "run_script(lambda: save_checkpoint(sys.argv[2], Checkpoint({}, {}, [np.ones(9999)])))",
         checkout.ROOT, str(tmp_path / "checkpoint.npz")],
        stderr=subprocess.PIPE, universal_newlines=True, preexec_fn=limit_file_size)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "checkpoint.npz: cannot be written (File too large); make room" in done.stderr
    assert os.listdir(str(tmp_path)) == []


VICTIM = "what somebody would miss"


@pytest.mark.parametrize("link", [".a.partial.txt", ".run.lock"])
def test_what_somebody_else_links_to_is_never_written(tmp_path, link):
    """In a folder where others may write, too, every name that can be foreseen is theirs."""
    (tmp_path / "victim").write_text(VICTIM)
    (tmp_path / link).symlink_to(tmp_path / "victim")
    if link.endswith(".lock"):
        with pytest.raises(UserError, match="run.lock: is a symbolic link.*; remove it"):
            lock_until_exit(str(tmp_path), "run")
    else:
        write_text(str(tmp_path / "a.txt"), "new")
        assert (tmp_path / "a.txt").read_text() == "new" and not (tmp_path / "a.txt").is_symlink()
    assert (tmp_path / "victim").read_text() == VICTIM


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_where_there_are_no_locks_the_work_goes_on_and_says_so_once(
        tmp_path, monkeypatch, capsys, number):
    def flock(file, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr("utils.common.locks.atexit", types.SimpleNamespace(register=id))
    for _ in range(2):
        lock_until_exit(str(tmp_path), "run")
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 1
    assert "no locks, so it cannot be told whether another run writes there" in warnings[0]


def test_any_other_failure_of_a_lock_is_an_error(tmp_path, monkeypatch):
    def flock(file, operation):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UserError, match="cannot be written .Input/output error"):
        lock_until_exit(str(tmp_path), "run")


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
