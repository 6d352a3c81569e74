"""Copies of an image: files of equal bytes that are on both sides of a split."""

import collections
import os
from typing import Dict, List, NamedTuple, Sequence, Set, Tuple

from utils.common.background import in_background
from utils.common.hashes import sha256_of_file
from utils.images.label_files import LabelledFiles, Split
from utils.images.presence import cannot_be_read


class CopyAcrossSplit(NamedTuple):
    """Two files of equal bytes on the two sides of a split."""

    train: str
    test: str


def copies_across_split(folder: str, split: Split) -> List[CopyAcrossSplit]:
    """Return each test image that is a copy of a training image, with the first of these.

    folder: where the images lie. Files are read only where one of the other side has as many bytes:
    of photographs few. Raises UserError when one cannot be read.
    """
    train, test = _by_size(folder, split.train), _by_size(folder, split.test)
    both = set(train) & set(test)
    first: Dict[str, str] = {}
    for file, digest in _digests(folder, train, both):
        first.setdefault(digest, file)
    return [CopyAcrossSplit(first[digest], file) for file, digest in _digests(folder, test, both)
            if digest in first]


def _by_size(folder: str, rows: LabelledFiles) -> Dict[int, List[str]]:
    files: Dict[int, List[str]] = collections.defaultdict(list)
    for file, _ in rows:
        path = os.path.join(folder, file)
        if os.path.isfile(path):  # what is missing or no file is refused when it is read
            files[os.path.getsize(path)].append(file)
    return files


def _digests(folder: str, files_by_size: Dict[int, List[str]],
             sizes: Set[int]) -> Sequence[Tuple[str, str]]:
    """(file, SHA-256) of the files of these sizes, in the order of the sizes."""
    files = [file for size in sorted(sizes) for file in files_by_size[size]]

    def digest(file: str) -> str:
        try:
            return sha256_of_file(os.path.join(folder, file))
        except OSError as error:
            raise cannot_be_read(os.path.join(folder, file), error)

    return list(zip(files, in_background(digest, files, workers=2, most_pending=256)))
