"""The first page of the report on the small study, its pictures, and reports on other runs."""

import dataclasses
import os
import re

import numpy as np
import pytest
from evaluated_runs import CLASSES, N, evaluated, undrawn, write, write_random_run
from PIL import Image
from small_study import (
    MODELS,
    expected_table,
    fooled_first,
    fooled_last,
    sections_of,
    tables_of,
)

from utils.report.numbers import NATURAL_IMAGES
from utils.report.verdict import verdicts

SOURCES = ("open_images_v5", "ilsvrc2012", "isic2018")
PUBLISHED = {"open_images_v5": (82.5, 86.7, 76.3), "ilsvrc2012": (83.2, 87.0, 72.5),
             "isic2018": (86.4, 94.3, 81.2)}  # of the study's slides


def test_the_first_page_has_one_row_for_the_strongest_uap_of_each_kind(written):
    (rows,) = tables_of(written.pages["report"])
    titles = {"the UAP is made from, by": "made from, by", "random control": "random",
              "permuted control": "permuted", "accuracy, clean": "clean"}
    assert [{titles.get(title, title): cell for title, cell in row.items()}
            for row in rows] == expected_table("""
        classifier  | made from, by | fooling rate | random | permuted | clean | attacked \
            | largest class
        VGG16       | 40 of ILSVRC2012, FGSM     | =13/20= | 0.0  | 5.0  | 80.0 | 45.0 | NV 55.0
        VGG16       | 40 of ISIC2018, DeepFool   | =18/20= | 10.0 | 30.0 | 80.0 | 20.0 | NV 55.0
        ResNet50    | 40 of ILSVRC2012, DeepFool | =14/20= | 0.0  | 5.0  | 80.0 | 40.0 | NV 55.0
        ResNet50    | 40 of ISIC2018, DeepFool   | =15/20= | 5.0  | 20.0 | 80.0 | 35.0 | NV 55.0
        InceptionV3 | 40 of ILSVRC2012, DeepFool | =3/20=  | 15.0 | 25.0 | 80.0 | 65.0 | NV 55.0
        """)


def test_the_first_page_says_of_each_classifier_whether_natural_images_fool_it(written):
    """Of VGG16 and ResNet50 p is 0.002 and 0.001 and, corrected for the 10 tests, below 0.02.

    That of ResNet50 and its own domain, 0.02, is not after the correction.
    """
    lines = re.findall(r"^- \*\*(.*?):(.*)", written.pages["report"], re.MULTILINE)
    assert lines == [
        ("VGG16", " natural images fool it more often than random patterns do.** A UAP by FGSM "
         "from 40 images of ILSVRC2012 changes 65.0 %, one by DeepFool from 40 images of ISIC2018, "
         "its own domain, changes 90.0 % of its answers; random patterns of the same size change "
         "at most 30.0 %."),
        ("ResNet50", " natural images fool it more often than random patterns do.** A UAP by "
         "DeepFool from 40 images of ILSVRC2012 changes 70.0 %, one by DeepFool from 40 images of "
         "ISIC2018, its own domain, changes 75.0 % (no more often than random patterns do) of its "
         "answers; random patterns of the same size change at most 20.0 %."),
        ("InceptionV3", " natural images fool it no more often than random patterns do.** A UAP "
         "by DeepFool from 40 images of ILSVRC2012 changes 15.0 % of its answers; random patterns "
         "of the same size change at most 25.0 %.")]


def test_of_many_classifiers_the_first_page_says_one_sentence_for_each_answer(small_results):
    """The controls fool 0 and 1 of 20 images, and those of InceptionV3 3 and 5."""
    found = evaluated(small_results)
    found += [dataclasses.replace(
        run, classifier=dataclasses.replace(run.classifier, name="VGG16-again"),
        uap=dataclasses.replace(run.uap, made_for="VGG16-again"))
        for run in found if run.classifier.name == run.uap.made_for == "VGG16"]
    with undrawn():
        page = write(small_results, found)["report"]
    assert re.findall(r"^- \*\*(.*?):(.*)", page, re.MULTILINE)[:2] == [
        ("VGG16, ResNet50, VGG16-again", " natural images fool them more often than random "
         "patterns do.** UAPs from natural images change 65.0 to 70.0 % of the answers, random "
         "patterns of the same size 0.0 to 5.0 %."),
        ("InceptionV3", " natural images fool it no more often than random patterns do.** UAPs "
         "from natural images change 15.0 % of the answers, random patterns of the same size 15.0 "
         "to 25.0 %.")]
    assert len(tables_of(page)[0]) == 7


def test_natural_images_fool_a_classifier_only_where_they_do_so_more_often_than_both_controls(
        small_results):
    """14 images are fooled by the UAP alone and none by random alone; of permuted it is 8 : 6."""
    (run,) = [run for run in evaluated(small_results) if run.classifier.name == "InceptionV3"]
    predictions = {**run.predictions, "uap": fooled_first(14), "random": fooled_last(0),
                   "permuted": fooled_last(12)}
    (verdict,) = verdicts([dataclasses.replace(run, predictions=predictions)])
    tests = verdict.uaps[NATURAL_IMAGES].tests
    assert {name: (test.only_one, test.only_other) for name, test in tests.items()} == {
        "random": (14, 0), "permuted": (8, 6)}
    assert tests["random"].one_is_better and not tests["permuted"].one_is_better
    assert not verdict.is_fooled_by_natural_images


def test_the_first_page_says_in_what_all_uaps_and_those_of_a_classifier_differ(written):
    section = sections_of(written.pages["report"])["What differs from the study?"]
    assert "whose rates are from 72.5 to 94.3 %" in section
    assert re.findall("^- (.*)", section, re.MULTILINE) == [
        "All of them: 4 passes; weights from a file; 40 images; 20 test images",
        "VGG16: 8 px", "ResNet50: 8 px", "InceptionV3: 12 px"]


def test_note_and_pictures_are_shown_and_commands_are_printed_as_a_shell_takes_them(written):
    pages = written.pages
    assert "**A sentence above.**" in pages["report"]
    shown = re.findall(r"\]\(report/(.*?png)\)", pages["report"])
    for page in pages.values():
        shown += re.findall(r"\]\(([^/]*?png)\)", page)
    assert sorted(shown) == sorted(written.drawn)
    links = re.findall(r"\]\(report/(.*?)\.md\)", pages["report"])
    assert {*links, "report"} == set(pages)
    lines = pages["provenance"].split("```")[1].splitlines()
    assert {"python train_model.py ResNet50", "python make_uap.py --source isic2018"} < set(lines)
    assert lines.count("python evaluate.py --note 'two words'") == 1


# What the pictures are drawn from


def test_the_picture_of_rates_holds_the_numbers_of_the_first_page(written):
    bars = written.drawn["fooling-rates.png"]["bars"]
    assert [(bar.title, bar.source, bar.rate.count) for bar in bars] == [
        ("VGG16, FGSM", "ILSVRC2012", 13), ("VGG16, DeepFool", "ISIC2018", 18),
        ("ResNet50, DeepFool", "ILSVRC2012", 14), ("ResNet50, DeepFool", "ISIC2018", 15),
        ("InceptionV3, DeepFool", "ILSVRC2012", 3)]
    assert [[control.count for control in bar.controls] for bar in bars] == [
        [0, 1], [2, 6], [0, 1], [1, 4], [3, 5]]
    assert {bar.rate.total for bar in bars} == {20}


def test_the_curve_is_drawn_through_the_rates_of_the_snapshots(written):
    panels = written.drawn["curve.png"]["panels"]
    assert {model: [line.title for line in lines] for model, lines in panels.items()} == {
        "VGG16": ["Open Images V5", "ILSVRC2012", "ISIC2018", "few"],
        "ResNet50": ["ILSVRC2012", "ISIC2018"], "InceptionV3": ["ILSVRC2012"]}
    *_, domain, few = panels["VGG16"]
    assert few.source == "ILSVRC2012"  # and so of its colour
    assert [(point.spent, point.rate.count, point.repeated) for point in domain.points] == [
        (10, 8, False), (40, 16, False), (160, 18, True)]
    assert [(point.spent, point.rate.count, point.repeated) for point in few.points] == [
        (10, 2, False), (40, 4, True)]  # of its 10 images, in the second pass
    assert (domain.control.count, few.control.count) == (6, 2)


def test_the_first_page_shows_the_curves_of_its_own_uaps(written):
    panels = written.drawn["images.png"]["panels"]
    assert {model: [line.title for line in lines] for model, lines in panels.items()} == {
        "VGG16": ["ILSVRC2012, FGSM", "ISIC2018, DeepFool"],
        "ResNet50": ["ILSVRC2012, DeepFool", "ISIC2018, DeepFool"],
        "InceptionV3": ["ILSVRC2012, DeepFool"]}


def test_two_attacks_on_the_same_images_are_drawn_against_the_seconds_they_took(written):
    (name,) = [name for name in written.drawn if name.startswith("time")]
    picture = written.drawn[name]
    assert "ILSVRC2012" in picture["title"] and picture["xlabel"] == "seconds of computing"
    panels = picture["panels"]
    assert {model: [line.title for line in lines] for model, lines in panels.items()} == {
        "VGG16": ["DeepFool", "FGSM"]}
    _, fgsm = panels["VGG16"]
    assert [(point.spent, point.rate.count) for point in fgsm.points] == [
        (30.0, 5), (120.0, 9), (480.0, 13)]


def test_the_confusion_pictures_count_every_test_image(written):
    """Of 13 images predicted as NV, the UAP from ILSVRC2012 makes 8 MEL; of 4 as MEL, 3 NV."""
    picture = written.drawn["confusion-VGG16.png"]
    panels = picture["panels"]
    assert list(panels) == ["UAP from Open Images V5", "UAP from ILSVRC2012", "UAP from ISIC2018"]
    assert list(picture["class_names"]) == CLASSES
    counts = panels["UAP from ILSVRC2012"]
    assert counts[:3, :3].tolist() == [[1, 3, 0], [8, 5, 0], [1, 0, 2]]
    assert counts.shape == (7, 7) and counts.sum() == 20


def test_the_examples_are_the_first_test_image_of_each_class(small_results, written):
    """They are the third, first, fourth and tenth; those of AKIEC, BKL and VASC are not there."""
    picture = written.drawn["examples-VGG16.png"]
    rows = picture["rows"]
    assert picture["heads"] == ["true MEL\nMEL 0.97", "true NV\nNV 1.00", "true BCC\nNV 0.55",
                                "true DF\nNV 0.40"]
    for image, file in zip(picture["images"], ("002.png", "000.png", "003.png", "009.png")):
        np.testing.assert_array_equal(image, np.asarray(Image.open(
            os.path.join(small_results, "pictures", file))))
    assert [row.title for row in rows] == ["Open Images V5", "ILSVRC2012", "ISIC2018"]
    assert rows[1].captions == ["NV 0.96", "MEL 0.98", "MEL 0.30", "MEL 0.80"]
    assert [row.changed for row in rows] == [[True, True, True, False], [True] * 4, [True] * 4]
    np.testing.assert_array_equal(rows[1].v, np.load(os.path.join(
        small_results, "results", "VGG16", "ilsvrc2012", "uap.npy")))
    targeted = written.drawn["examples-VGG16-targeted.png"]["rows"]
    assert [row.title for row in targeted] == ["ilsvrc2012-target-MEL", "ilsvrc2012-target-NV"]


def test_the_first_page_shows_images_that_the_classifier_gets_right_each_of_another_class(written):
    picture = written.drawn["example.png"]
    assert picture["heads"] == ["true NV\nNV 1.00", "true MEL\nMEL 0.97", "true BCC\nBCC 0.70"]
    assert [row.title for row in picture["rows"]] == ["ILSVRC2012"]


# Other reports


def test_what_an_earlier_report_left_goes(small_results):
    folder = os.path.join(small_results, "results", "report")
    os.makedirs(folder, exist_ok=True)
    for name in ("old.png", "old.md", "notes.txt"):
        open(os.path.join(folder, name), "w").close()
    with undrawn() as drawn:
        pages = write(small_results, [
            run for run in evaluated(small_results) if run.classifier.name == "VGG16"
            and run.uap.name in ("ilsvrc2012", "ilsvrc2012-target-NV")])
    assert sorted(drawn) == [
        "confusion-VGG16.png", "curve.png", "example.png", "examples-VGG16-targeted.png",
        "examples-VGG16.png", "fooling-rates.png", "images.png"]
    assert set(os.listdir(folder)) == {*drawn, "notes.txt"} | {
        name + ".md" for name in pages if name != "report"}


def test_without_the_test_images_everything_but_the_examples_is_there(small_results, written):
    with undrawn() as drawn:
        pages = write(small_results, at_hand=False)
    assert "the test images are not at hand." in pages["examples"]
    assert {name: tables_of(page) for name, page in pages.items()} == {
        name: tables_of(page) for name, page in written.pages.items()}
    assert set(written.drawn) - set(drawn) == {"example.png"} | {
        f"examples-{name}.png" for name in (
            *MODELS, "VGG16-fgsm-linf", "ResNet50-gd-uap-linf", "VGG16-targeted")}


def test_a_uap_that_was_made_again_since_is_neither_shown_nor_transferred(small_results):
    found = [dataclasses.replace(run, uap=dataclasses.replace(run.uap, sha256="made again"))
             if run.classifier.name == "ResNet50"  # all of its UAPs
             or (run.classifier.name, run.uap.name) == ("VGG16", "ilsvrc2012") else run
             for run in evaluated(small_results)]
    with undrawn() as drawn:
        pages = write(small_results, found)
    assert "examples-ResNet50.png" not in drawn
    assert "the UAPs are not at hand." in pages["examples"]
    assert tables_of(pages["transfer"])[1][0]["on ResNet50"] == "not run"
    rows = drawn["examples-VGG16.png"]["rows"]
    assert [row.title for row in rows] == ["Open Images V5", "ISIC2018"]
    seconds = {row["UAP"]: row["seconds"] for row in tables_of(pages["provenance"])[2]}
    assert (seconds["VGG16/ilsvrc2012"], seconds["VGG16/isic2018"]) == ("?", "12.5")


def test_a_run_on_other_test_images_has_no_part_in_the_examples(small_results):
    found = [dataclasses.replace(run, test_sha256="others", predictions={
                 name: cells[-3:] for name, cells in run.predictions.items()})
             if (run.classifier.name, run.uap.name) == ("VGG16", "isic2018") else run
             for run in evaluated(small_results)]
    with undrawn() as drawn:
        write(small_results, found)
    rows = drawn["examples-VGG16.png"]["rows"]
    assert [row.title for row in rows] == ["Open Images V5", "ILSVRC2012"]


def test_a_single_run_of_a_model_with_other_classes_gives_a_report(tmp_path):
    folder = str(tmp_path / "results" / "xray" / "photographs")
    write_random_run(folder, 0, np.resize(["healthy", "ill"], N), np.resize(["healthy"], N),
                     model="VGG16", source="photographs", class_names=["healthy", "ill"])
    with undrawn() as drawn:
        pages = write(str(tmp_path), at_hand=False)
    *others, run = tables_of(pages["rates"])[0]
    assert run["VGG16"].startswith("**") and "published" not in run["VGG16"]
    assert {cell.split(";")[0] for row in others for cell in list(row.values())[1:]} == {"not run"}
    assert [(row["true class"], row["images"]) for row in tables_of(
        pages["sensitivity"])[2]] == [("healthy", str(N // 2)), ("ill", str(N // 2))]
    assert list(drawn["confusion-VGG16.png"]["class_names"]) == ["healthy", "ill"]
    assert pages["provenance"].count("| ? |") > 0


@pytest.mark.parametrize("source, kind", [("photographs", "photographs"), ("xray", "its own")])
def test_the_own_domain_of_a_classifier_of_another_data_set_is_that_data_set(
        tmp_path, source, kind):
    folder = str(tmp_path / "results" / "xray" / source)
    write_random_run(folder, 0, np.resize(["healthy", "ill"], N), np.resize(["healthy"], N),
                     model="xray", source=source, class_names=["healthy", "ill"],
                     image_folder="xray")
    with undrawn():
        first = write(str(tmp_path), at_hand=False)["report"]
    assert ("its own domain" in first) == (kind == "its own")
    assert ("not tested with natural images" in first) == (kind == "its own")


def test_without_any_run_every_cell_says_so(tmp_path):
    os.makedirs(str(tmp_path / "results"))
    pages = write(str(tmp_path), [])
    (table,) = tables_of(pages["rates"])
    assert [list(row.values())[1:] for row in table] == [
        [f"not run; published {rate}" for rate in PUBLISHED[source]] for source in SOURCES]
    assert "No UAP has been evaluated" in pages["report"]
    assert set(pages) == {"report", "rates", "provenance"}
