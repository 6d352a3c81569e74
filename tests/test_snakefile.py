"""What of the Snakefile can be checked without Snakemake; the rest is in snakefile.py."""

import os
import re

import pytest
import yaml

import checkout
from data import demo


def test_the_small_configuration_is_the_demos():
    with open(os.path.join(checkout.ROOT, "data", "demo.yaml"), encoding="utf-8") as file:
        found = yaml.safe_load(file)
    assert found["image_size"] == demo.IMAGE_SIZE
    assert found["natural_images"] == found["isic_images"] == demo.FULL.natural_images
    assert found["train_options"] == {
        model: "--weights none --epochs {} --learning-rate {} --batch-size 8".format(
            demo.FULL.epochs, rate) for model, rate in demo.LEARNING_RATE.items()}
    assert found["uap_options"] == "--passes {} --norm-ratio {}".format(
        demo.FULL.passes, demo.NORM_RATIO)


@pytest.mark.parametrize("script", ["train_model.py", "make_uap.py", "evaluate.py"])
def test_every_option_in_the_snakefile_is_one_of_the_script(script):
    with open(os.path.join(checkout.ROOT, "Snakefile"), encoding="utf-8") as file:
        text = file.read()
    command = text[text.index(" " + script):].split("\n\n")[0]
    if script == "make_uap.py":
        command += text[text.index("def uap_options"):].split("\n\n")[0]
    options = set(re.findall(r"--[a-z-]+", command))
    code, help_text, _ = checkout.script(checkout.ROOT, script, "--help")
    assert code == 0 and len(options) >= 3
    assert [option for option in options if option not in help_text] == []
