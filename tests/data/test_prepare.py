"""From archives and addresses to the folders that the scripts read: whole, or a message."""

import collections
import contextlib
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import signal
import sys
import tarfile
import types

import numpy as np
import pytest
from PIL import Image
from test_archives import tar_of, zip_of

import checkout
import web
from data import archives, natural_images, prepare, skin_lesions
from data.natural_images import PublishedArchive
from utils.images import datasets, isic2018
from utils.images.folders import list_images

KILLED = 9


def jpeg(number):
    """The bytes of a small image, another for each number."""
    pixels = np.random.RandomState(number).randint(0, 256, (9, 7, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def contents(folder):
    """dict from path to bytes of all files below a folder, but for the time, and dead locks."""
    return {name: content for name, content in checkout.tree(folder).items()
            if os.path.basename(name) != "prepared.json" and not name.endswith(".lock")}


def run_killed(command, killed_at):
    """The exit code of a fork that runs `command`, killed before that rename or removal of it."""
    child = os.fork()
    if child:
        return os.WEXITSTATUS(os.waitpid(child, 0)[1])
    signal.alarm(60)
    calls = []
    for name in ("replace", "rename", "link", "unlink", "remove", "rmdir"):
        def counted(*names, real=getattr(os, name), **options):
            calls.append(names)
            if len(calls) == killed_at:
                os._exit(KILLED)
            return real(*names, **options)
        setattr(os, name, counted)
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    os._exit(command())


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Function (words of the command) -> (exit code, output, errors), with tmp_path as --data-dir.

    killed_at: as in run_killed; the exit code alone comes then.
    """
    web.allow(monkeypatch)
    monkeypatch.setattr(os, "fsync", lambda file: None)
    releases = []  # what the process would do at its end
    monkeypatch.setattr("utils.common.locks.atexit",
                        types.SimpleNamespace(register=releases.append))

    def command():
        try:
            prepare.run_script(prepare.main)
        except SystemExit as error:
            return error.code
        finally:
            while releases:
                releases.pop()()
        return 0

    def run(*words, killed_at=None):
        monkeypatch.setattr(sys, "argv", ["prepare.py"] + [str(word) for word in words]
                            + ["--data-dir", str(tmp_path / "data")])
        if killed_at is not None:
            return run_killed(command, killed_at)
        code = command()
        captured = capsys.readouterr()
        error = captured.err[captured.err.rfind("error: "):] if code else ""
        assert code == 0 or code == 2 and error.count("\n") == 1 and "Traceback" not in captured.err
        return code, captured.out, error

    return run


def succeeds(run, *words):
    """Run a command that must end well; returns its output."""
    code, output, error = run(*words)
    assert code == 0, error
    assert re.match(r"ready: \d+ images in ", output.splitlines()[-1])
    return output


def fails(run, *words, saying):
    """Run a command that must end with a message of these words."""
    code, _, error = run(*words)
    assert code == 2 and [word for word in saying.split() if word not in error] == [], error


def survives_kills(run, tmp_path, words, first=lambda: None, step=1):
    """Kill the command before every step-th file it renames or removes: given again, it ends alike.

    first: what is done before.
    """
    succeeds(run, *words)
    final = contents(tmp_path / "data")
    for kill in range(1, 1000, step):
        shutil.rmtree(str(tmp_path / "data"), ignore_errors=True)
        first()
        code = run(*words, killed_at=kill)
        succeeds(run, *words)
        assert contents(tmp_path / "data") == final
        if code != KILLED:
            break
    assert code == 0 and kill > 10


@pytest.fixture
def serve():
    """Function (files, behaviour) -> the web.Site that serves them until the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(web.serving(web.Site(*arguments)))


# --- ISIC2018 ---

COUNTS = collections.OrderedDict(zip(isic2018.ISIC2018_CLASSES, (2, 3, 1, 1, 1, 1, 1)))
LABELS = [label for label, count in COUNTS.items() for _ in range(count)]
NAMES = [f"ISIC_{24306 + i:07d}" for i in range(len(LABELS))]
IMAGES = {name: jpeg(i) for i, name in enumerate(NAMES)}


def challenge(monkeypatch, more=(), images=IMAGES, **counts):
    """The three published files as a dict from name to bytes; the constants are set to fit them.

    more: names that the ground truth lists besides. images: dict of those in the archive.
    """
    rows = list(zip(NAMES + list(more), LABELS + LABELS))
    truth = "image," + ",".join(COUNTS) + "\n" + "".join(
        name + "".join(f",{c == label:.1f}" for c in COUNTS) + "\n" for name, label in rows)
    folder = "ISIC 2018/ISIC2018_Task3_Training_Input/"
    files = {
        skin_lesions.TRUTH: zip_of([("x/ISIC2018_Task3_Training_GroundTruth.csv", truth)]),
        skin_lesions.GROUPINGS: ("image,lesion_id\n" + "".join(
            f"{name},HAM_1\n" for name, _ in rows)).encode(),
        skin_lesions.INPUT: zip_of([(folder, b""), (folder + "LICENSE.txt", b"CC BY-NC")] + [
            (folder + name + ".jpg", content) for name, content in images.items()])}
    for name, (size, md5) in skin_lesions.PUBLISHED.items():
        monkeypatch.setitem(skin_lesions.PUBLISHED, name, skin_lesions.PublishedFile(
            size and len(files[name]), md5 and hashlib.md5(files[name]).hexdigest()))
    monkeypatch.setattr(skin_lesions, "CLASS_COUNTS", dict(COUNTS, **counts))
    return files


@pytest.fixture
def published(monkeypatch, serve):
    """Function (files, behaviour) -> a Site that has the files at the second address only."""
    def publish_files(files, behaviour=lambda path, number: {}):
        site = serve({"/second/" + name: content for name, content in files.items()}, behaviour)
        monkeypatch.setattr(skin_lesions, "ADDRESSES",
                            tuple(site.address + folder for folder in ("/first/", "/second/")))
        return site

    return publish_files


def by_hand(tmp_path, files):
    """The files in a folder, as --archive options."""
    words = ["isic2018"]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        words += ["--archive", tmp_path / name]
    return words


def test_isic2018_is_downloaded_checked_and_read_by_the_scripts(
        run, tmp_path, monkeypatch, published):
    site = published(challenge(monkeypatch),
                     lambda path, number: {"cut": 3000} if number < 2 else {})
    output = succeeds(run, "isic2018")
    data = str(tmp_path / "data")
    assert list(isic2018.isic2018_labels(data).items()) == [
        (name + ".jpg", label) for name, label in zip(NAMES, LABELS)]
    assert len(isic2018.isic2018_lesions(data)) == 10
    found = contents(data)
    assert len(found) == 12 and os.listdir(data) == ["isic2018"]
    assert all(found[f"isic2018/ISIC2018_Task3_Training_Input/{name}.jpg"] == content
               for name, content in IMAGES.items())
    # The mean norm, the second way: Pillow and NumPy alone.
    norms = [np.linalg.norm(np.asarray(Image.open(io.BytesIO(content)).resize(
        (299, 299), Image.BILINEAR), float)) for content in IMAGES.values()]
    assert f"mean L2 norm of the 10 images at 299 x 299: {np.mean(norms):.0f}; " in output
    assert "85663" in output

    asked, before = len(site.asked), os.stat(data).st_mtime_ns
    assert succeeds(run, "isic2018") == f"ready: 10 images in {data}/isic2018\n"
    assert (len(site.asked), os.stat(data).st_mtime_ns, contents(data)) == (asked, before, found)


def test_isic2018_continues_wherever_it_was_killed(run, tmp_path, monkeypatch, published):
    published(challenge(monkeypatch))
    survives_kills(run, tmp_path, ["isic2018"], step=3)


def test_isic2018_is_taken_from_files_downloaded_by_hand_which_stay(run, tmp_path, monkeypatch):
    """From a copy of another size, which lists an image that it lacks: its content decides."""
    files = challenge(monkeypatch, more=["ISIC_0035068"])
    monkeypatch.setitem(skin_lesions.PUBLISHED, skin_lesions.INPUT,
                        skin_lesions.PublishedFile(2771732744, None))
    output = succeeds(run, *by_hand(tmp_path, files))
    assert "ISIC_0035068.jpg is missing" in output and "ready: 10 images" in output
    assert len(isic2018.isic2018_labels(str(tmp_path / "data"))) == 10
    assert all((tmp_path / name).read_bytes() == content for name, content in files.items())


# What challenge() is given, what replaces a file, the message.
ISIC_FAULTS = {
    "an image is missing": (dict(images=dict(list(IMAGES.items())[:-1])), {},
                            "lacks 1 of 10 files, ISIC_0024315.jpg"),
    "an image is text": (dict(images=dict(IMAGES, ISIC_0024306=b"text")), {},
                         "ISIC_0024306.jpg cannot be decoded move"),
    "a class has another count": (dict(MEL=1113), {}, "10 images 'MEL': 2 expected 'MEL': 1113"),
    "another ground truth": ({}, {"TRUTH": b"PK"}, "GroundTruth.zip MD5 expected again"),
    "other groupings": ({}, {"GROUPINGS": b"image,lesion_id\n"}, "LesionGroupings.csv MD5"),
    "an archive that is cut": ({}, {"INPUT": b"PK\x03\x04"}, "Input.zip cut, damaged"),
}


@pytest.mark.parametrize("fault", ISIC_FAULTS)
def test_what_is_not_isic2018_is_refused_with_one_message(run, tmp_path, monkeypatch, fault):
    options, replaced, message = ISIC_FAULTS[fault]
    files = challenge(monkeypatch, **options)
    files.update({getattr(skin_lesions, key): value for key, value in replaced.items()})
    fails(run, *by_hand(tmp_path, files), saying=message)
    assert os.listdir(str(tmp_path / "data")) in ([], [".isic2018.partial"])


@pytest.mark.parametrize("name, message", [("HAM10000.zip", "expected a file named like"),
                                           (skin_lesions.INPUT, "no such file")])
def test_an_unknown_or_missing_archive_is_a_message(run, name, message):
    fails(run, "isic2018", "--archive", name, saying=message)


def test_what_is_wrong_with_a_download_is_told_and_mended_by_the_next(run, monkeypatch, published):
    files = challenge(monkeypatch)
    published({})
    fails(run, "isic2018", saying="/first/ /second/ 404 --archive")
    content = files[skin_lesions.INPUT]
    published(dict(files, **{skin_lesions.INPUT: content[:1000] + b"????" + content[1004:]}))
    fails(run, "isic2018", saying="damaged again")
    site = published(files)
    with monkeypatch.context() as patch:
        patch.setitem(skin_lesions.PUBLISHED, skin_lesions.INPUT,
                      skin_lesions.PublishedFile(10 ** 15, None))
        fails(run, "isic2018", saying="2000000.0 GB needed")
    assert site.asked == []
    succeeds(run, "isic2018")


def test_files_that_somebody_else_put_there_are_never_moved(run, tmp_path, monkeypatch):
    words = by_hand(tmp_path, challenge(monkeypatch))
    truth = tmp_path / "data" / "isic2018" / isic2018.ISIC2018_GROUND_TRUTH
    truth.mkdir(parents=True)
    (truth / "mine.csv").write_text("mine")
    fails(run, *words, saying="GroundTruth is in the way")
    assert (truth / "mine.csv").read_text() == "mine"
    os.rename(str(truth), str(tmp_path / "elsewhere"))
    succeeds(run, *words)
    (tmp_path / "data" / isic2018.ISIC2018_IMAGES / (NAMES[3] + ".jpg")).unlink()
    fails(run, "isic2018", saying=NAMES[3] + " move")


def test_two_processes_cannot_prepare_the_same_data_set(run, tmp_path, monkeypatch):
    words = by_hand(tmp_path, challenge(monkeypatch))
    (tmp_path / "data").mkdir()
    with open(str(tmp_path / "data" / ".isic2018.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fails(run, *words, saying="isic2018 is being written by another run")
    succeeds(run, *words)


# --- ILSVRC2012 ---

WNIDS = [f"n{1440764 + 13 * i:08d}" for i in range(100)]
VAL = [f"ILSVRC2012_val_{i:08d}.JPEG" for i in range(1, 31)]
SMALL = jpeg(0)


def picture(name):
    """The bytes of an image that no other name has: a JPEG's end may be followed by anything."""
    return SMALL + os.path.basename(name).encode()


def pictures(names, content=picture):
    return [(name, content(name)) for name in names]


def names_of(classes):
    return {wnid: [f"{wnid}_{i}.JPEG" for i in range(size)] for wnid, size in classes}


def tar_of_tars(path, classes, content=picture):
    """ILSVRC2012_img_train.tar: classes is an iterable of (WordNet id, number of images)."""
    inner = str(path) + ".inner"
    return tar_of(path, ((wnid + ".tar", open(tar_of(inner, pictures(names, content)), "rb").read())
                         for wnid, names in names_of(classes).items()))


@pytest.fixture
def small_tar(tmp_path):
    """3 classes of 4 images."""
    return tar_of_tars(tmp_path / "small.tar", [(wnid, 4) for wnid in WNIDS[:3]])


def ilsvrc(run, archive, n, *words):
    output = succeeds(run, "ilsvrc2012", "--archive", archive, "--num-images", n, *words)
    assert f"ready: {n} images" in output


def test_the_sample_of_a_tar_of_many_classes_is_balanced_and_the_seeds(run, tmp_path):
    archive = tar_of_tars(tmp_path / "a.tar", ((wnid, 3 + i % 4) for i, wnid in enumerate(WNIDS)))
    samples = []
    for seed in (0, 0, 1):
        ilsvrc(run, archive, 130, "--seed", seed)
        found = contents(tmp_path / "data" / "ilsvrc2012")
        assert all(content == picture(name) for name, content in found.items())
        counts = collections.Counter(map(os.path.dirname, found))
        assert set(counts) == {"train/" + wnid for wnid in WNIDS} and set(counts.values()) == {1, 2}
        samples.append(set(found))
        shutil.rmtree(str(tmp_path / "data"))
    assert samples[0] == samples[1] and 0 < len(samples[0] & samples[2]) < 130


def test_the_draw_is_the_one_of_earlier_versions():
    """So that a call for more images still adds to those that were drawn long ago."""
    paths = [f"{c}/{c}{i}" for i in range(5) for c in "ba"]
    assert sorted(natural_images.draw(paths, 5, 3)) == ["a/a1", "a/a4", "b/b0", "b/b1", "b/b3"]


def test_more_images_are_the_same_ones_and_others_and_small_classes_give_all_they_have():
    sizes = np.array([3, 9, 0, 4, 20])
    counts = [natural_images.balanced_counts(sizes, n, 5) for n in range(37)]
    for n, found in enumerate(counts):
        assert found.sum() == n and (found <= sizes).all()
        open_classes = found[found < sizes]
        assert not len(open_classes) or open_classes.max() == found.max() <= open_classes.min() + 1
    assert all((b >= a).all() for a, b in zip(counts, counts[1:]))


def test_the_same_images_come_from_an_unpacked_folder_in_whatever_order(run, tmp_path):
    classes = list(zip(WNIDS[:5], (9, 8, 7, 6, 5)))
    sources = [tar_of_tars(tmp_path / "a.tar", classes),
               tar_of_tars(tmp_path / "b.tar", classes[::-1]), tmp_path / "folder"]
    for wnid, names in names_of(classes).items():
        (tmp_path / "folder" / wnid).mkdir(parents=True)
        for name in names:
            (tmp_path / "folder" / wnid / name).write_bytes(picture(name))
    found = []
    for archive in sources:
        ilsvrc(run, archive, 13)
        found.append(contents(tmp_path / "data" / "ilsvrc2012"))
        shutil.rmtree(str(tmp_path / "data"))
    assert found[0] == found[1] == found[2] and len(found[0]) == 13


def test_the_index_is_read_without_most_of_the_images(tmp_path, monkeypatch):
    archive = tar_of_tars(tmp_path / "big.tar", [(wnid, 20) for wnid in WNIDS[:5]],
                          lambda name: bytes(200000))
    reads = []

    class Counting(io.FileIO):
        def readinto(self, buffer):
            reads.append(super().readinto(buffer))
            return reads[-1]

    monkeypatch.setattr(tarfile, "bltn_open", lambda path, mode: io.BufferedReader(Counting(path)))
    assert len(list(archives.members(archive))) == 100
    assert 100 * 512 < sum(reads) < os.path.getsize(archive) / 10


def test_a_call_for_more_images_adds_to_those_there_and_one_for_fewer_does_nothing(
        run, tmp_path, small_tar):
    folder = tmp_path / "data" / "ilsvrc2012"
    ilsvrc(run, small_tar, 4)
    few = contents(folder)
    ilsvrc(run, small_tar, 9)
    many = contents(folder)
    assert len(few) == 4 and len(many) == 9 and set(few) < set(many)
    output = succeeds(run, "ilsvrc2012", "--num-images", 2)  # no archive is needed any more
    assert "ready: 9 images" in output and contents(folder) == many
    survives_kills(run, tmp_path, ["ilsvrc2012", "--archive", small_tar, "--num-images", 9],
                   lambda: ilsvrc(run, small_tar, 4), step=2)


def test_images_of_another_archive_take_the_place_of_those_prepared_before(
        run, tmp_path, small_tar):
    val = tar_of(tmp_path / "val.tar", pictures(VAL))
    ilsvrc(run, val, 7)
    found = contents(tmp_path / "data" / "ilsvrc2012")
    assert len(found) == 7 and set(found) < {"val/" + name for name in VAL}
    survives_kills(run, tmp_path, ["ilsvrc2012", "--archive", small_tar, "--num-images", 8],
                   lambda: ilsvrc(run, val, 7), step=2)
    assert sorted(os.listdir(str(tmp_path / "data" / "ilsvrc2012"))) == ["prepared.json", "train"]


def test_what_another_call_left_behind_is_not_mixed_in(run, tmp_path, small_tar):
    assert run("ilsvrc2012", "--archive", small_tar, "--num-images", "6", "--seed", "1",
               killed_at=5) == KILLED
    assert len(contents(tmp_path / "data")) > 3
    ilsvrc(run, small_tar, 5)
    assert len(contents(tmp_path / "data")) == 5


def edited(path, edit):
    content = open(path, "rb").read()
    with open(path, "wb") as file:
        file.write(edit(content))
    return path


NATURAL_FAULTS = {
    "no archive": (lambda p: [], "image-net.org --archive ILSVRC2012_img_train.tar"),
    "a missing archive": (lambda p: ["--archive", "x.tar"], "x.tar not found"),
    "too many images": (lambda p: ["--archive", p, "--num-images", "13"], "12 images 13 asked"),
    "the default of 100,000": (lambda p: ["--archive", p], "12 images 100000 asked --num-images"),
    "an archive that was cut": (lambda p: [
        "--archive", edited(p, lambda tar: tar[:-11000]), "--num-images", "2"], "cut again"),
    "a damaged header in a tar in it": (
        lambda p: ["--archive", edited(p, lambda tar: tar.replace(
            WNIDS[1].encode() + b"_2", WNIDS[1].encode() + b"_9")), "--num-images", "2"],
        "neither again"),
    "a folder without images": (lambda p: ["--archive", os.path.dirname(os.__file__) + "/json"],
                                "no image in this folder"),
    "another MD5": (lambda p: ["--archive", p, "--num-images", "2", "--check-md5"],
                    "MD5 expected 29b22e2961454d5413ddabcf34fc5622"),
    "no images": (lambda p: ["--archive", p, "--num-images", "0"], "1 or more"),
}


@pytest.mark.parametrize("fault", NATURAL_FAULTS)
def test_what_cannot_be_sampled_is_refused_with_one_message(run, tmp_path, small_tar, fault):
    make, message = NATURAL_FAULTS[fault]
    fails(run, "ilsvrc2012", *make(small_tar), saying=message)
    assert contents(tmp_path / "data") == {}


def test_an_archive_of_published_size_must_have_the_published_images(run, monkeypatch, small_tar):
    size, md5 = os.path.getsize(small_tar), hashlib.md5(open(small_tar, "rb").read()).hexdigest()
    words = ["ilsvrc2012", "--archive", small_tar, "--num-images", "2", "--check-md5"]
    monkeypatch.setattr(natural_images, "ILSVRC_ARCHIVES", {size: PublishedArchive(md5, 3, 13)})
    fails(run, *words, saying="3 classes, 12 images, expected 3 and 13")
    monkeypatch.setattr(natural_images, "ILSVRC_ARCHIVES", {size: PublishedArchive(md5, 3, 12)})
    succeeds(run, *words)


def test_another_seed_or_changed_images_are_told_and_nothing_is_touched(run, tmp_path, small_tar):
    ilsvrc(run, small_tar, 5)
    folder = tmp_path / "data" / "ilsvrc2012"
    before = contents(folder)
    words = ["ilsvrc2012", "--archive", small_tar, "--num-images", "5"]
    fails(run, *words, "--seed", "3", saying="--seed 3 prepared --seed 0 move")
    assert contents(folder) == before
    (folder / list(before)[0]).unlink()
    fails(run, *words, saying="4 images, prepared 5 images,")
    (folder / "prepared.json").write_text('{"images": "4", "seed": 0, "entries": ["train"]}')
    fails(run, *words, saying="prepared.json images delete it")


def test_what_somebody_else_put_there_is_used_or_told_and_never_touched(run, tmp_path, small_tar):
    folder = tmp_path / "data" / "ilsvrc2012"
    folder.mkdir(parents=True)
    archive = shutil.move(small_tar, str(folder))
    fails(run, "ilsvrc2012", "--archive", archive, "--num-images", "5",
          saying="small.tar is in the way")
    shutil.move(archive, small_tar)
    assert "ready: 5 images" in succeeds(run, "ilsvrc2012", "--num-images", "5")  # it had them
    shutil.rmtree(str(folder))
    (folder / "train" / WNIDS[0]).mkdir(parents=True)
    (folder / "train" / WNIDS[0] / "mine.JPEG").write_bytes(SMALL)
    assert "ready: 1 images" in succeeds(run, "ilsvrc2012", "--num-images", "1")
    fails(run, "ilsvrc2012", "--archive", small_tar, "--num-images", "5",
          saying="did not put there")
    assert contents(folder) == {f"train/{WNIDS[0]}/mine.JPEG": SMALL}


# --- Open Images V5 ---

IDS = [f"{7919 * i:016x}" for i in range(40)]


@pytest.fixture
def photographs(monkeypatch, serve):
    """Function (ids that are absent, behaviour) -> a site with 40 test images and their list."""
    def open_site(absent=(), behaviour=lambda path, number: {}):
        rows = [f'{n},test,"https://example.org/, ""x""\n",0.0\r\n' for n in IDS[::-1]]
        text = "ImageID,Subset,OriginalURL,Rotation\r\n" + "".join(rows)
        files = {"/list.csv": text.encode()}
        files.update({f"/test/{name}.jpg": picture(name + ".jpg")
                      for name in IDS if name not in absent})
        site = serve(files, behaviour)
        monkeypatch.setattr(natural_images, "OPEN_IMAGES_LIST", site.address + "/list.csv")
        monkeypatch.setattr(natural_images, "OPEN_IMAGES_ADDRESS", site.address + "/test/{}.jpg")
        monkeypatch.setattr(natural_images, "OPEN_IMAGES_COUNT", 40)
        return site

    return open_site


def open_images(run, tmp_path, n, *words):
    output = succeeds(run, "open_images_v5", "--num-images", n, *words)
    assert f"ready: {n} images" in output
    names = list_images(str(tmp_path / "data" / datasets.SOURCE_FOLDERS["open_images_v5"]))
    assert contents(tmp_path / "data" / "open_images_v5") == {
        "test/" + name: picture(name) for name in names}
    return names


def test_a_sample_of_open_images_is_downloaded_and_is_the_seeds(run, tmp_path, photographs):
    samples = []
    for seed in (0, 0, 1):
        site = photographs()
        few = open_images(run, tmp_path, 5, "--seed", seed)
        assert len(site.asked) == 1 + 5  # the list, and nothing but the sample
        samples.append(open_images(run, tmp_path, 12, "--seed", seed))
        assert set(few) < set(samples[-1]) and len(site.asked) == 2 + 12
        open_images(run, tmp_path, 12, "--seed", seed)
        assert len(site.asked) == 2 + 12
        shutil.rmtree(str(tmp_path / "data"))
    assert samples[0] == samples[1] != samples[2]


def test_images_that_are_gone_are_counted_and_others_drawn(run, tmp_path, photographs):
    photographs()
    sample = open_images(run, tmp_path, 12)
    shutil.rmtree(str(tmp_path / "data"))
    photographs(absent={sample[2][:16], sample[9][:16]})
    assert "2 images are not at the address" in succeeds(
        run, "open_images_v5", "--num-images", "12")
    found = list_images(str(tmp_path / "data" / "open_images_v5" / "test"))
    assert len(found) == 12 and len(set(found) & set(sample)) == 10
    with open(str(tmp_path / "data" / "open_images_v5" / "prepared.json")) as file:
        assert len(json.load(file)["absent"]) == 2


@pytest.mark.parametrize("mode, name", [("w:gz", "test.tar.gz"), ("w", "test.tar"), (None, "test")])
def test_the_archive_gives_the_sample_that_would_be_downloaded(
        run, tmp_path, photographs, mode, name):
    photographs()
    downloaded = open_images(run, tmp_path, 12)
    shutil.rmtree(str(tmp_path / "data"))
    (tmp_path / "test").mkdir()
    for image in IDS[::-1]:
        (tmp_path / "test" / (image + ".jpg")).write_bytes(picture(image + ".jpg"))
    if mode:
        names = [f"test/{image}.jpg" for image in IDS[::-1]] + ["test/readme.txt"]
        tar_of(tmp_path / name, pictures(names), mode)
    assert open_images(run, tmp_path, 12, "--archive", tmp_path / name) == downloaded


def test_open_images_continues_wherever_it_was_killed(run, tmp_path, photographs, monkeypatch):
    monkeypatch.setattr(natural_images, "CONNECTIONS", 3)
    photographs()
    survives_kills(run, tmp_path, ["open_images_v5", "--num-images", "9"], step=4)


OPEN_IMAGES_FAULTS = {
    "no images": ({"test": {"status": 404}}, "30", "not there right"),
    "a broken server": ({"test": {"status": 500}}, "30", "500 gave up continues"),
    "a login page": ({"test": {"body": b"<html>log in</html>"}}, "30", "not a JPEG login page"),
    "another list": ({"list": {"body": b"ImageID\n0123456789abcdef\n"}}, "3",
                     "1 ids of images, expected 40"),
    "a short list": ({}, "41", "the test set has 40 images"),
}


@pytest.mark.parametrize("fault", OPEN_IMAGES_FAULTS)
def test_a_server_without_images_ends_the_download_with_one_message(
        run, tmp_path, photographs, fault):
    behaviour, n, message = OPEN_IMAGES_FAULTS[fault]
    photographs(behaviour=lambda path, number: next(
        (how for part, how in behaviour.items() if part in path), {}))
    fails(run, "open_images_v5", "--num-images", n, saying=message)
    assert os.listdir(str(tmp_path / "data")) == [".open_images_v5.partial"]
    photographs()
    open_images(run, tmp_path, 30)


def test_the_readme_has_the_counts_sizes_and_addresses_that_are_checked():
    with open(os.path.join(checkout.ROOT, "data", "README.md"), encoding="utf-8") as file:
        text = " ".join(file.read().split())
    counts = skin_lesions.CLASS_COUNTS
    of_classes = ", ".join(f"{name} {count}" for name, count in counts.items())
    assert f"counted: {sum(counts.values()):,} images; {of_classes}." in text
    assert f"{skin_lesions.PUBLISHED[skin_lesions.INPUT][0] / 1e9:.1f} GB" in text
    for address in skin_lesions.ADDRESSES:
        assert f"`{address}`" in text
    assert f"the {natural_images.OPEN_IMAGES_COUNT:,} test images of Open" in text
    assert os.path.basename(natural_images.OPEN_IMAGES_LIST) in text
    (train, (_, classes, number)), (val, (_, _, images)) = natural_images.ILSVRC_ARCHIVES.items()
    drawn = natural_images.NUM_IMAGES
    assert (f"{drawn:,} of the {number:,} training images of ILSVRC2012, {drawn // classes} of "
            f"each of {classes:,} classes") in text
    assert f"({train:,} bytes)" in text
    assert f"({val:,} bytes, {images:,} images" in text


def test_the_three_commands_of_the_readme_lead_from_nothing_to_what_the_scripts_read(
        run, tmp_path, monkeypatch, published, photographs):
    published(challenge(monkeypatch))
    photographs()
    tar_of_tars(tmp_path / "ILSVRC2012_img_train.tar", [(wnid, 4) for wnid in WNIDS[:3]])
    monkeypatch.chdir(str(tmp_path))
    with open(os.path.join(checkout.ROOT, "data", "README.md"), encoding="utf-8") as file:
        commands = re.search(r"```sh\n(.*?)```", file.read(), re.DOTALL).group(1).splitlines()
    assert len(commands) == 3
    monkeypatch.setattr(natural_images, "NUM_IMAGES", 6)  # the default
    for command in commands:
        python, m, module, *words = command.split()
        assert (python, m, module) == ("python", "-m", "data.prepare")
        assert re.search(r"^ready: (6|10) images in ", succeeds(run, *words), re.MULTILINE)
    assert len(isic2018.isic2018_labels("data")) == 10
    for source in ("ilsvrc2012", "open_images_v5"):
        assert len(list_images(os.path.join("data", datasets.SOURCE_FOLDERS[source]))) == 6
