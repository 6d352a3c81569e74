"""Sections on what a UAP costs: images, seconds, and what an attacker must have."""

import numpy as np

from utils.images.isic2018 import ISIC2018_CLASSES
from utils.report import markdown, pictures
from utils.report.markdown import percent
from utils.report.sections import names
from utils.report.settings import DOMAIN, in_order, own, printed, strength
from utils.report.table import steps_kept

LEVELS = tuple(k / 10 for k in range(1, 10))  # fooling rates at which the curves are compared


def images_needed(shown, rates, level):
    """The number of images at which a curve first reaches the rate `level`.

    shown: numbers of images, ascending. rates: the rate measured at each. Between two measurements
    the curve is straight over the logarithm of the number of images.
    Returns (a float, or None when it was never reached; whether it was reached at the first
    measurement already, so that fewer may do).
    """
    for i, rate in enumerate(rates):
        if rate >= level:
            if i == 0:
                return float(shown[0]), True
            step = (level - rates[i - 1]) / (rate - rates[i - 1])
            return shown[i - 1] * (shown[i] / shown[i - 1]) ** step, False
    return None, False


def _panels(runs, spent=lambda run, shown: shown):
    """Panels for pictures.curves, by model. runs: dict from each to the name of its line.

    spent: function (run, images shown) -> what is on the axis; where None, there is no point.
    """
    panels = {}
    for run, name in runs.items():
        points = [(spent(run, n), rate, n > (run.uap.images or n))
                  for n, rate in run.curve.items() if spent(run, n)]
        if points:
            panels.setdefault(run.classifier.name, {})[name] = (
                *zip(*points), run.rate("permuted"))
    return {model: panels[model] for model in in_order(panels)}


def images(setting, draw):
    runs = {run: names(run)["UAP from"] for run in setting.runs.values() if run.curve}
    runs.update((run, run.uap.name) for run in setting.others if run.curve)
    if not runs:
        return ["No run has snapshots.", ""]
    lines = draw(("curve" + setting.suffix,), "Fooling rate against images shown",
                 pictures.curves, _panels(runs), setting.title
                 + ", from the images or by the runs named below", "images shown to make_uap.py")
    lines += [
        "Images shown count every pass: an image shown in two passes counts twice. The control is "
        "that of the finished UAP. Below: the images shown when a curve first reaches a rate, "
        "between two measurements by a straight line over the logarithm of the images; in "
        "brackets, where the upper and the lower end of the 95 % band reach it (> : not within "
        "the images shown); x: how many times the images that ISIC2018 takes. The study's "
        "statement is 10 or more. Steps kept: the share of the steps that changed the label; the "
        "others are dropped, so a source whose steps are seldom kept takes more images.", ""]
    reached = [level for level in LEVELS
               if any(rate.value >= level for run in runs for rate in run.curve.values())]
    factors, body = [], []
    for run, name in runs.items():
        row = {"model": run.classifier.name, "UAP from": name, "steps kept": steps_kept(run)}
        for level in reached:
            cell, factor = _needed_cell(run, setting.domain_of(run), level)
            row["images for {:.0f} %".format(100 * level)] = cell
            factors += [factor] * (factor is not None and run not in setting.others)
        body.append(row)
    if factors:
        lines += ["Where a natural source and ISIC2018 both reach a rate, the natural one takes "
                  "{:.1f} to {:.1f} times as many images, {:.1f} in the median of {} comparisons."
                  .format(min(factors), max(factors), np.median(factors), len(factors)), ""]
    return lines + markdown.table(body)


def _needed_cell(run, domain, level):
    """The images that a run needs, as text, and how many times those of `domain`, where exact."""
    def needed(its, end="value"):
        return images_needed(
            list(its.curve), [getattr(rate, end) for rate in its.curve.values()], level)

    ours, at_most = needed(run)
    if ours is None:
        return "not reached", None
    text = "{} [{}, {}]".format(*(
        "> {:,}".format(max(run.curve)) if n is None else
        "{}{:,.0f}".format("≤ " if first else "", n)
        for n, first in (needed(run, end) for end in ("value", "high", "low"))))
    theirs, their_most = (None, False) if domain is None else needed(domain)
    if theirs is None or (at_most and their_most):
        return text, None
    sign = "≤ " if at_most else "≥ " if their_most else ""
    return "{}; x {}{:.1f}".format(text, sign, ours / theirs), None if sign else ours / theirs


def _by_bound(runs):
    """Dict from (p, zeta) to the untargeted runs with this bound, best comparable first."""
    found = {}
    for run in sorted(runs, key=strength):
        if run.classifier.class_names == ISIC2018_CLASSES and run.uap.target is None:
            found.setdefault((run.uap.norm, run.uap.norm_ratio), []).append(run)
    return found


NEEDS = ("ISIC2018 images", "natural images", "no image", "no image and no classifier")


def _need(run):
    """Which of NEEDS a run has, or None."""
    source = run.uap.source
    if run.uap.made_for == run.classifier.name:
        return {DOMAIN: NEEDS[0], "none": NEEDS[2]}.get(source, NEEDS[1])
    return NEEDS[3] if source == "none" and run.uap.backbone else None


def needs(runs, draw):
    """Tables of the strongest attack for what an attacker has, where one is not DeepFool; times."""
    lines = []
    for (p, ratio), its in _by_bound(runs).items():
        its = [run for run in its if _need(run)]
        if {run.uap.attack for run in its} <= {"deepfool"}:
            continue
        body = []
        for need in NEEDS:
            body.append({"the attacker has": need})
            for model in in_order([run.classifier.name for run in its]):
                body[-1][model] = _strongest([
                    run for run in its if run.classifier.name == model and _need(run) == need])
        lines += ["L{} norm, ratio {}: of the attacks on what the attacker has, the one that fools "
                  "most of these test images; its rate; in parentheses its controls, random and "
                  "permuted.".format(p, ratio), ""] + markdown.table(body)
    return lines + _times(own(runs), draw)


def _strongest(runs):
    if not runs:
        return "not run"
    run = max(runs, key=lambda run: run.rate().value)
    source = run.uap.source
    return markdown.Markup("{}{}: **{}** ({}, {})".format(
        markdown.escape(printed(run.uap.attack)),
        "" if source == "none" else markdown.escape(
            ", {} {}".format(run.uap.images, printed(source))),
        *(percent(run.rate(name)) for name in ("uap", "random", "permuted"))))


def _times(runs, draw):
    """Pictures of the fooling rate against seconds of computing, for several attacks on a model."""
    lines = []
    for (p, ratio), its in _by_bound(runs).items():
        for source in sorted({run.uap.source for run in its}):
            best = {}
            for run in its:
                if run.uap.source == source and run.curve:
                    best.setdefault((run.classifier.name, run.uap.attack), run)
            panels = _panels({run: printed(attack) for (_, attack), run in best.items()},
                             lambda run, shown: run.uap.snapshots.get(shown))
            panels = {model: panel for model, panel in panels.items() if len(panel) > 1}
            if panels:
                title = "Fooling rate against time: UAPs from {}, L{} norm, ratio {}".format(
                    printed(source), p, ratio)
                lines += draw(("time", source.rstrip("/"), "l" + p, ratio), title,
                              pictures.curves, panels, title, "seconds of computing")
    return lines
