"""Draws a seeded sample of Open Images V5 (test) or ILSVRC2012, from an archive or a download."""

import functools
import itertools
import os
import re
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Set

import numpy as np
from tqdm import tqdm

from data.archives import Member, Target, extract, members
from data.download import CONNECTIONS, Absent, download, require_rest
from data.preparation_settings import PreparationSettings, Prepared
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


class PublishedArchive(NamedTuple):
    """What image-net.org says of an archive. classes: folders of images in it."""

    md5: str
    classes: int
    images: int


# By their bytes: training and validation images.
ILSVRC_ARCHIVES = {
    147897477120: PublishedArchive("1d675b47d978889d74fa0da5fadfb00e", 1000, 1281167),
    6744924160: PublishedArchive("29b22e2961454d5413ddabcf34fc5622", 1, 50000)}

# The names that the publishers give images, and the folders they go to, each a class.
PLACES = {"open_images_v5": ((r"[0-9a-f]{16}\.jpg", "test"),),
          "ilsvrc2012": ((r"(n\d{8})_\w{1,99}\.JPEG", r"train/\1"),
                         (r"ILSVRC2012_val_\d{8}\.JPEG", "val"))}


class Sample(NamedTuple):
    """A sample that was brought.

    paths: of its images below the data set's folder. origin: where they come from, for
    prepared.json.
    """

    paths: List[str]
    origin: Dict[str, Any]


def count_ready(settings: PreparationSettings, prepared: Optional[Prepared]) -> int:
    """Count the images that are ready, 0 when they are to be prepared.

    prepared: what prepared.json says, or None. Raises UserError when other images are there.
    """
    folder = os.path.join(settings.data_dir, settings.dataset)
    count = len(find_images(folder).files)
    if prepared is None and 0 < count < settings.num_images:
        raise UserError(f"{folder}: {count} images that this command did not put there, "
                        f"{settings.num_images} asked for; move them away, or give --num-images")
    if prepared is not None and (count, settings.seed) != (prepared.images, prepared.seed):
        raise UserError(f"{folder}: {count} images, --seed {settings.seed}; prepared were "
                        f"{prepared.images} images, with --seed {prepared.seed}; move {folder} "
                        "away")
    return count if count >= settings.num_images else 0


def make(settings: PreparationSettings, work: str) -> Dict[str, Any]:
    """Bring the sample below the folder `work`.

    Returns what prepared.json says of it. Raises UserError.
    """
    if not settings.archives and settings.dataset == "ilsvrc2012":
        raise UserError(
            "ILSVRC2012 cannot be downloaded without an account: register at image-net.org, "
            "download ILSVRC2012_img_train.tar (148 GB) or ILSVRC2012_img_val.tar (6.7 GB), and "
            "give it with --archive")
    tree = os.path.join(work, settings.dataset)
    if settings.archives:
        sample = _take(settings, settings.archives[0], tree)
    else:
        sample = _download(settings, tree)
    _keep_only(tree, set(sample.paths))
    return dict(sample.origin, images=len(sample.paths), seed=settings.seed,
                num_images=settings.num_images)


def _keep_only(tree: str, paths: Set[str]) -> None:
    """Remove the files that an earlier or interrupted call left below `tree` and are no `paths`."""
    for where, _, names in os.walk(tree, topdown=False):
        for name in names:
            if os.path.relpath(os.path.join(where, name), tree) not in paths:
                os.remove(os.path.join(where, name))
        if not os.listdir(where):
            os.rmdir(where)


def place_of(dataset: str, name: str) -> Optional[str]:
    """Return where an image of that base name goes below the data set's folder.

    None for other files.
    """
    for pattern, folder in PLACES[dataset]:
        match = re.fullmatch(pattern, name, re.ASCII)
        if match:
            return os.path.join(match.expand(folder), name)
    return None


def balanced_counts(sizes: Sequence[int], n: int, seed: int) -> np.ndarray:
    """Return how many images to take of each class: `n` in all, as equal as the sizes allow.

    sizes: images in each class, int. Returns an int array. The seed decides which classes give one
    more. For n + 1, each class gives as many or more.
    """
    level = max(k for k in range(max(sizes) + 1) if np.minimum(sizes, k).sum() <= n)
    counts = np.minimum(sizes, level)
    order = np.random.RandomState(seed).permutation(len(sizes))
    with_more = [i for i in order if sizes[i] > level]
    counts[with_more[:n - counts.sum()]] += 1
    return counts


def draw(paths: Iterable[str], n: int, seed: int) -> List[str]:
    """Draw `n` of the paths, balanced over their folders: the same for a seed, in any order."""
    chosen: List[str] = []
    folders = [list(names) for _, names in itertools.groupby(sorted(paths), os.path.dirname)]
    counts = balanced_counts([len(names) for names in folders], n, seed)
    for number, (names, count) in enumerate(zip(folders, counts)):
        order = np.random.RandomState([seed, number]).permutation(len(names))
        chosen += [names[i] for i in order[:count]]
    return chosen


def _take(settings: PreparationSettings, archive: str, tree: str) -> Sample:
    """Write the sample of an archive below `tree`. Raises UserError."""
    if settings.check_md5:
        md5, published = md5_of_file(archive), [each.md5 for each in ILSVRC_ARCHIVES.values()]
        if md5 not in published:
            raise UserError(f"{archive}: MD5 is {md5}, expected one of {', '.join(published)}; "
                            "download it again")
    images = _index(settings.dataset, archive)
    classes = len({os.path.dirname(path) for path in images})
    expected = ILSVRC_ARCHIVES.get(os.path.getsize(archive))
    if expected is not None and (expected.classes, expected.images) != (classes, len(images)):
        raise UserError(f"{archive}: {classes} classes, {len(images)} images, expected "
                        f"{expected.classes} and {expected.images}; download it again")
    if len(images) < settings.num_images:
        raise UserError(f"{archive}: {len(images)} images found, {settings.num_images} asked for; "
                        "ask for fewer with --num-images, or give the whole archive")
    paths = sorted(draw(images, settings.num_images, settings.seed),
                   key=lambda path: images[path].offset)
    targets = [Target(os.path.join(tree, path), images[path]) for path in paths]
    require_space(tree, sum(target.member.size for target in targets
                            if not os.path.exists(target.path)))
    extract(archive, tqdm(targets, desc="writing", unit="image"))
    return Sample(paths, {"archive": os.path.abspath(archive), "classes": classes,
                          "of": len(images)})


def _index(dataset: str, archive: str) -> Dict[str, Member]:
    """Return the images of an archive, by the path at which each goes. Raises UserError."""
    images = {}
    for member in tqdm(members(archive), desc="reading the index", unit="file"):
        path = place_of(dataset, os.path.basename(member.name))
        if path is not None:
            images[path] = member
    return images


def _download(settings: PreparationSettings, tree: str) -> Sample:
    """Download the sample of Open Images below `tree`. Raises UserError."""
    names = _open_images_names(os.path.join(os.path.dirname(tree), "test-images-with-rotation.csv"))
    if settings.num_images > len(names):
        raise UserError(f"--num-images {settings.num_images}: the test set has {len(names)} images")
    require_rest(tree, settings.num_images * OPEN_IMAGES_SIZE)
    order = iter(draw([os.path.join("test", name + ".jpg") for name in names], len(names),
                      settings.seed))
    kept: List[str] = []
    absent: List[str] = []
    while len(kept) < settings.num_images:
        wanted = list(itertools.islice(order, settings.num_images - len(kept)))
        if not wanted:
            raise UserError(f"{OPEN_IMAGES_ADDRESS}: only {len(kept)} of the test images are "
                            f"there, {settings.num_images} asked for")
        answers = in_background(functools.partial(_fetch, tree), wanted, workers=CONNECTIONS,
                                most_pending=4 * CONNECTIONS)
        with_bar = tqdm(answers, desc="downloading", total=len(wanted), unit="image")
        for is_there, path in zip(with_bar, wanted):
            (kept if is_there else absent).append(path)
            asked = len(kept) + len(absent)
            if len(absent) > max(20, ABSENT_SHARE * asked):
                raise UserError(f"{OPEN_IMAGES_ADDRESS}: {len(absent)} of the first {asked} images "
                                "are not there; is this address still right?")
    if absent:
        print(f"{len(absent)} images are not at the address any more, others were drawn instead")
    return Sample(kept, {"address": OPEN_IMAGES_ADDRESS, "absent": absent})


def _open_images_names(path: str) -> Set[str]:
    """Read the ids of the test images from the publisher's list, downloaded to `path`.

    Raises UserError.
    """
    download(OPEN_IMAGES_LIST, path)
    names = {row["ImageID"] for row in read_csv(path, ("ImageID",), HOW_TO_GET)}
    if len(names) != OPEN_IMAGES_COUNT or not all(
            re.fullmatch("[0-9a-f]{16}", name) for name in names):
        os.remove(path)
        raise UserError(f"{OPEN_IMAGES_LIST}: {len(names)} ids of images, expected "
                        f"{OPEN_IMAGES_COUNT} of 16 hexadecimal digits; try again later")
    return names


def _fetch(tree: str, path: str) -> bool:
    """Download an image to `tree`, unless it is there.

    Returns whether the server has it. Raises UserError.
    """
    target = os.path.join(tree, path)
    url = OPEN_IMAGES_ADDRESS.format(os.path.splitext(os.path.basename(path))[0])
    try:
        download(url, target)
    except Absent:
        return False
    with open(target, "rb") as file:
        is_jpeg = file.read(2) == b"\xff\xd8"
    if not is_jpeg:
        os.remove(target)
        raise UserError(f"{url}: not a JPEG; is a login page in the way?")
    return True
