"""A study of 20 test images, every number of which can be counted on fingers.

A fooled image becomes melanoma (MEL), and a melanoma becomes nevus (NV). Of the columns of a run,
the UAP and its image files fool the first so many of the images, and the controls the last so many.
"""

import os
import re
from typing import NamedTuple

import numpy as np
from evaluated_runs import write_json, write_run
from PIL import Image
from scipy import stats

MODELS = ("VGG16", "ResNet50", "InceptionV3")
IMAGES = """
label clean confidence
NV    NV    1.0000
NV    NV    0.9900
MEL   MEL   0.9700
BCC   NV    0.5500
NV    NV    0.8500
NV    MEL   0.6000
MEL   MEL   0.9500
BCC   BCC   0.7000
NV    NV    0.9999
DF    NV    0.4000
NV    NV    0.8000
MEL   NV    0.5900
NV    NV    0.9000
BCC   BCC   0.6500
NV    NV    0.9999
MEL   MEL   0.7500
NV    NV    0.3000
NV    NV    0.9600
BCC   BCC   0.9950
NV    NV    0.9850
"""
# How many images each column fools, and the curve after 10, 40 and 160 images shown.
RUNS = """
model       run                   uap uap_8bit jpeg95 jpeg75 clean_jpeg75 random permuted curve
VGG16       open_images_v5        9   8        6      3      1            2      8        1,5,9
VGG16       ilsvrc2012            12  11       10     5      1            1      5        4,8,12
VGG16       isic2018              18  17       16     14     1            2      6        8,16,18
VGG16       few                   4   4        3      2      1            1      2        2,4
VGG16       ilsvrc2012-fgsm       13  13       12     9      1            0      1        5,9,13
VGG16       ilsvrc2012-target-MEL 10  9        8      7      0            2      3        3,6,10
VGG16       ilsvrc2012-target-NV  16  15       14     10     0            5      4        6,11,16
VGG16       mine                  5   5        5      4      1            1      2        5
VGG16       none-of-public        6   6        5      3      1            1      3        6
ResNet50    ilsvrc2012            14  13       9      8      2            0      1        10,12,14
ResNet50    isic2018              15  15       15     13     2            1      4        5,10,15
ResNet50    none                  8   7        6      4      2            0      2        2,4,8
InceptionV3 ilsvrc2012            3   2        2      1      0            3      5        0,1,3
"""
SNAPSHOTS = (10, 40, 160)
OF_RUN = {  # what predictions.json says of a run beside the numbers of all
    "few": {"source": "ilsvrc2012", "images": 10},
    "ilsvrc2012-fgsm": {"source": "ilsvrc2012", "attack": "fgsm"},
    "ilsvrc2012-target-MEL": {"source": "ilsvrc2012", "target": "MEL"},
    "ilsvrc2012-target-NV": {"source": "ilsvrc2012", "target": "NV"},
    "mine": {"source": "mine", "made_for": None, "attack": "unknown", "images": None,
             "passes": None, "norm_bound": None, "norm_ratio": None, "steps": None},
    "none": {"source": "none", "attack": "gd-uap", "images": 0},
    "none-of-public": {"source": "none", "made_for": "public", "backbone": True, "attack": "gd-uap",
                       "images": 0}}
FOOLED_ON_RESNET50 = 7  # by the UAP of VGG16 from ILSVRC2012
TRAINED = {"VGG16": {"seed": 7, "epochs": 3, "accuracy": 0.75},
           "ResNet50": {"seed": 8, "epochs": 4, "accuracy": 0.8},
           "InceptionV3": {"seed": 9, "epochs": 5, "accuracy": 0.7}}


def lines_of(text):
    """The lines of a table in words, as dicts by the words of its first line."""
    header, *lines = [line.split() for line in text.strip().splitlines()]
    return [dict(zip(header, line)) for line in lines]


LABELS, CLEAN, CONFIDENCES = (np.array([line[name] for line in lines_of(IMAGES)])
                              for name in ("label", "clean", "confidence"))
COUNT = len(LABELS)
FOOLED = np.where(CLEAN == "MEL", "NV", "MEL")
PLACES = np.arange(COUNT)


def fooled_first(count):
    """The predicted classes where the first so many images are fooled."""
    return np.where(PLACES < count, FOOLED, CLEAN)


def fooled_last(count):
    """The predicted classes where the last so many images are fooled."""
    return np.where(PLACES >= COUNT - count, FOOLED, CLEAN)


def make(folder):
    """Write the study below a folder: its models, its pictures, and the rows of its runs."""
    random = np.random.RandomState(0)
    for name in ("models", "pictures"):
        os.makedirs(os.path.join(folder, name))
    for i in range(COUNT):
        pixels = random.randint(0, 256, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(os.path.join(folder, "pictures", f"{i:03d}.png"))
    for model, trained in TRAINED.items():
        write_json(
            os.path.join(folder, "models", model + ".json"), weights={"sha256": "ab" * 32},
            split={"test": {"sha256": "cd" * 32}}, arguments={"seed": trained["seed"]},
            epochs=trained["epochs"], git=None, scores={"test": {"accuracy": trained["accuracy"]}},
            command=["python", "train_model.py", model], started="2019-01-01T00:00:00Z",
            finished="2019-01-02T00:00:00Z")
    for seed, line in enumerate(lines_of(RUNS)):
        _write(folder, seed, line)


def _write(folder, seed, line):
    predictions = {"file": [f"{i:03d}.png" for i in range(COUNT)], "label": LABELS, "clean": CLEAN}
    for name in ("uap", "uap_8bit", "jpeg95", "jpeg75", "clean_jpeg75"):
        predictions[name] = fooled_first(int(line[name]))
    for name in ("random", "permuted"):
        predictions[name] = fooled_last(int(line[name]))
    predictions["clean_confidence"] = CONFIDENCES
    predictions["uap_confidence"] = CONFIDENCES[::-1]
    curve = {images: fooled_first(int(count))
             for images, count in zip(SNAPSHOTS, line["curve"].split(","))}
    model, run = line["model"], line["run"]
    transfer = {}
    if (model, run) == ("ResNet50", "ilsvrc2012"):
        transfer = {"VGG16": fooled_first(FOOLED_ON_RESNET50)}
    info = {"source": run, "images": 40, "passes": 4, **OF_RUN.get(run, {})}
    write_run(os.path.join(folder, "results", model, run), predictions, curve, transfer,
              model=model, identity={"seed": seed, "step_size": 0.001}, **info)


# The report on it


class Written(NamedTuple):
    """The pages of a report, and what each picture is drawn from, both by their names."""

    pages: dict
    drawn: dict


def wilson(count, total):
    """A share and its Wilson 95 % interval, from its formula (Wilson 1927)."""
    z, share = stats.norm.ppf(0.975), count / total
    middle = (share + z ** 2 / (2 * total)) / (1 + z ** 2 / total)
    spread = (share * (1 - share) / total + z ** 2 / (4 * total ** 2)) ** 0.5
    half = z / (1 + z ** 2 / total) * spread
    return share, middle - half, middle + half


def in_percent(text):
    """Text in which every count, as 12/20, is its share in % with its interval.

    As the report prints them: 12/20 is 60.0 [38.7, 78.1]; of =12/20=, 60.0 alone is printed bold.
    """
    def replaced(match):
        value, low, high = (100 * abs(share) for share in wilson(*map(int, match.group(2, 3))))
        mark = "**" if match.group(1) else ""
        return f"{mark}{value:.1f}{mark} [{low:.1f}, {high:.1f}]"
    return re.sub(r"(=?)\b(\d+)/(\d+)\b=?", replaced, text)


def expected_table(text):
    """A table as the report is to print it: dicts by the first line; counts as in in_percent()."""
    header, *lines = [re.split(r"\s+\|\s+", line.strip()) for line in text.strip().splitlines()]
    assert all(len(line) == len(header) for line in lines)
    return [dict(zip(header, map(in_percent, line))) for line in lines]


def tables_of(text):
    """The tables in a page of the report, or in a part of one: lists of dicts."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        header, _, *lines = [line.strip("| ").split(" | ") for line in block.splitlines()]
        found.append([dict(zip(header, line)) for line in lines])
    return found


def sections_of(page):
    """The parts of a page of the report: from the heading to the text below it."""
    parts = re.split(r"^##+ (.*)\n", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))
