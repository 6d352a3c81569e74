"""Every command that README and docs/ show, run from their own text, and what it leaves."""

import glob
import json
import os
import re

import h5py
import numpy as np
import pytest
from PIL import Image

import checkout
from utils.common import provenance
from utils.evaluation.evaluated_uap import find, read_evaluated
from utils.images import datasets, splits
from utils.report import numbers
from utils.report.document import p_value
from utils.report.study_table import study_tables

MODELS = ("VGG16", "ResNet50", "InceptionV3")
# The runs of the README's grid, with 3 natural images and the 14 training images.
RUNS = {"open_images_v5-images-3": 3, "ilsvrc2012-images-3": 3, "isic2018": 14}
ILSVRC = "ilsvrc2012-images-3"


def read_text(*parts):
    with open(os.path.join(*parts), encoding="utf-8", newline="") as file:
        return file.read()


def read_json(*parts):
    return json.loads(read_text(*parts))


def pixels_of(folder, description, files):
    """The images as Keras' users read them: float32, (n, 75, 75, 3), 0..255."""
    return np.stack([np.asarray(Image.open(os.path.join(
        folder, "data", description["image_folder"], file)).resize(
            (75, 75), Image.BILINEAR), np.float32) for file in files])


def test_make_targets_are_the_commands_that_the_readme_prints():
    commands = "".join(checkout.documented_commands())
    for target in ("demo", "test"):
        code, output = checkout.shell(checkout.ROOT,
                                      "make --no-print-directory --dry-run " + target)
        assert code == 0 and output.strip() in commands


@pytest.mark.parametrize("path", [os.path.relpath(path, checkout.ROOT) for path in (
    glob.glob(os.path.join(checkout.ROOT, "*.md")) + glob.glob(os.path.join(
        checkout.ROOT, "docs", "*.md")) + glob.glob(os.path.join(
            checkout.ROOT, "*", "README.md")) + glob.glob(os.path.join(
                checkout.REPRODUCTION, "*.md")))])
def test_links_lead_to_files_that_exist(path):
    links = re.findall(r"\]\(([^)#]+)\)", read_text(checkout.ROOT, path))
    links = [link for link in links if "://" not in link and "/actions/" not in link]
    folder = os.path.dirname(os.path.join(checkout.ROOT, path))
    assert [link for link in links if not os.path.exists(os.path.join(folder, link))] == []


def test_the_numbers_of_the_readmes_verdict_are_those_of_the_committed_rows():
    """The rows of its table: images, classifier, published, by FGSM, by SGD, SGD's control."""
    sources = {"photographs (ILSVRC2012)": "ilsvrc2012", "lesions (ISIC2018)": "isic2018"}
    at_full_size = {"3": "InceptionV3-299", "7": "InceptionV3-299-7-epochs"}
    rows, source, compared = committed_rows(), None, 0
    for line in re.findall(r"^\|(.*)\|$", read_text(checkout.ROOT, "README.md"), re.MULTILINE):
        cells = [cell.strip() for cell in line.split("|")]
        model, _, size = cells[1].partition(", 299 px, ") if len(cells) == 6 else (None,) * 3
        if model not in MODELS:
            continue
        source = sources.get(cells[0], source)  # an empty cell is that above it
        evaluated = (at_full_size[size.split()[0]], "natural/") if size else (model, source)
        by_attack = {row["attack"]: row for row in rows if row["passes"] == "1" and (
            row["norm"] == "inf") and (row["model"], row["source"]) == evaluated}
        published = checkout.read_csv(checkout.ROOT, "results", "published.csv")
        expected = [next(row[model] for row in published if row["source"] == source)]
        expected += [f"{100 * float(by_attack[attack][column]):.1f}" for attack, column in (
            ("fgsm", "rate"), ("sgd", "rate"), ("sgd", "permuted"))]
        assert [float(cell) for cell in cells[2:]] == [float(cell) for cell in expected]
        compared += 1
    assert compared == 6


def committed_rows():
    """The rows of the groups' table.csv, each a dict from the column to its text."""
    return [row for group in checkout.GROUPS
            for row in checkout.read_csv(checkout.REPRODUCTION, group, "table.csv")]


def rates_of(model, run):
    """What the committed table.csv says of a UAP: dict from the column to its text."""
    return next(row for row in committed_rows() if (row["model"], row["run"]) == (model, run))


def in_percent(value):
    return f"{100 * float(value):.1f}"


def sgd_of_photographs_against_lesions(group, model):
    """Of the report's table of significance: both rates, and p after Holm's correction."""
    runs = [read_evaluated(run) for run in find(os.path.join(checkout.REPRODUCTION, group))]
    by_sgd = next(found for found in study_tables(runs) if "SGD" in found.title)
    test = next(each.test for each in numbers.against_domain(by_sgd) if (
        each.run.classifier.name, each.run.uap.source) == (model, "ilsvrc2012"))
    return in_percent(test.one.value), in_percent(test.other.value), p_value(test.p_holm)


def factor_to_half_by_sgd(needed, model):
    """How many times as many photographs as lesions SGD takes to fool 50 % of the images."""
    by_sgd = needed[needed.index("## UAPs by SGD"):]
    header = next(line for line in by_sgd.splitlines() if line.startswith("| model |"))
    place = header.split(" | ").index("images for 50 %")
    cells = {source: next(line for line in by_sgd.splitlines() if line.startswith(
        f"| {model} | {source} |")).split(" | ")[place] for source in ("ILSVRC2012", "ISIC2018")}
    photographs, lesions = (int(cell.split()[0].replace(",", "")) for cell in cells.values())
    return photographs / lesions


def test_the_numbers_in_the_readmes_sentences_are_those_of_the_committed_rows():
    prose = " ".join(read_text(checkout.ROOT, "README.md").split())
    photographs = "ilsvrc2012-sgd-images-10000"
    inception, vgg, resnet = (rates_of(model, photographs)
                              for model in ("InceptionV3", "VGG16", "ResNet50"))
    of_random_weights, lesions_of_random_weights = (
        rates_of("InceptionV3-random", run) for run in (photographs, "isic2018-sgd"))
    earlier = rates_of("InceptionV3-first", "ilsvrc2012-fgsm")
    by_fgsm = rates_of("InceptionV3", "ilsvrc2012-fgsm")
    shown, shown_by_fgsm = (rates_of("InceptionV3-299", run) for run in (
        "natural-sgd-images-5000", "natural-fgsm-images-5000"))
    trained_longer, longer_by_fgsm = (
        rates_of("InceptionV3-299-7-epochs", f"natural-{attack}-images-5000-bfloat16")
        for attack in ("sgd", "fgsm"))
    answers, of_longer = (read_evaluated(os.path.join(
        checkout.REPRODUCTION, "full-size", row["model"], row["run"])).predictions
                          for row in (shown, trained_longer))
    recalls, recognised = [], []
    for rows in (answers, of_longer):
        right = rows["label"] == rows["clean"]
        recalls.append(np.mean([right[rows["label"] == name].mean()
                                for name in np.unique(rows["label"])]))
        recognised.append(sum(right[rows["label"] == "MEL"]))
    melanomas = sum(answers["label"] == "MEL")
    against_controls = [float(row["rate"]) / float(row[control])
                        for control in ("random", "permuted")
                        for row in [shown, shown_by_fgsm, trained_longer, longer_by_fgsm] + [
                            rates_of(model, run) for model in ("InceptionV3", "VGG16")
                            for run in (photographs, "ilsvrc2012-images-10000",
                                        "ilsvrc2012-fgsm")]]
    needed = read_text(checkout.REPRODUCTION, "main", "report", "images-needed.md")
    of_128_pixels, of_75_pixels = (rates_of(f"InceptionV3-{size}", shown_by_fgsm["run"])
                                   for size in (128, 75))
    of_the_log = {epochs: rates_of(f"InceptionV3-299-{epochs}-epochs",
                                   "natural-fgsm-l2-images-10000-step-0.0005-bfloat16")
                  for epochs in (5, 7)}
    theirs = {row["images"]: in_percent(row["fooling_rate"]) for row in checkout.read_csv(
        checkout.REPRODUCTION, "full-size", "authors-curve.csv")}
    natural_over_lesions = "{:.0f} to {:.0f}".format(*map(float, re.search(
        r"natural one takes ([\d.]+) to ([\d.]+) times", needed[needed.index("by SGD"):]).groups()))
    factors = [factor_to_half_by_sgd(needed, model) for model in ("VGG16", "InceptionV3")]
    published = [float(row[model]) for row in checkout.read_csv(
        checkout.ROOT, "results", "published.csv") for model in MODELS
        if row["source"] != "isic2018"]
    first = sgd_of_photographs_against_lesions("repeats/first", "VGG16-first")
    again = sgd_of_photographs_against_lesions("main", "VGG16")
    for said in (
            f"changes {min(published)} to {max(published)} % of the answers",
            f"{100 * float(shown['rate']):.0f} % of the answers of an InceptionV3 at the study's",
            f"{int(shown['images']):,} photographs fool InceptionV3 on "
            f"{in_percent(shown_by_fgsm['rate'])} % of {shown['test_images']} images by FGSM "
            f"(trained alike at 128 pixels: {in_percent(of_128_pixels['rate'])} %, at 75: "
            f"{in_percent(of_75_pixels['rate'])} %)",
            f"and on {in_percent(shown['rate'])} % by SGD, under whose UAP it answers basal cell "
            f"carcinoma for all {answers['uap'].tolist().count('BCC')}",
            f"here, by SGD, {natural_over_lesions} times (half of the images: {factors[1]:.0f}, "
            f"VGG16 {factors[0]:.0f})",
            f"{int(of_the_log[5]['images']):,} photographs fool InceptionV3 on "
            f"{in_percent(of_the_log[5]['rate'])} and {in_percent(of_the_log[7]['rate'])} % "
            f"(5 and 7 epochs), theirs on {theirs['10000']} % (100,000: {theirs['100000']} %)",
            f"It resists lesions, too: {in_percent(lesions_of_random_weights['rate'])} %",
            f"recognises {recognised[0]} of {melanomas} melanomas after 3 epochs, and "
            f"{recognised[1]} after 7 (balanced accuracy {in_percent(recalls[0])} and "
            f"{in_percent(recalls[1])} %)",
            f"left out: from photographs, {in_percent(resnet['rate'])} % by SGD",
            f"{min(against_controls):.0f} to {max(against_controls):.0f} times as often as random",
            f"more than {128 * float(shown['norm_bound']):.1f} of 255 grey levels",
            f"fools {in_percent(inception['random'])} % (InceptionV3), "
            f"{in_percent(shown['random'])} and {in_percent(trained_longer['random'])} % (at 299 "
            f"px) and "
            f"{in_percent(vgg['random'])} % (VGG16)",
            f"at most {int(by_fgsm['images']):,} photographs",
            f"{int(rates_of('VGG16', 'isic2018')['images']):,} lesions for training, "
            f"{int(vgg['test_images']):,} for the test (at 299 px: {shown['test_images']})",
            f"fooled on {in_percent(of_random_weights['rate'])} % of "
            f"{of_random_weights['test_images']} images (by a random vector on "
            f"{in_percent(of_random_weights['random'])} %), the one above on "
            f"{in_percent(inception['rate'])} % ({in_percent(inception['random'])} %)",
            f"nevus, holds {in_percent(inception['largest_label_share'])} % of the test images",
            f"right for {in_percent(inception['accuracy_clean'])} %, VGG16 for "
            f"{in_percent(vgg['accuracy_clean'])} %; under SGD's UAPs from photographs, for "
            f"{in_percent(inception['accuracy_uap'])} % and {in_percent(vgg['accuracy_uap'])} %",
            f"fooled on {in_percent(earlier['rate'])} % of {earlier['test_images']} images, the "
            f"one above on {in_percent(by_fgsm['rate'])} %",
            f"({first[1]} and {first[0]} % of "
            f"{rates_of('VGG16-first', photographs)['test_images']}, p = {first[2]} by Holm), "
            f"the one above not ({again[1]} and {again[0]} %, p = {again[2]})"):
        assert said in prose


def test_no_committed_picture_is_wider_than_1000_pixels():
    paths = [path for folder in ("docs", "results/reproduction") for ending in ("png", "jpg")
             for path in glob.glob(os.path.join(checkout.ROOT, folder, "**", f"*.{ending}"),
                                   recursive=True)]
    assert len(paths) >= 25
    assert [path for path in paths if Image.open(path).width > 1000] == []


def test_the_readme_takes_minutes_to_read():
    assert 900 <= len(read_text(checkout.ROOT, "README.md").split()) <= 1200


def test_the_box_of_the_readme_has_the_commands_that_are_explained_in_docs():
    box = re.findall("^> ?(.*)$", read_text(checkout.ROOT, "README.md"), re.MULTILINE)
    commands = checkout.shell_blocks("\n".join(box) + "\n")
    assert commands == checkout.shell_blocks(
        read_text(checkout.ROOT, "docs", "own-classifier.md"))[:1]


def test_the_demo_prints_the_table_and_says_that_it_is_a_demo(smoke):
    folder, output = smoke
    assert "not a reproduction" in output
    assert "| ILSVRC2012 | **" in output
    assert sorted(os.listdir(os.path.join(folder, "demo"))) == [
        "data", "log.txt", "models", "results"]
    assert [name for _, _, files in os.walk(os.path.join(folder, "demo")) for name in files
            if name.endswith(".lock")] == []  # each script came to its normal end


@pytest.mark.parametrize("model", MODELS)
def test_step_1_leaves_weights_and_what_the_next_steps_need(study, model):
    folder, outputs = study
    description, details = read_json(folder, "models", model + ".json"), ("models", model)
    assert description["architecture"] == model and description["image_size"] == 75
    assert description["class_names"] == list(checkout.CLASSES)
    assert description["scaling"] == {"offset": 128.0, "scale": 128.0}
    train = checkout.read_csv(folder, *details, "train.csv", header=("file", "label"))
    images = pixels_of(folder, description, [row["file"] for row in train]).astype(float)
    assert len(images) == description["split"]["train"]["images"] == 14
    for p, norms in (("2", np.sqrt((images ** 2).sum(axis=(1, 2, 3)))),
                     ("inf", images.max(axis=(1, 2, 3)))):
        assert description["mean_norms"][p] == pytest.approx(norms.mean())
    for picture in ("learning_curve.png", "confusion_matrix.png"):
        assert Image.open(os.path.join(folder, *details, picture)).size[0] > 400
    assert [row["epoch"] for row in checkout.read_csv(folder, *details, "history.csv")] == ["1"]
    output = next(text for text in outputs if f"wrote models/{model}.h5" in text)
    accuracy = description["scores"]["test"]["accuracy"]
    assert f"accuracy {accuracy:.1%} of 14 images" in output
    assert not os.path.exists(os.path.join(folder, *details, "checkpoint.npz"))
    assert description["versions"]["numpy"] == np.__version__
    assert (description["arguments"]["seed"], description["arguments"]["epochs"]) == (0, 1)
    with h5py.File(os.path.join(folder, "models", model + ".h5"), "r") as file:
        assert "model_weights" in file and "optimizer_weights" not in file


def test_the_folder_of_a_model_can_be_given_to_split_again(study):
    folder, data = os.path.join(study[0], "models", "VGG16"), os.path.join(study[0], "data")
    split = splits.make_split(folder, datasets.labelled_images(data, "isic2018"), data, limit=None,
                              seed=0)
    for side, rows in split._asdict().items():
        assert "".join(f"{file},{label}\n" for file, label in rows) == read_text(
            folder, side + ".csv")


def test_what_is_written_names_the_commit_of_the_code():
    code, commit = checkout.shell(checkout.ROOT, "git rev-parse HEAD")
    git = provenance.environment({})["git"]
    assert git["commit"] == commit.strip() if code == 0 else git is None


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("model", MODELS)
def test_step_2_leaves_a_perturbation_within_its_bound_and_its_history(study, model, name):
    folder, images = os.path.join(study[0], "results", model, name), RUNS[name]
    v, run = np.load(os.path.join(folder, "uap.npy")), read_json(folder, "run.json")
    description = read_json(study[0], "models", model + ".json")
    assert v.dtype == np.float32 and v.shape == (75, 75, 3)
    assert run["norm"]["bound"] == pytest.approx(0.04 * description["mean_norms"]["inf"] / 128)
    assert np.abs(v).max() <= run["norm"]["bound"] * (1 + 1e-6)
    log = checkout.read_csv(folder, "log.csv")
    assert [row["visit"] for row in log] == [str(i + 1) for i in range(images)]
    assert v.any() == ("yes" in {row["kept"] for row in log})
    used = checkout.read_csv(folder, "images.csv", header=("file", "state"))
    assert sorted(row["file"] for row in log) == sorted(row["file"] for row in used)
    assert run["versions"]["numpy"] == np.__version__ and run["arguments"]["seed"] == 0
    assert run["visits"] == run["images"]["used"] == images and not run["images"]["broken"]
    assert np.array_equal(np.load(os.path.join(folder, "snapshots", "pass_001.npy")), v)
    assert Image.open(os.path.join(folder, "uap.png")).size[0] > 400
    assert not os.path.exists(os.path.join(folder, "checkpoint.npz"))


@pytest.mark.parametrize("model", MODELS)
def test_step_3_rows_hold_the_predictions_of_the_saved_model(study, model):
    """A second way: Keras' own loading and predicting, on images that Pillow reads."""
    from utils.classifier.frameworks import keras

    folder = study[0]
    run = os.path.join(folder, "results", model, ILSVRC)
    rows, curve, transfer = (checkout.read_csv(run, kind + ".csv")
                             for kind in ("predictions", "curve", "transfer"))
    assert len(rows) == len(curve) == len(transfer) == 14
    pixels = pixels_of(folder, read_json(folder, "models", model + ".json"),
                       [row["file"] for row in rows])

    def attacked(*path):
        return pixels + 128 * np.load(os.path.join(folder, "results", *path))

    expected = [(rows, "clean", pixels), (rows, "uap", attacked(model, ILSVRC, "uap.npy")),
                (curve, "3", attacked(model, ILSVRC, "snapshots", "pass_001.npy"))]
    others = sorted(set(MODELS) - {model})
    assert sorted(transfer[0]) == sorted(["file"] + others)
    expected += [(transfer, other, attacked(other, ILSVRC, "uap.npy")) for other in others]

    keras.backend.clear_session()
    keras.backend.set_learning_phase(0)
    loaded = keras.models.load_model(os.path.join(folder, "models", model + ".h5"), compile=False)
    for found, column, inputs in expected:
        for row, p in zip(found, loaded.predict((inputs - 128) / 128)):
            # Equal up to a tie within float32 rounding.
            assert p[checkout.CLASSES.index(row[column])] == pytest.approx(p.max(), abs=1e-5)
            if column in ("clean", "uap"):
                assert float(row[column + "_confidence"]) == pytest.approx(p.max(), abs=2e-4)


def test_the_table_holds_every_cell_and_says_in_what_it_is_not_the_published_one(study):
    folder, outputs = study
    cells = {(row["source"], row["model"]): row
             for row in checkout.read_csv(folder, "results", "table.csv")
             if row["run"] in RUNS and row["cell"] == "True"}
    assert len(cells) == 9
    for (source, model), row in cells.items():
        rows = checkout.read_csv(folder, "results", model, row["run"], "predictions.csv")
        changed = sum(r["clean"] != r["uap"] for r in rows)
        assert float(row["rate"]) == pytest.approx(changed / len(rows))
        assert float(row["low"]) <= float(row["rate"]) <= float(row["high"])
        assert row["published"] == "" and row["differs"].startswith(
            "75 px; 1 epochs; random weights; ")
    text = read_text(folder, "results", "table.md")
    assert any(text in output for output in outputs)
    headings = ("FGSM, Linf", "DeepFool, L2", "DeepFool, Linf", "SGD, Linf", "## Targeted runs")
    assert all(heading in text for heading in headings)


def test_a_perturbation_made_for_another_network_is_evaluated_on_those_it_fits(study):
    results = os.path.join(study[0], "results")
    assert [os.path.relpath(path, results) for path in glob.glob(
        os.path.join(results, "*", "none-gd-uap-of-*", "predictions.csv"))] == [
            "VGG16/none-gd-uap-of-backbone-VGG16-75/predictions.csv"]
    folder = os.path.join(results, "backbone-VGG16-75", "none-gd-uap")
    run, v = read_json(folder, "run.json"), np.load(os.path.join(folder, "uap.npy"))
    assert run["made_for"] == "backbone-VGG16-75" and run["images"]["used"] == 0
    assert run["norm"]["bound"] == pytest.approx(0.04 * 250 / 128)
    assert v.dtype == np.float32 and v.shape == (75, 75, 3)
    assert np.abs(v).max() == pytest.approx(run["norm"]["bound"])
    assert sorted(run["snapshots"]) == ["pass_001", "pass_002"]
    info = read_json(results, "VGG16-lesion", "photographs-of-VGG16", "predictions.json")
    assert (info["model"], info["made_for"]) == ("VGG16-lesion", "VGG16")


def test_the_lesion_split_parts_no_lesion(study):
    lesions = {row["image"] + ".jpg": row["lesion_id"] for row in checkout.read_csv(
        study[0], "data", "isic2018", "ISIC2018_Task3_Training_LesionGroupings.csv")}
    train, test = ({lesions[row["file"]] for row in checkout.read_csv(
        study[0], "models", "VGG16-lesion", side + ".csv", header=("file", "label"))}
        for side in ("train", "test"))
    assert train and test and not train & test


@pytest.mark.parametrize("topic, text", [
    ("rates", "\n## UAPs by DeepFool, L2 norm\n"), ("transfer", "# Transfer\n"),
    ("sensitivity", "\n## UAPs by FGSM, Linf norm\n"), ("targeted", "# Targeted UAPs\n"),
    ("other-uaps", "# Other UAPs\n"), ("provenance", "python train_model.py --model ResNet50")])
def test_the_report_has_an_appendix_for_everything_that_was_run(study, topic, text):
    results = os.path.join(study[0], "results")
    assert f"](report/{topic}.md)" in read_text(results, "report.md")
    assert text in read_text(results, "report", topic + ".md")


def test_every_picture_of_the_report_is_there(study):
    results = os.path.join(study[0], "results")
    pictures = re.findall(r"\]\((report/[^)]*\.png)\)", read_text(results, "report.md"))
    assert pictures
    for picture in pictures:
        # The narrowest one has the one lesion that a hardly trained classifier got right.
        assert Image.open(os.path.join(results, picture)).size[0] > 200


def test_table_report_and_pictures_are_made_again_from_the_rows_without_a_model(study):
    results = os.path.join(study[0], "results")

    def made():
        found = [os.path.join(results, name) for name in ("table.csv", "table.md", "report.md")]
        found += [os.path.join(results, "report", name)
                  for name in os.listdir(os.path.join(results, "report"))]
        return {path: open(path, "rb").read() for path in found}

    before = made()
    assert len(before) > 15
    for path in before:
        os.remove(path)
    code, _, errors = checkout.script(study[0], "evaluate.py", "--limit", "14")
    assert code == 0 and "TensorFlow" not in errors
    assert made() == before
