"""Draws a seeded sample of Open Images V5 (test) or ILSVRC2012, from an archive or a download."""

import collections
import itertools
import os
import re

import numpy as np
from PIL import Image
from tqdm import tqdm

from data.archives import extract, link, members
from data.download import CONNECTIONS, Absent, download, require_rest
from utils.datasets import read_csv
from utils.errors import UserError
from utils.files import md5_of_file, require_space
from utils.images import EXTENSIONS, in_background

NUM_IMAGES = 100000  # of each source, as many as the study used

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
    folder, fault = os.path.join(args.data_dir, args.dataset), None
    count = sum(name.lower().endswith(EXTENSIONS) and not name.startswith(".")
                for _, _, names in os.walk(folder) for name in names)
    if record is None and 0 < count < args.num_images:
        fault = ("{} images that this command did not put there, {} asked for; ask for fewer with "
                 "--num-images".format(count, args.num_images))
    elif record and record["images"] != count:
        fault = "{} images, {} were prepared".format(count, record["images"])
    elif record and record["seed"] != args.seed:
        fault = "prepared with --seed {}, asked for is {}".format(record["seed"], args.seed)
    if fault:
        raise UserError("{0}: {1}; move {0} away, or give another --data-dir".format(folder, fault))
    return count if record is None or count >= args.num_images else 0


def make(args, work):
    """Bring the sample below the folder `work`. Returns the record. Raises UserError."""
    if not args.archive and args.dataset == "ilsvrc2012":
        raise UserError(
            "ILSVRC2012 cannot be downloaded without an account: register at image-net.org, "
            "download ILSVRC2012_img_train.tar (138 GB) or ILSVRC2012_img_val.tar (6.3 GB), and "
            "give it with --archive")
    paths, origin = (_take if args.archive else _download)(args, work)
    return _record(args, work, paths, **origin)


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
    sizes, counts = np.array(sizes), np.zeros(len(sizes), int)
    order = np.random.RandomState(seed).permutation(len(sizes))
    while counts.sum() < n:
        left = n - counts.sum()
        able = [i for i in order if counts[i] < sizes[i]]
        share = left // len(able)
        for i in able if share else able[:left]:
            counts[i] += min(max(share, 1), sizes[i] - counts[i])
    return counts


def draw(classes, n, seed):
    """Draw `n` images, balanced over the classes: the same for a seed, whatever their order.

    classes: dict from class to list of Members. Returns a list of (class, Member), by offset.
    """
    chosen, names = [], sorted(classes)
    counts = balanced_counts([len(classes[name]) for name in names], n, seed)
    for number, (name, count) in enumerate(zip(names, counts)):
        members_of = sorted(classes[name], key=lambda member: os.path.basename(member.name))
        order = np.random.RandomState([seed, number]).permutation(len(members_of))
        chosen += [(name, members_of[i]) for i in order[:count]]
    return sorted(chosen, key=lambda image: image[1].offset)


def _take(args, work):
    """Write the sample of args.archive. Returns (its paths, the origin). Raises UserError."""
    if args.dataset == "ilsvrc2012" and args.check_md5:
        found = md5_of_file(args.archive)
        if found not in [md5 for md5, _, _ in ILSVRC_ARCHIVES.values()]:
            raise UserError("{}: MD5 is {}, expected one of {}; download it again".format(
                args.archive, found, ", ".join(md5 for md5, _, _ in ILSVRC_ARCHIVES.values())))
    classes = collections.defaultdict(list)
    for member in tqdm(members(args.archive), desc="reading the index", unit="file"):
        path = place_of(args.dataset, os.path.basename(member.name))
        if path:
            classes[os.path.dirname(path)].append(member)
    total = sum(map(len, classes.values()))
    _, *expected = ILSVRC_ARCHIVES.get(os.path.getsize(args.archive), (None, len(classes), total))
    if expected != [len(classes), total]:
        raise UserError("{}: {} classes, {} images, expected {} and {}; download it again".format(
            args.archive, len(classes), total, *expected))
    if total < args.num_images:
        raise UserError("{}: {} images found, {} asked for; ask for fewer with --num-images, or "
                        "give the whole archive".format(args.archive, total, args.num_images))
    sample = {os.path.join(name, os.path.basename(member.name)): member
              for name, member in draw(classes, args.num_images, args.seed)}
    if len(sample) < args.num_images:
        raise UserError("{}: it has images twice".format(args.archive))
    targets = [(_reuse(args, work, path), member) for path, member in sample.items()]
    require_space(work, sum(member.size for path, member in targets if not os.path.exists(path)))
    extract(args.archive, tqdm(targets, desc="writing", unit="image"))
    return sample, {"archive": os.path.abspath(args.archive), "classes": len(classes), "of": total}


def _reuse(args, work, path):
    """The place of an image below `work`; one that an earlier call prepared is linked there."""
    earlier, target = (os.path.join(folder, args.dataset, path) for folder in (args.data_dir, work))
    if os.path.exists(earlier):
        link(earlier, target)
    return target


def _record(args, work, paths, **origin):
    """Keep the images at `paths`, relative to the data set, and no others. Returns the record."""
    tree, unknown = os.path.join(work, args.dataset), []
    for where, _, names in os.walk(tree, topdown=False):
        for name in names:  # of an interrupted call that asked for others
            if os.path.relpath(os.path.join(where, name), tree) not in paths:
                os.remove(os.path.join(where, name))
        if not os.listdir(where):
            os.rmdir(where)
    for path in tqdm(paths, desc="checking formats", unit="image"):
        try:
            Image.open(os.path.join(tree, path)).close()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            unknown.append(path)
    if unknown:
        print("{} of {} images are in no known format, the first is {}; make_uap.py skips them"
              .format(len(unknown), len(paths), unknown[0]))
    return dict(origin, images=len(paths), seed=args.seed, num_images=args.num_images,
                unknown_format=unknown)


def _download(args, work):
    """Download the sample of Open Images. Returns (its paths, the origin). Raises UserError."""
    names = _open_images_names(os.path.join(work, "test-images-with-rotation.csv"))
    if args.num_images > len(names):
        raise UserError("--num-images {}: the test set has {} images".format(
            args.num_images, len(names)))
    require_rest(work, args.num_images * OPEN_IMAGES_SIZE)
    # In the order that draw() would take them, had they been in an archive.
    order = iter(np.random.RandomState([args.seed, 0]).permutation(len(names)))
    kept, absent = {}, {}  # as keys, in the order of the draw
    while len(kept) < args.num_images:
        wanted = [names[i] for i in itertools.islice(order, args.num_images - len(kept))]
        if not wanted:
            raise UserError("{}: only {} of the test images are there, {} asked for".format(
                OPEN_IMAGES_ADDRESS, len(kept), args.num_images))
        answers = in_background(lambda name: _fetch(args, work, name), wanted,
                                CONNECTIONS, 4 * CONNECTIONS)
        for path, is_there in tqdm(answers, "downloading", len(wanted), unit="image"):
            (kept if is_there else absent)[path] = None
            asked = len(kept) + len(absent)
            if len(absent) > max(20, ABSENT_SHARE * asked):
                raise UserError("{}: {} of the first {} images are not there; is this address "
                                "still right?".format(OPEN_IMAGES_ADDRESS, len(absent), asked))
    if absent:
        print("{} images are not at the address any more, others were drawn instead".format(
            len(absent)))
    return kept, {"address": OPEN_IMAGES_ADDRESS, "absent": list(absent)}


def _open_images_names(path):
    """Sorted ids of the test images, from the publisher's list, downloaded to `path`. UserError."""
    download(OPEN_IMAGES_LIST, path)
    names = sorted({row["ImageID"] for row in read_csv(path, ("ImageID",))})
    if len(names) != OPEN_IMAGES_COUNT or not all(re.fullmatch("[0-9a-f]{16}", n) for n in names):
        os.remove(path)
        raise UserError("{}: {} ids of images, expected {} of 16 hexadecimal digits; try again "
                        "later".format(OPEN_IMAGES_LIST, len(names), OPEN_IMAGES_COUNT))
    return names


def _fetch(args, work, name):
    """Download an image, unless it is there. Returns (path, whether there is one). UserError."""
    path = os.path.join("test", name + ".jpg")
    target, url = _reuse(args, work, path), OPEN_IMAGES_ADDRESS.format(name)
    try:
        download(url, target, bar=False)
    except Absent:
        return path, False
    with open(target, "rb") as file:
        is_jpeg = file.read(2) == b"\xff\xd8"
    if not is_jpeg:
        os.remove(target)
        raise UserError("{}: not a JPEG; is a login page in the way?".format(url))
    return path, True
