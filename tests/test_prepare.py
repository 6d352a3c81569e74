"""From archives and addresses to the folders that the scripts read: whole, or a message."""

import collections
import csv
import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import sys
import tarfile
import tracemalloc
import types
import zipfile

import numpy as np
import pytest
from PIL import Image

import checkout
from data import archives, natural_images, prepare, skin_lesions
from utils import classifier, datasets
from utils.images import list_images, read_image
import web
from web import Site, serving

KILLED = 9


def jpeg(number, mode="RGB", size=(9, 7)):
    """The bytes of a small JPEG, another for each number."""
    pixels = np.random.RandomState(number).randint(0, 256, size + (3,)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG")
    return file.getvalue()


def contents(folder):
    """dict from path to bytes of all files below a folder, but for the record of the time."""
    found = {}
    for where, _, names in os.walk(str(folder)):
        for name in names:
            if name != "prepared.json":
                with open(os.path.join(where, name), "rb") as file:
                    found[os.path.relpath(os.path.join(where, name), str(folder))] = file.read()
    return found


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Function (words of the command) -> (exit code, output, errors), with tmp_path as --data-dir.

    killed_at: end the process, as SIGKILL does, before it renames or removes a file for that time.
    """
    web.allow(monkeypatch)
    monkeypatch.setattr(os, "fsync", lambda file: None)
    releases = []  # what the process would do at its end
    monkeypatch.setattr("utils.files.atexit", types.SimpleNamespace(register=releases.append))

    def command(words):
        monkeypatch.setattr(sys, "argv", ["prepare.py"] + [str(word) for word in words]
                            + ["--data-dir", str(tmp_path / "data")])
        try:
            prepare.run_script(prepare.main)
        except SystemExit as error:
            return error.code
        finally:
            while releases:
                releases.pop()()
        return 0

    def killed(words, killed_at):
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            assert os.WIFEXITED(status)
            return os.WEXITSTATUS(status)
        signal.alarm(60)
        calls = []
        for name in ("replace", "rename", "link", "unlink", "rmdir"):
            def counted(*names, real=getattr(os, name), **options):
                calls.append(names)
                if len(calls) == killed_at:
                    os._exit(KILLED)
                return real(*names, **options)
            setattr(os, name, counted)
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        os._exit(command(words))

    def run(*words, killed_at=None):
        if killed_at is not None:
            return killed(words, killed_at)
        code = command(words)
        captured = capsys.readouterr()
        assert code in (0, 2) and "Traceback" not in captured.err
        return code, captured.out, captured.err[captured.err.rfind("error: "):]

    return run


def survives_kills(run, tmp_path, words, looks_ready):
    """Kill the command before each file it renames or removes; none only looks complete.

    Returns how often it could be killed, and the contents of the data folder of the last one.
    """
    kills = 0
    while True:
        shutil.rmtree(str(tmp_path / "data"), ignore_errors=True)
        code = run(*words, killed_at=kills + 1)
        if code != KILLED:
            break
        kills += 1
        before = contents(tmp_path / "data") if looks_ready() else None
        again, output, errors = run(*words)
        assert again == 0, errors
        assert "ready: " in output
        after = contents(tmp_path / "data")
        for path, content in (before or {}).items():
            if not path.startswith("."):
                assert after[path] == content
        assert [path for path in after if "/." in "/" + path] == []
        yield after
    assert code == 0 and kills > 3


# --- ISIC2018 ---

COUNTS = collections.OrderedDict(zip(datasets.ISIC2018_CLASSES, (2, 3, 1, 1, 1, 1, 1)))
LABELS = [label for label, count in COUNTS.items() for _ in range(count)]
NAMES = ["ISIC_{:07d}".format(24306 + i) for i in range(len(LABELS))]


def zip_bytes(entries):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def truth_csv(rows):
    return "image," + ",".join(datasets.ISIC2018_CLASSES) + "\n" + "".join(
        ",".join([name] + ["{:.1f}".format(c == label) for c in datasets.ISIC2018_CLASSES]) + "\n"
        for name, label in rows)


def challenge(monkeypatch, rows=tuple(zip(NAMES, LABELS)), names=NAMES, prefix="", **counts):
    """The three published files as a dict from name to bytes; the constants are set to fit them."""
    files = {
        skin_lesions.INPUT.name: zip_bytes(
            [(prefix + "ISIC2018_Task3_Training_Input/", b""),
             (prefix + "ISIC2018_Task3_Training_Input/LICENSE.txt", b"CC BY-NC 4.0")]
            + [(prefix + "ISIC2018_Task3_Training_Input/{}.jpg".format(name), jpeg(i))
               for i, name in enumerate(names)]),
        skin_lesions.TRUTH.name: zip_bytes(
            [(prefix + "ISIC2018_Task3_Training_GroundTruth/"
              "ISIC2018_Task3_Training_GroundTruth.csv", truth_csv(rows))]),
        skin_lesions.GROUPINGS.name: ("image,lesion_id,diagnosis_confirm_type\n" + "".join(
            "{},HAM_{},histo\n".format(name, i) for i, (name, _) in enumerate(rows))).encode()}
    for constant in ("INPUT", "TRUTH", "GROUPINGS"):
        published = getattr(skin_lesions, constant)
        content = files[published.name]
        monkeypatch.setattr(skin_lesions, constant, published._replace(
            size=published.size and len(content),
            md5=published.md5 and hashlib.md5(content).hexdigest()))
    monkeypatch.setattr(skin_lesions, "CLASS_COUNTS", dict(COUNTS, **counts))
    return files


def serve(monkeypatch, files, behaviour=lambda path, number: {}):
    """A site that has the files at the second of the two addresses only."""
    site = Site({"/second/" + name: content for name, content in files.items()}, behaviour)
    context = serving(site)
    context.__enter__()
    monkeypatch.setattr(skin_lesions, "ADDRESSES",
                        tuple(site.address + folder for folder in ("/first/", "/second/")))
    return site, context


@pytest.fixture
def site(monkeypatch, request):
    opened = []

    def open_site(files, behaviour=lambda path, number: {}):
        site, context = serve(monkeypatch, files, behaviour)
        opened.append(context)
        return site

    yield open_site
    for context in opened:
        context.__exit__(None, None, None)


def test_isic2018_is_downloaded_checked_and_read_by_the_scripts(run, tmp_path, monkeypatch, site):
    files = challenge(monkeypatch)
    web = site(files, lambda path, number: {"cut": 3000} if number < 2 else {})
    code, output, errors = run("isic2018")
    assert code == 0, errors
    assert output.endswith("ready: 10 images in {}\n".format(tmp_path / "data" / "isic2018"))
    data = str(tmp_path / "data")
    assert list(datasets.isic2018_labels(data).items()) == [
        (name + ".jpg", label) for name, label in zip(NAMES, LABELS)]
    assert len(datasets.isic2018_lesions(data)) == 10
    found = contents(data)
    assert len(found) == 12
    assert all(found["isic2018/ISIC2018_Task3_Training_Input/{}.jpg".format(name)] == jpeg(i)
               for i, name in enumerate(NAMES))
    # The mean norm, the second way: Pillow and NumPy alone.
    norms = [np.linalg.norm(np.asarray(Image.open(io.BytesIO(jpeg(i))).resize(
        (299, 299), Image.BILINEAR), float)) for i in range(10)]
    assert "mean L2 norm of the 10 images at 299 x 299: {:.0f}; ".format(np.mean(norms)) in output
    assert "85663" in output

    asked = len(web.asked)
    before = {name: os.stat(os.path.join(data, "isic2018", name)).st_mtime_ns
              for name in os.listdir(os.path.join(data, "isic2018"))}
    assert run("isic2018")[:2] == (0, "ready: 10 images in {}\n".format(data + "/isic2018"))
    assert len(web.asked) == asked
    assert os.listdir(data) == ["isic2018"]
    assert before == {name: os.stat(os.path.join(data, "isic2018", name)).st_mtime_ns
                      for name in os.listdir(os.path.join(data, "isic2018"))}


def test_the_published_constants_are_those_of_the_challenge():
    assert sum(skin_lesions.CLASS_COUNTS.values()) == 10015
    assert skin_lesions.FOLLOW_UP_NORM == pytest.approx(26.77 * 128 / 0.04, abs=20)
    assert all(address.startswith("https://") and address.endswith("/2018/")
               for address in skin_lesions.ADDRESSES)


def test_isic2018_continues_wherever_it_was_killed(run, tmp_path, monkeypatch, site):
    files = challenge(monkeypatch)
    site(files)

    def looks_ready():
        try:
            return len(datasets.isic2018_labels(str(tmp_path / "data"))) == 10
        except Exception:
            return False

    ends = list(survives_kills(run, tmp_path, ["isic2018"], looks_ready))
    assert len(ends) > 15
    assert [sorted(end) for end in ends if end != ends[0]] == [] and len(ends[0]) == 12


def by_hand(tmp_path, files):
    """The files in a folder, as --archive options."""
    words = []
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        words += ["--archive", tmp_path / name]
    return words


def test_isic2018_is_taken_from_files_downloaded_by_hand_which_stay(run, tmp_path, monkeypatch):
    files = challenge(monkeypatch, prefix="ISIC 2018/")
    code, output, errors = run("isic2018", *by_hand(tmp_path, files))
    assert (code, output.splitlines()[-1][:16]) == (0, "ready: 10 images"), errors
    assert all((tmp_path / name).read_bytes() == content for name, content in files.items())


def test_a_copy_of_another_size_is_judged_by_its_content(run, tmp_path, monkeypatch):
    files = challenge(monkeypatch)
    monkeypatch.setattr(skin_lesions, "INPUT", skin_lesions.INPUT._replace(size=2771732744))
    code, output, errors = run("isic2018", *by_hand(tmp_path, files))
    assert code == 0, errors
    assert "the published file has 2,771,732,744" in output


def test_the_image_that_one_copy_lacks_is_named_and_left_out(run, tmp_path, monkeypatch):
    rows = list(zip(NAMES, LABELS))[:-1] + [("ISIC_0035068", "VASC")]
    files = challenge(monkeypatch, rows=rows, names=NAMES[:-1])
    code, output, errors = run("isic2018", *by_hand(tmp_path, files))
    assert code == 0, errors
    assert "ISIC_0035068.jpg is missing" in output and "ready: 9 images" in output
    assert len(datasets.isic2018_labels(str(tmp_path / "data"))) == 9


ISIC_FAULTS = {
    "an image is missing": (dict(names=NAMES[:-1]), {}, "lacks 1 of 10 images ISIC_0024315.jpg"),
    "a class has another count": (dict(MEL=1113), {}, "10 images MEL 2 expected MEL 1113"),
    "another ground truth": ({}, {"TRUTH": b"PK"}, "GroundTruth.zip MD5 expected again"),
    "other groupings": ({}, {"GROUPINGS": b"image,lesion_id\n"}, "LesionGroupings.csv MD5"),
    "an archive that is cut": ({}, {"INPUT": b"PK\x03\x04"}, "Input.zip not a whole zip"),
}


@pytest.mark.parametrize("fault", ISIC_FAULTS)
def test_what_is_not_isic2018_is_refused_with_one_message(run, tmp_path, monkeypatch, fault):
    options, replaced, message = ISIC_FAULTS[fault]
    files = challenge(monkeypatch, **options)
    files.update({getattr(skin_lesions, key).name: value for key, value in replaced.items()})
    code, _, error = run("isic2018", *by_hand(tmp_path, files))
    assert code == 2 and error.count("\n") == 1
    for word in message.split():
        assert word in error
    assert os.listdir(str(tmp_path / "data")) in ([], [".isic2018.partial"])


def test_an_image_that_cannot_be_decoded_is_named(run, tmp_path, monkeypatch):
    files = challenge(monkeypatch)
    monkeypatch.setitem(files, skin_lesions.INPUT.name, zip_bytes(
        [("{}.jpg".format(name), jpeg(i) if i else b"text") for i, name in enumerate(NAMES)]))
    code, _, error = run("isic2018", *by_hand(tmp_path, files))
    assert code == 2 and "1 of 10 images cannot be decoded" in error and NAMES[0] in error


@pytest.mark.parametrize("words, message", [
    (["--archive", "HAM10000.zip"], "expected a file named like"),
    (["--archive", "ISIC2018_Task3_Training_Input.zip"], "no such file")])
def test_an_unknown_or_missing_archive_is_a_message(run, words, message):
    code, _, error = run("isic2018", *words)
    assert code == 2 and message in error


def test_a_damaged_download_is_removed_and_begun_again(run, tmp_path, monkeypatch, site):
    files = challenge(monkeypatch)
    damaged = bytearray(files[skin_lesions.INPUT.name])
    damaged[1000] ^= 255
    bad = [True]
    site(files, lambda path, number: {"body": bytes(damaged)} if bad[0] and "Input" in path else {})
    code, _, error = run("isic2018")
    assert code == 2 and "damaged" in error and "begins again" in error
    bad.clear()
    bad.append(False)
    assert run("isic2018")[0] == 0


def test_addresses_that_have_nothing_are_both_named(run, tmp_path, monkeypatch, site):
    challenge(monkeypatch)
    site({})
    code, _, error = run("isic2018")
    assert code == 2
    for word in ("/first/", "/second/", "404", "--archive"):
        assert word in error


def test_too_little_space_is_told_before_anything_is_loaded(run, monkeypatch, site):
    files = challenge(monkeypatch)
    web = site(files)
    monkeypatch.setattr(skin_lesions, "INPUT", skin_lesions.INPUT._replace(size=10 ** 15))
    code, _, error = run("isic2018")
    assert code == 2 and "2000000.0 GB needed" in error
    assert web.asked == []


def test_files_that_somebody_else_put_there_are_never_moved(run, tmp_path, monkeypatch):
    files = challenge(monkeypatch)
    truth = tmp_path / "data" / "isic2018" / datasets.ISIC2018_GROUND_TRUTH
    truth.mkdir(parents=True)
    (truth / "mine.csv").write_text("mine")
    code, _, error = run("isic2018", *by_hand(tmp_path, files))
    assert code == 2 and "in the way" in error
    assert (truth / "mine.csv").read_text() == "mine"
    os.rename(str(truth), str(tmp_path / "elsewhere"))
    assert run("isic2018", *by_hand(tmp_path, files))[0] == 0


def test_a_folder_that_is_no_longer_whole_is_told(run, tmp_path, monkeypatch):
    files = challenge(monkeypatch)
    assert run("isic2018", *by_hand(tmp_path, files))[0] == 0
    (tmp_path / "data" / datasets.ISIC2018_IMAGES / (NAMES[3] + ".jpg")).unlink()
    code, _, error = run("isic2018")
    assert code == 2 and NAMES[3] in error and "move" in error


def test_two_processes_cannot_prepare_the_same_data_set(run, tmp_path, monkeypatch):
    import fcntl

    files = challenge(monkeypatch)
    work = tmp_path / "data" / ".isic2018.partial"
    work.mkdir(parents=True)
    with open(str(work / "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, error = run("isic2018", *by_hand(tmp_path, files))
        assert code == 2 and "another process" in error
    assert run("isic2018", *by_hand(tmp_path, files))[0] == 0


# --- ILSVRC2012 ---

SIZES = [3 + (i * 7) % 4 for i in range(1000)]  # images of each class
WNIDS = ["n{:08d}".format(1440764 + 13 * i) for i in range(1000)]
SMALL = jpeg(0)


def picture(name):
    """The bytes of an image that no other name has: a JPEG's end may be followed by anything."""
    return SMALL + name.encode()


def add(archive, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def tar_of_tars(path, classes, content=picture):
    """ILSVRC2012_img_train.tar: classes is a list of (WordNet id, number of images)."""
    with tarfile.open(str(path), "w") as outer:
        for wnid, size in classes:
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as archive:
                for number in range(size):
                    name = "{}_{}.JPEG".format(wnid, number)
                    add(archive, name, content(name))
            add(outer, wnid + ".tar", inner.getvalue())
    return str(path)


@pytest.fixture(scope="session")
def train_tar(tmp_path_factory):
    return tar_of_tars(tmp_path_factory.mktemp("ilsvrc") / "ILSVRC2012_img_train.tar",
                       zip(WNIDS, SIZES))


def ilsvrc(run, archive, n, *words):
    code, output, error = run("ilsvrc2012", "--archive", archive, "--num-images", n, *words)
    assert code == 0, error
    assert output.splitlines()[-1].startswith("ready: {} images".format(n))


def test_the_sample_of_a_tar_of_1000_classes_is_balanced_and_the_seeds(run, tmp_path, train_tar):
    n, folder = 1300, tmp_path / "data" / "ilsvrc2012"
    ilsvrc(run, train_tar, n)
    found = contents(folder)
    assert all(content == picture(os.path.basename(name)) for name, content in found.items())
    counts = collections.Counter(map(os.path.dirname, found))
    assert set(counts) == {"train/" + wnid for wnid in WNIDS} and set(counts.values()) == {1, 2}
    assert len(list_images(str(tmp_path / "data" / datasets.SOURCES["ilsvrc2012"]))) == n

    samples = []
    for seed in (0, 1):
        classes = collections.defaultdict(natural_images._Class)
        with archives.Tar(train_tar) as tar:
            for wnid, member in tar.members():
                classes[wnid].add(member)
        assert {wnid: len(images) for wnid, images in classes.items()} == dict(zip(WNIDS, SIZES))
        samples.append({"train/{}/{}".format(wnid, member.name)
                        for wnid, member in natural_images.draw(classes, n, seed)})
    assert samples[0] == set(found)
    assert 0 < len(samples[0] & samples[1]) < n


def test_every_image_is_drawn_equally_often_within_a_class():
    """Chi-squared over many seeds: 4 images of one class, 1 drawn."""
    from scipy.stats import chisquare

    images = natural_images._Class()
    for number in range(4):
        images.add(archives.Member("{}.JPEG".format(number), 1, number))
    drawn = [natural_images.draw({"a": images}, 1, seed)[0][1].offset for seed in range(400)]
    assert chisquare(np.bincount(drawn, minlength=4)).pvalue > 0.001


@pytest.mark.parametrize("sizes, n, expected", [
    ([5, 5, 5], 15, [5, 5, 5]), ([1, 5, 9], 9, [1, 4, 4]), ([1, 5, 9], 12, [1, 5, 6]),
    ([0, 2], 2, [0, 2]), ([7], 3, [3])])
def test_small_classes_give_all_they_have(sizes, n, expected):
    assert list(natural_images.balanced_counts(sizes, n, 0)) == expected


def test_more_images_are_the_same_ones_and_others():
    counts = [natural_images.balanced_counts([3, 9, 4, 20], n, 5) for n in range(37)]
    for n, found in enumerate(counts):
        assert found.sum() == n
        open_classes = [count for count, size in zip(found, [3, 9, 4, 20]) if count < size]
        assert not open_classes or max(open_classes) - min(open_classes) <= 1
    assert all((b >= a).all() for a, b in zip(counts, counts[1:]))


def test_the_same_images_come_from_an_unpacked_folder_in_whatever_order(run, tmp_path):
    classes = list(zip(WNIDS[:5], (9, 8, 7, 6, 5)))
    tar = tar_of_tars(tmp_path / "a.tar", classes)
    turned = tar_of_tars(tmp_path / "b.tar", classes[::-1])
    for wnid, size in classes:
        (tmp_path / "folder" / wnid).mkdir(parents=True)
        for number in range(size):
            name = "{}_{}.JPEG".format(wnid, number)
            (tmp_path / "folder" / wnid / name).write_bytes(picture(name))
    found = []
    for archive in (tar, turned, tmp_path / "folder"):
        ilsvrc(run, archive, 13)
        found.append(contents(tmp_path / "data" / "ilsvrc2012"))
        shutil.rmtree(str(tmp_path / "data"))
    assert found[0] == found[1] == found[2] and len(found[0]) == 13


def test_the_flat_validation_archive_is_sampled_without_classes(run, tmp_path):
    names = ["ILSVRC2012_val_{:08d}.JPEG".format(i) for i in range(1, 31)]
    with tarfile.open(str(tmp_path / "val.tar"), "w") as archive:
        for name in names:
            add(archive, name, picture(name))
    ilsvrc(run, tmp_path / "val.tar", 7)
    found = contents(tmp_path / "data" / "ilsvrc2012")
    assert len(found) == 7 and set(found) < {"val/" + name for name in names}


def test_the_index_is_read_without_the_images_and_the_sample_without_the_rest(
        run, tmp_path, monkeypatch):
    archive = tar_of_tars(tmp_path / "big.tar", [(wnid, 20) for wnid in WNIDS[:5]],
                          lambda name: picture(name) + bytes(100000))
    reads = []

    class Counting(io.FileIO):
        def read(self, size=-1):
            block = super().read(size)
            reads.append(len(block))
            return block

    monkeypatch.setattr(archives, "open", lambda path, mode="r", **options: Counting(path)
                        if options.get("buffering") == 0 else open(path, mode), raising=False)
    ilsvrc(run, archive, 5)
    headers = 5 * (1 + 20 + 1) + 1  # of the inner archives, their images, their ends; the end
    written = sum(map(len, contents(tmp_path / "data").values()))
    assert sum(reads) == 512 * headers + written < os.path.getsize(archive) / 15


def peak_memory(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_peak_memory_is_flat_against_the_size_of_the_archive(run, tmp_path):
    peaks = []
    ilsvrc(run, tar_of_tars(tmp_path / "first.tar", [(WNIDS[0], 3)]), 3)  # imports
    shutil.rmtree(str(tmp_path / "data"))
    for size in (1000, 300000):
        archive = tar_of_tars(tmp_path / "a.tar", [(wnid, 40) for wnid in WNIDS[:4]],
                              lambda name: picture(name) + bytes(size))
        peaks.append((os.path.getsize(archive),
                      peak_memory(lambda: ilsvrc(run, archive, 8))))
        shutil.rmtree(str(tmp_path / "data"))
    assert peaks[1][0] > 100 * peaks[0][0] / 2
    assert peaks[1][1] < peaks[0][1] + 2 * archives.COPIED


def test_peak_memory_of_the_index_is_less_than_100_bytes_an_image(tmp_path):
    paths = [tar_of_tars(tmp_path / "{}.tar".format(n), [(wnid, n) for wnid in WNIDS[:4]],
                         lambda name: b"") for n in (100, 1300)]

    def index(path):
        classes = collections.defaultdict(natural_images._Class)
        with archives.Tar(path) as tar:
            for folder, member in tar.members():
                classes[folder].add(member)

    few, many = (peak_memory(lambda: index(path)) for path in paths)
    assert many - few < 100 * 4 * 1200


def test_the_known_odd_files_come_out_right(run, tmp_path):
    """A PNG named .JPEG (as n02105855_2933) and a CMYK JPEG (as n01739381_1309)."""
    pixels = np.random.RandomState(0).randint(0, 256, (8, 8, 3)).astype(np.uint8)
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    odd = {"n02105855_2933.JPEG": png.getvalue(), "n01739381_1309.JPEG": jpeg(3, "CMYK")}
    with tarfile.open(str(tmp_path / "a.tar"), "w") as outer:
        for name, content in odd.items():
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as archive:
                add(archive, name, content)
            add(outer, name.split("_")[0] + ".tar", inner.getvalue())
    ilsvrc(run, tmp_path / "a.tar", 2)
    folder = tmp_path / "data" / "ilsvrc2012" / "train"
    assert np.array_equal(read_image(str(folder / "n02105855" / "n02105855_2933.JPEG"), 8), pixels)
    cmyk = Image.open(io.BytesIO(odd["n01739381_1309.JPEG"]))
    assert cmyk.mode == "CMYK"
    assert np.array_equal(
        read_image(str(folder / "n01739381" / "n01739381_1309.JPEG"), 8),
        np.asarray(cmyk.convert("RGB").resize((8, 8), Image.BILINEAR)))


def test_files_in_no_known_format_are_counted_and_named(run, tmp_path):
    archive = tar_of_tars(tmp_path / "a.tar", [(WNIDS[0], 3)], lambda name: (
        b"<html>" if name.endswith("_1.JPEG") else picture(name)))
    code, output, _ = run("ilsvrc2012", "--archive", archive, "--num-images", 3)
    assert code == 0 and "1 of 3 images are in no known format" in output
    assert "{0}/{0}_1.JPEG".format(WNIDS[0]) in output


def test_ilsvrc2012_continues_wherever_it_was_killed(run, tmp_path):
    archive = tar_of_tars(tmp_path / "a.tar", [(wnid, 4) for wnid in WNIDS[:3]])

    def looks_ready():
        return os.path.exists(str(tmp_path / "data" / "ilsvrc2012" / "train"))

    words = ["ilsvrc2012", "--archive", archive, "--num-images", "7"]
    ends = list(survives_kills(run, tmp_path, words, looks_ready))
    assert all(end == ends[0] for end in ends) and len(ends[0]) == 7


def test_a_call_for_more_images_adds_to_those_there_and_one_for_fewer_does_nothing(run, tmp_path):
    archive = tar_of_tars(tmp_path / "a.tar", [(wnid, 4) for wnid in WNIDS[:3]])
    folder = tmp_path / "data" / "ilsvrc2012"
    ilsvrc(run, archive, 4)
    few = contents(folder)
    ilsvrc(run, archive, 9)
    many = contents(folder)
    assert len(few) == 4 and len(many) == 9 and set(few) < set(many)
    assert os.listdir(str(tmp_path / "data")) == ["ilsvrc2012"]
    code, output, _ = run("ilsvrc2012", "--num-images", 2)  # no archive is needed any more
    assert code == 0 and "ready: 9 images" in output and contents(folder) == many

    ends = []
    for kill in range(1, 30):
        shutil.rmtree(str(folder))
        ilsvrc(run, archive, 4)
        words = ["ilsvrc2012", "--archive", archive, "--num-images", 9]
        if run(*words, killed_at=kill) == 0:
            break
        assert run(*words)[0] == 0
        ends.append(contents(tmp_path / "data"))
    assert len(ends) > 8 and all(
        end == {"ilsvrc2012/" + name: content for name, content in many.items()} for end in ends)


def test_images_of_another_archive_take_the_place_of_those_prepared_before(run, tmp_path):
    with tarfile.open(str(tmp_path / "val.tar"), "w") as archive:
        for number in range(1, 5):
            add(archive, "ILSVRC2012_val_{:08d}.JPEG".format(number), SMALL)
    train = tar_of_tars(tmp_path / "a.tar", [(wnid, 4) for wnid in WNIDS[:3]])
    for kill in range(1, 40):
        shutil.rmtree(str(tmp_path / "data"), ignore_errors=True)
        ilsvrc(run, tmp_path / "val.tar", 3)
        code = run("ilsvrc2012", "--archive", train, "--num-images", 6, killed_at=kill)
        ilsvrc(run, train, 6)
        assert len(contents(tmp_path / "data")) == 6
        assert os.listdir(str(tmp_path / "data")) == ["ilsvrc2012"]
        assert sorted(os.listdir(str(tmp_path / "data" / "ilsvrc2012"))) == [
            "prepared.json", "train"]
        if code == 0:
            break
    assert code == 0 and kill > 10


def test_what_another_call_left_behind_is_not_mixed_in(run, tmp_path):
    archive = tar_of_tars(tmp_path / "a.tar", [(wnid, 4) for wnid in WNIDS[:3]])
    assert run("ilsvrc2012", "--archive", archive, "--num-images", "6", "--seed", "1",
               killed_at=5) == KILLED
    assert len(contents(tmp_path / "data")) > 3
    ilsvrc(run, archive, 5)
    assert len(contents(tmp_path / "data")) == 5


def damaged(path):
    with open(str(path), "rb+") as file:
        file.truncate(os.path.getsize(str(path)) - 11000)


NATURAL_FAULTS = {
    "no archive": (lambda p: [], "image-net.org --archive ILSVRC2012_img_train.tar"),
    "a missing archive": (lambda p: ["--archive", "x.tar"], "x.tar not found"),
    "too many images": (lambda p: ["--archive", p, "--num-images", "13"], "12 images 13 asked"),
    "the default of 100,000": (lambda p: ["--archive", p], "12 images 100000 asked --num-images"),
    "an archive that was cut": (lambda p: damaged(p) or ["--archive", p, "--num-images", "2"],
                                "cut again"),
    "a folder without images": (lambda p: ["--archive", os.path.dirname(os.__file__) + "/json"],
                                "no image in this folder"),
    "another MD5": (lambda p: ["--archive", p, "--num-images", "2", "--check-md5"],
                    "bytes, expected one of 6,744,924,160, 147,897,477,120"),
    "no images": (lambda p: ["--archive", p, "--num-images", "0"], "1 or more"),
}


@pytest.mark.parametrize("fault", NATURAL_FAULTS)
def test_what_cannot_be_sampled_is_refused_with_one_message(run, tmp_path, fault):
    make, message = NATURAL_FAULTS[fault]
    archive = tar_of_tars(tmp_path / "a.tar", [(wnid, 4) for wnid in WNIDS[:3]])
    code, _, error = run("ilsvrc2012", *make(archive))
    assert code == 2 and error.count("\n") == 1
    for word in message.split():
        assert word in error
    assert contents(tmp_path / "data") in ({}, {".ilsvrc2012.partial/lock": b""})


def test_the_md5_is_compared_when_asked_for(run, tmp_path, monkeypatch):
    archive = tar_of_tars(tmp_path / "a.tar", [(WNIDS[0], 4)])
    size, content = os.path.getsize(archive), open(archive, "rb").read()
    monkeypatch.setattr(natural_images, "ILSVRC_MD5", {size: "0" * 32})
    words = ["ilsvrc2012", "--archive", archive, "--num-images", "2"]
    code, _, error = run(*words, "--check-md5")
    assert code == 2 and "MD5 is {}, expected {}".format(
        hashlib.md5(content).hexdigest(), "0" * 32) in error
    monkeypatch.setattr(natural_images, "ILSVRC_MD5", {size: hashlib.md5(content).hexdigest()})
    assert run(*words, "--check-md5")[0] == 0


def test_another_seed_or_changed_images_are_told_and_nothing_is_touched(run, tmp_path):
    archive = tar_of_tars(tmp_path / "a.tar", [(wnid, 4) for wnid in WNIDS[:3]])
    ilsvrc(run, archive, 5)
    folder = tmp_path / "data" / "ilsvrc2012"
    before = contents(folder)
    words = ["ilsvrc2012", "--archive", archive, "--num-images", "5"]
    code, _, error = run(*words, "--seed", "3")
    assert code == 2 and "--seed 0, asked for is 3" in error and contents(folder) == before
    (folder / list(before)[0]).unlink()
    code, _, error = run(*words)
    assert code == 2 and "4 images, 5 were prepared" in error


def test_images_that_somebody_else_put_there_are_used_or_told_and_never_touched(run, tmp_path):
    archive = tar_of_tars(tmp_path / "a.tar", [(wnid, 4) for wnid in WNIDS[:3]])
    mine = tmp_path / "data" / "ilsvrc2012" / "train" / WNIDS[0]
    mine.mkdir(parents=True)
    (mine / "mine.JPEG").write_bytes(SMALL)
    code, output, _ = run("ilsvrc2012", "--num-images", "1")
    assert code == 0 and "ready: 1 images" in output
    code, _, error = run("ilsvrc2012", "--archive", archive, "--num-images", "5")
    assert code == 2 and "did not put there" in error
    assert (mine / "mine.JPEG").read_bytes() == SMALL


def test_the_archive_itself_may_lie_in_the_data_folder(run, tmp_path):
    (tmp_path / "data" / "ilsvrc2012").mkdir(parents=True)
    archive = tar_of_tars(tmp_path / "data" / "ilsvrc2012" / "ILSVRC2012_img_train.tar",
                          [(wnid, 4) for wnid in WNIDS[:3]])
    content = open(archive, "rb").read()
    for n in (5, 9):
        ilsvrc(run, archive, n)
    assert open(archive, "rb").read() == content


# --- Open Images V5 ---

IDS = ["{:016x}".format(7919 * i) for i in range(40)]


@pytest.fixture
def photographs(monkeypatch):
    """Function (ids that are absent, behaviour) -> a site with 40 test images and their list."""
    opened = []

    def open_site(absent=(), behaviour=lambda path, number: {}):
        text = io.StringIO()
        rows = csv.writer(text)
        rows.writerow(["ImageID", "Subset", "OriginalURL", "Rotation"])
        rows.writerows([name, "test", "https://example.org/, \"x\"\n", "0.0"] for name in IDS[::-1])
        files = {"/list.csv": text.getvalue().encode()}
        files.update({"/test/{}.jpg".format(name): picture(name)
                      for name in IDS if name not in absent})
        site = Site(files, behaviour)
        opened.append(serving(site))
        opened[-1].__enter__()
        monkeypatch.setattr(natural_images, "OPEN_IMAGES_LIST", site.address + "/list.csv")
        monkeypatch.setattr(natural_images, "OPEN_IMAGES_ADDRESS", site.address + "/test/{}.jpg")
        monkeypatch.setattr(natural_images, "OPEN_IMAGES_COUNT", 40)
        return site

    yield open_site
    for context in opened:
        context.__exit__(None, None, None)


def open_images_sample(run, tmp_path, n, *words):
    code, output, error = run("open_images_v5", "--num-images", n, *words)
    assert code == 0, error
    assert output.splitlines()[-1].startswith("ready: {} images".format(n))
    names = list_images(str(tmp_path / "data" / datasets.SOURCES["open_images_v5"]))
    found = contents(tmp_path / "data" / "open_images_v5")
    assert sorted(found) == ["test/" + name for name in names]
    assert all(content == picture(os.path.basename(name)[:16]) for name, content in found.items())
    return names


def test_a_sample_of_open_images_is_downloaded_and_is_the_seeds(run, tmp_path, photographs):
    samples = []
    for seed in (0, 0, 1):
        site = photographs()
        samples.append(open_images_sample(run, tmp_path, 12, "--seed", seed))
        assert len(site.asked) == 13  # the list, and nothing but the sample
        assert run("open_images_v5", "--num-images", "12", "--seed", seed)[0] == 0
        assert len(site.asked) == 13
        shutil.rmtree(str(tmp_path / "data"))
    assert samples[0] == samples[1] != samples[2]


def test_images_that_are_gone_are_counted_and_others_drawn(run, tmp_path, photographs):
    photographs()
    sample = open_images_sample(run, tmp_path, 12)
    shutil.rmtree(str(tmp_path / "data"))
    photographs(absent={sample[2][:16], sample[9][:16]})
    code, output, _ = run("open_images_v5", "--num-images", "12")
    assert code == 0 and "2 images are not at the address any more" in output
    found = list_images(str(tmp_path / "data" / "open_images_v5" / "test"))
    assert len(found) == 12 and len(set(found) & set(sample)) == 10
    with open(str(tmp_path / "data" / "open_images_v5" / "prepared.json")) as file:
        assert len(json.load(file)["absent"]) == 2


def test_more_open_images_are_those_there_and_others(run, tmp_path, photographs):
    site = photographs()
    few = open_images_sample(run, tmp_path, 5)
    asked = len(site.asked)
    many = open_images_sample(run, tmp_path, 20)
    assert set(few) < set(many)
    assert len(site.asked) == asked + 1 + 15


@pytest.mark.parametrize("mode, name", [("w:gz", "test.tar.gz"), ("w", "test.tar"), (None, "test")])
def test_the_archive_gives_the_sample_that_would_be_downloaded(
        run, tmp_path, photographs, mode, name):
    photographs()
    downloaded = open_images_sample(run, tmp_path, 12)
    shutil.rmtree(str(tmp_path / "data"))
    path = tmp_path / name
    if mode:
        with tarfile.open(str(path), mode) as archive:
            for image in IDS[::-1]:
                add(archive, "test/{}.jpg".format(image), picture(image))
            add(archive, "test/readme.txt", b"text")
    else:
        path.mkdir()
        for image in IDS:
            (path / (image + ".jpg")).write_bytes(picture(image))
    assert open_images_sample(run, tmp_path, 12, "--archive", path) == downloaded


def test_open_images_continues_wherever_it_was_killed(run, tmp_path, photographs, monkeypatch):
    monkeypatch.setattr(natural_images, "CONNECTIONS", 3)
    photographs()

    def looks_ready():
        return os.path.exists(str(tmp_path / "data" / "open_images_v5" / "test"))

    words = ["open_images_v5", "--num-images", "9"]
    ends = list(survives_kills(run, tmp_path, words, looks_ready))
    assert all(end == ends[0] for end in ends) and len(ends[0]) == 9


def test_the_three_commands_of_the_readme_lead_from_nothing_to_what_the_scripts_read(
        run, tmp_path, monkeypatch, site, photographs):
    site(challenge(monkeypatch))
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
        code, output, errors = run(*words)
        assert code == 0, errors
        assert re.search(r"^ready: (6|10) images in ", output, re.MULTILINE)
    assert len(datasets.isic2018_labels("data")) == 10
    for source in ("ilsvrc2012", "open_images_v5"):
        assert len(list_images(os.path.join("data", datasets.SOURCES[source]))) == 6


@pytest.mark.parametrize("architecture", sorted(classifier.IMAGENET_MD5))
def test_weights_that_cannot_be_downloaded_are_named_with_md5_address_and_folder(
        monkeypatch, architecture):
    """Against the source of the library that downloads and compares them."""
    module = {"VGG16": "vgg16", "ResNet50": "resnet50", "InceptionV3": "inception_v3"}[architecture]
    with open(importlib.util.find_spec("keras_applications." + module).origin) as file:
        source = file.read()
    name = module + "_weights_tf_dim_ordering_tf_kernels_notop.h5"
    monkeypatch.setenv("KERAS_HOME", "/somewhere")
    message = classifier.missing_imagenet_weights(architecture, "no connection")
    assert name in source and classifier.IMAGENET_MD5[architecture] in source
    for words in ("/" + name, classifier.IMAGENET_MD5[architecture], "https://",
                  os.path.join("/somewhere", "models")):
        assert words in message


@pytest.mark.parametrize("fault, message", [
    ({"status": 404}, "not there right"), ({"status": 500}, "500 gave up continues"),
    ({"body": b"<html>log in</html>"}, "not a JPEG login page")])
def test_a_server_without_images_ends_the_download_with_one_message(
        run, tmp_path, photographs, fault, message):
    photographs(behaviour=lambda path, number: {} if "list" in path else fault)
    code, _, error = run("open_images_v5", "--num-images", "30")
    assert code == 2 and error.count("\n") == 1
    for word in message.split():
        assert word in error
    assert os.listdir(str(tmp_path / "data")) == [".open_images_v5.partial"]
    photographs()
    open_images_sample(run, tmp_path, 30)


def test_a_list_of_other_images_is_refused_and_not_kept(run, tmp_path, photographs):
    photographs(behaviour=lambda path, number: {"body": b"ImageID\n0123456789abcdef\n"})
    code, _, error = run("open_images_v5", "--num-images", "3")
    assert code == 2 and "1 ids of images, expected 40" in error
    photographs()
    open_images_sample(run, tmp_path, 3)


def test_more_images_than_there_are_is_a_message(run, photographs):
    photographs()
    code, _, error = run("open_images_v5", "--num-images", "41")
    assert code == 2 and "the test set has 40 images" in error


def test_a_disk_too_small_for_the_sample_is_told(run, tmp_path, photographs, monkeypatch):
    photographs()
    monkeypatch.setattr(natural_images, "OPEN_IMAGES_SIZE", 10 ** 15)
    code, _, error = run("open_images_v5", "--num-images", "3")
    assert code == 2 and "GB needed" in error
