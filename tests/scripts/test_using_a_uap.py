"""The UAPs of this repository: used and published by the commands that docs/ shows."""

import glob
import os
import pathlib
import re
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

import checkout
from data.generate import lesion_image
from utils.common.errors import UserError
from utils.evaluation import published_uaps
from utils.images.pixels import to_model_input, to_pixels

with open(os.path.join(checkout.ROOT, "data", "demo.yaml"), encoding="utf-8") as settings_file:
    NORM_RATIO = yaml.safe_load(settings_file)["norm_ratio"]
DEMO_RUN = os.path.join("demo", "results", "VGG16", f"isic2018-ratio-{NORM_RATIO}-images-4")
NAME = "VGG16/ilsvrc2012-sgd-images-10000"


def read_text(name):
    with open(os.path.join(checkout.ROOT, "docs", name), encoding="utf-8") as file:
        return file.read()


def blocks_of(name):
    """The shell blocks of a file in docs/."""
    return checkout.shell_blocks(read_text(name))


def published_in(folder):
    """Copy two UAPs of this repository into a copy of the project."""
    for name in (NAME, "VGG16/isic2018-sgd"):
        source = os.path.dirname(published_uaps.path_of(name))
        target = os.path.join(folder, os.path.relpath(source, checkout.ROOT))
        if not os.path.exists(target):
            shutil.copytree(source, target)


def test_a_uap_of_this_repository_is_added_to_a_picture_without_a_classifier(smoke):
    folder, _ = smoke
    published_in(folder)
    first, _ = blocks_of("using-a-uap.md")
    code, output = checkout.shell(folder, ". .venv/bin/activate\n" + first)
    assert code == 0, output
    assert "```\n" + output + "```" in read_text("using-a-uap.md")
    clean, attacked = (np.asarray(Image.open(os.path.join(folder, "results", name + ".png")))
                       for name in ("clean", "attacked"))
    np.testing.assert_array_equal(clean, lesion_image(np.random.RandomState(0), "NV", 96))
    v = published_uaps.load_uap(NAME)
    np.testing.assert_array_equal(attacked, to_pixels(to_model_input(clean) + v))


def test_a_classifier_is_asked_through_the_projects_own_loader(smoke):
    folder, _ = smoke
    _, second = blocks_of("using-a-uap.md")
    assert "load_model" not in second
    code, output = checkout.shell(folder, ". .venv/bin/activate\n" + second)
    assert code == 0, output
    answers = re.findall(r"^(\w+) (clean|under the UAP) (\w+) ([\d.]+)$", output, re.MULTILINE)
    assert len(answers) == 10
    predicted = {row["file"]: row["clean"] for row in checkout.read_csv(
        folder, DEMO_RUN, "predictions.csv")}
    tested = checkout.read_csv(folder, "demo", "models", "VGG16", "test.csv",
                               header=("file", "label"))[:5]
    assert [answer[2] for answer in answers[::2]] == [predicted[row["file"]] for row in tested]
    assert [answer[0] for answer in answers[::2]] == [row["label"] for row in tested]


def test_a_uap_is_published_by_the_commands_that_are_shown(smoke):
    folder, _ = smoke
    shutil.copytree(os.path.join(folder, DEMO_RUN),
                    os.path.join(folder, "results", "VGG16-mine", "isic2018"))
    block, = blocks_of("publishing-a-uap.md")
    code, output = checkout.shell(folder, ". .venv/bin/activate\n" + block)
    assert code == 0, output
    assert "VGG16-mine/isic2018 " in output


def test_the_lines_that_are_shown_of_the_list_are_its_own(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["published_uaps"])
    published_uaps.main()
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) > 20
    shown = [line for line in read_text("using-a-uap.md").splitlines()
             if line.startswith(("name  ", "InceptionV3/", "VGG16/"))]
    assert len(shown) == 5 and set(shown) <= set(listed)


def test_every_uap_in_the_list_is_loaded_by_its_name_and_keeps_its_bound():
    for uap in published_uaps.find_published():
        v = published_uaps.load_uap(uap.name)
        assert v.shape == (uap.image_size, uap.image_size, 3) and v.dtype == np.float32
        assert uap.norm == "inf" and np.abs(v).max() <= uap.bound * 1.00001


def test_a_name_is_that_of_one_run_in_whichever_group_it_is():
    folders = [pathlib.Path(checkout.REPRODUCTION, folder) for folder in glob.glob(
        os.path.join(checkout.REPRODUCTION, "**", "*", "*", "run.json"), recursive=True)]
    by_name = {"/".join(path.parts[-3:-1]): path.parent for path in folders}
    assert len(by_name) == len(folders) > 50
    named = {name: folder for name, folder in by_name.items() if (folder / "uap.npy").exists()}
    assert len({folder.parents[1].name for folder in named.values()}) > 1
    for name, folder in named.items():
        assert os.path.samefile(published_uaps.path_of(name), str(folder / "uap.npy"))


@pytest.mark.parametrize("name", ["VGG16", "VGG16/none", "main/VGG16/isic2018", "main/VGG16",
                                  "../VGG16/isic2018", "VGG16/../isic2018", "VGG16/isic2018/",
                                  "/VGG16/isic2018", ""])
def test_any_other_name_is_refused_with_where_the_names_are(name):
    with pytest.raises(UserError, match="python -m utils.evaluation.published_uaps"):
        published_uaps.load_uap(name)


def test_evaluate_takes_a_name_where_it_takes_a_file(tmp_path):
    path = str(tmp_path / "uap.npy")
    np.save(path, np.zeros(1))
    assert published_uaps.file_or_name(path) == path
    assert os.path.samefile(published_uaps.file_or_name(NAME), os.path.join(
        checkout.REPRODUCTION, "main", NAME, "uap.npy"))
    assert published_uaps.file_or_name("VGG16/none") == "VGG16/none"


def test_a_published_uap_is_evaluated_by_its_name(trained):
    published_in(trained)
    code, _, errors = checkout.script(
        trained, "evaluate.py", "--uap", NAME, "--model-file", "models/VGG16.h5",
        "--allow-mismatch")
    assert code == 2
    assert os.path.join("main", NAME, "uap.npy") in errors
    assert "(32, 32, 3)" in errors
