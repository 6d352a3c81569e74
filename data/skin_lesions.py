"""Prepares ISIC2018 Task 3: 10,015 dermoscopic images in 7 classes."""

import collections
import os
import shutil
import zipfile

from tqdm import tqdm

from data.archives import BadArchive, checked
from data.download import download, require_rest
from utils import datasets
from utils.attack.norms import norm
from utils.errors import UserError
from utils.files import md5_of_file, replacing, require_space
from utils.images import BrokenImage, list_images, read_ahead

# The files of the challenge: (bytes, MD5). The zip of images has a checksum for each.
INPUT = "ISIC2018_Task3_Training_Input.zip"
TRUTH = datasets.ISIC2018_GROUND_TRUTH + ".zip"
GROUPINGS = datasets.ISIC2018_LESIONS + ".csv"
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
    if not os.path.exists(os.path.join(args.data_dir, datasets.ISIC2018_IMAGES)):
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
    try:
        _unpack(paths, work)
    except BadArchive as error:  # of the images: the others have an MD5
        if INPUT in by_hand:
            raise
        os.remove(paths[INPUT])
        raise UserError("{} (what was downloaded is removed; the same command begins again)".format(
            error))
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
        md5 = PUBLISHED[name][1]
        if md5 and md5_of_file(path) != md5:
            raise UserError("{}: MD5 is {}, expected {}; download it again".format(
                path, md5_of_file(path), md5))
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


def _unpack(paths, work):
    """Bring the ground truth, the images it lists and the lesion groupings to their places."""
    truth = os.path.join(work, "isic2018", datasets.ISIC2018_GROUND_TRUTH,
                         datasets.ISIC2018_GROUND_TRUTH + ".csv")
    with checked(paths[TRUTH]), zipfile.ZipFile(paths[TRUTH]) as archive:
        extract(archive, [os.path.basename(truth)], os.path.dirname(truth))
    listed = [row["image"] + ".jpg" for row in datasets.read_csv(truth, ("image",))]
    with checked(paths[INPUT]), zipfile.ZipFile(paths[INPUT]) as archive:
        extract(archive, listed, os.path.join(work, datasets.ISIC2018_IMAGES))
    with replacing(os.path.join(work, "isic2018", GROUPINGS)) as temporary:
        shutil.copyfile(paths[GROUPINGS], temporary)


def extract(archive, listed, folder):
    """Unpack the files of these base names, unless they are there. Raises BadArchive."""
    found = {os.path.basename(info.filename): info for info in archive.infolist()}
    missing = [name for name in listed if name not in found]
    if datasets.ISIC2018_MISSING in missing:
        print("{}: {} is missing, as in one copy in circulation; it is left out".format(
            archive.filename, datasets.ISIC2018_MISSING))
        missing.remove(datasets.ISIC2018_MISSING)
    if missing:
        raise BadArchive("{}: lacks {} of {} files, the first is {}".format(
            archive.filename, len(missing), len(listed), missing[0]))
    targets = {os.path.join(folder, name): found[name] for name in listed
               if name in found and not os.path.exists(os.path.join(folder, name))}
    require_space(folder, sum(info.file_size for info in targets.values()))
    for target, info in tqdm(targets.items(), desc="unpacking", unit="file"):
        with replacing(target) as temporary, archive.open(info) as source:
            with open(temporary, "wb") as copy:
                shutil.copyfileobj(source, copy)


def check(data_dir):
    """Raise UserError unless isic2018/ is whole: images, classes, lesions. Returns the count."""
    labels, lesions = datasets.isic2018_labels(data_dir), datasets.isic2018_lesions(data_dir)
    expected, found = collections.Counter(CLASS_COUNTS), collections.Counter(labels.values())
    listed = datasets.read_csv(datasets.isic2018_truth(data_dir), ("image",))
    left_out = len(listed) - len(labels)  # ISIC2018_MISSING, or nothing
    without = [name for name in labels if name not in lesions]
    if found - expected or sum((expected - found).values()) > left_out or without:
        raise UserError("{}: {} images ({}), {} without a lesion in {}; expected {} ({}), 0".format(
            os.path.join(data_dir, "isic2018"), len(labels), dict(found), len(without), GROUPINGS,
            sum(expected.values()), CLASS_COUNTS))
    return len(labels)


def _mean_norm(data_dir):
    """Decode every image, and print their mean norm beside the follow-up's. Raises UserError."""
    folder = os.path.join(data_dir, datasets.ISIC2018_IMAGES)
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
