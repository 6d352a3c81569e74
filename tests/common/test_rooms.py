"""The house: a room of utils/ imports only rooms above it."""

import ast
import os
import pathlib

import pytest

import checkout

UTILS = pathlib.Path(checkout.ROOT) / "utils"
ABOVE = {
    "common": set(),
    "images": {"common"},
    "classifier": {"common", "images"},
    "training": {"common", "images", "classifier"},
    "attack": {"common", "images", "classifier"},
    "evaluation": {"common", "images", "classifier", "training", "attack"},
    "report": {"common", "images", "classifier", "training", "attack", "evaluation"}}


def imported_rooms(path):
    """The rooms that a module imports anything from."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules = []
        if isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        found |= {module.split(".")[1] for module in modules if module.startswith("utils.")}
    return found


@pytest.mark.parametrize("room", ABOVE)
def test_a_room_imports_only_rooms_above_it(room):
    modules = sorted((UTILS / room).rglob("*.py"))
    assert len(modules) > 1
    below = {str(path.relative_to(UTILS)): imported_rooms(path) - ABOVE[room] - {room}
             for path in modules}
    assert {module: rooms for module, rooms in below.items() if rooms} == {}


def test_every_room_is_in_the_map_and_says_what_it_may_import():
    rooms = {path.name for path in UTILS.iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(ABOVE)
    with open(os.path.join(checkout.ROOT, ".github", "CONTRIBUTING.md"), encoding="utf-8") as file:
        contributing = file.read()
    for room in rooms:
        assert f"| `utils/{room}/` |" in contributing
        text = (UTILS / room / "__init__.py").read_text(encoding="utf-8")
        assert "It may import" in text and "It must not" in text
