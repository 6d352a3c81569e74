"""Prepares ISIC2018 Task 3: 10,015 dermoscopic images in 7 classes."""

import collections
import os
import shutil
import zipfile
from typing import Any, Dict, NamedTuple, Optional, Sequence

from tqdm import tqdm

from data.archives import BadArchive, checked, link
from data.download import download, require_rest
from data.preparation_settings import PreparationSettings, Prepared
from utils.common.csv_files import read_csv
from utils.common.errors import UserError
from utils.common.hashes import md5_of_file
from utils.common.terminal import printable
from utils.common.whole_files import replacing, require_space
from utils.images import isic2018
from utils.images.decoding import BrokenImage
from utils.images.folders import list_images
from utils.images.norms import norm
from utils.images.presence import HOW_TO_GET
from utils.images.reading import read_ahead


class PublishedFile(NamedTuple):
    """What is known of a file that the challenge publishes, None where it is not.

    size: in bytes. md5: in hexadecimal.
    """

    size: Optional[int]
    md5: Optional[str]


# The files of the challenge. The zip of images has a checksum for each.
INPUT = "ISIC2018_Task3_Training_Input.zip"
TRUTH = isic2018.ISIC2018_GROUND_TRUTH + ".zip"
GROUPINGS = isic2018.ISIC2018_LESIONS + ".csv"
PUBLISHED = {TRUTH: PublishedFile(None, "8302427e4ce0c107559531b9f444abe9"),
             GROUPINGS: PublishedFile(None, "9517b6aa6902d6c27e234bac8279a64a"),
             INPUT: PublishedFile(2771732744, None)}  # the largest last: mistakes show early

# The challenge's public bucket answers to both.
ADDRESSES = ("https://isic-archive.s3.amazonaws.com/challenges/2018/",
             "https://isic-challenge-data.s3.amazonaws.com/2018/")

# Of the HAM10000 training set (Tschandl, Rosendahl, Kittler 2018): 10,015 images.
CLASS_COUNTS = {"MEL": 1113, "NV": 6705, "BCC": 514, "AKIEC": 327, "BKL": 1099, "DF": 115,
                "VASC": 142}

# What Minagi, Hirano, Takemoto 2022 log: an L2 bound of 26.77 (128 grey levels) at zeta = 0.04 is
# a mean norm of 85,663 grey levels, of 7,000 training images at 299 x 299.
FOLLOW_UP_NORM, FOLLOW_UP_SIZE = 85663, 299


def count_ready(settings: PreparationSettings, prepared: Optional[Prepared]) -> int:
    """Count the images that are ready, 0 when there is no folder of images.

    prepared: what prepared.json says; the images themselves decide. Raises UserError when the data
    set is not whole.
    """
    if not os.path.exists(os.path.join(settings.data_dir, isic2018.ISIC2018_IMAGES)):
        return 0
    try:
        return check(settings.data_dir)
    except UserError as error:
        folder = os.path.join(settings.data_dir, "isic2018")
        raise UserError(f"{error}; to have it prepared anew, move {folder} away")


def make(settings: PreparationSettings, work: str) -> Dict[str, Any]:
    """Bring the content of the three files below `work`.

    Returns what prepared.json says of it. Raises UserError.
    """
    by_hand = _by_hand(settings.archives)
    if INPUT not in by_hand:
        require_rest(work, 2 * (PUBLISHED[INPUT].size or 0))  # packed and unpacked are as large
    paths = {name: by_hand.get(name) or _downloaded(name, work) for name in PUBLISHED}
    folder = os.path.join(work, "isic2018", isic2018.ISIC2018_GROUND_TRUTH)
    truth = isic2018.ISIC2018_GROUND_TRUTH + ".csv"
    extract(paths[TRUTH], [truth], folder)
    rows = read_csv(os.path.join(folder, truth), ("image",), HOW_TO_GET)
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


def _by_hand(paths: Sequence[str]) -> Dict[str, str]:
    """Recognise the files that the user downloaded, by their names and MD5.

    Returns a dict from the published name to the path. Raises UserError.
    """
    by_hand = {}
    for path in paths:
        name = _published_name(path)
        if name is None or not os.path.isfile(path):
            fault = "another name" if name is None else "no such file"
            raise UserError(f"--archive {path}: {fault}; expected a file named like one of "
                            f"{', '.join(PUBLISHED)}")
        expected = PUBLISHED[name].md5
        md5 = md5_of_file(path) if expected else None
        if md5 != expected:
            raise UserError(f"{path}: MD5 is {md5}, expected {expected}; download it again")
        by_hand[name] = path
    return by_hand


def _published_name(path: str) -> Optional[str]:
    """Return which of the published files this one is named like, or None."""
    for name in PUBLISHED:
        if os.path.splitext(name)[0] in os.path.basename(path):
            return name
    return None


def _downloaded(name: str, work: str) -> str:
    """Download a file from one of the addresses. Returns its path. Raises UserError."""
    path, failures = os.path.join(work, name), []
    for address in ADDRESSES:
        try:
            download(address + name, path, PUBLISHED[name].size, md5=PUBLISHED[name].md5)
            return path
        except UserError as error:
            failures.append(str(error))
    raise UserError(f"{'; '.join(failures)}; or download it by hand (data/README.md says where) "
                    "and give it with --archive")


def extract(path: str, listed: Sequence[str], folder: str) -> None:
    """Unpack the files of these base names from a zip, unless they are there. Raises BadArchive."""
    with checked(path), zipfile.ZipFile(path) as archive:
        entries = {os.path.basename(entry.filename): entry for entry in archive.infolist()}
        missing = [name for name in listed if name not in entries]
        if isic2018.ISIC2018_MISSING in missing:
            print(f"{printable(path)}: {isic2018.ISIC2018_MISSING} is missing, as in one copy in "
                  "circulation; it is left out")
            missing.remove(isic2018.ISIC2018_MISSING)
        if missing:
            raise BadArchive(f"{path}: lacks {len(missing)} of {len(listed)} files, the first is "
                             f"{missing[0]}")
        targets = {os.path.join(folder, name): entries[name] for name in listed
                   if name in entries and not os.path.exists(os.path.join(folder, name))}
        require_space(folder, sum(entry.file_size for entry in targets.values()))
        for target, entry in tqdm(targets.items(), desc="unpacking", unit="file"):
            with replacing(target) as temporary, archive.open(entry) as source:
                with open(temporary, "wb") as copy:
                    shutil.copyfileobj(source, copy)


def check(data_dir: str) -> int:
    """Count the images of isic2018/. Raises UserError unless images, classes, lesions are whole."""
    labels, lesions = isic2018.isic2018_labels(data_dir), isic2018.isic2018_lesions(data_dir)
    counts = collections.Counter(labels.values())
    without = [name for name in labels if name not in lesions]
    if counts != CLASS_COUNTS or without:
        raise UserError(f"{os.path.join(data_dir, 'isic2018')}: {len(labels)} images, "
                        f"{dict(counts)}, {len(without)} without a lesion in {GROUPINGS}; expected "
                        f"{CLASS_COUNTS}, 0")
    return len(labels)


def _mean_norm(data_dir: str) -> float:
    """Decode every image, and print their mean norm beside the follow-up's. Raises UserError."""
    folder = os.path.join(data_dir, isic2018.ISIC2018_IMAGES)
    names, mean = list_images(folder), 0.0
    stream = read_ahead([os.path.join(folder, name) for name in names], FOLLOW_UP_SIZE)
    with_bar = tqdm(stream, desc="decoding every image", total=len(names), unit="image")
    for name, image in zip(names, with_bar):
        if isinstance(image, BrokenImage):
            raise UserError(f"{folder}: {name} cannot be decoded ({image}); move {data_dir} away "
                            "and begin again")
        mean += norm(image, 2) / len(names)
    print(f"mean L2 norm of the {len(names)} images at {FOLLOW_UP_SIZE} x {FOLLOW_UP_SIZE}: "
          f"{mean:.0f}; the follow-up paper's, of its 7000 training images: {FOLLOW_UP_NORM}")
    return mean
