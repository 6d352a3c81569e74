# -*- coding: utf-8 -*-
"""Names from files may hold any character: pictures, tables and paths show them, and no more."""

import os
import re

import numpy as np
import pytest
from evaluated_runs import CLASSES, N, undrawn, write, write_random_run
from PIL import Image

from utils.attack.pictures import uap_picture
from utils.common import figures
from utils.common.whole_files import write_text
from utils.evaluation.metrics import rate
from utils.report import document, markdown, pictures, table
from utils.report.gallery import Gallery, picture_name
from utils.report.numbers import CurvePoint
from utils.training.fine_tuning import EpochResult
from utils.training.pictures import confusion_matrix, learning_curve

HOSTILE = ("a$b$c", "a$\\frac$", "US$_1", "a|b", "c*d_e`f", "_hidden", "<script>", "=1+1", "None")
CHINESE = ("黑色素瘤", "痣")
HISTORY = [EpochResult(1, learning_rate=0.1, loss=1, accuracy=0.5, test_loss=1, test_accuracy=0.5)]
RATE = rate(np.array([True, False]))
POINTS = [CurvePoint(spent, RATE, repeated) for spent, repeated in ((1, False), (2, True))]
V = np.full((8, 8, 3), 0.1, np.float32)
DRAWN = {  # by each function that draws, a picture with this name wherever a name can stand
    "learning_curve": lambda path, name: learning_curve(path, HISTORY, name),
    "confusion_matrix": lambda path, name: confusion_matrix(
        path, np.eye(2, dtype=int), [name, name + "2"], name),
    "uap_picture": lambda path, name: uap_picture(path, V, name),
    "confusion_matrices": lambda path, name: figures.confusion_matrices(
        path, {name: np.eye(2, dtype=int)}, [name, name + "2"], name, "clean", "attacked"),
    "rates": lambda path, name: pictures.rates(
        path, [pictures.RateBar(name, name, RATE, [RATE, RATE])], pictures.source_styles([name])),
    "curves": lambda path, name: pictures.curves(
        path, {name: [pictures.CurveLine(name, name, POINTS, RATE)]},
        pictures.source_styles([name]), name, "images"),
    "example_grid": lambda path, name: pictures.example_grid(
        path, np.zeros((1, 8, 8, 3), np.uint8), [name],
        [pictures.ExampleRow(name, V, [name], [True])], name)}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_every_picture_is_drawn_with_names_that_matplotlib_would_take_for_formulas(tmp_path, draw):
    draw(str(tmp_path / "a.png"), "_a$\\frac$<script>")
    assert os.listdir(str(tmp_path)) == ["a.png"]
    assert np.asarray(Image.open(str(tmp_path / "a.png")).convert("L")).std() > 1


@pytest.mark.parametrize("name", HOSTILE)
def test_a_picture_shows_a_name_as_it_is(name):
    figure, axis = figures.plt.subplots()
    text = axis.text(0, 0, figures.Labels()(name))
    expected = f" {name}" if name.startswith("_") else name
    assert text._preprocess_math(text.get_text()) == (expected, False)
    figures.plt.close(figure)


def test_names_that_the_font_cannot_draw_are_numbers_in_the_picture_and_stand_in_its_note():
    label = figures.Labels()
    assert [label(name) for name in ("true " + CHINESE[0], CHINESE[1] + " 0.93", CHINESE[0])] == [
        "true [1]", "[2] 0.93", "[1]"]
    assert label.note().endswith("of these names: [1] is 黑色素瘤, [2] is 痣.")
    label = figures.Labels()
    assert label("Lésion é") == "Lésion é" and label.note() is None


@pytest.mark.parametrize("draw", list(DRAWN.values())[:3], ids=list(DRAWN)[:3])
def test_the_note_of_a_picture_outside_the_report_is_a_text_file_beside_it(tmp_path, draw):
    draw(str(tmp_path / "a.png"), CHINESE[0])
    assert CHINESE[0] in (tmp_path / "a.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name, shown", [
    ("a|b", r"a\|b"), ("<script>alert(1)</script>", r"\<script>alert(1)\</script>"),
    ("c*d_e`f", r"c\*d_e\`f"), ("_x_", r"\_x\_"), ("a\\b", r"a\\b"),
    ("a\nb\x1b[2J", r"a\\nb\\x1b[2J"),
    ("$x$", "&#36;x&#36;"), ("&lt;", "&amp;lt;"), ("[a](http://b)", r"[a]\(http://b)"),
    ("L\udce4sion", r"L\\xe4sion"), ("63.1 [52.4, 72.6]; < 1e-300", "63.1 [52.4, 72.6]; < 1e-300")])
def test_markdown_displays_a_name_as_it_is_on_one_line(name, shown):
    assert markdown.escape(name) == shown
    (table,) = document.table([{name: name}])
    assert markdown.table_lines(table) == [
        f"| {shown} |", "|---|", f"| {shown} |"]


def report_with(tmp_path, **info):
    folder = str(tmp_path / "results" / "xray" / "photographs")
    labels = np.resize(info.get("class_names", CLASSES), N)
    write_random_run(folder, 0, labels, labels,
                     **{"model": "VGG16", "source": "photographs", **info})
    return write(str(tmp_path), at_hand=False)


@pytest.mark.parametrize("field", ["source", "attack", "model", "run", "target", "class_names"])
def test_no_name_becomes_markup_or_another_cell_of_the_report(tmp_path, field):
    name = "<script>|`x` ## $"
    with undrawn():
        pages = report_with(tmp_path, **{field: [name, "MEL"] if field == "class_names" else name})
    text = "\n".join(pages.values())
    text = re.sub("```.*?```", "", text, flags=re.DOTALL)  # what is displayed as it is
    assert "<script>" not in text.replace(r"\<script>", "")
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        cells = {line.replace(r"\|", "").count("|") for line in block.splitlines()}
        assert len(cells) == 1, block


@pytest.mark.parametrize("name", ["x/../../victim/cell", "/tmp/cell", "..", "a\nb", "\u75e3"])
def test_no_name_leads_a_picture_out_of_the_folder_of_the_report(tmp_path, name):
    gallery = Gallery(str(tmp_path / "report"))
    picture = gallery.draw(["curve", name], "", lambda path: write_text(path, ""))
    assert re.match(r"curve-[A-Za-z0-9._-]+\.png$", picture.file)
    assert os.listdir(str(tmp_path)) == ["report"]
    assert os.listdir(str(tmp_path / "report")) == [picture.file]


def test_names_that_differ_have_pictures_of_different_names():
    names = [picture_name("curve", name) for name in ("a/b", "a_b", "a b", "\u75e3")]
    assert names[1] == "curve-a_b.png" and len(set(names)) == len(names)


def test_cells_of_the_table_that_a_spreadsheet_would_compute_begin_with_an_apostrophe():
    assert [table.for_spreadsheet(cell) for cell in ("=1+1", "+a", "-a", "@a", "a=1", -0.5)] == [
        "'=1+1", "'+a", "'-a", "'@a", "a=1", -0.5]
