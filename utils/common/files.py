"""Files that are whole or absent: written beside their place by one process, then renamed."""

import atexit
import contextlib
import fcntl
import hashlib
import os
import platform
import shutil

from utils.common.errors import UserError


@contextlib.contextmanager
def replacing(path):
    """Give a temporary path beside `path`, whose place it takes when the block ends well.

    Raises UserError when it cannot be written; what was at `path` is then still there.
    """
    temporary = unfinished(path)
    with writing(path):
        os.makedirs(os.path.dirname(temporary), exist_ok=True)
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            if os.path.exists(temporary):
                os.remove(temporary)


def unfinished(path):
    """Where a file is written before it takes its place: what a killed process may leave."""
    folder, name = os.path.split(os.path.abspath(path))
    stem, extension = os.path.splitext(name)  # by which writers choose the format
    return os.path.join(folder, ".{}.partial{}".format(stem, extension))


@contextlib.contextmanager
def writing(path):
    """Turn an OSError of the block, which writes `path`, into a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError("{}: cannot be written ({}); make room or give another folder, then the "
                        "same command continues".format(path, error.strerror or error))


def require_space(folder, needed):
    """Raise UserError when the disk of `folder`, which need not exist yet, lacks `needed` bytes."""
    existing = os.path.abspath(folder)
    while not os.path.exists(existing):
        existing = os.path.dirname(existing)
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise UserError("{}: {:.1f} GB free, {:.1f} GB needed; make room or give another folder"
                        .format(folder, free / 1e9, needed / 1e9))


def hold_for_writing(folder, name):
    """Keep every other process from holding `name` in `folder` until this one ends.

    The lock dies with the process, however it ends. Raises UserError when another one has it.
    """
    path = os.path.join(folder, "." + name + ".lock")
    with writing(path):
        os.makedirs(folder, exist_ok=True)
        file = open(path, "a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError("{}: {} is being written by another run, {}; wait for it"
                            .format(folder, name, file.read().strip()))
        if not (os.path.exists(path) and os.path.samefile(path, file.fileno())):
            return hold_for_writing(folder, name)  # its holder removed it between our two calls
        file.truncate(0)
        file.write("process {} on {}".format(os.getpid(), platform.node()))
        file.flush()

    def release():
        with contextlib.suppress(OSError):
            os.remove(path)
        file.close()

    atexit.register(release)


def publish(work, folder):
    """Put the finished folder `work` in the place of `folder`, of which nothing stays.

    A process killed in between leaves `work` whole: call it again. Both are on one disk.
    Raises UserError.
    """
    earlier = work + ".earlier"
    shutil.rmtree(earlier, ignore_errors=True)
    with writing(folder):
        if os.path.exists(folder):
            os.rename(folder, earlier)
        os.rename(work, folder)
    shutil.rmtree(earlier, ignore_errors=True)


def write_text(path, text):
    """Write `text` to `path` as UTF-8."""
    with replacing(path) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            file.write(text)


def sha256_of_file(path):
    """SHA-256 of a file's bytes, in hexadecimal."""
    return _digest_of_file(path, hashlib.sha256())


def md5_of_file(path):
    """MD5 of a file's bytes, in hexadecimal: what some publishers give."""
    return _digest_of_file(path, hashlib.md5())


def _digest_of_file(path, digest):
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_lines(lines):
    """SHA-256 of a list of strings, each followed by a newline, in hexadecimal."""
    return hashlib.sha256("".join(line + "\n" for line in lines)
                          .encode("utf-8", "surrogateescape")).hexdigest()
