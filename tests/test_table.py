"""The table, computed from rows written by hand whose numbers can be counted on fingers."""

import csv
import io
import os

import pytest

from utils.report import table

MODELS = ("VGG16", "ResNet50", "InceptionV3")
PUBLISHED = {(source, model): 80.0 + i for i, (source, model) in enumerate(
    (source, model) for source in ("open_images_v5", "ilsvrc2012", "isic2018")
    for model in MODELS)}
Z = 1.959963984540054


def info(**changes):
    """What predictions.json says of a run."""
    return dict({"model": "VGG16", "made_for": "VGG16", "source": "ilsvrc2012",
                 "attack": "deepfool", "norm": "inf", "target": None, "run": "ilsvrc2012",
                 "images": 1000, "passes": 5, "norm_bound": 0.0791,
                 "class_names": ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]}, **changes)


def rows_of(text):
    """Rows of predictions.csv from lines: label, clean, uap, uap_8bit, random, permuted."""
    found = []
    for line in text.strip().splitlines():
        row = dict(zip(("label", "clean", "uap", "uap_8bit", "random", "permuted"), line.split()))
        found.append(dict(row, jpeg95=row["uap"], jpeg75=row["uap"], clean_jpeg75=row["clean"]))
    return found


ROWS = rows_of("""
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
""")


def test_an_untargeted_run_is_summarised_by_the_share_of_changed_predictions():
    found = table.summarise(ROWS, info())
    n = len(ROWS)
    for key, column in (("rate", "uap"), ("rate_8bit", "uap_8bit"), ("random", "random"),
                        ("permuted", "permuted")):
        assert found[key] == pytest.approx(sum(r["clean"] != r[column] for r in ROWS) / n)
    assert (found["rate"], found["rate_8bit"], found["random"], found["permuted"]) == pytest.approx(
        (0.8, 0.6, 0.1, 0.2))
    assert found["accuracy_clean"] == pytest.approx(7 / 10)
    assert found["accuracy_uap"] == pytest.approx(5 / 10)
    # fooled by the UAP alone: 7, by the permuted one alone: 1
    assert found["mcnemar_p"] == pytest.approx(2 * (1 + 8) / 2 ** 8)
    assert found["target_share"] is None and found["test_images"] == n
    for key, value in info().items():
        assert key == "class_names" or found[key] == value


def test_the_interval_is_where_the_rate_is_a_normal_quantile_away():
    found = table.summarise(ROWS, info())
    assert found["low"] < found["rate"] < found["high"]
    for bound in (found["low"], found["high"]):  # the equation that Wilson's interval solves
        assert (0.8 - bound) ** 2 == pytest.approx(Z ** 2 * bound * (1 - bound) / len(ROWS))


# AKIEC is the first class by name, MEL the first of ISIC2018
@pytest.mark.parametrize("target", ["AKIEC", "MEL", "NV"])
def test_a_targeted_run_is_summarised_by_the_images_that_were_not_the_target(target):
    found = table.summarise(ROWS, info(target=target))
    others = [row for row in ROWS if row["clean"] != target]
    for key, column in (("rate", "uap"), ("rate_8bit", "uap_8bit"), ("random", "random"),
                        ("permuted", "permuted")):
        assert found[key] == pytest.approx(
            sum(row[column] == target for row in others) / len(others))
    assert found["target_share"] == pytest.approx(
        sum(row["uap"] == target for row in ROWS) / len(ROWS))
    assert found["target"] == target


def test_a_target_that_no_prediction_names_has_no_success():
    found = table.summarise(ROWS, info(target="VASC"))
    assert (found["rate"], found["target_share"]) == (0, 0)


def test_every_cell_of_the_studys_table_has_a_row_run_or_not():
    summary = table.summarise(ROWS, info())
    rows = table.arrange([summary], PUBLISHED)
    assert [(row["source"], row["model"]) for row in rows] == list(PUBLISHED)
    assert [row["published"] for row in rows] == list(PUBLISHED.values())
    for row in rows:
        assert set(row) == set(table.COLUMNS)
        is_run = (row["source"], row["model"]) == ("ilsvrc2012", "VGG16")
        assert row["rate"] == (summary["rate"] if is_run else None)
    assert [row["rate"] for row in table.arrange([], PUBLISHED)] == [None] * 9


def test_each_attack_and_norm_has_a_table_of_its_own():
    summaries = [table.summarise(ROWS, info()), table.summarise(ROWS, info(attack="fgsm")),
                 table.summarise(ROWS, info(norm="2"))]
    rows = table.arrange(summaries, PUBLISHED)
    assert len(rows) == 27
    text = table.to_markdown(rows)
    for title in ("DeepFool, Linf norm", "FGSM, Linf norm", "DeepFool, L2 norm"):
        assert text.count("UAPs by {}.".format(title)) == 1


def test_runs_that_are_no_cell_of_the_table_follow_it():
    extra = [table.summarise(ROWS, info(target="MEL", run="ilsvrc2012-target-MEL")),
             table.summarise(ROWS, info(source="my_photos", run="my_photos")),
             table.summarise(ROWS, info(model="VGG16-lesion", made_for="VGG16-lesion")),
             table.summarise(ROWS, info(made_for="ResNet50", run="from-ResNet50")),
             table.summarise(ROWS, info(class_names=["healthy", "ill"]))]
    rows = table.arrange(extra, PUBLISHED)
    assert len(rows) == 9 + 5 and rows[9:] == extra
    assert all(row["rate"] is None for row in rows[:9])


def grid(text):
    """The cells of the study's table in the text, by source title and model."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    header = next(line for line in lines if line[1:] == list(MODELS))
    return {(line[0], model): cell for line in lines[lines.index(header) + 1:][:3]
            for model, cell in zip(MODELS, line[1:])}


def test_a_cell_shows_our_rate_its_interval_and_the_published_rate_or_that_it_was_not_run():
    summary = table.summarise(ROWS, info())
    cells = grid(table.to_markdown(table.arrange([summary], PUBLISHED)))
    assert len(cells) == 9
    assert cells.pop(("ILSVRC2012", "VGG16")) == "**80.0** [{:.1f}, {:.1f}]; published 83.0".format(
        100 * summary["low"], 100 * summary["high"])
    assert cells[("ISIC2018", "InceptionV3")] == "not run; published 88.0"
    assert all(cell.startswith("not run; published ") for cell in cells.values())


def test_two_runs_of_a_cell_both_stand_in_it():
    summaries = [table.summarise(ROWS, info()), table.summarise(ROWS[:5], info(run="few"))]
    cell = grid(table.to_markdown(table.arrange(summaries, PUBLISHED)))["ILSVRC2012", "VGG16"]
    assert cell.count("published 83.0") == 2
    assert "**80.0**" in cell and "**100.0**" in cell


def section(text, title):
    """The full table below a title: one dict from column to cell for each run."""
    lines = text.split("## " + title)[1].split("\n## ")[0].splitlines()
    header, _, *body = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    return [dict(zip(header, line)) for line in body]


def test_the_full_table_shows_every_number_of_a_run():
    text = table.to_markdown(table.arrange([table.summarise(ROWS, info())], PUBLISHED))
    (found,) = section(text, "Every run")
    assert found.pop("UAP").startswith("**80.0** [")
    assert found == {
        "model": "VGG16", "run": "ilsvrc2012", "images": "1000", "passes": "5",
        "bound": "0.0791 (Linf)", "test images": "10", "8 bit": "60.0", "random": "10.0",
        "permuted": "20.0", "p": "0.07", "accuracy": "70.0, 50.0"}
    assert "Targeted runs" not in text


@pytest.mark.parametrize("target", ["AKIEC", "MEL"])
def test_targeted_runs_have_a_table_apart(target):
    targeted = table.summarise(ROWS, info(target=target, run="to-" + target))
    text = table.to_markdown(table.arrange(
        [table.summarise(ROWS, info()), targeted], PUBLISHED))
    assert [row["run"] for row in section(text, "Every run")] == ["ilsvrc2012"]
    (found,) = section(text, "Targeted runs")
    assert found["run"] == "to-" + target
    assert found["UAP"].startswith("**{:.1f}** [".format(100 * targeted["rate"]))
    assert found["predicted as target"] == "{:.1f}".format(100 * targeted["target_share"])


def test_what_is_unknown_of_a_foreign_perturbation_is_a_question_mark():
    foreign = info(source="mine", run="mine", attack="unknown", images=None, passes=None,
                   norm_bound=None)
    text = table.to_markdown(table.arrange([table.summarise(ROWS, foreign)], PUBLISHED))
    (found,) = section(text, "Every run")
    assert (found["images"], found["passes"], found["bound"]) == ("?", "?", "?")


def test_a_foreign_perturbation_named_like_a_source_is_no_cell_of_the_studys_table():
    foreign = info(source="isic2018", run="isic2018", attack="unknown", made_for=None)
    text = table.to_markdown(table.arrange([table.summarise(ROWS, foreign)], PUBLISHED))
    assert all(cell.startswith("not run") for cell in grid(text).values())
    assert [row["run"] for row in section(text, "Every run")] == ["isic2018"]


def test_a_note_is_printed_above_the_table_when_there_is_one():
    rows = table.arrange([table.summarise(ROWS, info())], PUBLISHED)
    with_note = table.to_markdown(rows, "Ten images, for practice.")
    assert with_note.index("Ten images, for practice.") < with_note.index("| VGG16 ")
    assert with_note.replace("**Ten images, for practice.**\n\n", "") == table.to_markdown(rows)


def test_the_csv_holds_every_row_in_full_precision():
    rows = table.arrange([table.summarise(ROWS, info())], PUBLISHED)
    found = list(csv.DictReader(io.StringIO(table.to_csv(rows))))
    assert list(found[0]) == list(table.COLUMNS)
    for row, cells in zip(rows, found):
        for column in table.COLUMNS:
            assert cells[column] == ("" if row[column] is None else str(row[column]))
    assert len(found) == 9


def test_the_published_rates_are_the_papers():
    path = os.path.join(os.path.dirname(os.path.abspath(table.__file__)), "..", "..", "results",
                        "published.csv")
    published = table.read_published(path)
    assert [published[source, model] for source, model in PUBLISHED] == [
        82.5, 86.7, 76.3, 83.2, 87.0, 72.5, 86.4, 94.3, 81.2]
    assert len(published) == 9
