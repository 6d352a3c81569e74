"""The numbers in the documents of results/reproduction are those of its committed rows."""

import json
import os
import pathlib
import re

import numpy as np
import pytest
from PIL import Image
from scipy import stats

import checkout
from utils.evaluation.evaluated_uap import find, read_evaluated
from utils.report.numbers import against_controls

DEEPFOOL, FGSM, SGD = "ilsvrc2012-images-10000", "ilsvrc2012-fgsm", "ilsvrc2012-sgd-images-10000"
NUMBER = r"\d+\.\d"


def document(name):
    with open(os.path.join(checkout.REPRODUCTION, name), encoding="utf-8") as file:
        return file.read()


def table_rows(text):
    """The rows of all tables, each a list of the texts of its cells."""
    return [[cell.strip() for cell in line.split("|")[1:-1]]
            for line in text.splitlines() if line.startswith("|")]


def columns_of(model, run, group="main"):
    """predictions.csv as a dict from the column to an array of its cells."""
    rows = checkout.read_csv(checkout.REPRODUCTION, group, model, run, "predictions.csv")
    return {column: np.array([row[column] for row in rows]) for column in rows[0]}


def in_percent(hits):
    """The share of hits and its Wilson 95 % interval, as the documents print them."""
    n, share, z = len(hits), np.mean(hits), stats.norm.ppf(0.975)
    middle = share + z ** 2 / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z ** 2 / (4 * n ** 2))
    low, high = (middle + np.array([-half, half])) / (1 + z ** 2 / n)
    return f"{100 * share:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


@pytest.mark.parametrize("place, model, photographs, lesions", [
    (1, "InceptionV3", (DEEPFOOL, FGSM, SGD), ("isic2018", "isic2018-fgsm", "isic2018-sgd")),
    (3, "VGG16", (DEEPFOOL, FGSM, SGD), ("isic2018", "isic2018-fgsm", "isic2018-sgd")),
])
def test_the_table_of_the_readme(place, model, photographs, lesions):
    rows = {row[0]: row[place:place + 2] for row in table_rows(document("README.md"))}
    pairs = {"DeepFool": 0, "FGSM": 1, "SGD": 2}
    for attack, k in pairs.items():
        assert rows[attack] == [in_percent(found["uap"] != found["clean"]) for found in (
            columns_of(model, photographs[k]), columns_of(model, lesions[k]))]
    for title, column in (("control: SGD's UAP, shuffled", "permuted"),
                          ("control: a random vector", "random")):
        assert rows[title] == [in_percent(found[column] != found["clean"]) for found in (
            columns_of(model, photographs[2]), columns_of(model, lesions[2]))]
    published = checkout.read_csv(checkout.ROOT, "results", "published.csv")
    assert list(map(float, rows["published, 299 px"])) == [
        float(row[model]) for source in ("ilsvrc2012", "isic2018") for row in published
        if row["source"] == source]


def columns_at_full_size(model, run):
    return columns_of(model, run, "full-size")


def fooled_after(model, run, images):
    """Whether each test image is fooled by the UAP as it was after so many images."""
    curve = checkout.read_csv(checkout.REPRODUCTION, "full-size", model, run, "curve.csv")
    return np.array([row[images] for row in curve]) != columns_at_full_size(model, run)["clean"]


def test_the_table_of_the_study_s_size():
    runs = {"InceptionV3-299": {
        "by SGD, 5,000 photographs": "natural-sgd-images-5000",
        "by FGSM, 5,000 photographs": "natural-fgsm-images-5000",
        "the authors' own, of another InceptionV3": "authors-noise-71135c47"},
            "InceptionV3-299-7-epochs": {
        "by SGD, 5,000 photographs": "natural-sgd-images-5000-bfloat16",
        "by FGSM, 5,000 photographs": "natural-fgsm-images-5000-bfloat16"}}
    classifier, compared = None, 0
    for row in table_rows(document("README.md")):
        if len(row) != 6:
            continue
        classifier = row[0] or classifier
        if row[1] not in runs.get(classifier, ()):
            continue
        found = columns_at_full_size(classifier, runs[classifier][row[1]])
        assert row[2:] == [in_percent(found[column] != found["clean"])
                           for column in ("uap", "permuted", "random")] + [
            f"{100 * np.mean(found['uap'] == found['label']):.1f}"]
        compared += 1
    assert compared == sum(map(len, runs.values()))
    for title, images, rate in (("by SGD, 5,000 photographs", "208", 86),
                                ("by FGSM, 5,000 photographs", "1000", 43)):
        fooled = fooled_after("InceptionV3-299", runs["InceptionV3-299"][title], images)
        assert int(100 * np.mean(fooled)) == rate


def test_every_uap_at_full_size_fools_more_images_than_both_controls():
    tests = [test for each in against_controls([read_evaluated(folder) for folder in find(
        os.path.join(checkout.REPRODUCTION, "full-size"))]) for test in each.tests.values()]
    assert all(test.one_is_better for test in tests)
    assert (f"p at most {max(test.p_holm for test in tests):.0e} after Holm's correction for these "
            f"{len(tests)} tests") in " ".join(document("README.md").split())


def test_the_table_of_the_published_run():
    """Theirs and ours at equal numbers of images, and the largest distance between them."""
    models = [f"InceptionV3-299-{epochs}-epochs" for epochs in (5, 7)]
    run = "natural-fgsm-l2-images-10000-step-0.0005-bfloat16"
    theirs = {int(row["images"]): row for row in checkout.read_csv(
        checkout.REPRODUCTION, "full-size", "authors-curve.csv")}
    snapshots = [{snapshot["images"]: snapshot for snapshot in json.loads(document(
        os.path.join("full-size", model, run, "run.json")))["snapshots"].values()}
                 for model in models]
    text = document("README.md")
    rows = {row[0]: row[1:] for row in table_rows(text) if re.fullmatch(r"\d+,000", row[0])}
    assert set(rows) == {"1,000", "2,000", "5,000", "10,000"}
    distances = []
    for title, row in rows.items():
        images = int(title.replace(",", ""))
        fooled = [fooled_after(model, run, str(images)) for model in models]
        published = 100 * float(theirs[images]["fooling_rate"])
        distances += [100 * np.mean(each) - published for each in fooled]
        assert row == [
            f"{published:.1f}", *map(in_percent, fooled), f"{float(theirs[images]['norm']):.1f}",
            *(f"{of_model[images]['norm']:.1f}" for of_model in snapshots)]
    assert f"{max(map(abs, distances)):.0f} points" in text
    kept = [100 * of_model[10000]["steps_kept"] / of_model[10000]["steps_made"]
            for of_model in snapshots]
    assert "kept {:.0f} and {:.0f} % of their steps".format(*kept) in " ".join(text.split())


def test_the_table_of_unsure_and_sure_images():
    runs = {"DeepFool, 10,000 photographs": DEEPFOOL, "FGSM, 14,394 photographs": FGSM,
            "SGD, 10,000 photographs": SGD, "SGD, 500 photographs": "photographs-sgd",
            "DeepFool, 4,165 lesions": "isic2018", "FGSM, 4,165 lesions": "isic2018-fgsm"}
    title, compared = None, 0
    for row in table_rows(document("mechanism.md")):
        if len(row) != 4 or row[1] not in ("InceptionV3", "VGG16"):
            continue
        title = row[0] or title
        found = columns_of(row[1], runs[title])
        fooled, sure = found["uap"] != found["clean"], found["clean_confidence"].astype(float)
        expected = [f"{100 * np.mean(fooled[part]):.1f} ({np.sum(part)})"
                    for part in (sure < 0.6, sure >= 0.99)]
        assert row[2:] == expected
        compared += 1
    assert compared == 2 * len(runs)


def test_the_sentences_on_sure_lesions_at_two_sizes():
    text = " ".join(document("mechanism.md").split())
    for model, group, said in (
            ("InceptionV3-299", "full-size", "fools {:.1f} % of the {} test lesions"),
            ("InceptionV3-128", "sizes", "is fooled on {:.1f} % of the {} of which")):
        found = columns_of(model, "natural-fgsm-images-5000", group)
        sure = found["clean_confidence"].astype(float) >= 0.99
        fooled = np.mean(found["uap"][sure] != found["clean"][sure])
        assert said.format(100 * fooled, np.sum(sure)) in text


def test_the_table_of_three_sizes():
    run = "natural-fgsm-images-5000"
    rows = {row[0]: row[1:] for row in table_rows(document("README.md"))
            if row[0] in ("InceptionV3-299", "InceptionV3-128", "InceptionV3-75")
            and row[1].endswith("%")}
    images = set()
    for model, group in (("InceptionV3-299", "full-size"), ("InceptionV3-128", "sizes"),
                         ("InceptionV3-75", "sizes")):
        found = columns_of(model, run, group)
        record = json.loads(document(os.path.join(group, model, run, "run.json")))
        images.add(record["images"]["sha256"])
        assert rows[model] == [
            f"{100 * np.mean(found['clean'] == found['label']):.1f} %",
            *(in_percent(found[column] != found["clean"])
              for column in ("uap", "permuted", "random")),
            "{kept:,} of {made:,}".format(**record["steps"])]
    assert len(images) == 1  # the same photographs


def test_the_table_of_distances_from_the_boundary():
    steps = {model: checkout.read_csv(
        checkout.REPRODUCTION, "ablations", f"steps-{model}.csv")
             for model in ("InceptionV3", "VGG16")}
    rows = {row[0]: row[1:] for row in table_rows(document("mechanism.md")) if len(row) == 5}
    for title, column, summary in (
            ("logit margin", "logit_margin", np.median),
            ("length of DeepFool's step, in units of xi", "deepfool_step", np.median),
            ("a step of FGSM changes the label of", "fgsm_changes",
             lambda values: 100 * np.mean(values))):
        expected = [summary([float(row[column]) for row in steps[model]
                             if (row["source"] == "ilsvrc2012") == is_photograph])
                    for model in ("InceptionV3", "VGG16") for is_photograph in (True, False)]
        for said, value in zip(rows[title], expected):
            said = said.replace(" %", "")
            digits = len(said.partition(".")[2])
            assert float(said) == pytest.approx(value, abs=0.51 * 10 ** -digits)


def test_the_accuracies_of_the_classifiers():
    compared = set()
    for row in table_rows(document("classifiers.md")):
        if len(row) != 7 or not re.match(NUMBER, row[4]):
            continue
        test = json.loads(document(os.path.join("models", row[0] + ".json")))["scores"]["test"]
        recalls = list(test["recall"].values()) if "recall" in test else recalls_of_rows(row[0])
        assert float(row[4].rstrip(" %")) == pytest.approx(100 * test["accuracy"], abs=0.051)
        assert float(row[5].rstrip(" %*")) == pytest.approx(100 * np.mean(recalls), abs=0.051)
        compared.add(row[0])
    assert compared == {path.parts[-3] for path in paths_of_rows()}


def paths_of_rows():
    """Every committed predictions.csv."""
    return pathlib.Path(checkout.REPRODUCTION).glob("**/predictions.csv")


def recalls_of_rows(model):
    """The recall of each class, from the rows of the UAP that has most of them."""
    of_runs = [columns_of(model, path.parent.name, str(path.parents[2].relative_to(
        checkout.REPRODUCTION))) for path in paths_of_rows() if path.parts[-3] == model]
    found = max(of_runs, key=lambda columns: len(columns["label"]))
    return [np.mean(found["clean"][found["label"] == name] == name)
            for name in np.unique(found["label"])]


def test_the_groups_have_the_test_images_that_the_readme_says():
    said = {re.match(r"\[(.*)\]", row[0]).group(1): row[2]
            for row in table_rows(document("README.md")) if row[0].startswith("[")}
    assert set(said) == set(checkout.GROUPS)
    for group, text in said.items():
        found = {row["test_images"] for row in checkout.read_csv(
            checkout.REPRODUCTION, group, "table.csv") if row["run"]}
        assert found == {text.replace(",", "")}


def test_the_hours_that_all_of_it_took():
    found = [json.loads(path.read_text(encoding="utf-8")) for pattern in (
        "**/run.json", "models/*.json") for path in pathlib.Path(
            checkout.REPRODUCTION).glob(pattern)]
    seconds = sum(each.get("seconds", 0) + each.get("seconds_of_training", 0) for each in found)
    assert f"trainings and attacks took {seconds / 3600:.0f} hours" in " ".join(
        document("README.md").split())


def test_the_report_of_the_main_group_is_small_and_whole():
    """Its pictures have 64 colours, its examples are JPEGs, and its links lead to files."""
    folder = pathlib.Path(checkout.REPRODUCTION, "main")
    pages = [folder / "report.md", *folder.glob("report/*.md")]
    linked = {page.parent / link for page in pages
              for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))}
    assert [path for path in linked if not path.is_file()] == []
    assert set(folder.glob("report/*")) == linked
    pictures = [path for path in linked if path.suffix != ".md"]
    assert {path.suffix: path.name.startswith("example") for path in pictures} == {
        ".jpg": True, ".png": False}
    for path in pictures:
        assert path.suffix == ".jpg" or len(Image.open(path).convert("RGB").getcolors()) <= 64
