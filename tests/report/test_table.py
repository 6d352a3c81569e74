"""The table, computed from rows written by hand whose numbers can be counted on fingers."""

import os
import re

import numpy as np
import pytest
from small_study import tables_of

import checkout
from utils.common.csv_files import write_csv
from utils.common.errors import UserError
from utils.evaluation.evaluated_uap import (
    EvaluatedUap,
    classifier_of,
    find,
    read_evaluated,
    uap_of,
)
from utils.report import table
from utils.report.document import p_value
from utils.report.settings import differences
from utils.report.study_table import CellKey, study_tables

MODELS = ("VGG16", "ResNet50", "InceptionV3")
PUBLISHED = {("open_images_v5", "VGG16"): 82.5, ("open_images_v5", "ResNet50"): 86.7,
             ("open_images_v5", "InceptionV3"): 76.3, ("ilsvrc2012", "VGG16"): 83.2,
             ("ilsvrc2012", "ResNet50"): 87.0, ("ilsvrc2012", "InceptionV3"): 72.5,
             ("isic2018", "VGG16"): 86.4, ("isic2018", "ResNet50"): 94.3,
             ("isic2018", "InceptionV3"): 81.2}  # of the study's slides
Z = 1.959963984540054
FIRST = "images the UAP is made from"
ROWS = """
    NV    NV    MEL   MEL   NV    NV
    NV    NV    MEL   NV    NV    NV
    NV    NV    DF    DF    NV    NV
    MEL   NV    MEL   MEL   MEL   NV
    MEL   MEL   NV    NV    MEL   MEL
    MEL   MEL   MEL   MEL   MEL   MEL
    DF    DF    MEL   MEL   DF    DF
    DF    MEL   DF    DF    MEL   DF
    AKIEC AKIEC AKIEC AKIEC AKIEC NV
    AKIEC NV    AKIEC NV    NV    NV
"""
COLUMNS = dict(zip(("label", "clean", "uap", "uap_8bit", "random", "permuted"),
                   np.array([line.split() for line in ROWS.strip().splitlines()]).T))


def run_of(repeated=100, identity=(), **changes):
    """With the published table's settings, its rows repeated; changes: to predictions.json."""
    record = dict({
        "model": "VGG16", "model_sha256": "m", "uap_sha256": "v", "image_folder": "pictures",
        "resize": "bilinear", "made_for": "VGG16", "source": "ilsvrc2012", "attack": "deepfool",
        "norm": "inf", "norm_ratio": 0.04, "target": None, "run": "ilsvrc2012", "images": 10000,
        "passes": 1, "norm_bound": 0.0791, "steps": {"made": 8, "kept": 2}, "image_size": 299,
        "class_names": ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"], "backbone": False,
        "weights_from": "ImageNet by Keras", "snapshots": {}, "recipe": "study", "epochs": 100,
        "learning_rate": 0.001, "batch_size": 32,
        "identity": dict({"seed": 3, "step_size": None}, **dict(identity))}, **changes)
    return EvaluatedUap(
        folder="", classifier=classifier_of(record), uap=uap_of(record), test_sha256="t",
        control_seed=0, curve={}, transfer={}, rows_sha256="r", made={},
        predictions={name: np.tile(cells, repeated) for name, cells in COLUMNS.items()})


RATES = ("rate", "rate_8bit", "random", "permuted")


def test_an_untargeted_run_is_summarised_by_the_share_of_changed_predictions():
    found = table.summarise(run_of(1))
    assert [getattr(found, key).value for key in RATES] == pytest.approx([0.8, 0.6, 0.1, 0.2])
    assert (found.accuracy_clean.value, found.accuracy_uap.value) == (0.7, 0.5)
    # fooled by the UAP alone: 7, by the permuted one alone: 1
    assert found.mcnemar_p == pytest.approx(2 * (1 + 8) / 2 ** 8)
    assert (found.dominant.name, found.dominant.share.value) == ("MEL", 0.5)
    assert (found.largest_label.name, found.largest_label.share.value) == ("MEL", 0.3)
    assert found.target_share is None and found.test_images == 10
    assert (found.steps_made, found.steps_kept, found.seed) == (8, 2, 3)
    for key in ("made_for", "source", "attack", "images", "passes", "norm_bound"):
        assert getattr(found, key) == getattr(run_of().uap, key)
    assert (found.model, found.run) == ("VGG16", "ilsvrc2012")
    for bound in (found.rate.low, found.rate.high):  # the equation that Wilson's interval solves
        assert (0.8 - bound) ** 2 == pytest.approx(Z ** 2 * bound * (1 - bound) / 10)


# AKIEC is the first class by name, MEL the first of ISIC2018; no prediction names VASC. Clean, 1, 3
# and 5 of the 10 images are predicted as AKIEC, MEL and NV.
@pytest.mark.parametrize("target, others, successes, predicted", [
    ("AKIEC", 9, [1, 0, 0, 0], 2), ("MEL", 7, [4, 3, 1, 0], 5), ("NV", 5, [1, 1, 0, 1], 1),
    ("VASC", 10, [0, 0, 0, 0], 0)])
def test_a_targeted_run_is_summarised_by_the_images_that_were_not_the_target(
        target, others, successes, predicted):
    found = table.summarise(run_of(1, target=target))
    assert [getattr(found, key).count for key in RATES] == successes
    assert {getattr(found, key).total for key in RATES} == {others}
    assert (found.target_share.count, found.target_share.total) == (predicted, 10)
    assert found.target == target


MARKS = [
    ({}, []), ({"attack": "fgsm"}, []), ({"model": "InceptionV3", "made_for": "InceptionV3"}, []),
    ({"source": "isic2018", "images": 7000}, []), ({"identity": {"seed": 9}}, []),
    ({"attack": "fgsm", "identity": {"step_size": 0.01}}, ["step 0.01"]),
    ({"attack": "sgd"}, ["SGD"]),
    ({"attack": "sgd", "identity": {"step_size": 0.01}}, ["SGD", "step 0.01"]),
    ({"attack": "a new one"}, ["a new one"]),
    ({"norm": "2"}, ["L2 norm"]), ({"norm_ratio": 0.1}, ["ratio 0.1"]),
    ({"passes": 5}, ["5 passes"]), ({"target": "MEL"}, ["target MEL"]),
    ({"identity": {"target_fooling_rate": 0.8}}, ["until 0.8 fooled"]),
    ({"made_for": "ResNet50"}, ["made for ResNet50"]),
    ({"class_names": ["healthy", "ill"]}, ["other classes"]), ({"image_size": 96}, ["96 px"]),
    ({"weights_from": "random"}, ["random weights"]), ({"weights_from": None}, ["? weights"]),
    ({"weights_from": {"file": "natural.h5"}}, ["weights from a file"]),
    ({"recipe": "follow-up", "epochs": 50}, ["recipe follow-up", "50 epochs"]),
    ({"learning_rate": 0.01, "batch_size": 16}, ["learning rate 0.01", "training batches of 16"]),
    ({"precision": "bfloat16"}, ["trained in bfloat16"]),
    ({"attack": "fgsm", "identity": {"precision": "bfloat16"}}, ["attack in bfloat16"]),
    ({"recipe": None, "epochs": None, "learning_rate": None, "batch_size": None,
      "precision": "bfloat16", "weights_from": {"file": "theirs.h5"}}, ["trained by other code"]),
    ({"images": 9999}, ["9999 images"]), ({"source": "isic2018", "images": 500}, ["500 images"]),
    ({"source": "photographs"}, ["from photographs"]), ({"repeated": 99}, ["990 test images"]),
    ({"image_size": 96, "images": None}, ["96 px", "? images"]),
    ({"source": "NonesuchNone"}, ["from NonesuchNone"]), ({"target": "None"}, ["target None"])]


@pytest.mark.parametrize("changes, marks", MARKS)
def test_a_published_rate_stands_only_beside_a_run_with_the_settings_of_the_table(changes, marks):
    run = run_of(**changes)
    assert differences(run) == marks
    found = table.summarise(run)
    assert found.differs == tuple(marks)
    assert found.published == (
        None if marks else PUBLISHED[run.uap.source, run.classifier.name])


def cells_of(runs):
    """For each table of the study's form: its cells by source and model; and the whole text."""
    text = table.to_markdown(runs)
    return [{(row[FIRST], model): row[model] for row in rows for model in MODELS}
            for rows in tables_of(text) if FIRST in rows[0]], text


def test_a_cell_shows_our_rate_its_interval_and_the_published_rate_or_that_it_was_not_run():
    (cells,), _ = cells_of([run_of()])
    assert len(cells) == 9
    assert cells.pop(("ILSVRC2012", "VGG16")) == "**80.0** [77.4, 82.4]; published 83.2"
    assert cells["ISIC2018", "InceptionV3"] == "not run; published 81.2"
    assert all(cell.startswith("not run; published ") for cell in cells.values())


def test_a_run_that_differs_says_so_in_its_cell_and_what_all_differ_in_stands_above():
    (cells,), text = cells_of([run_of(image_size=96, images=500),
                               run_of(image_size=96, model="ResNet50", made_for="ResNet50")])
    assert "Not as published: 96 px." in text
    assert cells["ILSVRC2012", "VGG16"].endswith("]; 500 images")
    assert cells["ILSVRC2012", "ResNet50"].endswith("]")


def test_runs_of_one_cell_stand_in_it_side_by_side_the_published_settings_first():
    runs = [run_of(norm_ratio=0.1, run="ilsvrc2012-ratio-0.1"),
            run_of(run="ilsvrc2012-seed-1", identity={"seed": 1}), run_of()]
    (cells,), _ = cells_of(runs)
    first, *others = cells["ILSVRC2012", "VGG16"].split("<br>")
    assert first.endswith("; published 83.2")
    assert [cell.split("]; ")[1] for cell in others] == [
        "ratio 0.1; ilsvrc2012-ratio-0.1", "published 83.2; ilsvrc2012-seed-1"]


def test_each_attack_and_norm_has_a_table_of_its_own():
    (_, sgd, fgsm, l2), text = cells_of([
        run_of(attack="sgd"), run_of(attack="fgsm"), run_of(norm="2"), run_of()])
    assert re.findall("UAPs by (.*?) norm[.]", text) == [
        "DeepFool, Linf", "SGD, Linf", "FGSM, Linf", "DeepFool, L2"]  # this project's own first
    assert sgd["ISIC2018", "VGG16"] == l2["ISIC2018", "VGG16"] == "not run"
    assert fgsm["ISIC2018", "VGG16"] == "not run; published 86.4"
    (cells,), _ = cells_of([run_of(attack="gd-uap", source="none", images=0)])
    assert {source for source, _ in cells} == {"no image"}  # it takes none


def test_runs_that_are_no_cell_of_the_table_follow_it():
    (cells,), text = cells_of([
        run_of(target="MEL", run="to-MEL"), run_of(made_for="ResNet50", run="of-ResNet50"),
        run_of(attack="unknown", made_for=None, source="isic2018", run="isic2018")])
    assert all(cell.startswith("not run") for cell in cells.values())
    assert [[row["run"] for row in rows] for rows in tables_of(text)[1:]] == (
        3 * [["of-ResNet50", "isic2018"]] + 3 * [["to-MEL"]])
    assert [rows[0]["differs"] for rows in tables_of(text)[3::3]] == [
        "made for ResNet50", "target MEL"]
    assert text.index("## Every run") < text.index("of-ResNet50") < text.index("## Targeted runs")


def test_a_note_is_printed_above_the_table_when_there_is_one():
    note = "Ten images, for practice."
    with_note = table.to_markdown([run_of()], note)
    assert with_note.index(note) < with_note.index("| VGG16 ")
    assert with_note.replace(f"**{note}**\n\n", "") == table.to_markdown([run_of()])


def test_the_csv_holds_every_cell_and_every_run_in_full_precision():
    *found, run = [dict(zip(table.TABLE_COLUMNS, row)) for row in table.csv_rows([run_of(7)])]
    cells = {(row["source"], row["model"]): row["published"] for row in found + [run]}
    assert cells == {**PUBLISHED, ("ilsvrc2012", "VGG16"): None}  # 70 test images
    assert len(found) == 8 and not any(row["rate"] for row in found)
    expected = {
        "cell": True, "model": "VGG16", "made_for": "VGG16", "source": "ilsvrc2012",
        "attack": "deepfool", "norm": "inf", "norm_ratio": 0.04, "target": None,
        "run": "ilsvrc2012", "seed": 3, "published": None, "differs": "70 test images",
        "rate": 0.8, "low": 0.69183356, "high": 0.87695261,  # of statsmodels, for 56 of 70
        "rate_8bit": 0.6, "random": 0.1, "permuted": 0.2,
        "mcnemar_p": 7.4552103e-9,  # 49 images against 7: 2 sum_{k <= 7} binom(56, k) / 2^56
        "accuracy_clean": 0.7, "accuracy_uap": 0.5, "largest_label": "MEL",
        "largest_label_share": 0.3, "dominant": "MEL", "dominant_share": 0.5,
        "target_share": None, "test_images": 70, "images": 10000, "passes": 1, "steps_made": 8,
        "steps_kept": 2, "norm_bound": 0.0791, "bound_from": "run.json", "largest_change": None}
    assert list(run) == list(expected)
    for name, value in expected.items():
        is_computed = isinstance(value, float)
        assert run[name] == (pytest.approx(value, rel=1e-7) if is_computed else value), name
    assert len(table.csv_rows([])) == 9


def test_a_p_value_smaller_than_floats_hold_is_not_printed_as_zero():
    assert [p_value(p) for p in (0.0, 7e-5, 0.31)] == ["< 1e-300", "7e-05", "0.3"]


def test_the_published_rates_are_the_papers():
    assert {(key.source, key.model): rate for key, rate in table.published().items()} == PUBLISHED


def test_what_all_runs_of_a_table_have_in_common_stands_above_and_the_rest_in_the_cell():
    few, many = run_of(images=500, image_size=96), run_of(run="many", norm_ratio=0.1, image_size=96)
    study_table, = study_tables([few, many])
    assert study_table.in_common == "Not as published: 96 px."
    entries = table.entries(study_table)[CellKey("VGG16", "ilsvrc2012")]
    assert [entry.texts for entry in entries] == [("ratio 0.1",), ("500 images", "ilsvrc2012")]


@pytest.mark.parametrize("ratio, comparable", [(0.04, True), (0.1, False)])
def test_a_run_is_compared_with_that_of_the_own_domain_only_where_the_bound_is_the_same(
        ratio, comparable):
    natural, domain = run_of(), run_of(source="isic2018", norm_ratio=ratio)
    study_table, = study_tables([natural, domain])
    assert study_table.domain_of(natural) is (domain if comparable else None)
    assert study_table.domain_of(domain) is None


EXPECTED = {"as expected": ("source,VGG16\nilsvrc2012,84.9\n", 1, []),
            "further off": ("source,VGG16\nilsvrc2012,85.1\n", 1, ["ilsvrc2012: 80.0 %, expected 8"
                                                                   "5.1 (settings as published)"]),
            "not run": ("source,VGG16,ResNet50\nisic2018,10,20\nilsvrc2012,,20\n", 0, []),
            "of a named attack": ("source,attack,VGG16\nilsvrc2012,fgsm,1\nilsvrc2012,sgd,1\n", 1,
                                  ["with-sgd: 80.0 %, expected 1.0 (SGD)"])}


@pytest.mark.parametrize("text, compared, off", EXPECTED.values(), ids=EXPECTED)
def test_rates_further_off_than_the_tolerance_are_listed(tmp_path, text, compared, off):
    (tmp_path / "expected.csv").write_text(text)
    runs = [run_of(), run_of(attack="sgd", run="with-sgd"), run_of(norm="2", run="l2"),
            run_of(norm_ratio=0.1, run="another ratio")]
    assert table.compare(runs, table.read_rates(str(tmp_path / "expected.csv")), 5) == (
        compared, ["VGG16/" + line for line in off])


def test_an_expected_rate_that_is_no_number_is_an_error_that_names_it(tmp_path):
    (tmp_path / "expected.csv").write_text("source,VGG16\nisic2018,high\n")
    with pytest.raises(UserError, match="expected.csv: isic2018, VGG16: .*'high'"):
        table.read_rates(str(tmp_path / "expected.csv"))


@pytest.mark.parametrize("group", checkout.GROUPS)
def test_the_tables_of_the_reproduction_are_those_of_their_rows(group, tmp_path):
    folder = os.path.join(checkout.REPRODUCTION, group)
    with open(os.path.join(folder, "table.md"), encoding="utf-8") as file:
        text = file.read()
    note = re.search(r"^\*\*(.*)\*\*$", text, re.MULTILINE).group(1)
    runs = [read_evaluated(run) for run in find(folder)]
    assert table.to_markdown(runs, note) == text
    write_csv(str(tmp_path / "table.csv"), table.TABLE_COLUMNS, table.csv_rows(runs))
    assert checkout.read_bytes(str(tmp_path / "table.csv")) == checkout.read_bytes(
        os.path.join(folder, "table.csv"))


def test_the_groups_of_the_reproduction_are_those_whose_tables_are_compared():
    assert sorted(checkout.GROUPS) == sorted(
        os.path.relpath(folder, checkout.REPRODUCTION)
        for folder, _, names in os.walk(checkout.REPRODUCTION) if "table.csv" in names)
