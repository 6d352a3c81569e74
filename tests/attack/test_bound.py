"""The bound xi of a UAP's norm."""

import dataclasses

import numpy as np
import pytest

from utils.attack.bound import bound_of_norm
from utils.attack.settings import AttackSettings
from utils.classifier.description import read_description


@pytest.mark.parametrize("p, key", [(np.inf, "inf"), (2, "2")])
def test_the_bound_is_a_share_of_the_mean_norm_of_the_classifiers_training_images(trained, p, key):
    network = read_description(f"{trained}/models/VGG16.h5")
    grey_levels = {"2": 3200.0, "inf": 160.0}
    network = dataclasses.replace(network, mean_norms=grey_levels)
    xi = bound_of_norm(AttackSettings(norm=p, norm_ratio=0.04), network)
    assert xi == pytest.approx(0.04 * grey_levels[key] / 128)
