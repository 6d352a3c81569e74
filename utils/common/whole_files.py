"""Files that are whole or absent: written beside their place by one process, then renamed.

Names beside a file can be foreseen. In a folder where others may write, too, one of them could be a
symbolic link to somebody's file, which would be emptied: no such link is ever followed.
"""

import contextlib
import errno
import os
import shutil
from typing import Iterator

from utils.common.errors import UserError


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Give a temporary path beside `path`, whose place it takes when the block ends well.

    Raises UserError when it cannot be written; what was at `path` is then still there.
    """
    temporary = partial_path(path)
    with writing(path):
        os.makedirs(os.path.dirname(temporary), exist_ok=True)
        try:
            _remove_if_there(temporary)
            with open(temporary, "xb"):  # a new file of this process, which the block writes anew
                pass
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            _remove_if_there(temporary)


def _remove_if_there(path: str) -> None:
    if os.path.lexists(path):
        os.remove(path)


def not_following(path: str, flags: int) -> int:
    """Open a file unless its name is a symbolic link: the `opener` of the built-in open()."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def partial_path(path: str) -> str:
    """Return where a file is written before it takes its place: what a killed process may leave."""
    folder, name = os.path.split(os.path.abspath(path))
    base, extension = os.path.splitext(name)  # by the extension writers choose the format
    return os.path.join(folder, f".{base}.partial{extension}")


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Turn an OSError of the block, which writes `path`, into a UserError."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UserError(f"{error.filename or path}: is a symbolic link, which is not followed "
                            "where something is written; remove it, then the same command "
                            "continues")
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); make room or give "
                        "another folder, then the same command continues")


def require_space(folder: str, needed: float) -> None:
    """Raise UserError when the disk of `folder`, which need not exist yet, lacks `needed` bytes."""
    existing = os.path.abspath(folder)
    while not os.path.exists(existing):
        existing = os.path.dirname(existing)
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise UserError(f"{folder}: {free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB needed; make "
                        "room or give another folder")


def write_text(path: str, text: str) -> None:
    """Write `text` to `path` as UTF-8; bytes of names that are not UTF-8 become escapes."""
    with replacing(path) as temporary:
        with open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.write(text)
