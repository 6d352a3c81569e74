"""Files that are whole or absent: written beside their place, flushed, then renamed."""

import contextlib
import hashlib
import json
import os

from utils.errors import UserError


@contextlib.contextmanager
def replacing(path):
    """Give a temporary path beside `path`; when the block ends well, it takes the place of `path`.

    The temporary file keeps the extension, because writers choose the format by it.
    """
    folder, name = os.path.split(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    stem, extension = os.path.splitext(name)
    temporary = os.path.join(folder, ".{}.{}{}".format(stem, os.getpid(), extension))
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def write_text(path, text):
    """Write `text` to `path` as UTF-8."""
    with replacing(path) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            file.write(text)


def write_json(path, values):
    """Write `values` to `path` as JSON with sorted keys."""
    write_text(path, json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path, mend, required=()):
    """Read a JSON object.

    path: the file. mend: what to do when it is missing or broken, for the message. required: keys
    that must be there. Raises UserError.
    """
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
    except FileNotFoundError:
        raise UserError("{}: not found; {}".format(path, mend))
    except (ValueError, IsADirectoryError) as error:
        raise UserError("{}: not a JSON file ({}); {}".format(path, error, mend))
    if not isinstance(values, dict):
        raise UserError("{}: expected a JSON object; {}".format(path, mend))
    missing = [key for key in required if key not in values]
    if missing:
        raise UserError("{}: lacks {}; {}".format(path, ", ".join(missing), mend))
    return values


def sha256_of_file(path):
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_lines(lines):
    """SHA-256 of a list of strings, each followed by a newline, in hexadecimal."""
    return hashlib.sha256("".join(line + "\n" for line in lines)
                          .encode("utf-8", "surrogateescape")).hexdigest()
