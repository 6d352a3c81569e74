"""The numbers in the documents of results/reproduction are those of its committed rows."""

import glob
import json
import os
import re

import numpy as np
import pytest
from scipy import stats

import checkout

FOLDER = os.path.join(checkout.ROOT, "results", "reproduction")
DEEPFOOL, FGSM, SGD = "ilsvrc2012-images-10000", "ilsvrc2012-fgsm", "ilsvrc2012-sgd-images-10000"
NUMBER = r"\d+\.\d"


def document(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return file.read()


def table_rows(text):
    """The rows of all tables, each a list of the texts of its cells."""
    return [[cell.strip() for cell in line.split("|")[1:-1]]
            for line in text.splitlines() if line.startswith("|")]


def columns_of(model, run):
    """predictions.csv as a dict from the column to an array of its cells."""
    rows = checkout.read_csv(FOLDER, model, run, "predictions.csv")
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


def test_the_table_of_unsure_and_sure_images():
    runs = {"DeepFool, 10,000 photographs": DEEPFOOL, "FGSM, 14,394 photographs": FGSM,
            "SGD, 10,000 photographs": SGD, "DeepFool, 4,165 lesions": "isic2018"}
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


def test_the_table_of_distances_from_the_boundary():
    steps = {model: checkout.read_csv(FOLDER, f"steps-{model}.csv")
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
        with open(os.path.join(FOLDER, "models", row[0] + ".json"), encoding="utf-8") as file:
            test = json.load(file)["scores"]["test"]
        recalls = list(test["recall"].values()) if "recall" in test else recalls_of_rows(row[0])
        assert float(row[4].rstrip(" %")) == pytest.approx(100 * test["accuracy"], abs=0.051)
        assert float(row[5].rstrip(" %*")) == pytest.approx(100 * np.mean(recalls), abs=0.051)
        compared.add(row[0])
    assert compared == {os.path.basename(path) for path in glob.glob(
        os.path.join(FOLDER, "*")) if glob.glob(os.path.join(path, "ilsvrc2012-*"))}


def recalls_of_rows(model):
    """The recall of each class, from the rows of the UAP that has most of them."""
    runs = glob.glob(os.path.join(FOLDER, model, "*", "predictions.csv"))
    of_runs = [columns_of(model, os.path.basename(os.path.dirname(path))) for path in runs]
    found = max(of_runs, key=lambda columns: len(columns["label"]))
    return [np.mean(found["clean"][found["label"] == name] == name)
            for name in np.unique(found["label"])]
