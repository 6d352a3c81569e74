"""When an attack has succeeded: one definition, for the loop that makes a UAP and for its rows.

Classes are indices or names; clean and attacked are arrays (n,) of them, or one class each.
"""

from typing import Union

import numpy as np


def is_fooled(clean: np.ndarray, attacked: np.ndarray) -> np.ndarray:
    """Return where the class under the attack is not that of the clean image, bool (n,)."""
    return np.asarray(attacked) != np.asarray(clean)


def is_targeted_success(clean: np.ndarray, attacked: np.ndarray,
                        target: Union[int, str]) -> np.ndarray:
    """Return which images that are not predicted as the target anyway are so under the attack.

    clean, attacked: (n,). Returns bool (m,): images whose clean class is the target are left out.
    """
    clean, attacked = np.asarray(clean), np.asarray(attacked)
    return attacked[clean != target] == target
