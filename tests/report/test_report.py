"""Every number of report.md, computed a second time from the csv files in plain NumPy."""

import bisect
import dataclasses
import json
import os
import re

import numpy as np
import pytest
from evaluated_runs import (
    CLASSES,
    MADE,
    MODELS,
    SIZE,
    SNAPSHOTS,
    SOURCES,
    N,
    changed,
    evaluated,
    undrawn,
    write,
    write_json,
    write_run,
)
from PIL import Image
from scipy import stats

from utils.common.hashes import sha256_of_file

NOT_RUN = ("InceptionV3", "isic2018")
PUBLISHED = {"open_images_v5": (82.5, 86.7, 76.3), "ilsvrc2012": (83.2, 87.0, 72.5),
             "isic2018": (86.4, 94.3, 81.2)}  # of the study's slides
FILES = {"x + v": "uap", "8 bits, PNG": "uap_8bit", "JPEG 95": "jpeg95", "JPEG 75": "jpeg75",
         "no UAP, JPEG 75": "clean_jpeg75"}


OTHERS = {"ilsvrc2012-fgsm": {"attack": "fgsm"}, "few": {"images": 10},
          "ilsvrc2012-target-NV": {"target": "NV"}, "ilsvrc2012-target-MEL": {"target": "MEL"},
          "mine": dict({"made_for": None, "source": "mine", "attack": "unknown"}, **dict.fromkeys(
              ("images", "passes", "norm_bound", "norm_ratio", "steps"))),
          "none-of-public": {"made_for": "public", "backbone": True, "images": 0, "source": "none",
                             "attack": "gd-uap"}}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A results folder: eight of the nine cells, and one run of every other kind."""
    folder = str(tmp_path_factory.mktemp("report"))
    random = np.random.RandomState(0)
    labels = np.resize(CLASSES[:6], N)  # no image of the last class
    for name in ("models", "pictures"):
        os.makedirs(os.path.join(folder, name))
    for i in range(6):
        Image.fromarray(random.randint(0, 256, (8, 8, 3)).astype(np.uint8)).save(
            os.path.join(folder, "pictures", "{:03d}.png".format(i)))
    for seed, model in enumerate(MODELS):
        clean = changed(random, labels, 0.3)
        write_json(
            os.path.join(folder, "models", model + ".json"), weights={"sha256": "ab" * 32},
            split={"test": {"sha256": "cd" * 32}}, arguments={"seed": 7}, epochs=3, git=None,
            scores={"test": {"accuracy": 0.75}}, command=["python", "train_model.py", model],
            started="2019-01-01T00:00:00Z", finished="2019-01-02T00:00:00Z")
        for source in SOURCES:
            if (model, source) != NOT_RUN:
                write_run(os.path.join(folder, "results", model, source), seed + len(source),
                          labels, clean, ["VGG16"] * (model == "ResNet50"), model=model,
                          source=source)
        for k, (name, info) in enumerate(OTHERS.items() if model == "VGG16" else ()):
            write_run(os.path.join(folder, "results", model, name), 20 + k, labels, clean,
                      **dict({"model": model, "source": "ilsvrc2012"}, **info))
    return folder


@pytest.fixture(scope="module")
def written(results):
    """The pages of the report, and what each picture is drawn from, both by their names."""
    with undrawn() as drawn:
        return write(results), drawn


# The second way: arrays from csv, counting, closed formulas.

def table_from(*path):
    return np.genfromtxt(os.path.join(*path), None, delimiter=",", names=True, encoding="utf-8")


class Second:
    """A run, read without the project's code."""

    def __init__(self, results, model, run):
        self.folder = os.path.join(results, "results", model, run)
        self.model, self.run, self.rows = model, run, table_from(self.folder, "predictions.csv")
        with open(os.path.join(self.folder, "predictions.json")) as file:
            self.info = json.load(file)
        self.title = SOURCES.get(self.info["source"])
        self.names = {"model": model, "UAP from": self.title}

    def hits(self, column="uap"):
        clean, target = self.rows["clean"], self.info["target"]
        if target is None:
            return self.rows[column] != clean
        return self.rows[column][clean != target] == target

    def rate(self, column="uap"):
        return text(self.hits(column))

    def files(self):
        return {title: self.rate(name) for title, name in FILES.items()}

    def of_label(self, column):
        return text(self.rows[column] == self.rows["label"])

    def curve(self):
        """For each snapshot, how many images it fools."""
        found = table_from(self.folder, "curve.csv")
        return [int(np.sum(found[str(n)] != self.rows["clean"])) for n in SNAPSHOTS]

    def steps_kept(self):
        steps = self.info["steps"]
        return "{:.1f} %".format(100 * steps["kept"] / 40) if steps else "-"


def wilson(count, total):
    z, p = stats.norm.ppf(0.975), count / total
    middle = (p + z ** 2 / (2 * total)) / (1 + z ** 2 / total)
    half = z / (1 + z ** 2 / total) * (p * (1 - p) / total + z ** 2 / (4 * total ** 2)) ** 0.5
    return p, middle - half, middle + half


def text(hits):
    """Hits as the report prints their rate."""
    if not len(hits):
        return "-"
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(
        100 * abs(x) for x in wilson(np.sum(hits), len(hits))))


def most_frequent(part):
    return sorted(set(part), key=lambda c: (-np.sum(part == c), c))[0]


def with_bold_rate(cell):
    return re.sub(r"^(\S+)", r"**\1**", cell)


def compared(pairs, titles):
    """The cells of a table of paired tests, with Holm's correction from its definition."""
    tests, found = [], []
    for one, other in pairs:
        b, c = np.sum(one & ~other), np.sum(other & ~one)
        tests.append((b, c, min(1.0, 2 * stats.binom.cdf(min(b, c), b + c, 0.5))))
    ordered = sorted(p for _, _, p in tests)
    for pair, (b, c, p) in zip(pairs, tests):
        corrected = max(min(1, (len(tests) - k) * q) for k, q in enumerate(ordered) if q <= p)
        found.append(dict(zip(titles + ("p", "p (Holm)"), (
            text(pair[0]), text(pair[1]), "{} : {}".format(b, c), "{:.1g}".format(p),
            "{:.1g}".format(corrected)))))
    return found


def narrow(rows, keys):
    """A table as tables of at most eight columns, the first `keys` columns in each."""
    columns, tables = list(rows[0]), []
    for start in range(keys, len(columns), 8 - keys):
        chosen = columns[:keys] + columns[start:start + 8 - keys]
        tables.append([{column: row[column] for column in chosen} for row in rows])
    return tables


def cells_of(results):
    """The cells of DeepFool's table that have a run, in order."""
    return [Second(results, m, s) for m in MODELS for s in SOURCES if (m, s) != NOT_RUN]


def in_full(runs):
    """The tables of all numbers of some runs; in what they differ, test_table.py tests."""
    tables = [[], [], []]
    for run in runs:
        info, names = run.info, {"model": run.model, "run": run.run}
        top, largest = most_frequent(run.rows["uap"]), most_frequent(run.rows["label"])
        tables[0].append({
            **names, "UAP": with_bold_rate(run.rate()), "published": "-",
            "8 bits": run.rate("uap_8bit"), "random": run.rate("random"),
            "permuted": run.rate("permuted"),
            "p": compared([(run.hits(), run.hits("permuted"))], ("",) * 3)[0]["p"]})
        tables[1].append({
            **names, "accuracy, clean": run.of_label("clean"), "under the UAP": run.of_label("uap"),
            "largest class": "{} {:.1f}".format(
                largest, 100 * np.mean(run.rows["label"] == largest)),
            "dominant": "{} {:.1f}".format(top, 100 * np.mean(run.rows["uap"] == top)),
            "test images": str(N)})
        if info["target"]:
            tables[1][-1]["predicted as target"] = text(run.rows["uap"] == info["target"])
        tables[2].append({
            **names, "images": "?" if info["images"] is None else str(info["images"]),
            "passes": str(info["passes"] or "?"), "steps kept": run.steps_kept(),
            "bound": "0.1 (Linf, run.json)" if info["norm_bound"] else "?",
            "largest change": "{:.1f}".format(info["largest_change"])})
    return tables


def table_of(results):
    runs = {(run.model, run.info["source"]): run for run in cells_of(results)}
    grid = []
    for s, title in SOURCES.items():
        cells = ["{}; {} px; 100 images".format(with_bold_rate(runs[m, s].rate()), SIZE[m])
                 if (m, s) in runs else "not run; published 81.2" for m in MODELS]
        grid.append({"images the UAP is made from": title, **dict(zip(MODELS, cells))})
    grid[1]["VGG16"] += "<br>{}; 8 px; 10 images; few".format(
        with_bold_rate(Second(results, "VGG16", "few").rate()))
    return [grid, *in_full(runs.values())]


ALONE = "fooled by one alone"


def significance_of(results):
    runs = cells_of(results)
    tests = [(run, control) for run in runs for control in ("random", "permuted")]
    against = compared([(run.hits(), run.hits(control)) for run, control in tests], (
        "UAP", "control", ALONE))
    domain = {run.model: run.hits() for run in runs if run.title == "ISIC2018"}
    natural = [run for run in runs if run.title != "ISIC2018" and run.model in domain]
    rest = compared([(run.hits(), domain[run.model]) for run in natural], (
        "natural", "ISIC2018", ALONE))
    return [[{**run.names, "against": control, **row}
             for (run, control), row in zip(tests, against)],
            [{"model": run.model, "natural images": run.title, **row}
             for run, row in zip(natural, rest)]]


def crossing(ys, rate):
    """Where the curve first reaches the rate: (text, number or None, whether an upper bound)."""
    ns = list(SNAPSHOTS)
    k = next((k for k, y in enumerate(ys) if y >= rate), None)
    if k is None:
        return "> {:,}".format(ns[-1]), None, False
    if k == 0:
        return "≤ {}".format(ns[0]), ns[0], True
    n = np.exp(np.interp(rate, ys[k - 1:k + 1], np.log(ns[k - 1:k + 1])))
    return "{:,.0f}".format(n), n, False


def curve_of(results, factors=None):
    runs = [(run.title, run) for run in cells_of(results)]
    runs.append(("few", Second(results, "VGG16", "few")))
    ends = {(run.model, title): np.transpose([wilson(count, N) for count in run.curve()])
            for title, run in runs}
    body = []
    for title, run in runs:
        body.append({"model": run.model, "UAP from": title})
        for rate in np.arange(1, 10) / 10:
            if not any((values >= rate).any() for values, _, _ in ends.values()):
                continue
            value, low, high = (crossing(ys, rate) for ys in ends[run.model, title])
            cell = "not reached" if value[1] is None else "{} [{}, {}]".format(
                value[0], high[0], low[0])
            domain = (crossing(ends[run.model, "ISIC2018"][0], rate)
                      if (run.model, "ISIC2018") in ends else (None, None, None))
            bounds = value[2], domain[2]
            if value[1] and domain[1] and title != "ISIC2018" and bounds != (True, True):
                cell += "; x {}{:.1f}".format({(True, False): "≤ ", (False, True): "≥ "}.get(
                    bounds, ""), value[1] / domain[1])
                if factors is not None and bounds == (False, False) and title != "few":
                    factors.append(value[1] / domain[1])
            body[-1]["images for {:.0f} %".format(100 * rate)] = cell
        body[-1]["steps kept"] = run.steps_kept()
    return narrow(body, 2)


def classes_of(results):
    body = []
    for run in cells_of(results):
        body.append(dict(run.names))
        for title, part in (("clean images", run.rows["clean"]),
                            ("attacked images", run.rows["uap"]),
                            ("attacked images that are fooled", run.rows["uap"][run.hits()])):
            top = most_frequent(part)
            body[-1][title] = "{} {}".format(top, text(part == top))
    return [body]


def files_of(results):
    return [[{**run.names, **run.files()} for run in cells_of(results)]]


def transfer_of(results):
    tables = []
    for title in SOURCES.values():
        runs = {run.model: run for run in cells_of(results) if run.title == title}
        body = []
        for made_for in runs:
            cells = {on: "other input size" if SIZE[on] != SIZE[made_for] and on in runs
                     else "not run" for on in MODELS}
            cells[made_for] = "**{}**".format(runs[made_for].rate())
            if made_for == "VGG16":
                cells["ResNet50"] = text(table_from(runs["ResNet50"].folder, "transfer.csv")[
                    made_for] != runs["ResNet50"].rows["clean"])
            body.append({"made for": made_for, **{"on " + on: cells[on] for on in MODELS}})
        tables.append(body + [{"made for": "permuted", **{
            "on " + m: runs[m].rate("permuted") if m in runs else "-" for m in MODELS}}])
    return tables


def sensitivity_of(results):
    body, per_confidence, per_class = [], [], {}
    for run in cells_of(results):
        right = run.rows["clean"] == run.rows["label"]
        body.append({**run.names, "accuracy, clean": text(right),
                     "accuracy, attacked": run.of_label("uap"),
                     "fooling rate where the model was right": text(run.hits()[right]),
                     "where it was wrong": text(run.hits()[~right])})
        parts = [bisect.bisect([0.6, 0.8, 0.95, 0.99], float(cell))
                 for cell in run.rows["clean_confidence"]]
        per_confidence.append({**run.names, **{
            "{}% to {}%".format(*between): text(run.hits()[np.equal(parts, i)])
            for i, between in enumerate([(0, 60), (60, 80), (80, 95), (95, 99), (99, 100)])}})
        for c in CLASSES:
            part = run.hits()[run.rows["label"] == c]
            per_class.setdefault((run.model, c), {
                "model": run.model, "true class": c, "images": str(len(part)),
                **dict.fromkeys(SOURCES.values(), "-")})[run.title] = text(part)
    return [body, per_confidence, list(per_class.values())]


def needs_of(results):
    """The strongest of the runs of a line."""
    def cell(runs):
        if not runs:
            return "not run"
        best = max(runs, key=lambda run: np.sum(run.hits()))
        name = {"deepfool": "DeepFool", "fgsm": "FGSM", "gd-uap": "GD-UAP"}[best.info["attack"]]
        return "{}{}: **{}** ({}, {})".format(
            name, ", {} {}".format(best.info["images"], best.title) * bool(best.title),
            *map(best.rate, ("uap", "random", "permuted")))

    cells = cells_of(results) + [
        Second(results, "VGG16", name) for name in ("ilsvrc2012-fgsm", "few", "none-of-public")]
    kinds = {"ISIC2018 images": ("isic2018",), "natural images": ("open_images_v5", "ilsvrc2012"),
             "no image": (), "no image and no classifier": ("none",)}
    return [[{"the attacker has": kind, **{m: cell([
        run for run in cells if run.model == m and run.info["source"] in sources])
        for m in MODELS}} for kind, sources in kinds.items()]]


def targeted_of(results):
    runs = [Second(results, "VGG16", "ilsvrc2012-target-" + target) for target in ("MEL", "NV")]
    return in_full(runs) + [[{"model": "VGG16", "UAP": run.run, **run.files()} for run in runs]]


def others_of(results):
    return in_full([Second(results, "VGG16", run) for run in ("few", "mine", "none-of-public")])


def provenance_of(results):
    models = [{"model": m, "weights": "`" + "ab" * 8 + "`", "test images": "`" + "cd" * 8 + "`",
               "seed": "7", "epochs": "3", "accuracy, test": "75.0",
               "started": "2019-01-01T00:00:00Z", "finished": "2019-01-02T00:00:00Z",
               "commit": "?"}
              for m in sorted(MODELS)]
    runs = []
    for run in evaluated(results):
        made = {"its images": "`" + "12" * 8 + "`", "started": "2020-01-01T00:00:00Z",
                "finished": "2020-01-02T00:00:00Z", "seconds": "12.5",
                "seed": str(run.uap.identity["seed"]), "commit": "3434343434 + changes"}
        if not run.curve:  # and so no run.json
            made = dict.fromkeys(made, "?")
        runs.append({"UAP": os.path.relpath(run.folder, os.path.join(results, "results")), **made,
                     "predicted": MADE["finished"], "seed of the controls": "5", **{
                         name: "`{}`".format(sha256_of_file(os.path.join(run.folder, name))[:16])
                         for name in ("uap.npy", "predictions.csv")}})
    order = ("UAP", "uap.npy", "its images", "seed", "started", "finished", "seconds", "commit",
             "predictions.csv", "predicted", "seed of the controls")
    runs = [{column: row[column] for column in order} for row in runs]
    return narrow(models, 1) + narrow(runs, 1)


def tables_of(section):
    """The tables in a part of the report: lists of dicts from column to cell."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE):
        header, _, *body = [line.strip("| ").split(" | ") for line in block.splitlines()]
        found.append([dict(zip(header, line)) for line in body])
        for row in found[-1]:
            row.pop("differs", None)
    return found


def sections_of(page):
    """Dict from the heading to the text below it."""
    parts = re.split(r"^##+ (.*)\n", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


OF_A_TABLE = {"rates": table_of, "significance": significance_of, "images-needed": curve_of,
              "examples": lambda results: [], "predicted-classes": classes_of,
              "image-files": files_of, "transfer": transfer_of, "sensitivity": sensitivity_of}
OF_ALL = {"attacker": needs_of, "targeted": targeted_of, "other-uaps": others_of,
          "provenance": provenance_of}
OURS, FGSM = "UAPs by DeepFool, Linf norm", "UAPs by FGSM, Linf norm"


def test_every_number_in_every_table_of_the_appendices_is_that_of_the_second_way(results, written):
    pages = written[0]
    assert set(pages) == {"report", *OF_A_TABLE, *OF_ALL}
    for name, second_way in OF_A_TABLE.items():
        sections = sections_of(pages[name])
        assert list(sections) == [OURS, FGSM]
        assert tables_of(sections[OURS]) == second_way(results), name
    for name, second_way in OF_ALL.items():
        assert tables_of(pages[name]) == second_way(results), name
    run = Second(results, "VGG16", "ilsvrc2012-fgsm")
    assert tables_of(sections_of(pages["image-files"])[FGSM]) == [[{**run.names, **run.files()}]]


def test_no_table_has_more_than_eight_columns(written):
    for page in written[0].values():
        assert all(len(row) <= 8 for rows in tables_of(page) for row in rows)


def strongest_of(results, model, sources):
    """The run of a model that fools most images, of those that count on the first page."""
    runs = [Second(results, model, s) for s in sources if (model, s) != NOT_RUN]
    if model == "VGG16" and "ilsvrc2012" in sources:
        runs += [Second(results, model, name) for name in ("ilsvrc2012-fgsm", "few")]
    return max(runs, key=lambda run: np.sum(run.hits())) if runs else None


def first_page_runs(results):
    runs = [strongest_of(results, model, sources) for model in MODELS
            for sources in (("open_images_v5", "ilsvrc2012"), ("isic2018",))]
    return [run for run in runs if run is not None]


def test_the_first_page_has_one_row_for_the_strongest_uap_of_each_kind(results, written):
    (rows,) = tables_of(written[0]["report"])
    expected = []
    for run in first_page_runs(results):
        attack = {"deepfool": "DeepFool", "fgsm": "FGSM"}[run.info["attack"]]
        largest = most_frequent(run.rows["label"])
        expected.append({
            "classifier": run.model,
            "the UAP is made from, by": "{} of {}, {}".format(
                run.info["images"], run.title, attack),
            "fooling rate": with_bold_rate(run.rate()),
            **{name + " control": "{:.1f}".format(100 * run.hits(name).mean())
               for name in ("random", "permuted")},
            "accuracy, clean": run.of_label("clean").split()[0],
            "attacked": run.of_label("uap").split()[0],
            "largest class": "{} {:.1f}".format(
                largest, 100 * np.mean(run.rows["label"] == largest))})
    assert rows == expected


def test_the_first_page_says_of_each_classifier_whether_natural_images_fool_it(results, written):
    runs = first_page_runs(results)
    tests = compared([(run.hits(), run.hits(control)) for run in runs
                      for control in ("random", "permuted")], ("UAP", "control", ALONE))
    lines = re.findall(r"^- \*\*(.*?):(.*)", written[0]["report"], re.MULTILINE)
    assert [name for name, _ in lines] == list(MODELS)
    for name, sentence in lines:
        (place,) = [i for i, run in enumerate(runs) if run.model == name
                    and run.title != "ISIC2018"]
        real = [float(test["p (Holm)"]) <= 0.05 and is_first_larger(test[ALONE])
                for test in tests[2 * place:2 * place + 2]]
        assert ("fool it more often than random" in sentence) == all(real)
        assert "changes {:.1f} %".format(100 * runs[place].hits().mean()) in sentence


def is_first_larger(counts):
    first, second = counts.split(" : ")
    return int(first) > int(second)


def test_the_computed_sentences_say_what_the_second_way_finds(results, written):
    factors, significance = [], sections_of(written[0]["significance"])[OURS]
    real = [float(row["p (Holm)"]) <= 0.05 and is_first_larger(row[ALONE])
            for row in significance_of(results)[0]]
    both = sum(real[i] and real[i + 1] for i in range(0, 16, 2))
    assert "in {} of 8 cells the UAP fools more".format(both) in significance
    curve_of(results, factors)
    assert len(factors) > 3
    assert "takes {:.1f} to {:.1f} times as many images, {:.1f} in the median of {} c".format(
        min(factors), max(factors), np.median(factors), len(factors)) in sections_of(
            written[0]["images-needed"])[OURS]


def test_note_and_pictures_are_shown_and_commands_are_printed_as_a_shell_takes_them(written):
    pages, drawn = written
    assert "**A sentence above.**" in pages["report"]
    shown = re.findall(r"\]\(report/(.*?png)\)", pages["report"])
    for page in pages.values():
        shown += re.findall(r"\]\(([^/]*?png)\)", page)
    assert sorted(shown) == sorted(drawn)
    links = re.findall(r"\]\(report/(.*?)\.md\)", pages["report"])
    assert {*links, "report"} == set(pages)
    lines = pages["provenance"].split("```")[1].splitlines()
    assert {"python train_model.py ResNet50", "python make_uap.py --source isic2018"} < set(lines)
    assert lines.count("python evaluate.py --note 'two words'") == 1


def test_the_picture_of_rates_holds_the_numbers_of_the_first_page(results, written):
    bars, *_ = written[1]["fooling-rates.png"]
    runs = first_page_runs(results)
    assert [bar.source for bar in bars] == [run.title for run in runs]
    for bar, run in zip(bars, runs):
        assert bar.title.startswith(run.model + ": 100 of " + run.title)
        assert bar.rate[:3] == pytest.approx(wilson(np.sum(run.hits()), N))
        assert [control.value for control in bar.controls] == [
            run.hits(name).mean() for name in ("random", "permuted")]


def test_the_curve_is_drawn_through_the_rates_of_the_snapshots(results, written):
    panels = written[1]["curve.png"][0]
    assert {model: [line.title for line in lines] for model, lines in panels.items()} == {
        "VGG16": list(SOURCES.values()) + ["few"], "ResNet50": list(SOURCES.values()),
        "InceptionV3": ["Open Images V5", "ILSVRC2012"]}
    lines = {line.title: line for line in panels["VGG16"]}
    assert lines["few"].source == "ILSVRC2012"  # and so of its colour
    for title, run in (("ISIC2018", Second(results, "VGG16", "isic2018")),
                       ("few", Second(results, "VGG16", "few"))):
        points = lines[title].points
        assert [point.spent for point in points] == list(SNAPSHOTS)
        assert [point.repeated for point in points] == [n > run.info["images"] for n in SNAPSHOTS]
        for point, count in zip(points, run.curve()):
            assert point.rate[:3] == pytest.approx(wilson(count, N))
        assert lines[title].control.value == run.hits("permuted").mean()


def test_the_first_page_shows_the_curves_of_its_own_uaps(results, written):
    panels = written[1]["images.png"][0]
    assert [line.title for lines in panels.values() for line in lines] == [
        "{}, {}".format(run.title, {"deepfool": "DeepFool", "fgsm": "FGSM"}[run.info["attack"]])
        for run in first_page_runs(results)]


def test_two_attacks_on_the_same_images_are_drawn_against_the_seconds_they_took(results, written):
    (name,) = [name for name in written[1] if name.startswith("time")]
    panels, _, title, label = written[1][name]
    assert "ILSVRC2012" in title and label == "seconds of computing"
    assert {m: [line.title for line in lines] for m, lines in panels.items()} == {
        "VGG16": ["DeepFool", "FGSM"]}
    points = panels["VGG16"][1].points
    assert [point.spent for point in points] == [3.0 * n for n in SNAPSHOTS]
    assert [point.rate.count for point in points] == Second(
        results, "VGG16", "ilsvrc2012-fgsm").curve()


def test_the_confusion_pictures_count_every_test_image(results, written):
    panels, names, *_ = written[1]["confusion-VGG16.png"]
    assert list(panels) == ["UAP from " + title for title in SOURCES.values()]
    assert list(names) == CLASSES
    found = Second(results, "VGG16", "ilsvrc2012").rows
    assert panels["UAP from ILSVRC2012"].tolist() == [
        [np.sum((found["clean"] == clean) & (found["uap"] == attacked)) for attacked in CLASSES]
        for clean in CLASSES]


def test_the_examples_are_the_first_test_image_of_each_class(results, written):
    def captions(run, column):
        return ["{} {:.2f}".format(row[column], float(row[column + "_confidence"]))
                for row in run.rows[:6]]

    images, heads, panels, _ = written[1]["examples-VGG16.png"]
    run = Second(results, "VGG16", "ilsvrc2012")
    first = Second(results, "VGG16", "open_images_v5")
    assert heads == ["true {}\n{}".format(name, caption)
                     for name, caption in zip(CLASSES, captions(first, "clean"))]
    np.testing.assert_array_equal(images[3], np.asarray(Image.open(
        os.path.join(results, "pictures", "003.png"))))
    row = panels[1]
    assert row.title == "ILSVRC2012" and row.captions == captions(run, "uap")
    np.testing.assert_array_equal(row.v, np.load(os.path.join(run.folder, "uap.npy")))
    assert row.changed == list(run.hits()[:6])
    assert [row.title for row in written[1]["examples-VGG16-targeted.png"][2]] == [
        "ilsvrc2012-target-MEL", "ilsvrc2012-target-NV"]


def test_the_first_page_shows_images_that_the_classifier_gets_right_each_of_another_class(
        results, written):
    _, heads, rows, _ = written[1]["example.png"]
    run = first_page_runs(results)[0]
    right = [row for row in run.rows if row["label"] == row["clean"]]
    chosen = []
    for row in right:
        if row["label"] not in [each["label"] for each in chosen]:
            chosen.append(row)
    assert heads == ["true {}\n{} {:.2f}".format(
        row["label"], row["clean"], float(row["clean_confidence"])) for row in chosen[:3]]
    assert [row.title for row in rows] == [run.title]


def test_what_an_earlier_report_left_goes(results):
    folder = os.path.join(results, "results", "report")
    os.makedirs(folder, exist_ok=True)
    for name in ("old.png", "old.md", "notes.txt"):
        open(os.path.join(folder, name), "w").close()
    with undrawn() as drawn:
        pages = write(results, [
            run for run in evaluated(results) if run.classifier.name == "VGG16"
            and run.uap.name in ("ilsvrc2012", "ilsvrc2012-target-NV")])
    assert sorted(drawn) == [
        "confusion-VGG16.png", "curve.png", "example.png", "examples-VGG16-targeted.png",
        "examples-VGG16.png", "fooling-rates.png", "images.png"]
    assert set(os.listdir(folder)) == {*drawn, "notes.txt"} | {
        name + ".md" for name in pages if name != "report"}


def test_without_the_test_images_everything_but_the_examples_is_there(results, written):
    with undrawn() as drawn:
        pages = write(results, at_hand=False)
    assert "the test images are not at hand." in pages["examples"]
    assert {name: tables_of(page) for name, page in pages.items()} == {
        name: tables_of(page) for name, page in written[0].items()}
    assert set(written[1]) - set(drawn) == {"example.png"} | {
        "examples-{}.png".format(m) for m in MODELS + ("VGG16-fgsm-linf", "VGG16-targeted")}


def test_a_uap_that_was_made_again_since_is_neither_shown_nor_transferred(results):
    found = [dataclasses.replace(run, uap=dataclasses.replace(run.uap, sha256="made again"))
             if run.classifier.name == "ResNet50"  # all of its UAPs
             or (run.classifier.name, run.uap.name) == ("VGG16", "ilsvrc2012") else run
             for run in evaluated(results)]
    with undrawn() as drawn:
        pages = write(results, found)
    assert "examples-ResNet50.png" not in drawn
    assert "the UAPs are not at hand." in pages["examples"]
    assert tables_of(pages["transfer"])[1][0]["on ResNet50"] == "not run"
    assert [row.title for row in drawn["examples-VGG16.png"][2]] == ["Open Images V5", "ISIC2018"]
    seconds = {row["UAP"]: row["seconds"] for row in tables_of(pages["provenance"])[2]}
    assert (seconds["VGG16/ilsvrc2012"], seconds["VGG16/isic2018"]) == ("?", "12.5")


def test_a_run_on_other_test_images_has_no_part_in_the_examples(results):
    found = [dataclasses.replace(run, test_sha256="others", predictions={
                 name: cells[-3:] for name, cells in run.predictions.items()})
             if (run.classifier.name, run.uap.name) == ("VGG16", "isic2018") else run
             for run in evaluated(results)]
    with undrawn() as drawn:
        write(results, found)
    assert [row.title for row in drawn["examples-VGG16.png"][2]] == ["Open Images V5",
                                                                    "ILSVRC2012"]


def test_a_single_run_of_a_model_with_other_classes_gives_a_report(tmp_path):
    folder = str(tmp_path / "results" / "xray" / "photographs")
    write_run(folder, 0, np.resize(["healthy", "ill"], N), np.resize(["healthy"], N),
              model="VGG16", source="photographs", class_names=["healthy", "ill"])
    with undrawn() as drawn:
        pages = write(str(tmp_path), at_hand=False)
    *others, run = tables_of(pages["rates"])[0]
    assert run["VGG16"].startswith("**") and "published" not in run["VGG16"]
    assert {cell.split(";")[0] for row in others for cell in list(row.values())[1:]} == {"not run"}
    assert [(row["true class"], row["images"]) for row in tables_of(
        pages["sensitivity"])[2]] == [("healthy", str(N // 2)), ("ill", str(N // 2))]
    assert list(drawn["confusion-VGG16.png"][1]) == ["healthy", "ill"]
    assert pages["provenance"].count("| ? |") > 0


@pytest.mark.parametrize("source, kind", [("photographs", "photographs"), ("xray", "its own")])
def test_the_own_domain_of_a_classifier_of_another_data_set_is_that_data_set(
        tmp_path, source, kind):
    folder = str(tmp_path / "results" / "xray" / source)
    write_run(folder, 0, np.resize(["healthy", "ill"], N), np.resize(["healthy"], N),
              model="xray", source=source, class_names=["healthy", "ill"], image_folder="xray")
    with undrawn():
        first = write(str(tmp_path), at_hand=False)["report"]
    assert ("its own domain" in first) == (kind == "its own")
    assert ("not tested with natural images" in first) == (kind == "its own")


def test_without_any_run_every_cell_says_so(tmp_path):
    os.makedirs(str(tmp_path / "results"))
    pages = write(str(tmp_path), [])
    (table,) = tables_of(pages["rates"])
    assert [list(row.values())[1:] for row in table] == [
        ["not run; published {}".format(rate) for rate in PUBLISHED[source]] for source in SOURCES]
    assert "No UAP has been evaluated" in pages["report"]
    assert set(pages) == {"report", "rates", "provenance"}
