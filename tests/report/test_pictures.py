"""Every picture can be read at the width of a page; a source has one colour in all of them."""

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from utils.attack.pictures import magnified, uap_picture
from utils.common import figures
from utils.evaluation.metrics import rate
from utils.report import pictures
from utils.report.numbers import CurvePoint
from utils.training.fine_tuning import EpochResult
from utils.training.pictures import confusion_matrix, learning_curve

PAGE_WIDTH, MOST_WIDTH, LEAST_LETTERS = 838, 1000, 11  # pixels
SOURCES = ["Open Images V5", "ILSVRC2012", "ISIC2018", "a folder of photographs with a long name"]
MODELS = ["VGG16", "ResNet50", "InceptionV3", "InceptionV3-trained-again-from-random-weights",
          "another"]
CLASSES = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
STYLES = pictures.source_styles(SOURCES)
RATE = rate(np.arange(1819) < 700)
V = np.random.RandomState(0).uniform(-0.1, 0.1, (16, 16, 3)).astype(np.float32)
TITLE = "Fooling rate against the images shown; UAPs by DeepFool, Linf norm, from a long name " * 2
HISTORY = [EpochResult(n, learning_rate=0.1, loss=1, accuracy=0.5, test_loss=1, test_accuracy=0.5)
           for n in range(1, 9)]


def curve(source, title=None, published=None):
    points = [CurvePoint(spent, RATE, spent > 100) for spent in (10, 100, 1000)]
    return pictures.CurveLine(title or source, source, points, RATE, published)


def confusion(path, count, panels):
    names = (CLASSES + [f"a class with a long name {i}" for i in range(count)])[:count]
    figures.confusion_matrices(
        path, {"UAP from " + source: 1000 * np.eye(count, dtype=int) for source in panels}, names,
        TITLE, "predicted clean", "predicted under the UAP")


def examples(path, images, rows):
    names = (CLASSES + ["a class with a long name"])[:images]
    pictures.example_grid(
        path, np.full((images, 16, 16, 3), 99, np.uint8),
        [f"true {name}\n{name} 0.93" for name in names],
        [pictures.ExampleRow(source, V, [name + " 0.93" for name in names], [True] * images)
         for source in rows], TITLE)


DRAWN = {
    "rates": lambda path: pictures.rates(path, [
        pictures.RateBar(f"{model}, DeepFool", source, RATE, [RATE, RATE])
        for model in MODELS for source in SOURCES], STYLES),
    "one curve": lambda path: pictures.curves(
        path, {"VGG16": [curve("ILSVRC2012")]}, STYLES, TITLE, "images shown"),
    "curves in a part of the page": lambda path: pictures.curves(
        path, {model: [curve(source) for source in SOURCES] for model in MODELS[1:4]}, STYLES, None,
        "images shown", pictures.PART_OF_A_PAGE),
    "curves of five models": lambda path: pictures.curves(
        path, {model: [curve(source, published=80) for source in SOURCES] for model in MODELS},
        STYLES, TITLE, "seconds of computing"),
    "confusion of 7 classes": lambda path: confusion(path, 7, SOURCES),
    "confusion of 12 classes": lambda path: confusion(path, 12, SOURCES[:3]),
    "confusion of 20 classes": lambda path: confusion(path, 20, SOURCES[:2]),
    "confusion of 100 classes": lambda path: confusion(path, 100, SOURCES[:1]),
    "three examples": lambda path: examples(path, 3, SOURCES[:1]),
    "seven examples": lambda path: examples(path, 7, SOURCES),
    "a UAP": lambda path: uap_picture(path, V, TITLE),
    "a training": lambda path: learning_curve(path, HISTORY, MODELS[3]),
    "a trained model": lambda path: confusion_matrix(
        path, np.eye(7, dtype=int), CLASSES, MODELS[3] + ", 1819 test images, accuracy 78.7 %")}


@pytest.fixture
def figure_of(tmp_path, monkeypatch):
    """Function from a name of DRAWN to the figure and the file's width."""
    kept = []
    monkeypatch.setattr(figures.plt, "close", kept.append)
    yield lambda name: (DRAWN[name](str(tmp_path / "a.png")), kept[-1],
                        Image.open(str(tmp_path / "a.png")).width)[1:]
    monkeypatch.undo()
    figures.plt.close("all")


def texts_of(figure):
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_fits_on_a_page_its_letters_can_be_read_there_and_none_is_cut_off(
        figure_of, name):
    figure, width = figure_of(name)
    assert width <= MOST_WIDTH
    shrunk = min(1, PAGE_WIDTH / width)
    for text in texts_of(figure):
        assert text.get_fontsize() * figure.dpi / 72 * shrunk >= LEAST_LETTERS, text
    drawn = figure.get_tightbbox(figure.canvas.get_renderer())  # inches
    width, height = figure.get_size_inches()
    assert min(drawn.x0, drawn.y0) > -0.02 and drawn.x1 < width + 0.02
    assert drawn.y1 < height + 0.02


def test_a_uap_of_zeros_is_said_to_be_0_and_not_magnified(figure_of, monkeypatch):
    monkeypatch.setitem(globals(), "V", np.zeros_like(V))
    assert magnified(V).factor == 1 and (magnified(V).picture == 0.5).all()
    for name in ("a UAP", "three examples"):
        figure, _ = figure_of(name)
        texts = "\n".join(text.get_text() for text in texts_of(figure))
        assert "UAP is 0" in texts and "×" not in texts and "shown x" not in texts


@pytest.mark.parametrize("name", ["curves of five models", "confusion of 7 classes"])
def test_at_most_three_panels_stand_in_a_row(figure_of, name):
    figure, _ = figure_of(name)
    tops = [round(axis.get_position().y1, 2) for axis in figure.axes if axis.get_title()]
    assert len(tops) > 3 and max(tops.count(top) for top in tops) == 3


def test_a_picture_has_one_legend(figure_of):
    for name in ("rates", "curves of five models", "a training"):
        figure, _ = figure_of(name)
        legends = figure.legends + [axis.get_legend() for axis in figure.axes if axis.get_legend()]
        assert len(legends) == 1, name


def test_a_source_has_the_same_colour_in_every_picture_and_no_other_source_has_it():
    of_all = pictures.source_styles(SOURCES + ["none", "b"])
    assert len({style.color for style in of_all.values()}) == len(of_all)
    assert [of_all[source] for source in SOURCES[:3]] == [
        pictures.source_styles([])[source] for source in SOURCES[:3]]


def test_lines_from_one_source_have_its_colour_and_differ_otherwise(figure_of, monkeypatch):
    monkeypatch.setitem(DRAWN, "three attacks", lambda path: pictures.curves(
        path, {"VGG16": [curve(SOURCES[3], title) for title in ("DeepFool", "FGSM", "SGD")]},
        STYLES, "title", "seconds"))
    figure, _ = figure_of("three attacks")
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 1]
    assert {line.get_color() for line in lines} == {STYLES[SOURCES[3]].color}
    drawn = {line.get_linestyle() for line in lines} - {"None"}
    markers = list(dict.fromkeys(line.get_marker() for line in lines
                                 if line.get_linestyle() == "None"))
    assert len(drawn) == len(markers) == 3
    of_sources = {style.marker for style in (*STYLES.values(), *pictures.MORE_STYLES)}
    assert [marker in of_sources for marker in markers] == [True, False, False]


@pytest.mark.parametrize("count, is_numbered", [(7, True), (20, True), (21, False), (500, False)])
def test_a_confusion_picture_of_many_classes_has_no_numbers_and_few_names(
        figure_of, monkeypatch, count, is_numbered):
    monkeypatch.setitem(DRAWN, "confusion", lambda path: confusion(path, count, SOURCES[:1]))
    figure, _ = figure_of("confusion")
    numbers = [text.get_text() for text in figure.axes[0].texts]
    assert numbers.count("1000") == (count if is_numbered else 0)
    assert len(figure.axes[0].get_yticklabels()) <= 40
