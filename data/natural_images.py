"""Prepares a seeded sample of Open Images V5 (test) or of ILSVRC2012."""

import array
import collections
import concurrent.futures
import contextlib
import os
import re
import threading

from data.archives import Member, link_or_copy, open_images
from data.download import Absent, download
from data.place import Place
from utils.datasets import read_csv
from utils.errors import UserError
from utils.files import md5_of_file, require_space

NUM_IMAGES = 100000  # of each source, as many as the study used

OPEN_IMAGES_LIST = ("https://storage.googleapis.com/openimages/2018_04/test/"
                    "test-images-with-rotation.csv")
OPEN_IMAGES_ADDRESS = "https://open-images-dataset.s3.amazonaws.com/test/{}.jpg"
OPEN_IMAGES_COUNT = 125436  # images of the test set, by the publisher's table
OPEN_IMAGES_SIZE = 36e9 / OPEN_IMAGES_COUNT  # bytes of one image, on average
CONNECTIONS = 16
ABSENT_SHARE = 0.1  # of the images asked for: more are not a few that were withdrawn

# MD5 by the number of bytes, as image-net.org lists them: training images, validation images.
ILSVRC_MD5 = {147897477120: "1d675b47d978889d74fa0da5fadfb00e",
              6744924160: "29b22e2961454d5413ddabcf34fc5622"}


def prepare_open_images(args):
    """A sample of the test images: downloaded one by one, or from an archive. Raises UserError."""
    _prepare(args, "open_images_v5", _take_open_images if args.archive else _download_open_images)


def prepare_ilsvrc(args):
    """A sample of the images in an archive, balanced over the classes. Raises UserError."""
    _prepare(args, "ilsvrc2012", _take_ilsvrc)


def _prepare(args, name, make):
    place = Place(args.data_dir, name)
    if place.is_unsettled() or not _is_ready(place, args):
        with place.locked():
            if not _is_ready(place, args):
                make(place, args)
    place.print_ready(_count(place.final))


def _is_ready(place, args):
    """Whether enough images are there. Raises UserError when they are not what is asked for."""
    count, record = _count(place.final), place.record()
    mend = "move {} away, or give another --data-dir".format(place.final)
    if record is None:
        if 0 < count < args.num_images:
            raise UserError("{}: {} images that this command did not put there, {} asked for; ask "
                            "for fewer with --num-images, {}".format(
                                place.final, count, args.num_images, mend))
        return count > 0
    if record["images"] != count:
        raise UserError("{}: {} images, {} were prepared; {}".format(
            place.final, count, record["images"], mend))
    if record["seed"] != args.seed:
        raise UserError("{}: prepared with --seed {}, asked for is {}; {}".format(
            place.final, record["seed"], args.seed, mend))
    return count >= args.num_images


def _count(folder):
    from utils.images import EXTENSIONS

    return sum(name.lower().endswith(EXTENSIONS) and not name.startswith(".")
               for _, _, names in os.walk(folder) for name in names)


def _finish(place, args, paths, origin):
    """Publish the images at `paths`, relative to the tree, and nothing else."""
    from PIL import Image
    from tqdm import tqdm

    kept = set(paths)
    for where, _, names in os.walk(place.tree, topdown=False):
        for name in names:
            path = os.path.join(where, name)
            if os.path.relpath(path, place.tree) not in kept:  # of a call that asked for others
                os.remove(path)
        if where != place.tree and not os.listdir(where):
            os.rmdir(where)
    unknown = []
    for path in tqdm(paths, desc="checking formats", unit="image"):
        try:
            Image.open(os.path.join(place.tree, path)).close()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            unknown.append(path)
    if unknown:
        print("{} of {} images are in no known format, the first is {}; make_uap.py skips them"
              .format(len(unknown), len(paths), unknown[0]))
    place.publish(dict(origin, images=len(paths), seed=args.seed, num_images=args.num_images,
                       unknown_format=unknown))


# --- From an archive or a folder ---


class _Class:
    """The images of one class: 1.3 million fit into little memory."""

    def __init__(self):
        self._names, self._numbers = bytearray(), array.array("Q")

    def __len__(self):
        return len(self._numbers) // 2

    def add(self, member):
        self._names += member.name.encode("utf-8", "surrogateescape") + b"\0"
        self._numbers.extend((member.size, member.offset))

    def members(self):
        """List of Members, sorted by name: in whichever order the archive holds them."""
        names = self._names.decode("utf-8", "surrogateescape").split("\0")
        return sorted(Member(name, size, offset) for name, size, offset in
                      zip(names, self._numbers[::2], self._numbers[1::2]))


def balanced_counts(sizes, n, seed):
    """How many images to take of each class: `n` in all, as equal as the sizes allow.

    sizes: images in each class, int. Returns an int array. The seed decides which classes give one
    more. For n + 1, each class gives as many or more.
    """
    import numpy as np

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
    """Draw `n` images, balanced over the classes, the same for the same seed.

    classes: dict from name to _Class. Returns (class name, Member), in the archive's order.
    """
    import numpy as np

    names = sorted(classes)
    counts = balanced_counts([len(classes[name]) for name in names], n, seed)
    chosen = []
    for number, (name, count) in enumerate(zip(names, counts)):
        if count:
            members = classes[name].members()
            order = np.random.RandomState([seed, number]).permutation(len(members))
            chosen += [(name, members[i]) for i in order[:count]]
    return sorted(chosen, key=lambda image: (image[1].offset, image[1].name))


def _take(place, args, place_of):
    """Draw the sample from args.archive and write it.

    place_of: function (folder, file name), the last two parts of a path in the archive -> path
    below the tree, or None for other files. Images of one folder there are one class. UserError.
    """
    from tqdm import tqdm

    classes = collections.defaultdict(_Class)
    with open_images(args.archive) as source:
        with tqdm(desc="reading the index", unit="image") as bar:
            for folder, member in source.members():
                path = place_of(folder, os.path.basename(member.name))
                if path:
                    classes[os.path.dirname(path)].add(member)
                    bar.update()
    total = sum(map(len, classes.values()))
    if total < args.num_images:
        raise UserError("{}: {} images found, {} asked for; ask for fewer with --num-images, or "
                        "give the whole archive".format(args.archive, total, args.num_images))
    targets = collections.OrderedDict()
    for name, member in draw(classes, args.num_images, args.seed):
        path = os.path.join(name, os.path.basename(member.name))
        if path in targets:
            raise UserError("{}: {} is in it twice".format(args.archive, path))
        targets[path] = member
    require_space(place.work, sum(member.size for path, member in targets.items()
                                  if not os.path.exists(os.path.join(place.tree, path))))
    with open_images(args.archive) as source:
        for path, member in tqdm(targets.items(), desc="writing", unit="image"):
            target = os.path.join(place.tree, path)
            _take_over(place, path, member.size)
            source.extract(member, target)
    _finish(place, args, list(targets), {
        "archive": os.path.abspath(args.archive), "classes": len(classes), "of": total})


def _take_over(place, path, size=None):
    """Use again what an earlier call with fewer images has put in place."""
    earlier = os.path.join(place.final, path)
    if os.path.exists(earlier) and size in (None, os.path.getsize(earlier)):
        link_or_copy(earlier, os.path.join(place.tree, path))


def _take_open_images(place, args):
    def place_of(folder, name):
        return os.path.join("test", name) if re.match(r"[0-9a-f]{16}\.jpg$", name) else None

    _take(place, args, place_of)


def _take_ilsvrc(place, args):
    from utils.images import EXTENSIONS

    if not args.archive:
        raise UserError(
            "ILSVRC2012 cannot be downloaded without an account: register at image-net.org, "
            "download ILSVRC2012_img_train.tar (138 GB) or ILSVRC2012_img_val.tar (6.3 GB), and "
            "give it with --archive")
    if args.check_md5:
        _check_md5(args.archive)

    def place_of(folder, name):
        if not name.lower().endswith(EXTENSIONS) or name.startswith("."):
            return None
        return os.path.join("val" if name.startswith("ILSVRC2012_val_") else "train",
                            folder if re.match(r"n\d{8}$", folder) else "", name)

    _take(place, args, place_of)


def _check_md5(path):
    if not os.path.isfile(path):
        raise UserError("{}: not a file; --check-md5 compares an archive".format(path))
    size = os.path.getsize(path)
    if size not in ILSVRC_MD5:
        raise UserError("{}: {:,} bytes, expected one of {}; download it again".format(
            path, size, ", ".join("{:,}".format(known) for known in sorted(ILSVRC_MD5))))
    found = md5_of_file(path)
    if found != ILSVRC_MD5[size]:
        raise UserError("{}: MD5 is {}, expected {}; download it again".format(
            path, found, ILSVRC_MD5[size]))


# --- Open Images, one by one ---


def _download_open_images(place, args):
    import numpy as np
    from tqdm import tqdm

    names = _open_images_names(os.path.join(place.work, "test-images-with-rotation.csv"))
    if args.num_images > len(names):
        raise UserError("--num-images {}: the test set has {} images".format(
            args.num_images, len(names)))
    # In the order that draw() would take them, had they been in an archive.
    order = iter([names[i] for i in np.random.RandomState([args.seed, 0]).permutation(len(names))])
    require_space(place.work, args.num_images * OPEN_IMAGES_SIZE - _bytes_below(place.tree))
    kept, absent = [], []
    with tqdm(total=args.num_images, desc="downloading", unit="image") as bar:
        while len(kept) < args.num_images:
            wanted = [name for _, name in zip(range(args.num_images - len(kept)), order)]
            if not wanted:
                raise UserError("{}: only {} of the test images are there, {} asked for".format(
                    OPEN_IMAGES_ADDRESS, len(kept), args.num_images))
            with contextlib.closing(_download_each(place, wanted)) as answers:
                for path, is_there in answers:
                    (kept if is_there else absent).append(path)
                    bar.update(is_there)
                    asked = len(kept) + len(absent)
                    if len(absent) > max(20, ABSENT_SHARE * asked):
                        raise UserError(
                            "{}: {} of the first {} images are not there; is this address still "
                            "right?".format(OPEN_IMAGES_ADDRESS, len(absent), asked))
    if absent:
        print("{} images are not at the address any more, others were drawn instead".format(
            len(absent)))
    _finish(place, args, kept, {"address": OPEN_IMAGES_ADDRESS, "absent": absent})


def _open_images_names(path):
    """Sorted ids of the test images, from the publisher's list, downloaded to `path`. UserError."""
    download(OPEN_IMAGES_LIST, path)
    names = sorted({row["ImageID"] for row in read_csv(path, ("ImageID",))})
    if len(names) != OPEN_IMAGES_COUNT or not all(re.match(r"[0-9a-f]{16}$", n) for n in names):
        os.remove(path)
        raise UserError("{}: {} ids of images, expected {} of 16 hexadecimal digits; try again "
                        "later".format(OPEN_IMAGES_LIST, len(names), OPEN_IMAGES_COUNT))
    return names


def _bytes_below(folder):
    return sum(os.path.getsize(os.path.join(where, name))
               for where, _, names in os.walk(folder) for name in names)


def _download_each(place, names):
    """Download images, several at a time; yield (path below the tree, whether it is there)."""
    stop = threading.Event()
    pool = concurrent.futures.ThreadPoolExecutor(CONNECTIONS)
    pending = collections.deque()

    def fetch(name, path):
        target = os.path.join(place.tree, path)
        if not os.path.exists(target):
            _take_over(place, path)
        try:
            download(OPEN_IMAGES_ADDRESS.format(name), target, bar=False, stop=stop)
        except Absent:
            return False
        with open(target, "rb") as file:
            begin = file.read(64)
        if not begin.startswith(b"\xff\xd8"):
            os.remove(target)
            raise UserError("{}: not a JPEG but {!r}...; is a login page in the way?".format(
                OPEN_IMAGES_ADDRESS.format(name), begin))
        return True

    try:
        for name in names:
            path = os.path.join("test", name + ".jpg")
            pending.append((path, pool.submit(fetch, name, path)))
            if len(pending) >= 4 * CONNECTIONS:
                path, future = pending.popleft()
                yield path, future.result()
        while pending:
            path, future = pending.popleft()
            yield path, future.result()
    finally:
        stop.set()
        for _, future in pending:
            future.cancel()
        pool.shutdown()
