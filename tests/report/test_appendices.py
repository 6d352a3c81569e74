"""Every table of the appendices, beside numbers counted in the columns of the small study.

A count, as 12/20, stands for the share in % with its interval; see small_study.in_percent().
"""

import os

import pytest
from small_study import expected_table, in_percent, sections_of, tables_of

from utils.common.hashes import sha256_of_file

DEEPFOOL, GD_UAP, FGSM = SECTIONS = [
    f"UAPs by {attack}, Linf norm" for attack in ("DeepFool", "GD-UAP", "FGSM")]
OF_EACH_TABLE = ["rates", "significance", "images-needed", "examples", "predicted-classes",
                 "image-files", "transfer", "sensitivity"]
OF_ALL = ["attacker", "targeted", "other-uaps", "provenance"]


def tables_in(written, page, section=DEEPFOOL):
    return tables_of(sections_of(written.pages[page])[section])


def test_the_intervals_expected_here_are_wilsons():
    """As statsmodels 0.15 computes them: proportion_confint(count, total, method="wilson")."""
    assert in_percent("12/20, **7/16**, =0/20=, 4/4") == (
        "60.0 [38.7, 78.1], **43.8 [23.1, 66.8]**, **0.0** [0.0, 16.1], 100.0 [51.0, 100.0]")


def test_there_is_an_appendix_for_each_topic_with_a_section_for_each_attack_and_norm(written):
    assert set(written.pages) == {"report", *OF_EACH_TABLE, *OF_ALL}
    for page in OF_EACH_TABLE:
        assert list(sections_of(written.pages[page])) == SECTIONS


def test_no_table_has_more_than_eight_columns(written):
    for page in written.pages.values():
        assert all(len(row) <= 8 for rows in tables_of(page) for row in rows)


def test_the_table_has_the_rate_of_each_cell_and_the_published_one_of_those_not_run(written):
    assert tables_in(written, "rates")[0] == expected_table("""
        images the UAP is made from | VGG16 | ResNet50 | InceptionV3
        Open Images V5 | =9/20=; 8 px; 40 images | not run; published 86.7 \
            | not run; published 76.3
        ILSVRC2012 | =12/20=; 8 px; 40 images<br>=4/20=; 8 px; 10 images; few \
            | =14/20=; 8 px; 40 images | =3/20=; 12 px; 40 images
        ISIC2018 | =18/20=; 8 px; 40 images | =15/20=; 8 px; 40 images | not run; published 81.2
        """)


def test_below_the_table_stand_all_numbers_of_its_uaps(written):
    rates, classes, making = tables_in(written, "rates")[1:]
    assert rates == expected_table("""
        model       | run            | UAP     | published | 8 bits | random | permuted | p
        VGG16       | open_images_v5 | =9/20=  | -         | 8/20   | 2/20   | 8/20     | 1
        VGG16       | ilsvrc2012     | =12/20= | -         | 11/20  | 1/20   | 5/20     | 0.1
        VGG16       | isic2018       | =18/20= | -         | 17/20  | 2/20   | 6/20     | 0.004
        ResNet50    | ilsvrc2012     | =14/20= | -         | 13/20  | 0/20   | 1/20     | 0.001
        ResNet50    | isic2018       | =15/20= | -         | 15/20  | 1/20   | 4/20     | 0.02
        InceptionV3 | ilsvrc2012     | =3/20=  | -         | 2/20   | 3/20   | 5/20     | 0.7
        """)
    assert classes == expected_table("""
        model | run | accuracy, clean | under the UAP | largest class | dominant | test images
        VGG16       | open_images_v5 | 16/20  | 10/20 | NV 55.0       | NV 55.0  | 20
        VGG16       | ilsvrc2012     | 16/20  | 10/20 | NV 55.0       | MEL 50.0 | 20
        VGG16       | isic2018       | 16/20  | 4/20  | NV 55.0       | MEL 70.0 | 20
        ResNet50    | ilsvrc2012     | 16/20  | 8/20  | NV 55.0       | MEL 60.0 | 20
        ResNet50    | isic2018       | 16/20  | 7/20  | NV 55.0       | MEL 65.0 | 20
        InceptionV3 | ilsvrc2012     | 16/20  | 13/20 | NV 55.0       | NV 60.0  | 20
        """)
    assert [row.pop("differs") for row in making] == [
        f"4 passes; {size} px; weights from a file; 40 images; 20 test images"
        for size in (8, 8, 8, 8, 8, 12)]
    assert making == expected_table("""
        model       | run   | images | passes | steps kept | bound             | largest change
        VGG16       | open_images_v5 | 40 | 4 | 25.0 %     | 0.1 (Linf, run.json) | 12.8
        VGG16       | ilsvrc2012     | 40 | 4 | 27.5 %     | 0.1 (Linf, run.json) | 12.8
        VGG16       | isic2018       | 40 | 4 | 30.0 %     | 0.1 (Linf, run.json) | 12.8
        ResNet50    | ilsvrc2012     | 40 | 4 | 47.5 %     | 0.1 (Linf, run.json) | 12.8
        ResNet50    | isic2018       | 40 | 4 | 50.0 %     | 0.1 (Linf, run.json) | 12.8
        InceptionV3 | ilsvrc2012     | 40 | 4 | 55.0 %     | 0.1 (Linf, run.json) | 12.8
        """)


def test_significance_compares_each_uap_with_both_controls_by_the_images_fooled_by_one_alone(
        written):
    """For 14 : 1, p is 2 (1 + 15) / 2^15, and Holm multiplies it by the 9 of 12 that remain."""
    assert tables_in(written, "significance")[0] == expected_table("""
        model | UAP from | against | UAP | control | fooled by one alone | p | p (Holm)
        VGG16       | Open Images V5 | random   | 9/20  | 2/20 | 9 : 2  | 0.07   | 0.3
        VGG16       | Open Images V5 | permuted | 9/20  | 8/20 | 9 : 8  | 1      | 1
        VGG16       | ILSVRC2012     | random   | 12/20 | 1/20 | 12 : 1 | 0.003  | 0.03
        VGG16       | ILSVRC2012     | permuted | 12/20 | 5/20 | 12 : 5 | 0.1    | 0.6
        VGG16       | ISIC2018       | random   | 18/20 | 2/20 | 18 : 2 | 0.0004 | 0.004
        VGG16       | ISIC2018       | permuted | 18/20 | 6/20 | 14 : 2 | 0.004  | 0.03
        ResNet50    | ILSVRC2012     | random   | 14/20 | 0/20 | 14 : 0 | 0.0001 | 0.001
        ResNet50    | ILSVRC2012     | permuted | 14/20 | 1/20 | 14 : 1 | 0.001  | 0.009
        ResNet50    | ISIC2018       | random   | 15/20 | 1/20 | 15 : 1 | 0.0005 | 0.005
        ResNet50    | ISIC2018       | permuted | 15/20 | 4/20 | 15 : 4 | 0.02   | 0.1
        InceptionV3 | ILSVRC2012     | random   | 3/20  | 3/20 | 3 : 3  | 1      | 1
        InceptionV3 | ILSVRC2012     | permuted | 3/20  | 5/20 | 3 : 5  | 0.7    | 1
        """)
    assert "in 2 of 6 cells the UAP fools more" in sections_of(
        written.pages["significance"])[DEEPFOOL]


def test_significance_compares_natural_images_with_the_own_domain_of_the_same_classifier(written):
    assert tables_in(written, "significance")[1] == expected_table("""
        model    | natural images | natural | ISIC2018 | fooled by one alone | p     | p (Holm)
        VGG16    | Open Images V5 | 9/20    | 18/20    | 0 : 9               | 0.004 | 0.01
        VGG16    | ILSVRC2012     | 12/20   | 18/20    | 0 : 6               | 0.03  | 0.06
        ResNet50 | ILSVRC2012     | 14/20   | 15/20    | 0 : 1               | 1     | 1
        """)


# By the rates in %, for the UAP of each model and source: the images, those for the ends of the
# interval, and how many times those of ISIC2018. The curve of VGG16 and ILSVRC2012 has 20, 40 and
# 60 % after 10, 40 and 160 images: half-way in rate between 10 and 40 images are 20.
NEEDED = {
    ("VGG16", "Open Images V5"): {
        10: "14 [≤ 10, 34]; x ≥ 1.4", 20: "28 [≤ 10, 92]; x ≥ 2.8",
        30: "57 [15, > 160]; x ≥ 5.7", 40: "113 [27, > 160]; x ≥ 11.3"},
    ("VGG16", "ILSVRC2012"): {
        10: "≤ 10 [≤ 10, 12]", 20: "≤ 10 [≤ 10, 33]", 30: "20 [≤ 10, 78]; x ≥ 2.0",
        40: "40 [≤ 10, > 160]; x ≥ 4.0", 50: "80 [18, > 160]; x 5.7",
        60: "160 [36, > 160]; x 8.0"},
    ("VGG16", "ISIC2018"): {
        10: "≤ 10 [≤ 10, ≤ 10]", 20: "≤ 10 [≤ 10, ≤ 10]", 30: "≤ 10 [≤ 10, 14]",
        40: "≤ 10 [≤ 10, 20]", 50: "14 [≤ 10, 29]", 60: "20 [≤ 10, 49]", 70: "28 [15, > 160]",
        80: "40 [23, > 160]", 90: "160 [37, > 160]"},
    ("ResNet50", "ILSVRC2012"): {
        10: "≤ 10 [≤ 10, ≤ 10]", 20: "≤ 10 [≤ 10, ≤ 10]", 30: "≤ 10 [≤ 10, 10]; x ≤ 0.8",
        40: "≤ 10 [≤ 10, 49]; x ≤ 0.4", 50: "≤ 10 [≤ 10, > 160]; x ≤ 0.2",
        60: "40 [≤ 10, > 160]; x 0.6", 70: "160 [≤ 10, > 160]; x 1.3"},
    ("ResNet50", "ISIC2018"): {
        10: "≤ 10 [≤ 10, ≤ 10]", 20: "≤ 10 [≤ 10, 19]", 30: "13 [≤ 10, 40]",
        40: "23 [≤ 10, 73]", 50: "40 [12, 133]", 60: "70 [22, > 160]", 70: "121 [40, > 160]"},
    ("InceptionV3", "ILSVRC2012"): {10: "80 [≤ 10, > 160]"},
    ("VGG16", "few"): {10: "≤ 10 [≤ 10, > 40]", 20: "40 [≤ 10, > 40]; x ≥ 4.0"}}
STEPS_KEPT = ["25.0 %", "27.5 %", "30.0 %", "47.5 %", "50.0 %", "55.0 %", "32.5 %"]


def test_the_images_needed_are_where_the_curve_and_the_ends_of_its_interval_meet_a_rate(written):
    low, high = tables_in(written, "images-needed")
    assert [row["steps kept"] for row in high] == STEPS_KEPT
    found = {}
    for first, rest in zip(low, high):
        cells = {**first, **rest}
        found[cells["model"], cells["UAP from"]] = {
            rate: cells[f"images for {rate} %"] for rate in range(10, 100, 10)
            if cells[f"images for {rate} %"] != "not reached"}
    assert found == NEEDED


def test_the_sentence_on_the_images_needed_counts_the_factors_that_are_no_bounds(written):
    """They are 0.6, 1.3, 5.7 and 8.0."""
    assert ("takes 0.6 to 8.0 times as many images, 3.5 in the median of 4 comparisons."
            ) in sections_of(written.pages["images-needed"])[DEEPFOOL]


def test_the_predicted_classes_are_those_predicted_most_often(written):
    assert tables_in(written, "predicted-classes") == [expected_table("""
        model | UAP from | clean images | attacked images | attacked images that are fooled
        VGG16       | Open Images V5 | NV 13/20     | NV 11/20        | MEL 6/9
        VGG16       | ILSVRC2012     | NV 13/20     | MEL 10/20       | MEL 9/12
        VGG16       | ISIC2018       | NV 13/20     | MEL 14/20       | MEL 14/18
        ResNet50    | ILSVRC2012     | NV 13/20     | MEL 12/20       | MEL 11/14
        ResNet50    | ISIC2018       | NV 13/20     | MEL 13/20       | MEL 12/15
        InceptionV3 | ILSVRC2012     | NV 13/20     | NV 12/20        | MEL 2/3
        """)]


def test_image_files_have_the_rates_of_each_kind_of_file(written):
    assert tables_in(written, "image-files") == [expected_table("""
        model       | UAP from       | x + v | 8 bits, PNG | JPEG 95 | JPEG 75 | no UAP, JPEG 75
        VGG16       | Open Images V5 | 9/20  | 8/20        | 6/20    | 3/20    | 1/20
        VGG16       | ILSVRC2012     | 12/20 | 11/20       | 10/20   | 5/20    | 1/20
        VGG16       | ISIC2018       | 18/20 | 17/20       | 16/20   | 14/20   | 1/20
        ResNet50    | ILSVRC2012     | 14/20 | 13/20       | 9/20    | 8/20    | 2/20
        ResNet50    | ISIC2018       | 15/20 | 15/20       | 15/20   | 13/20   | 2/20
        InceptionV3 | ILSVRC2012     | 3/20  | 2/20        | 2/20    | 1/20    | 0/20
        """)]
    assert tables_in(written, "image-files", FGSM) == [expected_table("""
        model       | UAP from       | x + v | 8 bits, PNG | JPEG 95 | JPEG 75 | no UAP, JPEG 75
        VGG16       | ILSVRC2012     | 13/20 | 13/20       | 12/20   | 9/20    | 1/20
        """)]


def test_transfer_has_the_rate_of_each_uap_on_each_model_that_sees_images_of_its_size(written):
    assert tables_in(written, "transfer") == [expected_table(text) for text in ("""
        made for    | on VGG16         | on ResNet50      | on InceptionV3
        VGG16       | **9/20**         | not run          | not run
        permuted    | 8/20             | -                | -
        """, """
        made for    | on VGG16         | on ResNet50      | on InceptionV3
        VGG16       | **12/20**        | 7/20             | other input size
        ResNet50    | not run          | **14/20**        | other input size
        InceptionV3 | other input size | other input size | **3/20**
        permuted    | 5/20             | 1/20             | 5/20
        """, """
        made for    | on VGG16         | on ResNet50      | on InceptionV3
        VGG16       | **18/20**        | not run          | not run
        ResNet50    | not run          | **15/20**        | not run
        permuted    | 6/20             | 4/20             | -
        """)]


def test_sensitivity_tells_images_predicted_right_from_those_predicted_wrong(written):
    titles = {"accuracy, clean": "clean", "accuracy, attacked": "attacked",
              "fooling rate where the model was right": "right", "where it was wrong": "wrong"}
    rows = [{titles.get(title, title): cell for title, cell in row.items()}
            for row in tables_in(written, "sensitivity")[0]]
    assert rows == expected_table("""
        model       | UAP from       | clean | attacked | right | wrong
        VGG16       | Open Images V5 | 16/20 | 10/20    | 7/16  | 2/4
        VGG16       | ILSVRC2012     | 16/20 | 10/20    | 8/16  | 4/4
        VGG16       | ISIC2018       | 16/20 | 4/20     | 14/16 | 4/4
        ResNet50    | ILSVRC2012     | 16/20 | 8/20     | 10/16 | 4/4
        ResNet50    | ISIC2018       | 16/20 | 7/20     | 11/16 | 4/4
        InceptionV3 | ILSVRC2012     | 16/20 | 13/20    | 3/16  | 0/4
        """)


def test_sensitivity_sorts_the_images_by_the_confidence_of_their_clean_prediction(written):
    """An image predicted with just 60, 80, 95 or 99 % belongs to the interval above."""
    assert tables_in(written, "sensitivity")[1] == expected_table("""
        model       | UAP from | 0% to 60% | 60% to 80% | 80% to 95% | 95% to 99% | 99% to 100%
        VGG16       | Open Images V5 | 1/4 | 2/4        | 1/3        | 2/4        | 3/5
        VGG16       | ILSVRC2012     | 3/4 | 2/4        | 2/3        | 2/4        | 3/5
        VGG16       | ISIC2018       | 4/4 | 4/4        | 3/3        | 3/4        | 4/5
        ResNet50    | ILSVRC2012     | 3/4 | 3/4        | 3/3        | 2/4        | 3/5
        ResNet50    | ISIC2018       | 3/4 | 3/4        | 3/3        | 2/4        | 4/5
        InceptionV3 | ILSVRC2012     | 0/4 | 0/4        | 0/3        | 1/4        | 2/5
        """)


def test_sensitivity_has_the_rate_of_each_true_class_that_has_test_images(written):
    rows = tables_in(written, "sensitivity")[2]
    assert [row["true class"] for row in rows] == 3 * [
        "MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
    of_absent = [row for row in rows if row["images"] == "0"]
    assert [list(row.values())[3:] for row in of_absent] == 9 * [["-", "-", "-"]]
    assert [row for row in rows if row["images"] != "0"] == expected_table("""
        model       | true class | images | Open Images V5 | ILSVRC2012 | ISIC2018
        VGG16       | MEL        | 4      | 2/4            | 3/4        | 4/4
        VGG16       | NV         | 11     | 5/11           | 6/11       | 10/11
        VGG16       | BCC        | 4      | 2/4            | 2/4        | 3/4
        VGG16       | DF         | 1      | 0/1            | 1/1        | 1/1
        ResNet50    | MEL        | 4      | -              | 3/4        | 3/4
        ResNet50    | NV         | 11     | -              | 7/11       | 8/11
        ResNet50    | BCC        | 4      | -              | 3/4        | 3/4
        ResNet50    | DF         | 1      | -              | 1/1        | 1/1
        InceptionV3 | MEL        | 4      | -              | 1/4        | -
        InceptionV3 | NV         | 11     | -              | 2/11       | -
        InceptionV3 | BCC        | 4      | -              | 0/4        | -
        InceptionV3 | DF         | 1      | -              | 0/1        | -
        """)


def test_the_attacker_has_the_strongest_uap_of_what_it_takes(written):
    assert tables_of(written.pages["attacker"]) == [expected_table("""
        the attacker has | VGG16 | ResNet50 | InceptionV3
        ISIC2018 images | DeepFool, 40 ISIC2018: **18/20** (2/20, 6/20) \
            | DeepFool, 40 ISIC2018: **15/20** (1/20, 4/20) | not run
        natural images | FGSM, 40 ILSVRC2012: **13/20** (0/20, 1/20) \
            | DeepFool, 40 ILSVRC2012: **14/20** (0/20, 1/20) \
            | DeepFool, 40 ILSVRC2012: **3/20** (3/20, 5/20)
        no image | not run | GD-UAP: **8/20** (0/20, 2/20) | not run
        no image and no classifier | GD-UAP: **6/20** (1/20, 3/20) | not run | not run
        """)]


def test_targeted_uaps_have_success_rates_on_the_images_that_are_not_the_target_anyway(written):
    """Of the 20 images 4 are predicted as MEL and 13 as NV, so that 16 and 7 are left."""
    rates, classes, making, files = tables_of(written.pages["targeted"])
    assert rates == expected_table("""
        model | run                   | UAP    | published | 8 bits | random | permuted | p
        VGG16 | ilsvrc2012-target-MEL | =7/16= | -         | 6/16   | 2/16   | 3/16     | 0.3
        VGG16 | ilsvrc2012-target-NV  | =4/7=  | -         | 3/7    | 1/7    | 0/7      | 0.1
        """)
    assert [row.pop("predicted as target") for row in classes] == [
        in_percent("8/20"), in_percent("7/20")]
    assert classes == expected_table("""
        model | run | accuracy, clean | under the UAP | largest class | dominant | test images
        VGG16 | ilsvrc2012-target-MEL | 16/20         | 10/20   | NV 55.0 | NV 50.0  | 20
        VGG16 | ilsvrc2012-target-NV  | 16/20         | 6/20    | NV 55.0 | MEL 60.0 | 20
        """)
    assert making == expected_table("""
        model | run | images | passes | steps kept | bound | largest change | differs
        VGG16 | ilsvrc2012-target-MEL | 40 | 4 | 37.5 % | 0.1 (Linf, run.json) | 12.8 \
            | 4 passes; target MEL; 8 px; weights from a file; 40 images; 20 test images
        VGG16 | ilsvrc2012-target-NV | 40 | 4 | 40.0 % | 0.1 (Linf, run.json) | 12.8 \
            | 4 passes; target NV; 8 px; weights from a file; 40 images; 20 test images
        """)
    assert files == expected_table("""
        model | UAP                   | x + v | 8 bits, PNG | JPEG 95 | JPEG 75 | no UAP, JPEG 75
        VGG16 | ilsvrc2012-target-MEL | 7/16  | 6/16        | 5/16    | 4/16    | 0/16
        VGG16 | ilsvrc2012-target-NV  | 4/7   | 3/7         | 3/7     | 3/7     | 0/7
        """)


def test_the_other_uaps_are_those_that_stand_for_no_cell_of_a_table(written):
    rates, classes, making = tables_of(written.pages["other-uaps"])
    assert rates == expected_table("""
        model | run            | UAP    | published | 8 bits | random | permuted | p
        VGG16 | few            | =4/20= | -         | 4/20   | 1/20   | 2/20     | 0.7
        VGG16 | mine           | =5/20= | -         | 5/20   | 1/20   | 2/20     | 0.5
        VGG16 | none-of-public | =6/20= | -         | 6/20   | 1/20   | 3/20     | 0.5
        """)
    assert classes == expected_table("""
        model | run | accuracy, clean | under the UAP | largest class | dominant | test images
        VGG16 | few            | 16/20          | 13/20         | NV 55.0 | NV 55.0 | 20
        VGG16 | mine           | 16/20          | 12/20         | NV 55.0 | NV 50.0 | 20
        VGG16 | none-of-public | 16/20          | 13/20         | NV 55.0 | NV 55.0 | 20
        """)
    assert making == expected_table("""
        model | run | images | passes | steps kept | bound | largest change | differs
        VGG16 | few | 10 | 4 | 32.5 % | 0.1 (Linf, run.json) | 12.8 \
            | 4 passes; 8 px; weights from a file; 10 images; 20 test images
        VGG16 | mine | ? | ? | - | ? | 12.8 | unknown; ratio ?; ? passes; made for ?; 8 px; \
weights from a file; from mine; ? images; 20 test images
        VGG16 | none-of-public | 0 | 4 | 45.0 % | 0.1 (Linf, run.json) | 12.8 | GD-UAP; \
4 passes; made for public; 8 px; weights from a file; from no image; 20 test images
        """)


def test_provenance_has_what_each_model_was_trained_with(written):
    trained, commits = tables_of(written.pages["provenance"])[:2]
    same = {"weights": "`abababababababab`", "test images": "`cdcdcdcdcdcdcdcd`",
            "started": "2019-01-01T00:00:00Z", "finished": "2019-01-02T00:00:00Z"}
    for row in trained:
        assert {title: row.pop(title) for title in same} == same
    assert trained == expected_table("""
        model       | seed | epochs | accuracy, test
        InceptionV3 | 9    | 5      | 70.0
        ResNet50    | 8    | 4      | 80.0
        VGG16       | 7    | 3      | 75.0
        """)
    assert [row["commit"] for row in commits] == ["?", "?", "?"]


def test_provenance_has_what_each_uap_and_its_rows_were_made_with(written):
    """A UAP that was made for another model has no run.json here."""
    made, predicted = tables_of(written.pages["provenance"])[2:]
    assert [(row["UAP"], row["seed"]) for row in made] == [
        ("InceptionV3/ilsvrc2012", "12"), ("ResNet50/ilsvrc2012", "9"), ("ResNet50/isic2018", "10"),
        ("ResNet50/none", "11"), ("VGG16/few", "3"), ("VGG16/ilsvrc2012", "1"),
        ("VGG16/ilsvrc2012-fgsm", "4"), ("VGG16/ilsvrc2012-target-MEL", "5"),
        ("VGG16/ilsvrc2012-target-NV", "6"), ("VGG16/isic2018", "2"), ("VGG16/mine", "?"),
        ("VGG16/none-of-public", "?"), ("VGG16/open_images_v5", "0")]
    columns = ["its images", "started", "finished", "seconds", "commit"]
    known = ["`1212121212121212`", "2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z", "12.5",
             "3434343434 + changes"]
    for row in made:
        assert [row[column] for column in columns] == (
            ["?"] * 5 if row["seed"] == "?" else known)
    assert [row["UAP"] for row in predicted] == [row["UAP"] for row in made]
    for row in predicted:
        assert (row["predicted"], row["seed of the controls"]) == ("2020-01-03T00:00:00Z", "5")


@pytest.mark.parametrize("table, file", [(2, "uap.npy"), (3, "predictions.csv")])
def test_provenance_has_the_hashes_of_the_files(small_results, written, table, file):
    rows = tables_of(written.pages["provenance"])[table]
    assert len(rows) == 13
    for row in rows:
        path = os.path.join(small_results, "results", row["UAP"], file)
        assert row[file] == f"`{sha256_of_file(path)[:16]}`"
