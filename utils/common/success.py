"""When an attack has succeeded: one definition, for the loop that makes a UAP and for its rows.

Classes are indices or names; clean and attacked are arrays (n,) of them, or one class each.
"""

from typing import Union

import numpy as np


def successes(clean: np.ndarray, attacked: np.ndarray,
              target: Union[int, str, None]) -> np.ndarray:
    """Return of each image that counts whether the attack succeeds on it, bool.

    clean, attacked: (n,), the classes without the attack and under it. target: the class to reach,
    class 0 like any other; None for an attack that is to leave the clean class.
    Without a target all n images count. With one only those count whose clean class is another, so
    the result can be shorter than n.
    """
    if target is None:
        return is_fooled(clean, attacked)
    return is_targeted_success(clean, attacked, target)


def is_fooled(clean: np.ndarray, attacked: np.ndarray) -> np.ndarray:
    """Return where the class under the attack is not that of the clean image, bool (n,)."""
    return np.asarray(attacked) != np.asarray(clean)


def is_targeted_success(clean: np.ndarray, attacked: np.ndarray,
                        target: Union[int, str]) -> np.ndarray:
    """Return which images become the target, of those that are not predicted as it anyway.

    clean, attacked: (n,). Returns bool (m,): images whose clean class is the target are left out.
    """
    clean, attacked = np.asarray(clean), np.asarray(attacked)
    return attacked[clean != target] == target
