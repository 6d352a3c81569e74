"""The UAPs that come with this repository, by the name <model>/<run>.

    python -m utils.evaluation.published_uaps

lists them with what they are made for and how often they fool it. A name, such as
VGG16/isic2018-sgd, is taken by `evaluate.py --uap` and by load_uap(). The files are
results/reproduction/<group>/<model>/<run>/uap.npy; no two groups hold the same name.
"""

import os
import pathlib
from typing import Iterator, NamedTuple, Optional

import numpy as np

from utils.attack.perturbation_file import load_perturbation
from utils.common import arguments
from utils.common.errors import UserError, run_script
from utils.evaluation import evaluated_uap
from utils.evaluation.metrics import Rate
from utils.images.pixels import PIXEL_SCALE

PUBLISHED_FOLDER = os.path.join("results", "reproduction")
ROOT = pathlib.Path(__file__).resolve().parents[2]


class PublishedUap(NamedTuple):
    """A UAP of this repository, and what it did to the classifier that it was made for.

    image_size: height and width, in pixels. bound: of its norm, model-input units, None where it
    is not known. norm: "2" or "inf". rate: on the test images of that classifier.
    """

    name: str
    path: str
    image_size: int
    norm: str
    bound: Optional[float]
    rate: Rate


def find_published() -> Iterator[PublishedUap]:
    """Find every UAP of this repository that was evaluated on the model that it was made for."""
    for folder in evaluated_uap.find(str(ROOT / PUBLISHED_FOLDER)):
        path = os.path.join(folder, "uap.npy")
        run = evaluated_uap.read_evaluated(folder)
        if os.path.exists(path) and run.uap.made_for == run.classifier.name:
            yield PublishedUap(
                name="/".join(pathlib.Path(folder).parts[-2:]), path=path,
                image_size=run.classifier.image_size, norm=run.uap.norm,
                bound=run.uap.norm_bound, rate=run.rate())


def path_of(name: str) -> Optional[str]:
    """Return the .npy file of the UAP of this name; None where there is no such UAP."""
    model, _, run = name.partition("/")
    if "/" in run or {model, run} & {"", ".", ".."}:
        return None
    paths = [os.path.join(group, model, run, "uap.npy")
             for group in evaluated_uap.result_groups(str(ROOT / PUBLISHED_FOLDER))]
    return next(filter(os.path.exists, paths), None)


def load_uap(name: str) -> np.ndarray:
    """Load a UAP of this repository: float32, (height, width, 3), model-input units.

    1 unit is 128 grey levels: an image of 0..255 becomes image + 128 * v. Raises UserError.
    """
    path = path_of(name)
    if path is None:
        raise UserError(f"{name}: no UAP of this name; `python -m "
                        f"utils.evaluation.published_uaps` lists them")
    side = np.load(path, mmap_mode="r", allow_pickle=False).shape[0]
    return load_perturbation(path, side)


def file_or_name(text: str) -> str:
    """Take the .npy file of this path, or of the published UAP of this name; an option's type."""
    return text if os.path.exists(text) else path_of(text) or text


def main() -> None:
    arguments.script_parser(__doc__).parse_args()
    print(f"{'name':48s} {'pixels':>9s} {'grey levels':>12s} {'fooling rate, %':>20s}")
    for uap in find_published():
        size = f"{uap.image_size} x {uap.image_size}"
        bound = "?" if uap.bound is None else f"{uap.bound * PIXEL_SCALE:.1f} (L{uap.norm})"
        value, low, high = (100 * share for share in (uap.rate.value, uap.rate.low, uap.rate.high))
        rate = f"{value:.1f} [{low:.1f}, {high:.1f}]"
        print(f"{uap.name:48s} {size:>9s} {bound:>12s} {rate:>20s}")


if __name__ == "__main__":
    run_script(main)
