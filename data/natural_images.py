"""Draws a seeded sample of Open Images V5 (test) or ILSVRC2012, from an archive or a download."""

import functools
import itertools
import os
import re

import numpy as np
from tqdm import tqdm

from data.archives import extract, members
from data.download import CONNECTIONS, Absent, download, require_rest
from utils.common.background import in_background
from utils.common.csv_files import read_csv
from utils.common.errors import UserError
from utils.common.hashes import md5_of_file
from utils.common.whole_files import require_space
from utils.images.folders import find_images
from utils.images.presence import HOW_TO_GET

NUM_IMAGES = 100000  # of each source: the follow-up's number

OPEN_IMAGES_LIST = ("https://storage.googleapis.com/openimages/2018_04/test/"
                    "test-images-with-rotation.csv")
OPEN_IMAGES_ADDRESS = "https://open-images-dataset.s3.amazonaws.com/test/{}.jpg"
OPEN_IMAGES_COUNT = 125436  # images of the test set, by the publisher's table
OPEN_IMAGES_SIZE = 36e9 / OPEN_IMAGES_COUNT  # bytes of one image, on average
ABSENT_SHARE = 0.1  # of the images asked for: more are not a few that were withdrawn

# (MD5, classes, images) by bytes, as image-net.org lists them: training and validation images.
ILSVRC_ARCHIVES = {147897477120: ("1d675b47d978889d74fa0da5fadfb00e", 1000, 1281167),
                   6744924160: ("29b22e2961454d5413ddabcf34fc5622", 1, 50000)}

# The names that the publishers give images, and the folders they go to, each a class.
PLACES = {"open_images_v5": ((r"[0-9a-f]{16}\.jpg", "test"),),
          "ilsvrc2012": ((r"(n\d{8})_\w{1,99}\.JPEG", r"train/\1"),
                         (r"ILSVRC2012_val_\d{8}\.JPEG", "val"))}


def ready(args, record):
    """The number of images, 0 when they are to be prepared. UserError: others are there.

    record: what prepared.json says, or None.
    """
    folder = os.path.join(args.data_dir, args.dataset)
    count = len(find_images(folder).files)
    if record is None and 0 < count < args.num_images:
        raise UserError("{}: {} images that this command did not put there, {} asked for; move "
                        "them away, or give --num-images".format(folder, count, args.num_images))
    if record and (count, args.seed) != (record["images"], record["seed"]):
        raise UserError("{0}: {1} images, --seed {2}; prepared were {images}, with --seed {seed}; "
                        "move {0} away".format(folder, count, args.seed, **record))
    return count if count >= args.num_images else 0


def make(args, work):
    """Bring the sample below the folder `work`. Returns the record. Raises UserError."""
    if not args.archive and args.dataset == "ilsvrc2012":
        raise UserError(
            "ILSVRC2012 cannot be downloaded without an account: register at image-net.org, "
            "download ILSVRC2012_img_train.tar (148 GB) or ILSVRC2012_img_val.tar (6.7 GB), and "
            "give it with --archive")
    tree = os.path.join(work, args.dataset)
    paths, origin = (_take if args.archive else _download)(args, tree)
    _keep(tree, set(paths))
    return dict(origin, images=len(paths), seed=args.seed, num_images=args.num_images)


def _keep(tree, paths):
    """Remove the files that an earlier or interrupted call left below `tree` and are no `paths`."""
    for where, _, names in os.walk(tree, topdown=False):
        for name in names:
            if os.path.relpath(os.path.join(where, name), tree) not in paths:
                os.remove(os.path.join(where, name))
        if not os.listdir(where):
            os.rmdir(where)


def place_of(dataset, name):
    """Where an image of that base name goes below the data set's folder; None for other files."""
    for pattern, folder in PLACES[dataset]:
        found = re.fullmatch(pattern, name, re.ASCII)
        if found:
            return os.path.join(found.expand(folder), name)
    return None


def balanced_counts(sizes, n, seed):
    """How many images to take of each class: `n` in all, as equal as the sizes allow.

    sizes: images in each class, int. Returns an int array. The seed decides which classes give one
    more. For n + 1, each class gives as many or more.
    """
    level = max(k for k in range(max(sizes) + 1) if np.minimum(sizes, k).sum() <= n)
    counts = np.minimum(sizes, level)
    order = np.random.RandomState(seed).permutation(len(sizes))
    counts[[i for i in order if sizes[i] > level][:n - counts.sum()]] += 1
    return counts


def draw(paths, n, seed):
    """Draw `n` of the paths, balanced over their folders: the same for a seed, in any order."""
    chosen = []
    folders = [list(names) for _, names in itertools.groupby(sorted(paths), os.path.dirname)]
    counts = balanced_counts([len(names) for names in folders], n, seed)
    for number, (names, count) in enumerate(zip(folders, counts)):
        order = np.random.RandomState([seed, number]).permutation(len(names))
        chosen += [names[i] for i in order[:count]]
    return chosen


def _take(args, tree):
    """Write the sample of args.archive. Returns (its paths, the origin). Raises UserError."""
    if args.check_md5:
        found, published = md5_of_file(args.archive), [md5 for md5, *_ in ILSVRC_ARCHIVES.values()]
        if found not in published:
            raise UserError("{}: MD5 is {}, expected one of {}; download it again".format(
                args.archive, found, ", ".join(published)))
    images = {place_of(args.dataset, os.path.basename(member.name)): member
              for member in tqdm(members(args.archive), desc="reading the index", unit="file")}
    images.pop(None, None)
    counts = [len(set(map(os.path.dirname, images))), len(images)]
    _, *expected = ILSVRC_ARCHIVES.get(os.path.getsize(args.archive), [None] + counts)
    if expected != counts:
        raise UserError("{}: {} classes, {} images, expected {} and {}; download it again".format(
            args.archive, *counts + expected))
    if len(images) < args.num_images:
        raise UserError("{}: {} images found, {} asked for; ask for fewer with --num-images, or "
                        "give the whole archive".format(
                            args.archive, len(images), args.num_images))
    sample = sorted(draw(images, args.num_images, args.seed), key=lambda path: images[path].offset)
    targets = [(os.path.join(tree, path), images[path]) for path in sample]
    require_space(tree, sum(member.size for path, member in targets if not os.path.exists(path)))
    extract(args.archive, tqdm(targets, desc="writing", unit="image"))
    return sample, dict(archive=os.path.abspath(args.archive), classes=counts[0], of=counts[1])


def _download(args, tree):
    """Download the sample of Open Images. Returns (its paths, the origin). Raises UserError."""
    names = _open_images_names(os.path.join(os.path.dirname(tree), "test-images-with-rotation.csv"))
    if args.num_images > len(names):
        raise UserError("--num-images {}: the test set has {} images".format(
            args.num_images, len(names)))
    require_rest(tree, args.num_images * OPEN_IMAGES_SIZE)
    order = iter(draw([os.path.join("test", name + ".jpg") for name in names], len(names),
                      args.seed))
    kept, absent = [], []
    while len(kept) < args.num_images:
        wanted = list(itertools.islice(order, args.num_images - len(kept)))
        if not wanted:
            raise UserError("{}: only {} of the test images are there, {} asked for".format(
                OPEN_IMAGES_ADDRESS, len(kept), args.num_images))
        answers = in_background(functools.partial(_fetch, tree), wanted,
                                CONNECTIONS, 4 * CONNECTIONS)
        for is_there, path in zip(tqdm(answers, "downloading", len(wanted), unit="image"), wanted):
            (kept if is_there else absent).append(path)
            asked = len(kept) + len(absent)
            if len(absent) > max(20, ABSENT_SHARE * asked):
                raise UserError("{}: {} of the first {} images are not there; is this address "
                                "still right?".format(OPEN_IMAGES_ADDRESS, len(absent), asked))
    if absent:
        print("{} images are not at the address any more, others were drawn instead".format(
            len(absent)))
    return kept, {"address": OPEN_IMAGES_ADDRESS, "absent": absent}


def _open_images_names(path):
    """Ids of the test images, from the publisher's list, downloaded to `path`. Raises UserError."""
    download(OPEN_IMAGES_LIST, path)
    names = {row["ImageID"] for row in read_csv(path, ("ImageID",), HOW_TO_GET)}
    if len(names) != OPEN_IMAGES_COUNT or not all(re.fullmatch("[0-9a-f]{16}", n) for n in names):
        os.remove(path)
        raise UserError("{}: {} ids of images, expected {} of 16 hexadecimal digits; try again "
                        "later".format(OPEN_IMAGES_LIST, len(names), OPEN_IMAGES_COUNT))
    return names


def _fetch(tree, path):
    """Download an image to `tree`, unless it is there. Whether there is one. Raises UserError."""
    target = os.path.join(tree, path)
    url = OPEN_IMAGES_ADDRESS.format(os.path.basename(path)[:-len(".jpg")])
    try:
        download(url, target)
    except Absent:
        return False
    with open(target, "rb") as file:
        is_jpeg = file.read(2) == b"\xff\xd8"
    if not is_jpeg:
        os.remove(target)
        raise UserError("{}: not a JPEG; is a login page in the way?".format(url))
    return True
