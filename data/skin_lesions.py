"""Prepares ISIC2018 Task 3: 10,015 dermoscopic images in 7 classes."""

import collections
import os
import re

from data.archives import Zip, bad_archive
from data.download import begun, download
from data.place import Place
from utils import datasets
from utils.errors import UserError
from utils.files import md5_of_file, replacing, require_space

# A file of the challenge. size: in bytes. md5: None where none is known; a zip has a checksum for
# each member.
Published = collections.namedtuple("Published", "name size md5")
INPUT = Published("ISIC2018_Task3_Training_Input.zip", 2771732744, None)
TRUTH = Published("ISIC2018_Task3_Training_GroundTruth.zip", None,
                  "8302427e4ce0c107559531b9f444abe9")
GROUPINGS = Published("ISIC2018_Task3_Training_LesionGroupings.csv", None,
                      "9517b6aa6902d6c27e234bac8279a64a")

# The challenge's public bucket answers to both.
ADDRESSES = ("https://isic-archive.s3.amazonaws.com/challenges/2018/",
             "https://isic-challenge-data.s3.amazonaws.com/2018/")

# Of the HAM10000 training set (Tschandl, Rosendahl, Kittler 2018): 10,015 images.
CLASS_COUNTS = {"MEL": 1113, "NV": 6705, "BCC": 514, "AKIEC": 327, "BKL": 1099, "DF": 115,
                "VASC": 142}

# What Minagi, Hirano, Takemoto 2022 log: an L2 bound of 26.77 (128 grey levels) at zeta = 0.04 is
# a mean norm of 85,663 grey levels, of 7,000 training images at 299 x 299.
FOLLOW_UP_NORM, FOLLOW_UP_SIZE = 85663, 299


def prepare(args):
    """Download or take the three files, verify and unpack them. Raises UserError."""
    place = Place(args.data_dir, "isic2018")
    by_hand = _by_hand(args.archive)
    folder = os.path.join(args.data_dir, datasets.ISIC2018_IMAGES)
    if place.is_unsettled() or not os.path.exists(folder):
        with place.locked():
            if not os.path.exists(folder):
                _collect(place, by_hand)
                count = check(place.work)
                place.publish({"images": count, "seed": None, "mean_norm": _mean_norm(place.work),
                               "archives": by_hand})
    try:
        place.print_ready(check(args.data_dir))
    except UserError as error:
        raise UserError("{}; to have it prepared anew, move {} away".format(error, place.final))


def _by_hand(paths):
    """The files that the user downloaded: dict from the published name to the path. UserError."""
    found = {}
    for path in paths:
        name = next((published.name for published in (INPUT, TRUTH, GROUPINGS)
                     if os.path.splitext(published.name)[0] in os.path.basename(path)), None)
        if name is None:
            raise UserError("--archive {}: expected a file named like {}, {} or {}".format(
                path, INPUT.name, TRUTH.name, GROUPINGS.name))
        if not os.path.isfile(path):
            raise UserError("--archive {}: no such file".format(path))
        found[name] = path
    return found


def _collect(place, by_hand):
    """Bring images, ground truth and lesion groupings into the tree of `place`."""
    paths = {published.name: by_hand.get(published.name, os.path.join(place.work, published.name))
             for published in (INPUT, TRUTH, GROUPINGS)}
    if not os.path.exists(paths[INPUT.name]) and not begun(paths[INPUT.name]):
        require_space(place.work, 2 * INPUT.size)  # packed and unpacked: JPEGs do not shrink
    for published in (TRUTH, GROUPINGS, INPUT):  # the largest last: mistakes show early
        _obtain(published, paths[published.name], published.name in by_hand)
    truth = os.path.join(place.tree, datasets.ISIC2018_GROUND_TRUTH,
                         datasets.ISIC2018_GROUND_TRUTH + ".csv")
    try:
        with Zip(paths[TRUTH.name]) as archive:
            table = [member for member in archive.members
                     if os.path.basename(member.name) == os.path.basename(truth)]
            if len(table) != 1:
                raise bad_archive(archive.path, "no file {}".format(os.path.basename(truth)))
            archive.extract(table[0], truth)
        with Zip(paths[INPUT.name]) as archive:
            _unpack_images(archive, place, [row["image"] + ".jpg" for row in
                                            datasets.read_csv(truth, ("image",))])
    except UserError as error:
        if INPUT.name in by_hand or INPUT.name not in str(error):
            raise
        os.remove(paths[INPUT.name])
        raise UserError("{} (what was downloaded is removed; the same command begins again)".format(
            error))
    with replacing(os.path.join(place.tree, GROUPINGS.name)) as temporary:
        with open(paths[GROUPINGS.name], "rb") as source, open(temporary, "wb") as target:
            target.write(source.read())


def _obtain(published, path, by_hand):
    """Download a file to `path`, or compare the one that the user gave. Raises UserError."""
    if by_hand:
        found = os.path.getsize(path)
        if published.size not in (None, found):
            print("{}: {:,} bytes, the published file has {:,}; its content decides".format(
                path, found, published.size))
        if published.md5 not in (None, md5_of_file(path)):
            raise UserError("{}: MD5 is {}, expected {}; download it again".format(
                path, md5_of_file(path), published.md5))
        return
    failures = []
    for address in ADDRESSES:
        try:
            return download(address + published.name, path, published.size, published.md5)
        except UserError as error:
            if begun(path):  # the other address would begin again
                raise
            failures.append(str(error))
    raise UserError("{}; or download it by hand (data/README.md says where) and give it with "
                    "--archive".format("; ".join(failures)))


def _unpack_images(archive, place, listed):
    """Unpack the listed images. listed: file names of the ground truth. Raises UserError."""
    from tqdm import tqdm

    images = {}
    for member in archive.members:
        name = os.path.basename(member.name)
        if re.match(r"ISIC_\d{7}\.jpg$", name):
            if name in images:
                raise bad_archive(archive.path, "{} is in it twice".format(name))
            images[name] = member
    missing = [name for name in listed if name not in images]
    if datasets.ISIC2018_MISSING in missing:
        print("{}: {} is missing, as in one copy in circulation; it is left out".format(
            archive.path, datasets.ISIC2018_MISSING))
        missing.remove(datasets.ISIC2018_MISSING)
    if missing:
        raise bad_archive(archive.path, "lacks {} of {} images, the first is {}".format(
            len(missing), len(listed), missing[0]))
    folder = os.path.join(place.work, datasets.ISIC2018_IMAGES)
    targets = [(images[name], os.path.join(folder, name)) for name in listed if name in images]
    require_space(place.work, sum(member.size for member, target in targets
                                  if not os.path.exists(target)))
    for member, target in tqdm(targets, desc="unpacking", unit="image"):
        archive.extract(member, target)


def check(data_dir):
    """Raise UserError unless isic2018/ is whole: images, classes, lesions. Returns the count."""
    labels = datasets.isic2018_labels(data_dir)
    listed = [row["image"] + ".jpg" for row in datasets.read_csv(
        datasets.isic2018_truth(data_dir), ("image",))]
    found = collections.Counter(labels.values())
    expected = collections.Counter(CLASS_COUNTS)
    left_out = len(listed) - len(labels)  # ISIC2018_MISSING, or nothing
    if found - expected or sum((expected - found).values()) > left_out:
        raise UserError("{}: {} images ({}), expected {} ({})".format(
            os.path.join(data_dir, "isic2018"), len(labels), _listed(found),
            sum(expected.values()), _listed(expected)))
    lesions = datasets.isic2018_lesions(data_dir)
    without = [name for name in labels if name not in lesions]
    if without:
        raise UserError("{}: {} names no lesion for {} images, the first is {}".format(
            os.path.join(data_dir, "isic2018"), GROUPINGS.name, len(without), without[0]))
    return len(labels)


def _listed(counts):
    return ", ".join("{} {}".format(name, counts.get(name, 0))
                     for name in datasets.ISIC2018_CLASSES)


def _mean_norm(data_dir):
    """Decode every image, and print their mean norm beside the follow-up's. Raises UserError."""
    import numpy as np
    from tqdm import tqdm

    from utils.images import BrokenImage, list_images, read_ahead
    from utils.attack.norms import norm

    folder = os.path.join(data_dir, datasets.ISIC2018_IMAGES)
    names = list_images(folder)
    norms, broken = [], []
    stream = read_ahead((os.path.join(folder, name) for name in names), FOLLOW_UP_SIZE)
    for name, image in zip(names, tqdm(stream, total=len(names), unit="image",
                                       desc="decoding every image")):
        if isinstance(image, BrokenImage):
            broken.append("{} ({})".format(name, image))
        else:
            norms.append(norm(image, 2))
    if broken:
        raise UserError("{}: {} of {} images cannot be decoded, the first is {}; move {} away and "
                        "begin again".format(folder, len(broken), len(names), broken[0], data_dir))
    mean = float(np.mean(norms))
    print("mean L2 norm of the {n} images at {s} x {s}: {:.0f}; the follow-up paper's, of its 7000 "
          "training images: {}".format(mean, FOLLOW_UP_NORM, n=len(names), s=FOLLOW_UP_SIZE))
    return mean
