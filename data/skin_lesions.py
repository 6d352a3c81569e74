"""Prepares ISIC2018 Task 3: 10,015 dermoscopic images in 7 classes."""

import collections
import os
import shutil
import zipfile

from tqdm import tqdm

from data.archives import BadArchive, checked, link
from data.download import download, require_rest
from utils.common.csv_files import read_csv
from utils.common.errors import UserError
from utils.common.hashes import md5_of_file
from utils.common.whole_files import replacing, require_space
from utils.images import isic2018
from utils.images.decoding import BrokenImage
from utils.images.folders import list_images
from utils.images.norms import norm
from utils.images.reading import read_ahead

# The files of the challenge: (bytes, MD5). The zip of images has a checksum for each.
INPUT = "ISIC2018_Task3_Training_Input.zip"
TRUTH = isic2018.ISIC2018_GROUND_TRUTH + ".zip"
GROUPINGS = isic2018.ISIC2018_LESIONS + ".csv"
PUBLISHED = {TRUTH: (None, "8302427e4ce0c107559531b9f444abe9"),
             GROUPINGS: (None, "9517b6aa6902d6c27e234bac8279a64a"),
             INPUT: (2771732744, None)}  # the largest last: mistakes show early

# The challenge's public bucket answers to both.
ADDRESSES = ("https://isic-archive.s3.amazonaws.com/challenges/2018/",
             "https://isic-challenge-data.s3.amazonaws.com/2018/")

# Of the HAM10000 training set (Tschandl, Rosendahl, Kittler 2018): 10,015 images.
CLASS_COUNTS = {"MEL": 1113, "NV": 6705, "BCC": 514, "AKIEC": 327, "BKL": 1099, "DF": 115,
                "VASC": 142}

# What Minagi, Hirano, Takemoto 2022 log: an L2 bound of 26.77 (128 grey levels) at zeta = 0.04 is
# a mean norm of 85,663 grey levels, of 7,000 training images at 299 x 299.
FOLLOW_UP_NORM, FOLLOW_UP_SIZE = 85663, 299


def ready(args, _):
    """How many images are there, 0 when there is no folder of images. UserError: not all."""
    if not os.path.exists(os.path.join(args.data_dir, isic2018.ISIC2018_IMAGES)):
        return 0
    try:
        return check(args.data_dir)
    except UserError as error:
        raise UserError("{}; to have it prepared anew, move {} away".format(
            error, os.path.join(args.data_dir, "isic2018")))


def make(args, work):
    """Bring the three files' content below `work`. Returns the record. Raises UserError."""
    by_hand = _by_hand(args.archive)
    if INPUT not in by_hand:
        require_rest(work, 2 * PUBLISHED[INPUT][0])  # packed and unpacked: JPEGs do not shrink
    paths = {name: by_hand.get(name) or _downloaded(name, work) for name in PUBLISHED}
    folder = os.path.join(work, "isic2018", isic2018.ISIC2018_GROUND_TRUTH)
    truth = isic2018.ISIC2018_GROUND_TRUTH + ".csv"
    extract(paths[TRUTH], [truth], folder)
    rows = read_csv(os.path.join(folder, truth), ("image",), isic2018.HOW_TO_GET)
    try:
        extract(paths[INPUT], [row["image"] + ".jpg" for row in rows],
                os.path.join(work, isic2018.ISIC2018_IMAGES))
    except BadArchive:
        if INPUT not in by_hand:
            os.remove(paths[INPUT])  # the same command downloads it again
        raise
    link(paths[GROUPINGS], os.path.join(work, "isic2018", GROUPINGS))
    return {"images": check(work), "seed": None, "mean_norm": _mean_norm(work),
            "archives": by_hand}


def _by_hand(paths):
    """The files that the user downloaded: dict from the published name to the path. UserError."""
    found = {}
    for path in paths:
        name = next((name for name in PUBLISHED
                     if os.path.splitext(name)[0] in os.path.basename(path)), None)
        if not name or not os.path.isfile(path):
            raise UserError("--archive {}: {}; expected a file named like one of {}".format(
                path, "no such file" if name else "another name", ", ".join(PUBLISHED)))
        expected = PUBLISHED[name][1]
        if expected and md5_of_file(path) != expected:
            raise UserError("{}: MD5 is {}, expected {}; download it again".format(
                path, md5_of_file(path), expected))
        found[name] = path
    return found


def _downloaded(name, work):
    """Download a file from one of the addresses. Returns its path. Raises UserError."""
    path, failures = os.path.join(work, name), []
    for address in ADDRESSES:
        try:
            download(address + name, path, *PUBLISHED[name])
            return path
        except UserError as error:
            failures.append(str(error))
    raise UserError("{}; or download it by hand (data/README.md says where) and give it with "
                    "--archive".format("; ".join(failures)))


def extract(path, listed, folder):
    """Unpack the files of these base names from a zip, unless they are there. Raises BadArchive."""
    with checked(path), zipfile.ZipFile(path) as archive:
        found = {os.path.basename(info.filename): info for info in archive.infolist()}
        missing = [name for name in listed if name not in found]
        if isic2018.ISIC2018_MISSING in missing:
            print("{}: {} is missing, as in one copy in circulation; it is left out".format(
                path, isic2018.ISIC2018_MISSING))
            missing.remove(isic2018.ISIC2018_MISSING)
        if missing:
            raise BadArchive("{}: lacks {} of {} files, the first is {}".format(
                path, len(missing), len(listed), missing[0]))
        targets = {os.path.join(folder, name): found[name] for name in listed
                   if name in found and not os.path.exists(os.path.join(folder, name))}
        require_space(folder, sum(info.file_size for info in targets.values()))
        for target, info in tqdm(targets.items(), desc="unpacking", unit="file"):
            with replacing(target) as temporary, archive.open(info) as source:
                with open(temporary, "wb") as copy:
                    shutil.copyfileobj(source, copy)


def check(data_dir):
    """Raise UserError unless isic2018/ is whole: images, classes, lesions. Returns the count."""
    labels, lesions = isic2018.isic2018_labels(data_dir), isic2018.isic2018_lesions(data_dir)
    found = collections.Counter(labels.values())
    without = [name for name in labels if name not in lesions]
    if found != CLASS_COUNTS or without:
        raise UserError("{}: {} images, {}, {} without a lesion in {}; expected {}, 0".format(
            os.path.join(data_dir, "isic2018"), len(labels), dict(found), len(without), GROUPINGS,
            CLASS_COUNTS))
    return len(labels)


def _mean_norm(data_dir):
    """Decode every image, and print their mean norm beside the follow-up's. Raises UserError."""
    folder = os.path.join(data_dir, isic2018.ISIC2018_IMAGES)
    names, total = list_images(folder), 0.0
    stream = read_ahead((os.path.join(folder, name) for name in names), FOLLOW_UP_SIZE)
    for name, image in zip(names, tqdm(stream, "decoding every image", len(names), unit="image")):
        if isinstance(image, BrokenImage):
            raise UserError("{}: {} cannot be decoded ({}); move {} away and begin again".format(
                folder, name, image, data_dir))
        total += norm(image, 2) / len(names)
    print("mean L2 norm of the {n} images at {s} x {s}: {:.0f}; the follow-up paper's, of its 7000 "
          "training images: {}".format(total, FOLLOW_UP_NORM, n=len(names), s=FOLLOW_UP_SIZE))
    return total
