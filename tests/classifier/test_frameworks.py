"""One module knows which TensorFlow and Keras there are; it imports them quietly, and late."""

import ast
import glob
import os
import subprocess
import sys

import pytest

import checkout
from utils.classifier import frameworks
from utils.classifier.frameworks import GREETINGS, keras, tf, without_greetings

SOURCES = [path for pattern in ("*.py", "data/*.py", "utils/**/*.py")
           for path in glob.glob(os.path.join(checkout.ROOT, pattern), recursive=True)]


def imported_by(path):
    """The names of the packages that a file imports, anywhere in it."""
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


def test_no_other_module_imports_tensorflow_or_keras():
    importing = {os.path.relpath(path, checkout.ROOT) for path in SOURCES
                 if {"tensorflow", "keras", "tf_keras"} & set(imported_by(path))}
    assert importing == {os.path.join("utils", "classifier", "frameworks.py")}


def test_the_scripts_are_imported_without_tensorflow():
    code, _, errors = checkout.script(
        checkout.ROOT, "-c", "import sys, train_model, make_uap, evaluate\n"
        "assert 'tensorflow' not in sys.modules", PYTHONPATH=checkout.ROOT)
    assert code == 0, errors


def test_the_interface_is_that_of_version_1_and_the_versions_are_those_of_what_computes():
    assert tf.Session and tf.placeholder and keras.Model
    assert frameworks.VERSIONS["tensorflow"] == frameworks.tensorflow.__version__
    assert ("tf_keras" in frameworks.VERSIONS) == frameworks.IS_TENSORFLOW_2
    assert len(frameworks.VERSIONS) == 2


def test_greetings_are_dropped_and_all_other_lines_are_shown_whoever_writes_them(capfd):
    with without_greetings():
        for greeting in GREETINGS:
            os.write(2, f"I0000 somewhere.cc:1] {greeting} And so on.\n".encode())
        os.write(2, b"an error of the driver\n")
        subprocess.check_call(["sh", "-c", "echo a warning of a child >&2"])
    os.write(2, b"after it\n")
    assert capfd.readouterr().err == "an error of the driver\na warning of a child\nafter it\n"


def test_stderr_is_back_when_the_import_fails(capfd):
    with pytest.raises(ImportError):
        with without_greetings():
            raise ImportError
    os.write(2, GREETINGS[0].encode())
    assert capfd.readouterr().err == GREETINGS[0]


def test_the_last_words_of_a_process_that_dies_are_shown():
    program = (f"import os, sys; sys.path.insert(0, {checkout.ROOT!r})\n"
               "from utils.classifier.frameworks import without_greetings\n"
               "with without_greetings():\n"
               "    os.write(2, b'compiled for another processor\\n')\n"
               "    os.abort()")
    done = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE,
                          universal_newlines=True)
    assert done.returncode != 0 and "compiled for another processor" in done.stderr
