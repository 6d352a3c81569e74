"""Sections on what a UAP costs: images, seconds, and what an attacker must have."""

import collections

import numpy as np

from utils.datasets import ISIC2018_CLASSES
from utils.report import markdown, pictures
from utils.report.markdown import percent
from utils.report.settings import (DOMAIN, attack_title, in_order, own, source_title,
                                   strength)
from utils.report.table import steps_kept

RATES = tuple(k / 10 for k in range(1, 10))  # at which the curves are compared

# images: a float; None when the rate was never reached. at_most: it was reached at the first
# measurement already, so fewer may do.
Needed = collections.namedtuple("Needed", "images at_most")


def images_needed(shown, rates, rate):
    """The number of images at which a curve first reaches `rate`.

    shown: numbers of images, ascending. rates: the rate measured at each. Between two measurements
    the curve is straight over the logarithm of the number of images. Returns a Needed.
    """
    for i, measured in enumerate(rates):
        if measured >= rate:
            if i == 0:
                return Needed(float(shown[0]), True)
            step = (rate - rates[i - 1]) / (measured - rates[i - 1])
            return Needed(shown[i - 1] * (shown[i] / shown[i - 1]) ** step, False)
    return Needed(None, False)


def _lines(runs, name, spent=lambda run, shown: shown):
    """Panels for pictures.curves: by model, then by name(run), of the runs that have snapshots.

    spent: function (run, images shown) -> what is on the axis; where None, there is no point.
    """
    panels = {}
    for run in runs:
        points = [(spent(run, n), rate, n > (run.info["images"] or n))
                  for n, rate in zip(*run.snapshots()) if spent(run, n)]
        if points:
            panels.setdefault(run.info["model"], {})[name(run)] = (
                *zip(*points), run.rate("permuted"))
    return {model: panels[model] for model in in_order(panels)}


def images(setting, draw):
    runs = [run for run in list(setting.runs.values()) + setting.others if run.curve]
    if not runs:
        return ["No run has snapshots.", ""]

    def name(run):
        return run.info["run"] if run in setting.others else source_title(run.info["source"])

    lines = draw("curve{}.png".format(setting.suffix), "Fooling rate against images shown",
                 pictures.curves, _lines(runs, name), setting.title
                 + ", from the images or by the runs named below", "images shown to make_uap.py")
    lines += [
        "Images shown count every pass: an image shown in two passes counts twice. The control is "
        "that of the finished UAP. Below: the images shown when a curve first reaches a rate, "
        "between two measurements by a straight line over the logarithm of the images; in "
        "brackets, where the upper and the lower end of the 95 % band reach it (> : not within "
        "the images shown); x: how many times the images that ISIC2018 takes. The study's "
        "statement is 10 or more. Steps kept: the share of the steps that changed the label; the "
        "others are dropped, so a source whose steps are seldom kept takes more images.", ""]
    reached = [rate for rate in RATES
               if any(r.value >= rate for run in runs for r in run.snapshots()[1])]
    factors, body = [], []
    for run in runs:
        domain = setting.runs.get((run.info["model"], DOMAIN))
        cells = [_needed_cell(run, domain if name(run) != source_title(DOMAIN) else None, rate)
                 for rate in reached]
        body.append([run.info["model"], name(run), steps_kept(run)] + [text for text, _ in cells])
        factors += [factor for _, factor in cells if factor and run not in setting.others]
    if factors:
        lines += ["Where a natural source and ISIC2018 both reach a rate, the natural one takes "
                  "{:.1f} to {:.1f} times as many images, {:.1f} in the median of {} comparisons."
                  .format(min(factors), max(factors), np.median(factors), len(factors)), ""]
    return lines + markdown.table(["model", "UAP from", "steps kept"] + [
        "images for {:.0f} %".format(100 * rate) for rate in reached], body)


def _needed(run, rate, end="value"):
    shown, rates = run.snapshots()
    return images_needed(shown, [getattr(r, end) for r in rates], rate)


def _needed_cell(run, domain, rate):
    """The images that a run needs, as text, and how many times those of `domain`, where exact."""
    needed = [_needed(run, rate, end) for end in ("value", "high", "low")]
    if needed[0].images is None:
        return "not reached", None
    most = run.snapshots()[0][-1]
    text = "{} [{}, {}]".format(*(
        "> {:,}".format(most) if n.images is None else
        ("≤ " if n.at_most else "") + "{:,.0f}".format(n.images) for n in needed))
    theirs = _needed(domain, rate) if domain and domain.curve else Needed(None, False)
    at_most = needed[0].at_most, theirs.at_most
    if theirs.images is None or all(at_most):
        return text, None
    factor = needed[0].images / theirs.images
    sign = "≤ " if at_most[0] else "≥ " if at_most[1] else ""
    return "{}; x {}{:.1f}".format(text, sign, factor), None if sign else factor


def _by_bound(runs):
    """OrderedDict from (p, zeta) to the runs with this bound, best comparable first."""
    found = collections.OrderedDict()
    for run in sorted(runs, key=strength):
        if tuple(run.info["class_names"]) == ISIC2018_CLASSES and run.info["target"] is None:
            found.setdefault((run.info["norm"], run.info["norm_ratio"]), []).append(run)
    return found


NEEDS = ("ISIC2018 images", "natural images", "no image", "no image and no classifier")


def _need(run):
    """Which of NEEDS a run has, or None."""
    source = run.info["source"]
    if run.info["made_for"] == run.info["model"]:
        return NEEDS[0] if source == DOMAIN else NEEDS[2] if source == "none" else NEEDS[1]
    return NEEDS[3] if source == "none" and run.info["backbone"] else None


def needs(runs, draw):
    """Tables of the strongest attack for what an attacker has, where one is not DeepFool; times."""
    lines = []
    for (p, ratio), its in _by_bound(runs).items():
        its = [run for run in its if _need(run)]
        if {run.info["attack"] for run in its} <= {"deepfool"}:
            continue
        models, body = in_order([run.info["model"] for run in its]), []
        for need in NEEDS:
            line = [need]
            for model in models:
                having = [r for r in its if r.info["model"] == model and _need(r) == need]
                line.append(_strongest(having) if having else "not run")
            body.append(line)
        lines += ["L{} norm, ratio {}: of the attacks on what the attacker has, the one that fools "
                  "most of these test images; its rate; in parentheses its controls, random and "
                  "permuted.".format(p, ratio), ""] + markdown.table(
                      ["the attacker has"] + models, body)
    return lines + times(runs, draw)


def _strongest(runs):
    run = max(runs, key=lambda run: run.rate().value)
    source = run.info["source"]
    return "{}{}: **{}** ({}, {})".format(
        attack_title(run.info["attack"]),
        "" if source == "none" else ", {} {}".format(run.info["images"], source_title(source)),
        *(percent(run.rate(name)) for name in ("uap", "random", "permuted")))


def times(runs, draw):
    """Pictures of the fooling rate against seconds of computing, for several attacks on a model."""
    lines = []
    for (p, ratio), its in _by_bound(own(runs)).items():
        for source in sorted({run.info["source"] for run in its}):
            best = {}
            for run in its:
                if run.info["source"] == source and run.curve:
                    best.setdefault((run.info["model"], run.info["attack"]), run)
            panels = _lines(best.values(), lambda run: attack_title(run.info["attack"]),
                            lambda run, shown: run.info["snapshots"].get(str(shown)))
            panels = {model: panel for model, panel in panels.items() if len(panel) > 1}
            if panels:
                title = "Fooling rate against time: UAPs from {}, L{} norm, ratio {}".format(
                    source_title(source), p, ratio)
                lines += draw("time-{}-l{}-{}.png".format(
                    source.rstrip("/"), p, ratio), title,
                              pictures.curves, panels, title, "seconds of computing")
    return lines
