"""What a preparation is asked for, and what prepared.json says of one that is finished."""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from utils.common.json_files import NATURAL, TEXT, fields, or_null, read_json

PREPARED = fields(images=NATURAL, seed=or_null(NATURAL), entries={"type": "array", "items": TEXT})


@dataclass(frozen=True)
class PreparationSettings:
    """The choices of one command.

    dataset: its name, and that of its folder below `data_dir`. archives: files and folders that
    somebody downloaded by hand. num_images: how many are drawn with `seed`; not of isic2018, which
    is taken whole. check_md5: compare the archive's MD5 first.
    """

    dataset: str
    data_dir: str
    archives: Tuple[str, ...] = ()
    num_images: int = 0
    seed: int = 0
    check_md5: bool = False


@dataclass(frozen=True)
class Prepared:
    """What prepared.json says of a data set that is ready.

    images: how many there are. seed: with which they were drawn, None where all were taken.
    entries: the names in the data set's folder that the preparation put there.
    """

    images: int
    seed: Optional[int]
    entries: List[str]


def read_prepared(path: str) -> Prepared:
    """Read a prepared.json. Raises UserError."""
    values: Dict[str, Any] = read_json(path, PREPARED, "delete it")
    return Prepared(images=values["images"], seed=values["seed"], entries=values["entries"])
