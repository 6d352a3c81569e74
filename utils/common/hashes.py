"""Hashes of files and of lists of text, in hexadecimal."""

import hashlib
from typing import Iterable


def sha256_of_file(path: str) -> str:
    """Return the SHA-256 of a file's bytes."""
    return _digest_of_file(path, hashlib.sha256())


def md5_of_file(path: str) -> str:
    """Return the MD5 of a file's bytes, which is what some publishers give."""
    return _digest_of_file(path, hashlib.md5())


def _digest_of_file(path, digest):
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_lines(lines: Iterable[str]) -> str:
    """Return the SHA-256 of strings, each followed by a newline.

    Names of files that are not UTF-8 count with their bytes.
    """
    text = "".join(line + "\n" for line in lines)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
