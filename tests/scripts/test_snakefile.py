"""What of the Snakefile can be checked without Snakemake; the rest is in snakefile.py."""

import os
import re

import pytest
import yaml

import checkout
from utils.attack.settings import NAME_PARTS


def config():
    """The names that the Snakefile's --config knows."""
    with open(os.path.join(checkout.ROOT, "Snakefile"), encoding="utf-8") as file:
        text = file.read()
    return set(re.findall(r'"(\w+)":', text[text.index("CONFIG = {"):text.index("unknown =")]))


def test_the_demos_settings_are_a_configuration_of_the_snakefile():
    with open(os.path.join(checkout.ROOT, "data", "demo.yaml"), encoding="utf-8") as file:
        settings = yaml.safe_load(file)
    assert {"natural_images", "pretrain_options", "train_options"} <= set(settings) <= config()


@pytest.mark.parametrize("script", ["train_model.py", "make_uap.py", "evaluate.py"])
def test_every_option_in_the_snakefile_is_one_of_the_script(script):
    with open(os.path.join(checkout.ROOT, "Snakefile"), encoding="utf-8") as file:
        text = file.read()
    command = text[text.index('" ' + script):].split("\n\n")[0]
    if script == "make_uap.py":
        command += " ".join("--" + option.replace("_", "-") for option in NAME_PARTS)
    options = set(re.findall(r"--[a-z-]+", command))
    code, help_text, _ = checkout.script(checkout.ROOT, script, "--help")
    assert code == 0 and len(options) >= 3
    assert [option for option in options if option not in help_text] == []
