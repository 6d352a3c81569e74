"""A perturbation in a .npy file: written whole, and read trusting nothing about it."""

import os
import zipfile
from typing import NoReturn, Tuple

import numpy as np

from utils.common.errors import UserError
from utils.common.hashes import sha256_of_file
from utils.common.whole_files import replacing
from utils.images.norms import norm
from utils.images.pixels import PIXEL_SCALE

ROUNDING = 1e-5  # relative; float32 rounding of a projection
# What a file of --uap may be in: so many model-input units (of 128 grey levels) is one of its own.
UNITS = {"model": 1.0, "255": 1 / PIXEL_SCALE, "1": 255 / PIXEL_SCALE}
LONGEST_HEADER = 10000  # bytes; that of three dimensions takes 128
MAKE_AGAIN = "make it again with make_uap.py"


def save_perturbation(path: str, v: np.ndarray) -> None:
    """Write v, float32 (h, w, 3), model-input units, to a .npy file."""
    with replacing(path) as temporary:
        np.save(temporary, v)


def load_perturbation(path: str, image_size: int, unit: str = "model") -> np.ndarray:
    """Load a perturbation that can be added to the inputs of a model.

    path: .npy file. image_size: of the model. unit: of UNITS, what the file is in.
    Returns float32, (image_size, image_size, 3), model-input units, finite. Raises UserError.
    """
    shape = (image_size, image_size, 3)
    v = _open_array(path)
    if v.dtype != np.float32 or v.shape != shape:
        _refuse(path, f"{str(v.dtype)[:40]} {v.shape}, expected float32 {shape}",
                _how_to_save(v, shape))
    v = np.array(v)  # into memory
    if not np.isfinite(v).all():
        _refuse(path, "contains NaN or infinity")
    return v * np.float32(UNITS[unit])


def require_unchanged(path: str, sha256: str) -> None:
    """Raise UserError unless the file has the SHA-256 that its run.json says."""
    if sha256_of_file(path) != sha256:
        _refuse(path, "changed since its run.json was written")


def require_norm_within(path: str, v: np.ndarray, p: float, bound: float) -> None:
    """Raise UserError unless v, from the file `path`, keeps the bound of its run.json.

    p: 2 or infinity. bound: of the p-norm of v; both in model-input units.
    """
    if exceeds(norm(v, p), bound):
        _refuse(path, f"its {p}-norm is {norm(v, p):.6g}, the bound is {bound:.6g}")


def exceeds(size: float, bound: float) -> bool:
    """Return whether a norm is over its bound by more than rounding."""
    return size > bound * (1 + ROUNDING)


def largest_change(v: np.ndarray) -> float:
    """Return the largest change, in grey levels, that v makes to a value of a pixel.

    v: model-input units.
    """
    return norm(v, np.inf) * PIXEL_SCALE


def _open_array(path: str) -> np.ndarray:
    """The array in a .npy file, of which only the header was read. Raises UserError."""
    if not os.path.exists(path):
        _refuse(path, "no such file")
    if not os.path.isfile(path):
        _refuse(path, "not a regular file")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = ", ".join(archive.namelist())[:80]
        _refuse(path, f"an archive of {names}, expected one array", "save that with numpy.save")
    try:
        _check_header(path)
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header raises almost anything
        _refuse(path, f"not a .npy file of numbers ({error or type(error).__name__})")


def _check_header(path: str) -> None:
    """Raise ValueError where no header of a .npy file begins the file, or a trap for its parser.

    A trap is a header that is longer than any of three dimensions.
    """
    with open(path, "rb") as file:
        if file.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
            raise ValueError("it does not begin as one")
        major_version, _ = file.read(2)
        length = int.from_bytes(file.read(2 if major_version == 1 else 4), "little")
    if length > LONGEST_HEADER:
        raise ValueError(f"a header of {length:,} bytes")


def _how_to_save(v: np.ndarray, shape: Tuple[int, int, int]) -> str:
    """What to do with an array that is not float32 of this shape."""
    mend, found = "numpy.load(FILE)", v.shape
    if len(found) == 4 and found[0] == 1:
        mend, found = mend + "[0]", found[1:]
    if found == (shape[2],) + shape[:2]:
        mend, found = mend + ".transpose(1, 2, 0)", shape
    if found != shape or v.dtype.kind not in "fiu":
        return MAKE_AGAIN
    if v.dtype != np.float32:
        mend += ".astype('float32')"
    return f"save it as numpy.save(FILE, {mend})"


def _refuse(path: str, found: str, mend: str = MAKE_AGAIN) -> NoReturn:
    raise UserError(f"{path}: {found}; {mend}")
