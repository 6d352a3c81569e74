"""A perturbation's file comes back as it was saved, or is refused with what to do about it."""

import os

import numpy as np
import pytest

from utils.attack.perturbation_file import (
    largest_change,
    load_perturbation,
    require_norm_within,
    require_unchanged,
    save_perturbation,
)
from utils.common.errors import UserError
from utils.common.hashes import sha256_of_file


def perturbation(value=0.05):
    v = np.random.RandomState(0).uniform(-0.05, 0.05, (6, 6, 3)).astype(np.float32)
    v[0, 0, 0] = value
    return v


def saved(folder, v):
    np.save(str(folder / "uap.npy"), v)
    return str(folder / "uap.npy")


def test_a_sound_perturbation_is_loaded_as_it_was_saved(tmp_path):
    path = str(tmp_path / "uap.npy")
    save_perturbation(path, perturbation())
    found = load_perturbation(path, 6)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, perturbation())


@pytest.mark.parametrize("unit, factor", [("model", 1), ("255", 128), ("1", 128 / 255)])
def test_the_same_perturbation_in_any_unit_is_the_same(tmp_path, unit, factor):
    path = saved(tmp_path, perturbation() * np.float32(factor))
    np.testing.assert_allclose(load_perturbation(path, 6, unit), perturbation(), rtol=3e-7)


def test_the_largest_change_is_in_grey_levels():
    assert largest_change(perturbation(-0.125)) == 16


@pytest.mark.parametrize("v, message", [
    (np.array([{"a": 1}], object), "not a .npy file of numbers"),
    (perturbation().astype(np.float64), r"float64 \(6, 6, 3\), expected float32 \(6, 6, 3\); save "
     r"it as numpy.save\(FILE, numpy.load\(FILE\).astype\('float32'\)\)"),
    (perturbation().astype(">f4"), r">f4 \(6, 6, 3\), expected float32 .*astype\('float32'\)\)"),
    (np.zeros((6, 6, 3), np.int8), r"int8 \(6, 6, 3\), expected float32 .*astype\('float32'\)\)"),
    (perturbation()[np.newaxis], r"float32 \(1, 6, 6, 3\), expected float32 \(6, 6, 3\); "
     r"save it as numpy.save\(FILE, numpy.load\(FILE\)\[0\]\)"),
    (perturbation().transpose(2, 0, 1)[np.newaxis].astype(np.float64),
     r"numpy.load\(FILE\)\[0\].transpose\(1, 2, 0\).astype\('float32'\)\)"),
    (perturbation()[:5], r"float32 \(5, 6, 3\), expected .*make it again"),
    (perturbation().astype(np.complex64), "complex64 .*make it again"),
    (np.zeros((6, 6), "f4,f4,f4"), "make it again"),
    (perturbation(np.nan), "NaN"),
    (perturbation(-np.inf), "infinity"),
    (None, "no such file; .*make_uap.py")])
def test_an_array_that_is_no_perturbation_for_the_model_is_refused(tmp_path, v, message):
    if v is not None:
        saved(tmp_path, v)
    with pytest.raises(UserError, match="uap.npy: .*" + message):
        load_perturbation(str(tmp_path / "uap.npy"), 6)


def header(shape, length=118):
    """The first bytes of a .npy file that says its header has `length` bytes: 200,000 at most."""
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape
    return b"\x93NUMPY\x02\x00" + length.to_bytes(4, "little") + text.encode().ljust(
        min(length, 200000))


@pytest.mark.parametrize("content", [
    b"", b"not an array", b"\x93NUMPY\x01\x00", b"\x80\x03]q\x00.", b"PK\x03\x04 half a zip",
    header("(1000000, 1000000, 3)}"), header("(-1, 6, 3)}"), header("(" * 9000 + "}", 9900),
    header("(" * 90000 + "}", 99000), header("(6, 6, 3)}", 2 ** 32 - 1), None],
    ids=["empty", "text", "half a header", "pickle", "zip", "12 terabytes", "a negative size",
         "nested deep", "nested deeper", "a header of 4 GB", "half an array"])
def test_a_file_that_is_no_array_is_refused(tmp_path, content):
    path = tmp_path / "uap.npy"
    if content is None:
        saved(tmp_path, perturbation())
        content = path.read_bytes()[:300]
    path.write_bytes(content)
    with pytest.raises(UserError, match="uap.npy: not a .npy file") as refused:
        load_perturbation(str(path), 6)
    assert len(str(refused.value)) < 400 + len(str(path)) and "\n" not in str(refused.value)


def test_an_archive_of_arrays_is_refused_with_the_names_in_it(tmp_path):
    np.savez(str(tmp_path / "x.npz"), v=perturbation(), w=perturbation())
    with pytest.raises(UserError, match="x.npz: an archive of v.npy, w.npy, expected one"):
        load_perturbation(str(tmp_path / "x.npz"), 6)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path, make):
    make(str(tmp_path / "uap.npy"))
    with pytest.raises(UserError, match="uap.npy: not a regular file"):
        load_perturbation(str(tmp_path / "uap.npy"), 6)


@pytest.mark.parametrize("p", [2, np.inf])
def test_a_perturbation_over_its_bound_is_refused(p):
    v = perturbation()
    size = np.linalg.norm(v.astype(np.float64).ravel(), p)
    require_norm_within("uap.npy", v, p, size * (1 - 1e-6))  # the rounding of a projection
    with pytest.raises(UserError, match="norm is .* the bound is"):
        require_norm_within("uap.npy", v, p, size * (1 - 1e-4))


def test_a_perturbation_changed_after_its_run_is_refused(tmp_path):
    recorded = sha256_of_file(saved(tmp_path, perturbation()))
    require_unchanged(str(tmp_path / "uap.npy"), recorded)
    saved(tmp_path, perturbation(0))
    with pytest.raises(UserError, match="changed since"):
        require_unchanged(str(tmp_path / "uap.npy"), recorded)
