"""The sections of the report: each function returns the lines of one, for the UAPs of a setting."""

import collections
import os

import numpy as np

from utils import metrics
from utils.report import markdown, pictures
from utils.classifier import ARCHITECTURES
from utils.report.curve import images_needed
from utils.datasets import SOURCES
from utils.files import sha256_of_file
from utils.report.table import SOURCE_TITLES, is_cell

RATES = tuple(k / 10 for k in range(1, 10))  # at which the curves are compared
DOMAIN = "isic2018"  # the source of the classifier's own domain; the others are natural images
FILES = collections.OrderedDict([
    ("uap", "x + v"), ("uap_8bit", "8 bits, PNG"), ("jpeg95", "JPEG 95"), ("jpeg75", "JPEG 75"),
    ("clean_jpeg75", "no UAP, JPEG 75")])
ATTACKS = {"deepfool": "DeepFool", "fgsm": "FGSM"}

# The UAPs of one attack and norm. runs: OrderedDict from (model, source) to a rows.Evaluated.
# models, sources: those of the study's table and those that have runs. suffix: for file names.
Setting = collections.namedtuple("Setting", "title suffix runs models sources")


def find_settings(evaluated):
    """The Settings that have runs, the table's own first; that one alone when there are none.

    Targeted UAPs, and those evaluated on another model than their own, belong to none. Where a cell
    was run more than once, it is represented by the run from the most images, then by the first.
    """
    found = collections.OrderedDict([(("deepfool", "inf"), {})])
    for e in evaluated:
        if e.info["target"] is None and e.info["made_for"] == e.info["model"]:
            runs = found.setdefault((e.info["attack"], e.info["norm"]), {})
            key = e.info["model"], e.info["source"]
            if key not in runs or e.info["images"] > runs[key].info["images"]:
                runs[key] = e
    return [_setting(attack, norm, runs) for (attack, norm), runs in found.items()
            if runs or not any(found.values())]


def _setting(attack, norm, runs):
    models = list(ARCHITECTURES) + sorted({m for m, _ in runs} - set(ARCHITECTURES))
    sources = list(SOURCES) + sorted({s for _, s in runs} - set(SOURCES))
    suffix = "" if (attack, norm) == ("deepfool", "inf") else "-{}-l{}".format(attack, norm)
    return Setting("UAPs by {}, L{} norm".format(ATTACKS.get(attack, attack), norm), suffix,
                   collections.OrderedDict((key, runs[key]) for key in (
                       (m, s) for m in models for s in sources) if key in runs),
                   models, sources)


def source_title(source):
    return SOURCE_TITLES.get(source, source)


def column(e, name):
    """A column of predictions.csv as an array of class names."""
    return np.array([row[name] for row in e.rows])


def fooled(e, name="uap"):
    """Bool (n,): on which test images the prediction of a column differs from the clean one."""
    return metrics.fooled(column(e, "clean"), column(e, name))


def _models_with_runs(setting):
    return [m for m in setting.models if any(model == m for model, _ in setting.runs)]


def _runs_of(setting, model):
    """OrderedDict from the source to the run of one model."""
    return collections.OrderedDict(
        (s, e) for (m, s), e in setting.runs.items() if m == model)


def table(setting, published, draw):
    rows, cells = [], {}
    for model in setting.models:
        for source in setting.sources:
            e = setting.runs.get((model, source))
            theirs = published.get((source, model)) if e is None or is_cell(e.info) else None
            if e is None and theirs is None:
                cells[source, model] = (["not run"], None)
                continue
            printed = "-" if theirs is None else theirs
            if e is None:
                rows.append([model, source_title(source), "not run", printed] + ["-"] * 6)
                cells[source, model] = (["not run", "published {}".format(printed)], None)
                continue
            rate, random, permuted = (metrics.rate(fooled(e, name))
                                      for name in ("uap", "random", "permuted"))
            rows.append([
                model, source_title(source), "**{}**".format(markdown.percent(rate)), printed,
                markdown.percent(random), markdown.percent(permuted), e.info["images"],
                e.info["passes"], markdown.bound(e.info), len(e.rows)])
            cells[source, model] = ([
                "{:.1f}".format(100 * rate.value),
                "95 %: {:.1f} to {:.1f}".format(100 * rate.low, 100 * rate.high),
                "published {}".format(printed),
                "controls {:.1f}, {:.1f}".format(100 * random.value, 100 * permuted.value)],
                rate.value)
    titles = collections.OrderedDict((s, source_title(s)) for s in setting.sources)
    return draw("table{}.png".format(setting.suffix), "The table as a picture",
                pictures.rate_table, cells, setting.sources, setting.models, titles,
                "Fooling rate on the test images, %; {}\ncontrols: a random vector of the same "
                "norm, the UAP's own values at random places".format(
                    setting.title)) + markdown.table(
        ["model", "images the UAP is made from", "fooling rate", "published", "random", "permuted",
         "images", "passes", "bound", "test images"], rows)


def reality(setting):
    runs = list(setting.runs.values())
    tests = [(fooled(e), fooled(e, "permuted")) for e in runs]
    corrected = metrics.holm([metrics.mcnemar_p(*test) for test in tests])
    better = sum(p <= 0.05 and ours.mean() > control.mean()
                 for p, (ours, control) in zip(corrected, tests))
    lines = [
        "McNemar's exact test, two-sided, paired by test image: only the images on which one fools "
        "the model and the other does not count. p (Holm) is corrected for the number of tests in "
        "its table.", "",
        "UAP against its own values at random places: in {} of {} cells the UAP fools more images, "
        "with p (Holm) at most 0.05.".format(better, len(runs)), ""]
    lines += markdown.table(
        ["model", "UAP from", "UAP", "permuted", "only the UAP fools", "only permuted", "p",
         "p (Holm)"],
        [[e.info["model"], source_title(e.info["source"])] + _paired(*test) + [
            markdown.p_value(p)] for e, test, p in zip(runs, tests, corrected)])
    pairs = [(setting.runs[model, source], setting.runs[model, DOMAIN])
             for model, source in setting.runs
             if source != DOMAIN and (model, DOMAIN) in setting.runs]
    pairs = [(a, b) for a, b in pairs if a.info["test_sha256"] == b.info["test_sha256"]]
    if pairs:
        tests = [(fooled(natural), fooled(domain)) for natural, domain in pairs]
        corrected = metrics.holm([metrics.mcnemar_p(*test) for test in tests])
        lines += ["UAP from natural images against UAP from ISIC2018, on the same test images:", ""]
        lines += markdown.table(
            ["model", "natural images", "natural", "ISIC2018", "only natural fools",
             "only ISIC2018", "p", "p (Holm)"],
            [[natural.info["model"], source_title(natural.info["source"])] + _paired(*test) + [
                markdown.p_value(p)] for (natural, _), test, p in zip(pairs, tests, corrected)])
    return lines


def _paired(one, other):
    """Cells that compare two attacks: both rates, what one alone fools, p of McNemar's test."""
    return [markdown.percent(metrics.rate(one)), markdown.percent(metrics.rate(other)),
            int(np.sum(one & ~other)), int(np.sum(other & ~one)),
            markdown.p_value(metrics.mcnemar_p(one, other))]


def measured_curve(e):
    """The numbers of images shown, ascending, and the metrics.Rate on the test images at each."""
    shown = [int(name) for name in e.curve[0] if name != "file"] if e.curve else []
    clean = column(e, "clean")
    return shown, [metrics.rate(metrics.fooled(clean, [row[str(n)] for row in e.curve]))
                   for n in shown]


def curve(setting, draw):
    panels = collections.OrderedDict()
    for (model, source), e in setting.runs.items():
        shown, rates = measured_curve(e)
        if shown:
            panels.setdefault(model, collections.OrderedDict())[source] = (
                shown, rates, metrics.rate(fooled(e, "permuted")), e.info["images"])
    if not panels:
        return ["No run has snapshots.", ""]
    titles = collections.OrderedDict((s, source_title(s)) for s in setting.sources)
    lines = draw("curve{}.png".format(setting.suffix), "Fooling rate against images shown",
                 pictures.curves, panels, titles, setting.title)
    lines += [
        "Images shown count every pass: an image shown in two passes counts twice. The control is "
        "that of the finished UAP. Below: the images shown when a curve first reaches a rate, "
        "between two measurements by a straight line over the logarithm of the images; in "
        "brackets, where the upper and the lower end of the 95 % band reach it (> : not within "
        "the images shown); x: how many times the images that ISIC2018 takes. The study's "
        "statement is 10 or more.", ""]
    factors = []
    body = []
    for model, panel in panels.items():
        for rate in RATES:
            needed = {source: _needed(panel[source], rate) for source in panel}
            if all(n[0].images is None for n in needed.values()):
                continue
            cells = [model, "{:.0f}".format(100 * rate)]
            for source in titles:
                cell = _needed_text(needed[source], panel[source][0]) if source in needed else "-"
                if source != DOMAIN and source in needed and DOMAIN in needed:
                    text, factor = _factor(needed[source][0], needed[DOMAIN][0])
                    cell += text
                    factors += [] if factor is None else [factor]
                cells.append(cell)
            body.append(cells)
    if factors:
        lines += ["Where a natural source and ISIC2018 both reach a rate, the natural one takes "
                  "{:.1f} to {:.1f} times as many images, {:.1f} in the median of {} comparisons."
                  .format(min(factors), max(factors), np.median(factors), len(factors)), ""]
    return lines + markdown.table(["model", "fooling rate, %"] + list(titles.values()), body)


def _needed(measured, rate):
    """images_needed for the measured rates, and for the upper and lower ends of their band."""
    shown, rates = measured[:2]
    return [images_needed(shown, [getattr(r, end) for r in rates], rate)
            for end in ("value", "high", "low")]


def _needed_text(needed, shown):
    if needed[0].images is None:
        return "not reached"
    texts = ["> {:,}".format(shown[-1]) if n.images is None else
             ("≤ " if n.at_most else "") + "{:,.0f}".format(n.images) for n in needed]
    return "{} [{}, {}]".format(*texts)


def _factor(natural, domain):
    """How many times the images of ISIC2018, as text, and as a number where it is exact."""
    if natural.images is None or domain.images is None or natural.at_most and domain.at_most:
        return "", None
    factor = natural.images / domain.images
    sign = "≤ " if natural.at_most else "≥ " if domain.at_most else ""
    return "; x {}{:.1f}".format(sign, factor), None if sign else factor


def _examples(runs, title, read_images, name, draw):
    """A picture of the first test image of each class, clean and under the UAPs of some runs.

    runs: OrderedDict from the title of a UAP to its rows.Evaluated, all of the same model and test
    images. Returns lines.
    """
    first = next(iter(runs.values()))
    labels = list(column(first, "label"))
    places = [labels.index(name) for name in first.info["class_names"] if name in labels]
    images = read_images(first.info, [first.rows[i]["file"] for i in places])
    if images is None:
        return ["The test images are not at hand.", ""]

    def caption(row, kind):
        return "{} {:.2f}".format(row[kind], float(row[kind + "_confidence"]))

    panels = []
    for uap_title, e in runs.items():
        v = _perturbation(e)
        if v is not None:
            chosen = [e.rows[i] for i in places]
            panels.append((uap_title, v, [caption(row, "uap") for row in chosen],
                           [row["uap"] != row["clean"] for row in chosen]))
    return draw(name, title, pictures.example_grid, images, [
        "true {}\n{}".format(first.rows[i]["label"], caption(first.rows[i], "clean"))
        for i in places], panels, title)


def _perturbation(e):
    """The UAP of a run, or None when the file that was evaluated is not there any more."""
    path = os.path.join(e.folder, "uap.npy")
    if not os.path.exists(path) or sha256_of_file(path) != e.info["uap_sha256"]:
        return None
    return np.load(path, allow_pickle=False)


def looks(setting, read_images, draw):
    lines = ["The first test image of each class, clean and under each UAP: the predicted class, "
             "and its softmax probability; bold where the class changed. The UAP is shown about "
             "mid-grey, magnified by the factor beside it; the attacked images are at true scale, "
             "clipped to 0..255 and rounded.", ""]
    for model in _models_with_runs(setting):
        runs = _runs_of(setting, model)
        lines += _examples(
            collections.OrderedDict((source_title(s), e) for s, e in runs.items()),
            "{}: the first test image of each class".format(model), read_images,
            "examples-{}{}.png".format(model, setting.suffix), draw)
    return lines


def classes(setting, draw):
    lines, body = [], []
    for model in _models_with_runs(setting):
        panels = collections.OrderedDict()
        for source, e in _runs_of(setting, model).items():
            names = e.info["class_names"]
            clean, attacked = column(e, "clean"), column(e, "uap")
            panels[source_title(source)] = np.array(
                [[int(np.sum((clean == a) & (attacked == b))) for b in names] for a in names])
            hits = clean != attacked
            dominant = [_most_frequent(part) for part in (clean, attacked, attacked[hits])]
            body.append([model, source_title(source)] + [
                "-" if name is None else "{} {}".format(name, markdown.percent(
                    metrics.rate(part == name)))
                for name, part in zip(dominant, (clean, attacked, attacked[hits]))])
        lines += draw("confusion-{}{}.png".format(model, setting.suffix),
                      "Predictions of {}, clean and under the UAPs".format(model),
                      pictures.confusions, panels, names,
                      "{}: predictions of the test images, clean and under the UAP".format(model))
    lines += ["The dominant label: the class that is predicted most often, and its share.", ""]
    return lines + markdown.table(["model", "UAP from", "clean images", "attacked images",
                                   "attacked images that are fooled"], body)


def _most_frequent(classes):
    """The most frequent class name, the first by name of several; None of no image."""
    names, counts = np.unique(classes, return_counts=True)
    return names[counts.argmax()] if len(names) else None


def files(setting):
    return [
        "Fooling rates of x + v as published, unclipped; clipped to 0..255 and rounded to 8 bits, "
        "as an image file holds it (PNG is lossless: the same pixels); and saved as JPEG of "
        "quality 95 and 75 (Pillow). Last: what JPEG 75 alone does to the clean image.", ""
    ] + markdown.table(["model", "UAP from"] + list(FILES.values()), [
        [model, source_title(source)] + [markdown.percent(metrics.rate(fooled(e, name)))
                                         for name in FILES]
        for (model, source), e in setting.runs.items()])


def transfer(setting):
    lines = ["The UAP made for one model, on another; same source, same test images as above. "
             "Bold: on its own model. Last line: the UAP that was made for the model itself, "
             "permuted.", ""]
    models = _models_with_runs(setting)
    for source in setting.sources:
        runs = collections.OrderedDict(
            (m, setting.runs[m, source]) for m in models if (m, source) in setting.runs)
        if not runs:
            continue
        body = [[made_for] + [_transfer_cell(runs, made_for, on) for on in models]
                for made_for in runs]
        body.append(["permuted"] + [
            markdown.percent(metrics.rate(fooled(runs[m], "permuted"))) if m in runs else "-"
            for m in models])
        lines += ["UAPs from {}:".format(source_title(source)), ""] + markdown.table(
            ["made for"] + ["on " + m for m in models], body)
    return lines


def _transfer_cell(runs, made_for, on):
    if on not in runs:
        return "not run"
    e, its = runs[on], runs[made_for]
    if e is its:
        return "**{}**".format(markdown.percent(metrics.rate(fooled(e))))
    if e.info["image_size"] != its.info["image_size"]:
        return "other input size"
    if e.info["class_names"] != its.info["class_names"]:
        return "other classes"
    if e.transferred.get(made_for) != its.info["uap_sha256"]:
        return "not run"
    return markdown.percent(metrics.rate(metrics.fooled(
        column(e, "clean"), [row[made_for] for row in e.transfer])))


def sensitivity(setting, draw):
    body, per_class, panels = [], [], collections.OrderedDict()
    for model in _models_with_runs(setting):
        runs = _runs_of(setting, model)
        rates = collections.OrderedDict()
        for source, e in runs.items():
            label, clean, hits = column(e, "label"), column(e, "clean"), fooled(e)
            names = e.info["class_names"]
            rates[source] = [metrics.rate(hits[label == name]) for name in names]
            body.append([model, source_title(source)] + [markdown.percent(rate) for rate in (
                metrics.accuracy(label, clean), metrics.accuracy(label, column(e, "uap")),
                metrics.rate(hits[clean == label]), metrics.rate(hits[clean != label]))])
        counts = [int(np.sum(label == name)) for name in names]
        panels[model] = names, counts, rates
        for i, name in enumerate(names):
            per_class.append([model, name, counts[i]] + [
                markdown.percent(rates[s][i]) if s in rates else "-" for s in setting.sources])
    titles = collections.OrderedDict((s, source_title(s)) for s in setting.sources)
    lines = markdown.table(["model", "UAP from", "accuracy, clean", "accuracy, attacked",
                            "fooling rate where the model was right", "where it was wrong"], body)
    if panels:
        lines += draw("classes{}.png".format(setting.suffix), "Fooling rate of each true class",
                      pictures.class_rates, panels, titles,
                      "Fooling rate of each true class; bars: Wilson 95 %")
        lines += ["Fooling rate of each true class:", ""] + markdown.table(
            ["model", "true class", "images"] + list(titles.values()), per_class)
    return lines


def targeted(evaluated, read_images, draw):
    lines = ["*Success*: of the test images not already predicted as the target, the share that "
             "is under the attack. p: McNemar's exact test of UAP against permuted. Last column, "
             "the study's measure: the share of all test images predicted as the target.", ""]
    body = []
    for e in evaluated:
        clean, target = column(e, "clean"), e.info["target"]
        hits = {name: metrics.reached(clean, column(e, name), target)
                for name in list(FILES) + ["random", "permuted"]}
        body.append(
            [e.info["model"], e.info["run"], target, e.info["images"], e.info["passes"],
             markdown.bound(e.info)]
            + ["**{}**".format(markdown.percent(metrics.rate(hits["uap"])))]
            + [markdown.percent(metrics.rate(hits[name]))
               for name in ("uap_8bit", "jpeg95", "jpeg75", "random", "permuted")]
            + [markdown.p_value(metrics.mcnemar_p(hits["uap"], hits["permuted"])),
               markdown.percent(metrics.target_share(column(e, "uap"), target))])
    lines += markdown.table(
        ["model", "UAP", "target", "images", "passes", "bound", "success", "8 bits, PNG", "JPEG 95",
         "JPEG 75", "random", "permuted", "p", "predicted as target"], body)
    by_model = collections.OrderedDict()
    for e in evaluated:
        by_model.setdefault((e.info["model"], e.info["test_sha256"]), collections.OrderedDict())[
            e.info["run"]] = e
    for i, ((model, _), runs) in enumerate(by_model.items()):
        lines += _examples(runs, "{}, targeted UAPs: the first test image of each class".format(
            model), read_images, "examples-{}-targeted.png".format(model), draw)
    return lines


def others(evaluated):
    """UAPs that are in no cell above: made elsewhere, for another model, or run again."""
    return markdown.table(
        ["model", "UAP", "made for", "images", "passes", "bound", "test images", "fooling rate",
         "8 bits, PNG", "random", "permuted", "p against permuted"],
        [[e.info["model"], e.info["run"], e.info["made_for"], e.info["images"], e.info["passes"],
          markdown.bound(e.info), len(e.rows)]
         + [markdown.percent(metrics.rate(fooled(e, name)))
            for name in ("uap", "uap_8bit", "random", "permuted")]
         + [markdown.p_value(metrics.mcnemar_p(fooled(e), fooled(e, "permuted")))]
         for e in evaluated])
