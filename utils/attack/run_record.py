"""run.json: what a finished run of make_uap.py says about itself, read into a dataclass."""

from dataclasses import dataclass
from typing import Any, Dict, Optional

from utils.common.json_files import (
    COUNT,
    NATURAL,
    NUMBER,
    OBJECT,
    POSITIVE,
    SHA256,
    TEXT,
    fields,
    or_null,
    read_json,
)
from utils.common.names import require_file_name
from utils.images.pixels import SCALING_SCHEMA

# What the file must hold. Whatever else it holds is for people.
SCHEMA = fields(
    model=fields(name=TEXT, architecture=TEXT, sha256=SHA256,
                 image_size=COUNT, scaling=SCALING_SCHEMA),
    made_for=or_null(TEXT), source=TEXT, attack=TEXT, target=or_null(TEXT),
    norm=fields(p={"enum": ["2", "inf"]}, ratio=or_null(POSITIVE), bound=POSITIVE),
    images=fields(used=NATURAL), passes=NATURAL, steps=fields(made=NATURAL, kept=NATURAL),
    snapshots={"type": "object",
               "additionalProperties": fields(images=NATURAL, seconds=NUMBER)},
    uap=fields(sha256=SHA256), seconds=NUMBER, identity=OBJECT)
MEND = "make it again with make_uap.py"


@dataclass(frozen=True)
class AttackedNetwork:
    """The classifier, or public network, whose weights the attack used.

    sha256: of the weights file. image_size: height and width in pixels. scaling: the offset and the
    scale of its inputs, see utils.images.pixels.
    """

    name: str
    architecture: str
    sha256: str
    image_size: int
    scaling: Dict[str, float]


@dataclass(frozen=True)
class Snapshot:
    """The UAP on its way: after so many images were shown, and so many seconds of computing."""

    images: int
    seconds: float


@dataclass(frozen=True)
class UapRunRecord:
    """A finished run of make_uap.py.

    network: that the attack used. made_for: the name of the public network that the UAP was made
    for, None where it was made for the classifier `network`. source: a data set's name, the name of
    any other folder followed by "/", or "none". attack: its name. target: the class to reach, None
    where images are to leave their class. norm: p, 2 or infinity. norm_ratio: zeta. norm_bound: xi,
    model-input units. images: how many were used, not counting broken ones. passes: over them.
    steps_made, steps_kept: how many steps were computed, and how many went into the UAP. snapshots:
    by the name of the file without its ending. uap_sha256: of uap.npy. seconds: of computing.
    identity: what makes this run this run.
    """

    network: AttackedNetwork
    made_for: Optional[str]
    source: str
    attack: str
    target: Optional[str]
    norm: float
    norm_ratio: Optional[float]
    norm_bound: float
    images: int
    passes: int
    steps_made: int
    steps_kept: int
    snapshots: Dict[str, Snapshot]
    uap_sha256: str
    seconds: float
    identity: Dict[str, Any]


def _require_file_names(path: str, values: Dict[str, Any]) -> None:
    """Raise UserError unless every text that becomes part of a file's name is fit for that.

    The source, which may be the name of any folder, becomes no part of one.
    """
    require_file_name(values["model"]["name"], f"{path}: model.name")
    require_file_name(values["attack"], f"{path}: attack")
    if values["made_for"] is not None:
        require_file_name(values["made_for"], f"{path}: made_for")
    for name in values["snapshots"]:
        require_file_name(name, f"{path}: snapshots")


def read_run_record(path: str) -> UapRunRecord:
    """Read and check the run.json at `path`. Raises UserError, naming what is wrong."""
    values = read_json(path, SCHEMA, MEND)
    network, norm = values["model"], values["norm"]
    _require_file_names(path, values)
    return UapRunRecord(
        network=AttackedNetwork(
            name=network["name"], architecture=network["architecture"], sha256=network["sha256"],
            image_size=network["image_size"], scaling=network["scaling"]),
        made_for=values["made_for"],
        source=values["source"],
        attack=values["attack"],
        target=values["target"],
        norm=float(norm["p"]),
        norm_ratio=norm["ratio"],
        norm_bound=norm["bound"],
        images=values["images"]["used"],
        passes=values["passes"],
        steps_made=values["steps"]["made"],
        steps_kept=values["steps"]["kept"],
        snapshots={name: Snapshot(images=snapshot["images"], seconds=snapshot["seconds"])
                   for name, snapshot in values["snapshots"].items()},
        uap_sha256=values["uap"]["sha256"],
        seconds=values["seconds"],
        identity=values["identity"])
