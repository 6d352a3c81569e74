"""Every command that a document shows is there, and takes the options that are shown.

What the commands of the shell blocks do is tested elsewhere: by running them from their own text.
"""

import argparse
import glob
import importlib
import os
import re
import shlex

import pytest

import checkout

DOCUMENTS = sorted(os.path.relpath(path, checkout.ROOT) for pattern in (
    "README.md", "docs/*.md", "*/README.md", "results/reproduction/README.md",
    ".github/CONTRIBUTING.md") for path in glob.glob(os.path.join(checkout.ROOT, pattern)))
# In a line or in a code span: a module or a script of this project, and its options.
COMMAND = re.compile(r"(`?)\bpython (-m (?:data|utils)[\w.]+|[\w/]+\.py)([^`\n#;]*)")
WITHOUT_PARSER = ("utils.classifier.device", "tests.benchmark_memory")


def commands_of(text):
    """What a text shows: pairs of a module and its options, or None where it is only named."""
    found = []
    for quote, name, options in COMMAND.findall(re.sub(r"\\\n *", "", text)):
        module = name[len("-m "):] if name.startswith("-m ") else name[:-len(".py")]
        # As the loop over the study's models has them; a word in capital letters is a number.
        options = re.sub(r"\b[A-Z]{4,}\b", "1", options.replace("$model", "VGG16"))
        is_name = bool(quote) and not options
        found.append((module.replace("/", "."), None if is_name else shlex.split(options)))
    return found


def all_commands():
    found = []
    for name in DOCUMENTS:
        with open(os.path.join(checkout.ROOT, name), encoding="utf-8") as file:
            text = file.read()
        found += [(name, module, options) for module, options in commands_of(text)]
    return found


class Understood(Exception):
    """The command line was parsed."""


@pytest.mark.parametrize("document, module, options", all_commands())
def test_a_command_takes_the_options_with_which_a_document_shows_it(
        document, module, options, monkeypatch):
    monkeypatch.syspath_prepend(os.path.join(checkout.ROOT, "tests"))
    if options is None or module in WITHOUT_PARSER:
        assert importlib.util.find_spec(module)
        return
    parse = argparse.ArgumentParser.parse_known_args

    def parse_and_stop(self, *arguments):
        _, unknown = parse(self, *arguments)
        assert not unknown
        raise Understood

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr("sys.argv", [module, *options])
    expected = SystemExit if options == ["--help"] else Understood
    with pytest.raises(expected):
        importlib.import_module(module).main()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_has_the_targets_that_a_document_names(document):
    with open(os.path.join(checkout.ROOT, document), encoding="utf-8") as file:
        named = set(re.findall(r"(?:^    |`|ENVIRONMENT=tf2 )make ([a-z0-9-]+)", file.read(),
                               re.MULTILINE))
    with open(os.path.join(checkout.ROOT, "Makefile"), encoding="utf-8") as file:
        targets = set(re.findall("^([a-z0-9-]+):", file.read(), re.MULTILINE))
    assert named <= targets


def test_what_a_document_shows_is_found():
    found = {(document, module) for document, module, _ in all_commands()}
    assert {("README.md", "train_model"), ("README.md", "utils.classifier.adopt"),
            ("docs/machines.md", "utils.classifier.device"), ("docs/using-a-uap.md", "evaluate"),
            ("data/README.md", "data.prepare"), ("models/README.md", "make_uap"),
            ("results/README.md", "tests.demo_over_seeds")} <= found
    assert len(all_commands()) > 50
