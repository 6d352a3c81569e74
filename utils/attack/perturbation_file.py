"""A perturbation in a .npy file: written whole, and read trusting nothing about it."""

import numpy as np

from utils.common.errors import UserError
from utils.common.hashes import sha256_of_file
from utils.common.whole_files import replacing
from utils.images.norms import norm

TOLERANCE = 1e-5  # relative; float32 rounding of a projection


def save_perturbation(path, v):
    """Write v, float32 (h, w, 3), model-input units, to a .npy file."""
    with replacing(path) as temporary:
        np.save(temporary, v)


def load_perturbation(path, image_size, expected_sha256=None, p=None, bound=None):
    """Load a UAP and check it.

    path: .npy file. image_size: of the model. expected_sha256: of the file, from its run.json.
    p, bound: the norm it must keep, model-input units; None when unknown.
    Returns float32, (image_size, image_size, 3), model-input units. Raises UserError.
    """
    def refuse(text, *values, mend="make it again with make_uap.py"):
        raise UserError("{}: {}; {}".format(path, text.format(*values), mend))

    try:
        v = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        refuse("no such file")
    except Exception as error:  # a damaged header raises almost anything
        refuse("not a .npy file of numbers ({})", error)
    shape = (image_size, image_size, 3)
    if not isinstance(v, np.ndarray) or v.dtype != np.float32 or v.shape != shape:
        refuse("{} {}, expected float32 {}, 1 unit 128 grey levels",
               getattr(v, "dtype", type(v).__name__), getattr(v, "shape", ""), shape,
               mend="save it so, or make it again with make_uap.py")
    if not np.isfinite(v).all():
        refuse("contains NaN or infinity")
    if expected_sha256 not in (None, sha256_of_file(path)):
        refuse("changed since its run.json was written")
    if bound is not None and norm(v, p) > bound * (1 + TOLERANCE):
        refuse("its {}-norm is {:.6g}, the bound is {:.6g}", p, norm(v, p), bound)
    return v
