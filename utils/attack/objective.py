"""What an attack wants of an image: that it leaves its clean class, or that it reaches a target."""

from typing import NamedTuple, Optional

import numpy as np


class Objective(NamedTuple):
    """What is wanted of every image.

    target: the index of the class to reach, None to leave the clean class. Class 0 is a target like
    any other.
    """

    target: Optional[int] = None

    def labels(self, clean: np.ndarray) -> np.ndarray:
        """Return the class that each image is to leave, its clean class, or to reach, int (m,).

        clean: the clean classes of m images, int (m,).
        """
        return clean if self.target is None else np.full(np.shape(clean), self.target)

    def is_met(self, predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Tell whether each of these classes is what is wanted, bool (m,): line 5 of Algorithm 1.

        predicted: the classes under v, int (m,). labels: as the method of this name returns them.
        This says whether an image needs a step. An image that is of the target when clean has to
        stay there, so it may need one. Whether an image counts as a success is another question,
        and there such an image is left out: see utils.common.success.
        """
        has_label = np.asarray(predicted) == labels
        return ~has_label if self.target is None else has_label
