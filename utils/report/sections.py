"""The sections of the report on the UAPs of one setting: each function returns lines."""

import os

import numpy as np
from sklearn.metrics import confusion_matrix

from utils.common import figures
from utils.common.hashes import sha256_of_file
from utils.evaluation import metrics
from utils.report import markdown, pictures, table
from utils.report.markdown import percent
from utils.report.settings import printed

FILES = {"uap": "x + v", "uap_8bit": "8 bits, PNG", "jpeg95": "JPEG 95", "jpeg75": "JPEG 75",
         "clean_jpeg75": "no UAP, JPEG 75"}
MOST_EXAMPLES = 20  # in a row
CONFIDENCES = (0, 0.6, 0.8, 0.95, 0.99, 1)  # in the clean prediction, softmax
CONTROLS = ("random", "permuted")  # a random vector of the norm; the UAP's values at random places


def names(run):
    """The first cells of a row about a run: its model, the images of its UAP."""
    return {"model": run.classifier.name, "UAP from": printed(run.uap.source)}


def rates(setting, draw):
    cells = {}
    for (source, model), ((run, more), *_) in table.cells(setting).items():
        value, lines = None, more.split("; ")
        if run is not None:
            value, low, high, *_ = run.rate()
            lines = ["{:.1f}".format(100 * value),
                     "95 %: {:.1f} to {:.1f}".format(100 * low, 100 * high)]
            lines += [more] * bool(more) + ["controls {:.1f}, {:.1f}".format(*(
                100 * run.rate(name).value for name in CONTROLS))]
        cells[printed(source), model] = value, lines
    title = ("Fooling rate on the test images, %; {}\ncontrols: a random vector of the same norm, "
             "the UAP's own values at random places\n{}".format(
                 setting.title, setting.in_common.strip()))
    return draw(("table" + setting.suffix,), "The table as a picture",
                pictures.rate_table, cells, [printed(s) for s in setting.sources],
                setting.models, title) + table.grid(setting) + table.in_full(
                    list(setting.runs.values()))


def against_controls(runs):
    """(The rows of a table, two for each run; for each run, whether it fools more images than
    either control, with p at most 0.05, corrected by Holm's method for all these tests)."""
    body, corrected = _paired(
        ("UAP", "control", "only the UAP fools", "only the control"),
        [({**names(run), "against": control}, run.hits(), run.hits(control))
         for run in runs for control in CONTROLS])
    better = [p <= 0.05 and row["only the UAP fools"] > row["only the control"]
              for row, p in zip(body, corrected)]
    return body, list(map(all, zip(better[::2], better[1::2])))


def significance(setting, draw):
    body, better = against_controls(setting.runs.values())
    lines = [
        "McNemar's exact test, two-sided, paired by test image: only the images on which one fools "
        "the model and the other does not count. Each control is one draw. p (Holm) is corrected "
        "for the number of tests in its table.", "",
        "UAP against both controls: in {} of {} cells the UAP fools more images than either, with "
        "p (Holm) at most 0.05.".format(sum(better), len(better)), ""] + markdown.table(body)
    pairs = []
    for (model, source), run in setting.runs.items():
        domain = setting.domain_of(run)
        if domain and domain.test_sha256 == run.test_sha256:
            pairs.append(({"model": model, "natural images": printed(source)}, run.hits(),
                          domain.hits()))
    if pairs:
        lines += ["UAP from natural images against UAP from ISIC2018, on the same test images:", ""]
        lines += markdown.table(_paired(
            ("natural", "ISIC2018", "only natural fools", "only ISIC2018"), pairs)[0])
    return lines


def _paired(titles, pairs):
    """Rows that compare two attacks, and the corrected p-values.

    titles: of the columns of both rates, and of what one alone fools. pairs: first cells, hits of
    the one and of the other.
    """
    p_values = [metrics.mcnemar_p(one, other) for _, one, other in pairs]
    corrected, body = metrics.holm(p_values), []
    for (first, one, other), p, p_holm in zip(pairs, p_values, corrected):
        cells = (metrics.rate(one), metrics.rate(other), int(np.sum(one & ~other)),
                 int(np.sum(other & ~one)))
        body.append({**first, **dict(zip(titles, cells)), "p": markdown.p_value(p),
                     "p (Holm)": markdown.p_value(p_holm)})
    return body, corrected


def examples(read_images, setting, draw):
    lines = ["The first test image of each class, clean and under each UAP: the predicted class, "
             "and its softmax probability; bold where the class changed. The UAP is shown about "
             "mid-grey, magnified by the factor beside it; the attacked images are at true scale, "
             "clipped to 0..255 and rounded.", ""]
    for model, runs in setting.by_model().items():
        lines += examples_of(runs, model, setting.suffix, read_images, draw)
    return lines


def examples_of(runs, what, suffix, read_images, draw):
    """A picture of the first test image of each class, clean and under the UAPs of some runs.

    runs: dict from the title of a UAP to its Run, all of the same model; of those with other test
    images than the first, nothing is shown. what: they are. suffix: of the picture's name, behind
    the model.
    """
    first = next(iter(runs.values()))
    labels = list(first.predictions["label"])
    shown = [label for label in first.classifier.class_names if label in labels][:MOST_EXAMPLES]
    places = [labels.index(label) for label in shown]
    images = read_images(first.classifier, first.predictions["file"][places])
    if images is None:
        return ["The test images are not at hand.", ""]

    def captions(run, column):
        its = run.predictions
        return ["{} {:.2f}".format(its[column][i], float(its[column + "_confidence"][i]))
                for i in places]

    panels = []
    for uap_title, run in runs.items():
        path = os.path.join(run.folder, "uap.npy")
        if (run.test_sha256 == first.test_sha256 and os.path.exists(path)
                and sha256_of_file(path) == run.uap.sha256):
            changed = run.predictions["uap"] != run.predictions["clean"]
            panels.append((uap_title, np.load(path, allow_pickle=False), captions(run, "uap"),
                           changed[places]))
    if not panels:
        return ["The UAPs are not at hand.", ""]
    heads = ["true {}\n{}".format(labels[i], clean)
             for i, clean in zip(places, captions(first, "clean"))]
    title = what + ": the first test image of each class"
    return draw(("examples", first.classifier.name + suffix), title,
                pictures.example_grid, images, heads, panels, title)


def predicted_classes(setting, draw):
    lines, body = [], []
    for model, runs in setting.by_model().items():
        panels = {}
        for source, run in runs.items():
            clean, attacked = run.predictions["clean"], run.predictions["uap"]
            class_names = run.classifier.class_names
            panels["UAP from " + source] = confusion_matrix(clean, attacked, labels=class_names)
            body.append({**names(run), "clean images": _dominant(clean),
                         "attacked images": _dominant(attacked),
                         "attacked images that are fooled": _dominant(attacked[run.hits()])})
        title = "{}: predictions of the test images, clean and under the UAP".format(model)
        lines += draw(("confusion", model + setting.suffix), title,
                      figures.confusion_matrices, panels, class_names, title, "predicted clean",
                      "predicted under the UAP")
    return lines + ["The dominant label: the class that is predicted most often, and its share.",
                    ""] + markdown.table(body)


def _dominant(classes):
    name = table.most_frequent(classes)
    return "-" if name is None else "{} {}".format(name, percent(metrics.rate(classes == name)))


def image_files(setting, draw):
    return files_table([(names(run), run) for run in setting.runs.values()])


def files_table(named):
    """named: the first cells of a row, and its Run."""
    return [
        "x + v as published, unclipped; clipped to 0..255 and rounded to 8 bits, as an image file "
        "holds it (PNG is lossless: the same pixels); and saved as JPEG of quality 95 and 75 "
        "(Pillow). Last: what JPEG 75 alone does to the clean image.", ""
    ] + markdown.table([
        {**first, **{title: run.rate(column) for column, title in FILES.items()}}
        for first, run in named])


def transfer(setting, draw):
    lines = ["The UAP made for one model, on another; same source, same test images as above. "
             "Bold: on its own model. Last line: the UAP that was made for the model itself, "
             "permuted.", ""]
    models = list(setting.by_model())
    for source in setting.sources:
        runs = {m: setting.runs[m, source] for m in models if (m, source) in setting.runs}
        body = [{"made for": made_for,
                 **{"on " + on: _transfer_cell(runs.get(on), its) for on in models}}
                for made_for, its in runs.items()]
        body.append({"made for": "permuted", **{
            "on " + m: runs[m].rate("permuted") if m in runs else "-" for m in models}})
        if runs:
            lines += ["UAPs from {}:".format(markdown.escape(printed(source))), ""] + markdown.table(body)
    return lines


def _transfer_cell(run, its):
    """How the UAP of the run `its` fools the model of `run`, which is None where there is none."""
    if run is its:
        return markdown.Markup("**{}**".format(percent(run.rate())))
    if run is None:
        return "not run"
    if run.classifier.image_size != its.classifier.image_size:
        return "other input size"
    if run.classifier.class_names != its.classifier.class_names:
        return "other classes"
    if run.test_sha256 != its.test_sha256:
        return "other test images"
    return run.transfer.get(its.uap.sha256, "not run")


def sensitivity(setting, draw):
    body, confidence, per_class = [], [], []
    titles = [printed(source) for source in setting.sources]
    for model, runs in setting.by_model().items():
        for run in runs.values():
            hits, label = run.hits(), run.predictions["label"]
            right = run.predictions["clean"] == label
            body.append({**names(run), "accuracy, clean": metrics.rate(right),
                         "accuracy, attacked": metrics.accuracy(label, run.predictions["uap"]),
                         "fooling rate where the model was right": metrics.rate(hits[right]),
                         "where it was wrong": metrics.rate(hits[~right])})
            part = np.digitize(run.predictions["clean_confidence"].astype(float), CONFIDENCES[1:-1])
            confidence.append({**names(run), **{
                "{:.0%} to {:.0%}".format(*between): metrics.rate(hits[part == i])
                for i, between in enumerate(zip(CONFIDENCES, CONFIDENCES[1:]))}})
        first = next(iter(runs.values()))
        for name in first.classifier.class_names:
            per_class.append({
                "model": model, "true class": name,
                "images": int(np.sum(first.predictions["label"] == name)),
                **dict.fromkeys(titles, "-")})
            for title, its in runs.items():
                per_class[-1][title] = metrics.rate(its.hits()[its.predictions["label"] == name])
    lines = markdown.table(body)
    for title, rows in (("of the images predicted clean with a probability of", confidence),
                        ("of each true class", per_class)):
        lines += ["Fooling rate {}:".format(title), ""] + markdown.table(rows)
    return lines
