"""report.html in a real browser: it sorts, shows what is chosen, and asks no network for anything.

Continuous integration has a browser, and so must run these tests; elsewhere they are skipped where
there is none.
"""

import os
import re

import numpy as np
import pytest
from browser import find_browser, open_page
from evaluated_runs import CLASSES, N, evaluated, read_text, write, write_random_run
from PIL import Image

from utils.evaluation.metrics import rate
from utils.report.document import line, strong_percent
from utils.report.html import sort_value

needs_browser = pytest.mark.skipif(
    find_browser() is None and not os.environ.get("CI"), reason="no Chromium or Chrome is there")
HOSTILE = "<img src=http://127.0.0.1:9/ onerror=alert(1)></script>"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A results folder with a report: two classifiers, three UAPs, one of a hostile name."""
    folder = str(tmp_path_factory.mktemp("html"))
    labels = np.resize(CLASSES, N)
    os.makedirs(os.path.join(folder, "pictures"))
    for i in range(7):
        pixels = np.random.RandomState(i).randint(0, 256, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(os.path.join(folder, "pictures", f"{i:03d}.png"))
    for seed, (model, source, attack) in enumerate((
            ("VGG16", "ilsvrc2012", "deepfool"), ("VGG16", "isic2018", "deepfool"),
            ("VGG16", "ilsvrc2012", "sgd"), ("ResNet50", HOSTILE, "deepfool"))):
        write_random_run(os.path.join(folder, "results", model, f"run-{seed}"), seed, labels,
                         labels, model=model, source=source, attack=attack)
    write(folder)
    return folder


def test_the_file_is_whole_and_names_no_address_but_data(results):
    page = read_text(results, "results", "report.html")
    tags = re.findall("<[a-z][^<>]*>", page)
    addresses = re.findall(r'\s(?:src|href)="([^"]*)"', " ".join(tags))
    assert [each for each in addresses if not each.startswith(("data:", "#"))] == []
    assert not any("src=" in tag or "url(" in tag for tag in tags if 'src="data:' not in tag)
    assert page.count("data:image/png;base64,") > 10
    assert "default-src 'none'" in page
    assert HOSTILE not in page and "&lt;img src=http" in page


def test_every_page_is_part_of_it(results):
    page = read_text(results, "results", "report.html")
    names = {name[:-3] for name in os.listdir(os.path.join(results, "results", "report"))
             if name.endswith(".md")}
    assert len(names) > 8 and set(re.findall('<details id="(.*?)">', page)) == names
    assert set(re.findall('<a href="#(.*?)">', page)) == names


@pytest.mark.parametrize("cell, value", [
    (rate(np.array([True, False])), 0.5), (strong_percent(rate(np.array([True, False]))), 50.0),
    (1234, 1234.0), ("> 1,000", 1000.0), ("≤ 12 [3, 4]", 12.0), ("7e-05", 7e-5),
    ("< 1e-300", 1e-300), ("not run", None), (None, None), (line("VGG16"), None), ("-", None)])
def test_cells_are_sorted_by_the_number_that_they_begin_with(cell, value):
    assert sort_value(cell) == value


def open_report(results, tmp_path, steps, *flags):
    return open_page(os.path.join(results, "results", "report.html"), str(tmp_path), steps, *flags)


@needs_browser
def test_the_browser_reports_no_error_and_asks_no_network(results, tmp_path):
    opened = open_report(results, tmp_path, """
        await wait(() => document.getElementById("viewer").dataset.shown);
        for (const each of document.querySelectorAll("details")) each.open = true;
        return Array.from(document.images, image => image.naturalWidth);""")
    assert opened.failures == [] and opened.requested == []
    assert len(opened.found) > 10 and min(opened.found) > 0


@needs_browser
def test_an_error_and_a_request_would_be_noticed(results, tmp_path):
    steps = """
        await fetch("http://127.0.0.1:9/x.png").catch(() => null);
        throw new Error("found");"""
    opened = open_report(results, tmp_path, steps)
    assert any("http://127.0.0.1:9" in each for each in opened.failures)
    assert any("found" in each for each in opened.failures)
    page = read_text(results, "results", "report.html")
    (tmp_path / "unprotected.html").write_text(
        page.replace("default-src 'none'", "default-src *"), encoding="utf-8")
    opened = open_page(str(tmp_path / "unprotected.html"), str(tmp_path), steps)
    assert opened.requested == ["http://127.0.0.1:9/x.png"]


@needs_browser
def test_a_click_on_a_heading_sorts_by_number_and_another_one_the_other_way_round(
        results, tmp_path):
    opened = open_report(results, tmp_path, """
        const table = document.querySelector("table"), found = {};
        const column = name => Array.from(table.tHead.rows[0].cells).findIndex(
          cell => cell.textContent.trim() === name);
        const texts = place => Array.from(table.tBodies[0].rows).map(
          row => row.cells[place].textContent.trim());
        for (const name of ["fooling rate", "classifier"]) {
          const place = column(name), button = table.tHead.rows[0].cells[place].firstElementChild;
          found[name] = [1, 2].map(() => {
            button.click();
            return [button.parentNode.getAttribute("aria-sort"), texts(place)];
          });
        }
        return found;""")
    (up, rates), (down, reversed_rates) = opened.found["fooling rate"]
    assert (up, down) == ("ascending", "descending")
    values = [float(text.split()[0]) for text in rates]
    assert values == sorted(values) and len(values) == 3
    assert reversed_rates == rates[::-1]
    (_, names), (_, reversed_names) = opened.found["classifier"]
    assert names == ["ResNet50", "VGG16", "VGG16"] and reversed_names == names[::-1]


CHOOSE = """
    const choose = async (name, text) => {
      const select = document.getElementById(name);
      delete document.getElementById("viewer").dataset.shown;
      select.value = Array.from(select.options).find(option => option.text.includes(text)).value;
      select.dispatchEvent(new Event("change"));
      await wait(() => document.getElementById("viewer").dataset.shown);
    };
    const pixels = name => {
      const canvas = document.getElementById(name);
      const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      return Array.from(data).filter((_, i) => i % 4 !== 3);
    };
    const shown = () => Object.fromEntries(["clean", "uap", "attacked"].map(name => [name,
      [document.getElementById(name + "-text").textContent, pixels(name)]]));
    await wait(() => document.getElementById("viewer").dataset.shown);
"""


@needs_browser
def test_the_viewer_shows_the_chosen_image_clean_the_uap_and_the_attacked_image(results, tmp_path):
    opened = open_report(results, tmp_path, CHOOSE + """
        await choose("classifier", "VGG16");
        await choose("source", "ILSVRC2012");
        await choose("attack", "SGD");
        await choose("image", "BCC");
        return shown();""")
    assert opened.failures == []
    (run,) = [run for run in evaluated(results) if run.uap.name == "run-2"]
    v = np.load(os.path.join(run.folder, "uap.npy"))
    clean = np.asarray(Image.open(os.path.join(results, "pictures", "002.png")), np.float64)
    attacked = np.rint(np.clip(clean + 128 * v.astype(np.float64), 0, 255))
    text, pixels = opened.found["clean"]
    np.testing.assert_array_equal(np.reshape(pixels, (8, 8, 3)), clean)
    assert "true class BCC (002.png)" in text
    third = {name: cells[2] for name, cells in run.predictions.items()}
    assert f"clean: {third['clean']}, {100 * float(third['clean_confidence']):.1f} %" in text
    text, pixels = opened.found["attacked"]
    np.testing.assert_array_equal(np.reshape(pixels, (8, 8, 3)), attacked)
    assert text == (f"attacked: {third['uap']}, {100 * float(third['uap_confidence']):.1f} %; as "
                    f"an image file: {third['uap_8bit']}")
    text, pixels = opened.found["uap"]
    factor = 127.5 / (128 * np.abs(v).max())
    assert f"UAP × {factor:.1f}: run-2" in text
    np.testing.assert_allclose(np.reshape(pixels, (8, 8, 3)), 127.5 + factor * 128 * v, atol=6)


@needs_browser
def test_the_viewer_offers_the_sources_and_attacks_of_the_chosen_classifier_alone(
        results, tmp_path):
    opened = open_report(results, tmp_path, CHOOSE + """
        const found = [], texts = name => Array.from(
          document.getElementById(name).options, option => option.text);
        for (const name of texts("classifier")) {
          await choose("classifier", name);
          found.push([name, texts("source"), texts("attack")]);
        }
        return found;""")
    assert opened.failures == []
    assert opened.found == [["VGG16", ["ILSVRC2012", "ISIC2018"], ["DeepFool", "SGD"]],
                            ["ResNet50", [HOSTILE], ["DeepFool"]]]


@needs_browser
def test_a_link_unfolds_its_appendix(results, tmp_path):
    opened = open_report(results, tmp_path, """
        document.querySelector("a[href='#sensitivity']").click();
        await wait(() => document.getElementById("sensitivity").open);
        return document.querySelectorAll("details[open]").length;""")
    assert opened.failures == [] and opened.found == 1


@needs_browser
@pytest.mark.parametrize("flags", [["--window-size=390,800"], ["--window-size=1200,900"]],
                         ids=["phone", "desk"])
def test_nothing_but_tables_is_wider_than_the_window(results, tmp_path, flags):
    opened = open_report(results, tmp_path, """
        for (const each of document.querySelectorAll("details")) each.open = true;
        return [document.documentElement.scrollWidth, innerWidth];""", *flags)
    width, window = opened.found
    assert width <= window


@needs_browser
def test_the_first_page_on_seven_classifiers_takes_two_screens_and_stands_in_columns(tmp_path):
    labels = np.resize(CLASSES, N)
    for seed in range(14):
        model, source = f"InceptionV3-{seed // 2}", ("ilsvrc2012", "isic2018")[seed % 2]
        write_random_run(str(tmp_path / "results" / model / source), seed, labels, labels,
                         model=model, source=source)
    (tmp_path / "pictures").mkdir()
    for i in range(7):
        Image.new("RGB", (8, 8)).save(str(tmp_path / "pictures" / f"{i:03d}.png"))
    write(str(tmp_path))
    opened = open_report(str(tmp_path), tmp_path, """
        await wait(() => document.getElementById("viewer").dataset.shown);
        const tops = Array.from(document.querySelectorAll(".columns h2"),
                                heading => heading.getBoundingClientRect().top);
        return [document.getElementById("viewer").getBoundingClientRect().top, tops];""",
        "--window-size=1280,800")
    height, (fool, look, images, differs) = opened.found
    assert opened.failures == [] and height <= 2 * 800
    assert fool == look < images == differs


@needs_browser
def test_light_and_dark_colour_schemes_differ_and_text_stands_out_in_both(results, tmp_path):
    found = {}
    for scheme, flags in (("light", []), ("dark", ["--force-dark-mode"])):
        folder = tmp_path / scheme
        folder.mkdir()
        found[scheme] = open_report(results, folder, """
            const style = getComputedStyle(document.body);
            const brightness = text => text.match(/[0-9]+/g).slice(0, 3).reduce(
              (sum, each) => sum + Number(each) / 3, 0);
            return [matchMedia("(prefers-color-scheme: dark)").matches,
                    brightness(style.backgroundColor), brightness(style.color)];""", *flags).found
    assert found["light"][0] is False and found["dark"][0] is True
    assert found["light"][1] > 200 > 100 > found["light"][2]
    assert found["dark"][1] < 100 < 200 < found["dark"][2]
