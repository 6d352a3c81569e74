"""What is read of a classifier before any network is built."""

import os

import pytest

from utils.classifier.description import read_description_alone
from utils.common.errors import UserError


@pytest.mark.parametrize("name", ["a\nb", os.fsdecode(b"m\xe4rz"), "\x1b[31mred", ".hidden"])
def test_a_classifier_whose_name_cannot_be_written_everywhere_is_refused(name):
    """Its name becomes a folder of results, and stands in tables and pictures."""
    with pytest.raises(UserError, match="a classifier: the name .*; give it another name"):
        read_description_alone(f"models/{name}.h5")
