"""The sections of the report on the UAPs of one setting: each function returns lines."""

import collections
import os

import numpy as np
from sklearn.metrics import confusion_matrix

from utils import figures, metrics
from utils.files import sha256_of_file
from utils.report import markdown, pictures, table
from utils.report.markdown import percent
from utils.report.settings import DOMAIN, source_title

FILES = collections.OrderedDict([
    ("uap", "x + v"), ("uap_8bit", "8 bits, PNG"), ("jpeg95", "JPEG 95"), ("jpeg75", "JPEG 75"),
    ("clean_jpeg75", "no UAP, JPEG 75")])


def _by_model(setting):
    """Dict from a model to a dict from the title of a source to its Run."""
    found = {}
    for (model, source), run in setting.runs.items():
        found.setdefault(model, {})[source_title(source)] = run
    return found


def _names(run):
    """The cells that name a run: its model, the images of its UAP."""
    return [run.info["model"], source_title(run.info["source"])]


def rates(setting, draw):
    cells = {}
    for (source, model), ((row, more), *_) in table.cells(setting).items():
        cells[source_title(source), model] = (None, more.split("; ")) if row is None else (
            row["rate"].value, list(filter(None, (
                "{:.1f}".format(100 * row["rate"].value),
                "95 %: {:.1f} to {:.1f}".format(100 * row["low"], 100 * row["high"]), more,
                "controls {:.1f}, {:.1f}".format(*(
                    100 * row[name].value for name in ("random", "permuted")))))))
    title = ("Fooling rate on the test images, %; {}\ncontrols: a random vector of the same norm, "
             "the UAP's own values at random places\n{}".format(
                 setting.title, table.in_common(setting).strip()))
    return draw("table{}.png".format(setting.suffix), "The table as a picture",
                pictures.rate_table, cells, [source_title(s) for s in setting.sources],
                setting.models, title) + table.grid(setting) + table.in_full(
                    list(setting.runs.values()))


def significance(setting, draw):
    pairs = [(_names(run), run.hits(), run.hits("permuted")) for run in setting.runs.values()]
    corrected = _holm(pairs)
    better = sum(p <= 0.05 and ours.mean() > control.mean()
                 for p, (_, ours, control) in zip(corrected, pairs))
    lines = [
        "McNemar's exact test, two-sided, paired by test image: only the images on which one fools "
        "the model and the other does not count. p (Holm) is corrected for the number of tests in "
        "its table.", "",
        "UAP against its own values at random places: in {} of {} cells the UAP fools more images, "
        "with p (Holm) at most 0.05.".format(better, len(pairs)), ""]
    lines += markdown.table(["model", "UAP from", "UAP", "permuted", "only the UAP fools",
                             "only permuted", "p", "p (Holm)"], _paired(pairs, corrected))
    pairs = [(_names(run), run.hits(), setting.runs[model, DOMAIN].hits())
             for (model, source), run in setting.runs.items()
             if source != DOMAIN and (model, DOMAIN) in setting.runs
             and setting.runs[model, DOMAIN].info["test_sha256"] == run.info["test_sha256"]]
    if pairs:
        lines += ["UAP from natural images against UAP from ISIC2018, on the same test images:", ""]
        lines += markdown.table(["model", "natural images", "natural", "ISIC2018",
                                 "only natural fools", "only ISIC2018", "p", "p (Holm)"],
                                _paired(pairs, _holm(pairs)))
    return lines


def _holm(pairs):
    return metrics.holm([metrics.mcnemar_p(one, other) for _, one, other in pairs])


def _paired(pairs, corrected):
    """Rows that compare two attacks: both rates, what one alone fools, p of McNemar's test."""
    return [names + [percent(metrics.rate(one)), percent(metrics.rate(other)),
                     int(np.sum(one & ~other)), int(np.sum(other & ~one)),
                     markdown.p_value(metrics.mcnemar_p(one, other)), markdown.p_value(p)]
            for (names, one, other), p in zip(pairs, corrected)]


def examples(read_images, setting, draw):
    lines = ["The first test image of each class, clean and under each UAP: the predicted class, "
             "and its softmax probability; bold where the class changed. The UAP is shown about "
             "mid-grey, magnified by the factor beside it; the attacked images are at true scale, "
             "clipped to 0..255 and rounded.", ""]
    for model, runs in _by_model(setting).items():
        lines += examples_of(runs, "{}: the first test image of each class".format(model),
                             "examples-{}{}.png".format(model, setting.suffix), read_images, draw)
    return lines


def examples_of(runs, title, name, read_images, draw):
    """A picture of the first test image of each class, clean and under the UAPs of some runs.

    runs: OrderedDict from the title of a UAP to its Run, all of the same model and test images.
    """
    first = next(iter(runs.values()))
    rows, labels = first.predictions, list(first.predictions["label"])
    places = [labels.index(label) for label in first.info["class_names"] if label in labels]
    images = read_images(first.info, [rows["file"][i] for i in places])
    if images is None:
        return ["The test images are not at hand.", ""]

    def captions(run, kind):
        return ["{} {:.2f}".format(run.predictions[kind][i],
                                   float(run.predictions[kind + "_confidence"][i])) for i in places]

    panels = []
    for uap_title, run in runs.items():
        path = os.path.join(run.folder, "uap.npy")
        if os.path.exists(path) and sha256_of_file(path) == run.info["uap_sha256"]:
            changed = run.predictions["uap"] != run.predictions["clean"]
            panels.append((uap_title, np.load(path, allow_pickle=False), captions(run, "uap"),
                           [bool(changed[i]) for i in places]))
    heads = ["true {}\n{}".format(labels[i], clean)
             for i, clean in zip(places, captions(first, "clean"))]
    return draw(name, title, pictures.example_grid, images, heads, panels, title)


def predicted_classes(setting, draw):
    lines, body = [], []
    for model, runs in _by_model(setting).items():
        panels = {}
        for source, run in runs.items():
            names, clean = run.info["class_names"], run.predictions["clean"]
            attacked = run.predictions["uap"]
            panels["UAP from " + source] = confusion_matrix(clean, attacked, labels=names)
            body.append([model, source])
            for part in (clean, attacked, attacked[clean != attacked]):
                name = table.most_frequent(part)
                body[-1].append("-" if name is None else "{} {}".format(
                    name, percent(metrics.rate(part == name))))
        title = "{}: predictions of the test images, clean and under the UAP".format(model)
        lines += draw("confusion-{}{}.png".format(model, setting.suffix), title,
                      figures.confusion_matrices, panels, names, title, "predicted clean",
                      "predicted under the UAP")
    lines += ["The dominant label: the class that is predicted most often, and its share.", ""]
    return lines + markdown.table(["model", "UAP from", "clean images", "attacked images",
                                   "attacked images that are fooled"], body)


def image_files(setting, draw):
    return files_table(setting.runs.values(), "UAP from", lambda run: _names(run)[1])


def files_table(runs, header, name):
    return [
        "x + v as published, unclipped; clipped to 0..255 and rounded to 8 bits, as an image file "
        "holds it (PNG is lossless: the same pixels); and saved as JPEG of quality 95 and 75 "
        "(Pillow). Last: what JPEG 75 alone does to the clean image.", ""
    ] + markdown.table(["model", header] + list(FILES.values()), [
        [run.info["model"], name(run)] + [percent(run.rate(column)) for column in FILES]
        for run in runs])


def transfer(setting, draw):
    lines = ["The UAP made for one model, on another; same source, same test images as above. "
             "Bold: on its own model. Last line: the UAP that was made for the model itself, "
             "permuted.", ""]
    models = list(_by_model(setting))
    for source in setting.sources:
        runs = {m: setting.runs[m, source] for m in models if (m, source) in setting.runs}
        body = [[made_for] + [_transfer_cell(runs, made_for, on) for on in models]
                for made_for in models if made_for in runs]
        if runs:
            body.append(["permuted"] + [percent(runs[m].rate("permuted")) if m in runs else "-"
                                        for m in models])
            lines += ["UAPs from {}:".format(source_title(source)), ""] + markdown.table(
                ["made for"] + ["on " + m for m in models], body)
    return lines


def _transfer_cell(runs, made_for, on):
    run, its = runs.get(on), runs[made_for]
    if run is its:
        return markdown.bold(percent(run.rate()))
    for key, text in (("image_size", "other input size"), ("class_names", "other classes")):
        if run is not None and run.info[key] != its.info[key]:
            return text
    rate = run and run.transfer_rate(made_for, its.info["uap_sha256"])
    return "not run" if rate is None else percent(rate)


def sensitivity(setting, draw):
    body, per_class = [], []
    sources = [source_title(source) for source in setting.sources]
    for model, runs in _by_model(setting).items():
        for source, run in runs.items():
            label, clean, hits = run.predictions["label"], run.predictions["clean"], run.hits()
            body.append([model, source] + [percent(rate) for rate in (
                metrics.accuracy(label, clean), metrics.accuracy(label, run.predictions["uap"]),
                metrics.rate(hits[clean == label]), metrics.rate(hits[clean != label]))])
        for name in run.info["class_names"]:
            per_class.append([model, name, int(np.sum(label == name))] + [
                percent(metrics.rate(runs[s].hits()[runs[s].predictions["label"] == name]))
                if s in runs else "-" for s in sources])
    return markdown.table(
        ["model", "UAP from", "accuracy, clean", "accuracy, attacked",
         "fooling rate where the model was right", "where it was wrong"], body) + [
        "Fooling rate of each true class:", ""] + markdown.table(
            ["model", "true class", "images"] + sources, per_class)
