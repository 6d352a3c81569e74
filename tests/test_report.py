"""Every number of report.md, computed a second time from the csv files in plain Python."""

import collections
import contextlib
import csv
import json
import os
import re

import numpy as np
import pytest
from PIL import Image
from scipy import stats

import checkout
from utils import rows
from utils import figures
from utils.files import sha256_of_file
from utils.report import pictures, report

N = 120
CLASSES = list(checkout.CLASSES)
MODELS = ("VGG16", "ResNet50", "InceptionV3")
SOURCES = collections.OrderedDict([("open_images_v5", "Open Images V5"),
                                   ("ilsvrc2012", "ILSVRC2012"), ("isic2018", "ISIC2018")])
SIZE = {"VGG16": 8, "ResNet50": 8, "InceptionV3": 12}
NOT_RUN = ("InceptionV3", "isic2018")
PUBLISHED = {"open_images_v5": (82.5, 86.7, 76.3), "ilsvrc2012": (83.2, 87.0, 72.5),
             "isic2018": (86.4, 94.3, 81.2)}  # of the study's slides
SNAPSHOTS = {"10": 0.1, "20": 0.25, "50": 0.2, "100": 0.45, "200": 0.75}  # share changed


def changed(random, classes, share):
    """Classes of which about this share is drawn anew."""
    return [CLASSES[random.randint(7)] if random.uniform() < share else c for c in classes]


def write_run(folder, seed, labels, clean, transfers=(), **info):
    """One evaluated run with random rows: files as make_uap.py and evaluate.py leave them."""
    random = np.random.RandomState(seed)
    os.makedirs(os.path.join(folder, "snapshots"))
    size = SIZE[info["model"]]
    np.save(os.path.join(folder, "uap.npy"),
            random.uniform(-0.1, 0.1, (size, size, 3)).astype(np.float32))
    sha256 = sha256_of_file(os.path.join(folder, "uap.npy"))
    info = dict({
        "made_for": info["model"], "attack": "deepfool", "norm": "inf", "target": None,
        "run": os.path.basename(folder), "images": 100, "passes": 2, "norm_bound": 0.1,
        "norm_ratio": 0.04, "class_names": CLASSES, "image_size": size, "seed": 5,
        "image_folder": "pictures", "resize": "bilinear", "weights_from": {"file": "natural.h5"},
        "backbone": False,
        "steps": {"made": 40, "kept": 10 + seed}, "identity": {"seed": seed, "step_size": 0.001},
        "snapshots": {name: 3.0 * int(name) for name in SNAPSHOTS}, "model_sha256": "ab" * 32,
        "test_sha256": "cd" * 32, "uap_sha256": sha256}, **info)
    uap = changed(random, clean, 0.3 + 0.1 * (seed % 6))
    columns = collections.OrderedDict([
        ("file", ["{:03d}.png".format(i) for i in range(N)]), ("label", labels), ("clean", clean),
        ("uap", uap), ("uap_8bit", changed(random, uap, 0.05)),
        ("jpeg95", changed(random, uap, 0.1)), ("jpeg75", changed(random, clean, 0.2)),
        ("clean_jpeg75", changed(random, clean, 0.05)), ("random", changed(random, clean, 0.1)),
        ("permuted", changed(random, clean, 0.2))])
    for name in ("clean", "uap"):
        columns[name + "_confidence"] = ["{:.4f}".format(c) for c in random.uniform(0.2, 1, N)]
    made = {"command": ["python", "/somewhere/evaluate.py", "--note", "two words"],
            "finished": "2020-01-03T00:00:00Z", "versions": {"numpy": "1.16.6"}, "git": None,
            "machine": {"system": "Linux", "cores": 2}}
    rows.write(folder, "predictions", columns, info, made)
    of_rows = {key: info[key] for key in ("model_sha256", "test_sha256")}
    if info["made_for"] == info["model"]:
        rows.write(folder, "curve", collections.OrderedDict(
            [("file", columns["file"])]
            + [(name, changed(random, clean, share * (1 + seed % 3) / 2))
               for name, share in SNAPSHOTS.items()]),
            dict(of_rows, columns={name: "ef" * 32 for name in SNAPSHOTS}), made)
        with open(os.path.join(folder, "run.json"), "w") as file:
            json.dump({
                "command": ["python", "make_uap.py", "--source", info["source"], "--seed",
                            str(seed)],
                "arguments": {"seed": seed}, "uap": {"sha256": sha256},
                "images": {"sha256": "12" * 32}, "started": "2020-01-01T00:00:00Z",
                "finished": "2020-01-02T00:00:00Z", "seconds": 12.5,
                "git": {"commit": "34" * 20, "modified": True},
                "versions": {"numpy": "1.16.6"}, "machine": {"system": "Linux", "cores": 2}}, file)
    if transfers:
        rows.write(folder, "transfer", collections.OrderedDict(
            [("file", columns["file"])] + [(m, changed(random, clean, 0.5)) for m in transfers]),
            dict(of_rows, columns={m: sha256_of_file(os.path.join(
                os.path.dirname(os.path.dirname(folder)), m, info["run"], "uap.npy"))
                for m in transfers}), made)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A results folder: eight of the nine cells, and one run of every other kind."""
    folder = str(tmp_path_factory.mktemp("report"))
    random = np.random.RandomState(0)
    labels = [CLASSES[i % 6] for i in range(N)]  # no image of the last class
    os.makedirs(os.path.join(folder, "models"))
    os.makedirs(os.path.join(folder, "pictures"))
    for i in range(6):
        Image.fromarray(random.randint(0, 256, (8, 8, 3)).astype(np.uint8)).save(
            os.path.join(folder, "pictures", "{:03d}.png".format(i)))
    for seed, model in enumerate(MODELS):
        clean = changed(random, labels, 0.3)
        with open(os.path.join(folder, "models", model + ".json"), "w") as file:
            json.dump({
                "weights": {"sha256": "ab" * 32}, "split": {"test": {"sha256": "cd" * 32}},
                "arguments": {"seed": 7}, "epochs": 3, "scores": {"test": {"accuracy": 0.75}},
                "command": ["python", "train_model.py", "--model", model], "git": None,
                "started": "2019-01-01T00:00:00Z", "finished": "2019-01-02T00:00:00Z"}, file)
        for source in SOURCES:
            if (model, source) != NOT_RUN:
                write_run(os.path.join(folder, "results", model, source), seed + len(source),
                          labels, clean, ["VGG16"] if model == "ResNet50" else [],
                          model=model, source=source)
        if model == "VGG16":
            write = [("ilsvrc2012-fgsm", {"attack": "fgsm"}), ("few", {"images": 10}),
                     ("ilsvrc2012-target-NV", {"target": "NV"}),
                     ("ilsvrc2012-target-MEL", {"target": "MEL"}),
                     ("mine", {"made_for": None, "source": "mine", "attack": "unknown",
                               "images": None, "passes": None, "norm_bound": None,
                               "norm_ratio": None, "steps": None}),
                     ("none-of-public", {"made_for": "public", "backbone": True, "images": 0,
                                         "source": "none", "attack": "gd-uap"})]
            for k, (name, info) in enumerate(write):
                write_run(os.path.join(folder, "results", model, name), 20 + k, labels, clean,
                          **dict({"model": model, "source": "ilsvrc2012"}, **info))
    return folder


@contextlib.contextmanager
def undrawn():
    """Within this context, what a picture would be drawn from is kept in a dict by its name."""
    drawn = {}
    with pytest.MonkeyPatch.context() as patch:
        for room, name in ((pictures, "rate_table"), (pictures, "curves"),
                           (pictures, "example_grid"), (figures, "confusion_matrices")):
            patch.setattr(room, name, lambda path, *arguments: drawn.update(
                {os.path.basename(path): arguments}))
        yield drawn


@pytest.fixture(scope="module")
def written(results):
    """report.md as text, and what each picture is drawn from, by its name."""
    with undrawn() as drawn:
        return write(results), drawn


def evaluated(results):
    return [rows.read_run(folder) for folder in rows.find(os.path.join(results, "results"))]


def write(results, chosen=None, read_images=None):
    """Write the report of the chosen runs, or of all; its text."""
    def read(info, files):
        return np.stack([np.asarray(Image.open(os.path.join(
            results, info["image_folder"], file)).resize((info["image_size"],) * 2))
            for file in files])
    path = report.write_report(
        os.path.join(results, "results"), os.path.join(results, "models"),
        evaluated(results) if chosen is None else chosen, "A sentence above.",
        read_images or read)
    with open(path, encoding="utf-8") as file:
        return file.read()


# The second way: dicts from csv, counting, closed formulas.

def read(results, model, run, kind="predictions"):
    with open(os.path.join(results, "results", model, run, kind + ".csv"), newline="") as file:
        return list(csv.DictReader(file))


def wilson(count, total):
    z, p = stats.norm.ppf(0.975), count / total
    middle = (p + z ** 2 / (2 * total)) / (1 + z ** 2 / total)
    half = z / (1 + z ** 2 / total) * (p * (1 - p) / total + z ** 2 / (4 * total ** 2)) ** 0.5
    return p, middle - half, middle + half


def text(hits):
    """A list of bool as the report prints it."""
    hits = list(hits)
    if not hits:
        return "-"
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * abs(x) for x in wilson(sum(hits), len(hits))))


def bold(cell):
    return "**{}**".format(cell)


def hits(found, name="uap"):
    return [row[name] != row["clean"] for row in found]


def mcnemar(one, other):
    """(only one, only other, p): p from the binomial distribution function."""
    b = sum(x and not y for x, y in zip(one, other))
    c = sum(y and not x for x, y in zip(one, other))
    return b, c, min(1.0, 2 * stats.binom.cdf(min(b, c), b + c, 0.5))


def compared(pairs):
    """The cells of a table of paired tests, with Holm's correction from its definition."""
    tests = [mcnemar(*pair) for pair in pairs]
    ordered = sorted(p for _, _, p in tests)
    cells = []
    for (one, other), (b, c, p) in zip(pairs, tests):
        corrected = max(min(1, (len(tests) - k) * q) for k, q in enumerate(ordered) if q <= p)
        cells.append([text(one), text(other), str(b), str(c), "{:.1g}".format(p),
                      "{:.1g}".format(corrected)])
    return cells


def cells_of(setting):
    """(model, source, run) of the cells that have a run."""
    if setting == "DeepFool":
        return [(m, s, s) for m in MODELS for s in SOURCES if (m, s) != NOT_RUN]
    return [("VGG16", "ilsvrc2012", "ilsvrc2012-fgsm")]


FULL = ["model", "run", "UAP", "published", "8 bits", "random", "permuted", "p", "dominant",
        "accuracy, clean", "under the UAP", "images", "passes", "bound", "steps kept",
        "test images", "differs"]


def in_full(results, model, run, target=None):
    """The row of a run in a table of all its numbers."""
    found, info = read(results, model, run), read_json(results, model, run)
    if target is None:
        success = {name: hits(found, name) for name in found[0]}
    else:
        success = {name: [row[name] == target for row in found if row["clean"] != target]
                   for name in found[0]}
    value, low, high = (100 * x for x in wilson(sum(success["uap"]), len(success["uap"])))
    attacked = [row["uap"] for row in found]
    top = max(sorted(set(attacked)), key=attacked.count)
    steps = info["steps"]
    known = [("DeepFool", False), (info["attack"] if info["attack"] != "gd-uap" else "GD-UAP",
                                   info["attack"] not in ("deepfool", "fgsm")),
             ("ratio ?", info["norm_ratio"] is None), ("2 passes", info["passes"] == 2),
             ("? passes", info["passes"] is None), ("target " + str(target), target is not None),
             ("made for public", info["made_for"] == "public"),
             ("made for ?", info["made_for"] is None), (str(info["image_size"]) + " px", True),
             ("weights from a file", True), ("from mine", info["source"] == "mine"),
             ("from no image", info["source"] == "none"),
             ("{} images".format(info["images"] or "?"), info["source"] != "none"),
             ("120 test images", True)]
    return [model, run, "**{:.1f}** [{:.1f}, {:.1f}]".format(value, abs(low), high), "-"] + [
        text(success[name]) for name in ("uap_8bit", "random", "permuted")] + [
        "{:.1g}".format(mcnemar(success["uap"], success["permuted"])[2]),
        "{} {:.1f}".format(top, 100 * attacked.count(top) / N)] + [
        text(row[name] == row["label"] for row in found) for name in ("clean", "uap")] + [
        "?" if info["images"] is None else str(info["images"]), str(info["passes"] or "?"),
        "0.1 (Linf)" if info["norm_bound"] else "?",
        "{:.1f} %".format(100 * steps["kept"] / 40) if steps else "-", str(N),
        "; ".join(mark for mark, holds in known if holds)] + (
        [] if target is None else [text(row["uap"] == target for row in found)])


def read_json(results, model, run):
    with open(os.path.join(results, "results", model, run, "predictions.json")) as file:
        return json.load(file)


def table_of(results, setting):
    runs = {(m, s): run for m, s, run in cells_of(setting)}
    grid = []
    for s, title in SOURCES.items():
        line = [title]
        for m in MODELS:
            if (m, s) in runs:
                line.append(in_full(results, m, runs[m, s])[2] + (
                    "; {} px".format(SIZE[m]) if setting == "DeepFool" else ""))
                if (setting, m, s) == ("DeepFool", "VGG16", "ilsvrc2012"):
                    line[-1] += "<br>{}; 8 px; 10 images; few".format(
                        in_full(results, m, "few")[2])
            else:
                line.append("not run; published {}".format(PUBLISHED[s][MODELS.index(m)]))
        grid.append(line)
    return [[["images the UAP is made from"] + list(MODELS)] + grid,
            [FULL] + [in_full(results, m, run) for m, _, run in cells_of(setting)]]


def significance_of(results, setting):
    cells = [(m, s, read(results, m, run)) for m, s, run in cells_of(setting)]
    against = compared([(hits(found), hits(found, "permuted")) for _, _, found in cells])
    tables = [[["model", "UAP from", "UAP", "permuted", "only the UAP fools", "only permuted", "p",
                "p (Holm)"]] + [[m, SOURCES[s]] + row for (m, s, _), row in zip(cells, against)]]
    by_cell = {(m, s): found for m, s, found in cells}
    pairs = [(m, s) for m, s, _ in cells if s != "isic2018" and (m, "isic2018") in by_cell]
    if pairs:
        tables.append([["model", "natural images", "natural", "ISIC2018", "only natural fools",
                        "only ISIC2018", "p", "p (Holm)"]] + [
            [m, SOURCES[s]] + row for (m, s), row in zip(pairs, compared(
                [(hits(by_cell[m, s]), hits(by_cell[m, "isic2018"])) for m, s in pairs]))])
    return tables


def curve_counts(results, model, run):
    clean = [row["clean"] for row in read(results, model, run)]
    found = read(results, model, run, "curve")
    return [(int(name), sum(row[name] != c for row, c in zip(found, clean)))
            for name in SNAPSHOTS]


def crossing(points, rate):
    """Where the curve first reaches the rate: (text, number or None, whether an upper bound)."""
    ns, ys = zip(*points)
    k = next((k for k, y in enumerate(ys) if y >= rate), None)
    if k is None:
        return "> {:,}".format(ns[-1]), None, False
    if k == 0:
        return "≤ {}".format(ns[0]), ns[0], True
    n = np.exp(np.interp(rate, ys[k - 1:k + 1], np.log(ns[k - 1:k + 1])))
    return "{:,.0f}".format(n), n, False


def curve_of(results, setting, factors=None):
    lines = [(m, SOURCES[s], run) for m, s, run in cells_of(setting)]
    lines += [("VGG16", "few", "few")] if setting == "DeepFool" else []
    counts = {(m, title): curve_counts(results, m, run) for m, title, run in lines}
    rates = [rate for rate in np.arange(1, 10) / 10
             if any(count / N >= rate for curve in counts.values() for _, count in curve)]

    def needed(key, rate):
        ends = [wilson(count, N) for _, count in counts[key]]
        return [crossing([(n, end[i]) for (n, _), end in zip(counts[key], ends)], rate)
                for i in (0, 2, 1)]

    body = []
    for m, title, run in lines:
        body.append([m, title, "{:.1f} %".format(
            100 * read_json(results, m, run)["steps"]["kept"] / 40)])
        for rate in rates:
            cell = needed((m, title), rate)
            if cell[0][1] is None:
                body[-1].append("not reached")
                continue
            body[-1].append("{} [{}, {}]".format(*(value[0] for value in cell)))
            isic = needed((m, "ISIC2018"), rate)[0] if (m, "ISIC2018") in counts else [None] * 3
            bounds = cell[0][2], isic[2]
            if title != "ISIC2018" and isic[1] and bounds != (True, True):
                factor = cell[0][1] / isic[1]
                body[-1][-1] += "; x {}{:.1f}".format(
                    {(True, False): "≤ ", (False, True): "≥ "}.get(bounds, ""), factor)
                if factors is not None and bounds == (False, False) and title != "few":
                    factors.append(factor)
    return [[["model", "UAP from", "steps kept"]
             + ["images for {:.0f} %".format(100 * rate) for rate in rates]] + body]


def classes_of(results, setting):
    body = []
    for m, s, run in cells_of(setting):
        found = read(results, m, run)
        line = [m, SOURCES[s]]
        for part in ([row["clean"] for row in found], [row["uap"] for row in found],
                     [row["uap"] for row in found if row["uap"] != row["clean"]]):
            top = sorted(set(part), key=lambda c: (-part.count(c), c))[0]
            line.append("{} {}".format(top, text(c == top for c in part)))
        body.append(line)
    return [[["model", "UAP from", "clean images", "attacked images",
              "attacked images that are fooled"]] + body]


def files_of(results, setting):
    return [[["model", "UAP from", "x + v", "8 bits, PNG", "JPEG 95", "JPEG 75",
              "no UAP, JPEG 75"]] + [
        [m, SOURCES[s]] + [text(hits(read(results, m, run), name)) for name in
                           ("uap", "uap_8bit", "jpeg95", "jpeg75", "clean_jpeg75")]
        for m, s, run in cells_of(setting)]]


def transfer_of(results, setting):
    cells = cells_of(setting)
    models = [m for m in MODELS if any(m == model for model, _, _ in cells)]
    tables = []
    for s in SOURCES:
        runs = {m: run for m, source, run in cells if source == s}
        if not runs:
            continue
        body = []
        for made_for in runs:
            line = [made_for]
            for on in models:
                if on not in runs:
                    line.append("not run")
                elif on == made_for:
                    line.append(bold(text(hits(read(results, on, runs[on])))))
                elif SIZE[on] != SIZE[made_for]:
                    line.append("other input size")
                elif (made_for, on) == ("VGG16", "ResNet50"):
                    line.append(text(a[made_for] != b["clean"] for a, b in zip(
                        read(results, on, s, "transfer"), read(results, on, s))))
                else:
                    line.append("not run")
            body.append(line)
        body.append(["permuted"] + [text(hits(read(results, m, runs[m]), "permuted"))
                                    if m in runs else "-" for m in models])
        tables.append([["made for"] + ["on " + m for m in models]] + body)
    return tables


def sensitivity_of(results, setting):
    body, per_class = [], collections.OrderedDict()
    for m, s, run in cells_of(setting):
        found = read(results, m, run)
        right = [row for row in found if row["clean"] == row["label"]]
        wrong = [row for row in found if row["clean"] != row["label"]]
        body.append([m, SOURCES[s], text(row["clean"] == row["label"] for row in found),
                     text(row["uap"] == row["label"] for row in found), text(hits(right)),
                     text(hits(wrong))])
        for c in CLASSES:
            part = [row for row in found if row["label"] == c]
            line = per_class.setdefault((m, c), [m, c, str(len(part))] + ["-"] * 3)
            line[3 + list(SOURCES).index(s)] = text(hits(part))
    return [[["model", "UAP from", "accuracy, clean", "accuracy, attacked",
              "fooling rate where the model was right", "where it was wrong"]] + body,
            [["model", "true class", "images"] + list(SOURCES.values())]
            + list(per_class.values())]


def targeted_of(results):
    runs = ["ilsvrc2012-target-" + target for target in ("MEL", "NV")]
    files = [["VGG16", run] + [text(
        row[name] == run[-len(target):] for row in read(results, "VGG16", run)
        if row["clean"] != target) for name in ("uap", "uap_8bit", "jpeg95", "jpeg75",
                                                "clean_jpeg75")]
             for run, target in zip(runs, ("MEL", "NV"))]
    return [[FULL + ["predicted as target"]] + [
        in_full(results, "VGG16", run, run.split("-")[-1]) for run in runs],
        [["model", "UAP", "x + v", "8 bits, PNG", "JPEG 95", "JPEG 75", "no UAP, JPEG 75"]] + files]


def others_of(results):
    return [[FULL] + [in_full(results, "VGG16", run) for run in ("few", "mine", "none-of-public")]]


def needs_of(results):
    """The strongest of the runs of a line, by hand."""
    def cell(model, runs, name):
        run = max(runs, key=lambda run: sum(hits(read(results, model, run))))
        found = read(results, model, run)
        return "{}: {} ({}, {})".format(name(run), bold(text(hits(found))),
                                        *(text(hits(found, c)) for c in ("random", "permuted")))

    def natural(run):
        return "{}, {} {}".format("FGSM" if "fgsm" in run else "DeepFool", 10 if run == "few" else
                                  100, SOURCES.get(run, "ILSVRC2012"))

    more = {"VGG16": ["ilsvrc2012-fgsm", "few"], "ResNet50": [], "InceptionV3": []}
    return [[["the attacker has"] + list(MODELS)] + [
        ["ISIC2018 images"] + [cell(m, ["isic2018"], natural) if (m, "isic2018") != NOT_RUN
                               else "not run" for m in MODELS],
        ["natural images"] + [cell(m, ["open_images_v5", "ilsvrc2012"] + more[m], natural)
                              for m in MODELS],
        ["no image"] + ["not run"] * 3,
        ["no image and no classifier", cell("VGG16", ["none-of-public"], lambda _: "GD-UAP"),
         "not run", "not run"]]]


def provenance_of(results):
    models = [[m, "`" + "ab" * 8 + "`", "`" + "cd" * 8 + "`", "7", "3", "75.0",
               "2019-01-01T00:00:00Z", "2019-01-02T00:00:00Z", "?"] for m in sorted(MODELS)]
    runs = []
    for e in evaluated(results):
        path = os.path.join(e.folder, "run.json")
        run = json.load(open(path)) if os.path.exists(path) else None
        runs.append(
            ["{}/{}".format(e.info["model"], os.path.basename(e.folder)),
             "`{}`".format(sha256_of_file(os.path.join(e.folder, "uap.npy"))[:16])]
            + (["?"] * 6 if run is None else
               ["`" + "12" * 8 + "`", str(run["arguments"]["seed"]), "2020-01-01T00:00:00Z",
                "2020-01-02T00:00:00Z", "12.5", "3434343434 + changes"])
            + ["`{}`".format(sha256_of_file(os.path.join(e.folder, "predictions.csv"))[:16]),
               "2020-01-03T00:00:00Z", "5"])
    return [[["model", "weights", "test images", "seed", "epochs", "accuracy, test", "started",
              "finished", "commit"]] + models,
            [["UAP", "uap.npy", "its images", "seed", "started", "finished", "seconds", "commit",
              "predictions.csv", "predicted", "seed of the controls"]] + runs]


def tables_of(section):
    """The tables in a part of the report, as lists of rows of cells, headers first."""
    found = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    return [[line.strip("| ").split(" | ") for line in block.splitlines()
             if not line.startswith("|---")] for block in found]


def sections_of(report_text):
    """OrderedDict from the heading to the text below it, settings in sections of their own."""
    parts = re.split(r"^##+ (.*)\n", report_text, flags=re.MULTILINE)
    return collections.OrderedDict(zip(parts[1::2], parts[2::2]))


SECTIONS = collections.OrderedDict([
    ("The table", table_of), ("Significance", significance_of),
    ("Images needed", curve_of), ("Examples", lambda *_: []),
    ("Predicted classes", classes_of), ("Image files", files_of),
    ("Transfer", transfer_of), ("Sensitivity", sensitivity_of)])
SETTINGS = collections.OrderedDict([("DeepFool", "UAPs by DeepFool, Linf norm"),
                                    ("FGSM", "UAPs by FGSM, Linf norm")])


def expected_tables(results):
    tables = collections.OrderedDict()
    for title, second_way in SECTIONS.items():
        tables[title] = []
        for setting, name in SETTINGS.items():
            tables["{}: {}".format(title, name)] = second_way(results, setting)
    tables["What the attacker needs"] = needs_of(results)
    tables["Targeted UAPs"] = targeted_of(results)
    tables["Other UAPs"] = others_of(results)
    tables["Provenance"] = provenance_of(results)
    return tables


def test_every_number_in_every_table_is_that_of_the_second_way(results, written):
    sections, expected = sections_of(written[0]), expected_tables(results)
    assert list(sections) == list(expected)
    for title, tables in expected.items():
        assert tables_of(sections[title]) == tables, title


def test_the_computed_sentences_say_what_the_second_way_finds(results, written):
    sections = sections_of(written[0])
    for setting, name in SETTINGS.items():
        (table, *_) = significance_of(results, setting)
        real = sum(float(row[-1]) <= 0.05 and int(row[4]) > int(row[5]) for row in table[1:])
        assert "in {} of {} cells the UAP fools more".format(real, len(table) - 1) in sections[
            "Significance: " + name]
    factors = []
    curve_of(results, "DeepFool", factors)
    assert len(factors) > 3
    assert "takes {:.1f} to {:.1f} times as many images, {:.1f} in the median of {} c".format(
        min(factors), max(factors), np.median(factors), len(factors)) in sections[
            "Images needed: UAPs by DeepFool, Linf norm"]


def test_commands_are_printed_so_that_a_shell_takes_them_as_they_were_given(written):
    lines = sections_of(written[0])["Provenance"].split("```")[1].splitlines()
    assert "python train_model.py --model ResNet50" in lines
    assert "python make_uap.py --source isic2018 --seed 8" in lines
    assert lines.count("python evaluate.py --note 'two words'") == 1


def test_the_note_stands_above_and_every_picture_is_shown(written):
    text_of_report, drawn = written
    assert text_of_report.index("**A sentence above.**") < text_of_report.index("## The table")
    assert set(re.findall(r"\]\(report/(.*?)\)", text_of_report)) == set(drawn)


def test_the_picture_of_the_table_holds_the_numbers_of_the_table(results, written):
    cells = written[1]["table.png"][0]
    assert len(cells) == 9
    assert cells["ISIC2018", "InceptionV3"] == (None, ["not run", "published 81.2"])
    found = read(results, "VGG16", "ilsvrc2012")
    value, low, high = wilson(sum(hits(found)), N)
    rate, lines = cells["ILSVRC2012", "VGG16"]
    assert rate == pytest.approx(value)
    assert lines == ["{:.1f}".format(100 * value),
                     "95 %: {:.1f} to {:.1f}".format(100 * low, 100 * high), "8 px",
                     "controls {:.1f}, {:.1f}".format(*(
                         100 * np.mean(hits(found, name)) for name in ("random", "permuted")))]
    assert "Not as published: 2 passes; weights from a file; 100 images; 120 test" in written[1][
        "table.png"][3]


def test_the_curve_is_drawn_through_the_rates_of_the_snapshots(results, written):
    panels = written[1]["curve.png"][0]
    assert list(panels) == list(MODELS)
    assert list(panels["InceptionV3"]) == ["Open Images V5", "ILSVRC2012"]
    shown, rates, repeated, control = panels["ResNet50"]["ISIC2018"]
    counts = curve_counts(results, "ResNet50", "isic2018")
    assert list(shown) == [n for n, _ in counts]
    assert list(repeated) == [False] * 4 + [True]  # 200 images shown, 100 images
    for rate, (_, count) in zip(rates, counts):
        assert (rate.value, rate.low, rate.high) == pytest.approx(wilson(count, N))
    assert control.value == pytest.approx(
        np.mean(hits(read(results, "ResNet50", "isic2018"), "permuted")))


def test_two_attacks_on_the_same_images_are_drawn_against_the_seconds_they_took(results, written):
    (name,) = [name for name in written[1] if name.startswith("time")]
    panels, title, label = written[1][name][:3]
    assert "ILSVRC2012" in title and label == "seconds of computing"
    assert {m: list(panel) for m, panel in panels.items()} == {"VGG16": ["DeepFool", "FGSM"]}
    seconds, rates, *_ = panels["VGG16"]["FGSM"]
    assert list(seconds) == [3.0 * int(shown) for shown in SNAPSHOTS]
    assert [rate.count for rate in rates] == [
        count for _, count in curve_counts(results, "VGG16", "ilsvrc2012-fgsm")]


def test_runs_that_differ_in_another_choice_are_told_apart_on_the_curve(results, written):
    panel = written[1]["curve.png"][0]["VGG16"]
    assert list(panel) == list(SOURCES.values()) + ["few"]
    assert [rate.count for rate in panel["few"][1]] == [
        count for _, count in curve_counts(results, "VGG16", "few")]


def test_the_confusion_pictures_count_every_test_image(results, written):
    panels, names, *_ = written[1]["confusion-VGG16.png"]
    assert list(panels) == ["UAP from " + title for title in SOURCES.values()] and names == CLASSES
    found = read(results, "VGG16", "ilsvrc2012")
    for i, clean in enumerate(CLASSES):
        for k, attacked in enumerate(CLASSES):
            assert panels["UAP from ILSVRC2012"][i, k] == sum(
                (row["clean"], row["uap"]) == (clean, attacked) for row in found)


def test_the_examples_are_the_first_test_image_of_each_class(results, written):
    images, heads, panels, _ = written[1]["examples-VGG16.png"]
    first = read(results, "VGG16", "open_images_v5")
    assert heads == ["true {}\n{} {:.2f}".format(
        CLASSES[i], first[i]["clean"], float(first[i]["clean_confidence"])) for i in range(6)]
    np.testing.assert_array_equal(images[3], np.asarray(Image.open(
        os.path.join(results, "pictures", "003.png"))))
    found = read(results, "VGG16", "ilsvrc2012")
    title, v, captions, changes = panels[1]
    assert title == "ILSVRC2012"
    np.testing.assert_array_equal(
        v, np.load(os.path.join(results, "results", "VGG16", "ilsvrc2012", "uap.npy")))
    assert captions == ["{} {:.2f}".format(row["uap"], float(row["uap_confidence"]))
                        for row in found[:6]]
    assert changes == hits(found[:6])
    assert [panel[0] for panel in written[1]["examples-VGG16-targeted.png"][2]] == [
        "ilsvrc2012-target-MEL", "ilsvrc2012-target-NV"]


def test_pictures_are_files_and_those_of_an_earlier_report_go(results):
    folder = os.path.join(results, "results", "report")
    os.makedirs(folder, exist_ok=True)
    for name in ("old.png", "notes.txt"):
        open(os.path.join(folder, name), "w").close()
    shown = re.findall(r"\]\(report/(.*?)\)", write(results, [
        e for e in evaluated(results) if e.info["model"] == "VGG16"
        and e.info["run"] in ("ilsvrc2012", "ilsvrc2012-target-NV")]))
    assert sorted(shown) == ["confusion-VGG16.png", "curve.png",
                             "examples-VGG16-targeted.png", "examples-VGG16.png", "table.png"]
    assert set(os.listdir(folder)) == set(shown) | {"notes.txt"}
    for name in shown:
        picture = np.asarray(Image.open(os.path.join(folder, name)).convert("L"))
        assert min(picture.shape) > 200 and picture.std() > 5


def test_without_the_test_images_everything_but_the_examples_is_there(results, written):
    with undrawn() as drawn:
        found = write(results, read_images=lambda info, files: None)
    assert "The test images are not at hand." in found
    assert tables_of(found) == tables_of(written[0])
    assert set(written[1]) - set(drawn) == {
        "examples-{}.png".format(m) for m in MODELS + ("VGG16-fgsm-linf", "VGG16-targeted")}


def test_a_uap_that_changed_since_it_was_evaluated_is_not_shown(tmp_path):
    folder = str(tmp_path / "results" / "VGG16" / "isic2018")
    os.makedirs(str(tmp_path / "pictures"))
    write_run(folder, 0, CLASSES * 20, CLASSES * 20, model="VGG16", source="isic2018")
    np.save(os.path.join(folder, "uap.npy"), np.zeros((8, 8, 3), np.float32))
    with undrawn() as drawn:
        write(str(tmp_path), [rows.read_run(folder)],
              lambda info, files: np.zeros((len(files), 8, 8, 3), np.uint8))
    assert drawn["examples-VGG16.png"][2] == []


def test_a_transfer_of_a_uap_that_was_made_again_since_is_not_reported(results):
    found = evaluated(results)
    (e,) = [e for e in found if e.info["model"] == "VGG16" and e.info["run"] == "ilsvrc2012"]
    e.info["uap_sha256"] = "made again"
    with undrawn():
        sections = sections_of(write(results, found))
    table = tables_of(sections["Transfer: UAPs by DeepFool, Linf norm"])[1]
    assert table[1][0] == "VGG16" and table[1][2] == "not run"


def test_a_single_run_of_a_model_with_other_classes_gives_a_report(tmp_path):
    folder = str(tmp_path / "results" / "xray" / "photographs")
    write_run(folder, 0, ["healthy", "ill"] * (N // 2), ["healthy"] * N, model="VGG16",
              source="photographs", class_names=["healthy", "ill"])
    with undrawn() as drawn:
        sections = sections_of(write(str(tmp_path), [rows.read_run(folder)],
                                     lambda info, files: None))
    table = tables_of(sections["The table"])[0]
    (run,) = [row for row in table if row[0] == "photographs"]
    assert run[1].startswith("**") and "published" not in run[1] and run[2:] == ["not run"] * 2
    assert [cell.split(";")[0] for row in table[1:4] for cell in row[1:]] == ["not run"] * 9
    assert [row[:3] for row in tables_of(sections["Sensitivity"])[1][1:]] == [
        ["VGG16", "healthy", str(N // 2)], ["VGG16", "ill", str(N // 2)]]
    assert drawn["confusion-VGG16.png"][1] == ["healthy", "ill"]
    assert sections["Provenance"].count("| ? |") > 0


def test_without_any_run_every_cell_says_so(tmp_path):
    os.makedirs(str(tmp_path / "results"))
    with undrawn():
        sections = sections_of(write(str(tmp_path), []))
    (table,) = tables_of(sections["The table"])
    assert [row[1:] for row in table[1:]] == [
        ["not run; published {}".format(rate) for rate in PUBLISHED[source]] for source in SOURCES]
    assert "Not run." in sections["Transfer"]
