"""A GPU gives the CPU's numbers or is refused with a reason; starts are quiet."""

import mmap
import os
import re
import shutil
import types

import numpy as np
import pytest

import checkout
from utils.classifier import device
from utils.common.errors import UserError

DESCRIPTION = ("device: 0, name: NVIDIA GeForce RTX 3090, pci bus id: 0000:01:00.0, "
               "compute capability: {}")

# Runs a script as if TensorFlow, built on CUDA 10, saw a card of compute capability 8.6.
WITH_A_CARD = """
import importlib, os, sys, types
sys.path.insert(0, ".")
from utils.classifier import frameworks
from utils.classifier.frameworks import device_lib
from utils.common.errors import run_script
frameworks.OLDEST_CUDA = 10
device_lib.list_local_devices = lambda config: [types.SimpleNamespace(
    device_type="GPU", physical_device_desc="{}")]
run_script(importlib.import_module(sys.argv.pop(1)).main)
""".format(DESCRIPTION.format("8.6"))


@pytest.fixture
def sees(monkeypatch):
    """Make TensorFlow list a card of the compute capability given, unless devices are hidden."""
    from utils.classifier.frameworks import device_lib

    def see(capability):
        def list_devices(config):
            kinds = ["CPU", "GPU"] if os.environ["CUDA_VISIBLE_DEVICES"] else ["CPU"]
            return [types.SimpleNamespace(
                device_type=kind, physical_device_desc=DESCRIPTION.format(capability))
                    for kind in kinds]
        monkeypatch.setattr(device_lib, "list_local_devices", list_devices)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    device.choose.cache_clear()
    yield see
    device.choose.cache_clear()


@pytest.mark.parametrize("capability, cuda, refused", [
    ("3.5", 10, False), ("7.5", 10, False), ("8.0", 10, True), ("8.6", 10, True),
    ("12.0", 10, True), ("8.0", 11, False), ("9.0", 12, False)])
def test_a_card_newer_than_the_build_of_tensorflow_is_refused(
        sees, monkeypatch, capsys, capability, cuda, refused):
    sees(capability)
    monkeypatch.setattr(device, "loaded_cuda", lambda: cuda)
    monkeypatch.setattr(device, "check", lambda card, compute: 1e-6)
    if not refused:
        assert device.choose("auto") == "NVIDIA GeForce RTX 3090"
        assert "computing on NVIDIA GeForce RTX 3090" in capsys.readouterr().out
        return
    with pytest.raises(UserError) as error:
        device.choose("auto")
    for word in ("NVIDIA GeForce RTX 3090", capability, "CUDA 10", "wrong numbers",
                 "ENVIRONMENT=tf2-gpu", "Dockerfile.gpu", "--device cpu"):
        assert word in str(error.value)


def test_device_cpu_goes_on_without_the_card_and_says_nothing(sees, capsys):
    sees("8.6")
    assert device.choose("cpu") is None
    assert capsys.readouterr() == ("", "")


def test_device_gpu_is_an_error_where_there_is_none(sees, monkeypatch):
    sees("8.6")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match="--device gpu: TensorFlow sees no GPU; .*tf2-gpu"):
        device.choose("gpu")


@pytest.mark.parametrize("oldest, refused", [(10, True), (12, False)])
def test_a_card_is_not_refused_because_the_cuda_runtime_is_linked_into_tensorflow(
        sees, monkeypatch, oldest, refused):
    from utils.classifier import frameworks

    assert frameworks.OLDEST_CUDA == (12 if frameworks.IS_TENSORFLOW_2 else 10)
    monkeypatch.setattr(frameworks, "OLDEST_CUDA", oldest)
    monkeypatch.setattr(device, "check", lambda card, compute: 1e-6)
    sees("8.6")
    if refused:
        with pytest.raises(UserError, match="built on CUDA 10"):
            device.choose("auto")
    else:
        assert device.choose("auto") == "NVIDIA GeForce RTX 3090"


def test_the_cuda_of_this_process_is_that_of_the_library_it_has_loaded(tmp_path, monkeypatch):
    from utils.classifier import frameworks

    monkeypatch.setattr(frameworks, "OLDEST_CUDA", 10)
    assert device.loaded_cuda() == 10  # none
    library = tmp_path / "libcudart.so.12.1.55"
    library.write_bytes(b"\0" * mmap.PAGESIZE)
    with open(str(library), "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ):
        assert device.loaded_cuda() == 12


def test_the_self_check_accepts_a_device_that_rounds_otherwise(sees, capsys):
    sees("7.5")
    assert device.choose("auto")
    assert re.search(r"differs by \d\.\de[+-]\d\d\n$", capsys.readouterr().out)
    f, g = device.logits_and_gradient("/cpu:0")
    assert f.shape == (7,) and g.shape == (64, 64, 3)
    assert np.ptp(f) > 1 and np.linalg.norm(g) > 0.01


def cannot_compute(f, g):
    from utils.classifier.frameworks import tf

    raise tf.errors.InternalError(None, None, "no kernel image is available\nand more")


OTHER = "the card: computes other numbers than the CPU"


@pytest.mark.parametrize("corrupt, message", [
    (lambda f, g: (f * 1.02, g), OTHER), (lambda f, g: (f, g * 0), OTHER),
    (lambda f, g: (f, g + np.nan), OTHER), (lambda f, g: (f[::-1], g), OTHER),
    (lambda f, g: (f * np.inf, g), OTHER), (lambda f, g: (f, g[:, ::-1]), OTHER),
    (cannot_compute, "the card: .* cannot compute on it .no kernel image is available.;")])
def test_the_self_check_refuses_a_device_that_computes_other_numbers_or_none(corrupt, message):
    random = np.random.RandomState(0)
    right = random.normal(size=7), random.normal(size=(4, 4, 3))
    assert device.check("the card", lambda where: right) == 0
    with pytest.raises(UserError, match=message):
        device.check("the card", lambda where: right if where == "/cpu:0" else corrupt(*right))


def test_the_check_can_be_asked_for_alone():
    words = ("-m", "utils.classifier.device")
    assert checkout.script(checkout.ROOT, *words, CUDA_VISIBLE_DEVICES="") == (
        0, "no GPU that TensorFlow can use: computing on the CPU\n", "")


SCRIPTS = [
    ("train_model.py", "--model", "ResNet50", "--weights", "none", "--image-size", "32", "--epochs",
     "1", "--limit", "14", "--name", "other", "--restart"),
    ("make_uap.py", "--model-file", "models/VGG16.h5", "--source", "ilsvrc2012", "--num-images",
     "3", "--name", "other", "--restart"),
    ("evaluate.py", "--limit", "14", "--again")]


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("device") / "checkout")
    shutil.copytree(trained, folder)
    return folder


@pytest.mark.parametrize("words", SCRIPTS)
def test_no_script_repeats_what_tensorflow_and_keras_say_to_everybody(folder, words):
    code, _, errors = checkout.script(folder, *words, CUDA_VISIBLE_DEVICES="")
    assert code == 0, errors
    assert re.findall("(?i).*(?:tensorflow|xla|keras|cpu frequency|warning).*", errors) == []


@pytest.mark.parametrize("words", SCRIPTS)
def test_every_script_refuses_such_a_card(folder, words):
    code, _, errors = checkout.script(
        folder, "-c", WITH_A_CARD, words[0][:-len(".py")], *words[1:], CUDA_VISIBLE_DEVICES="")
    assert code == 2 and "compute capability 8.6" in errors
