"""The pictures of the report. Each function writes one file from numbers that are given to it.

Each returns what figures.Labels.note says of the names in its picture.
"""

import itertools
import textwrap

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from utils.attack.pictures import magnified
from utils.common.figures import BLUE, GREEN, GREY, ORANGE, Labels, plt, save
from utils.images.pixels import to_model_input, to_pixels

# Colour and marker of what every picture shows alike. The three sources of the study differ in
# lightness, too: black, dark, light.
BLACK = "#000000"
STYLES = {"Open Images V5": (ORANGE, "o"), "ILSVRC2012": (BLUE, "^"), "ISIC2018": (BLACK, "s"),
          "DeepFool": (BLACK, "s"), "FGSM": (ORANGE, "o"), "SGD": (BLUE, "^")}
MORE_STYLES = ((GREEN, "D"), ("#CC79A7", "v"), (GREY, "P"), ("#56B4E9", "X"), ("#D55E00", "<"))


def rate_table(path, cells, sources, models, title):
    """The table of fooling rates as a picture: darker means more images fooled.

    cells: dict from (source, model) to the rate 0..1, or None where the cell was not run, and a
    list of lines of text, of which the first is the largest. sources, models: lists of titles.
    """
    label = Labels()
    small = {key: [label(part) for line in lines[1:] for part in textwrap.wrap(line, 27)]
             for key, (_, lines) in cells.items()}
    height = 0.55 + 0.16 * max(3, *map(len, small.values()))  # of a cell, in inches
    figure, axis = plt.subplots(figsize=(1.6 + 2.1 * len(models), 0.7 + height * len(sources)))
    shades = 100 * np.array([[cells[source, model][0] for model in models] for source in sources],
                            float)  # None becomes nan
    picture = axis.imshow(shades, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (row, column), shade in np.ndenumerate(shades):
        key = sources[row], models[column]
        style = dict(ha="center", color="white" if shade > 70 else "black")
        large = dict(fontsize=9) if np.isnan(shade) else dict(fontsize=14, fontweight="bold")
        top = row - 0.5
        axis.text(column, top + 0.25 / height, cells[key][1][0], va="center", **large, **style)
        axis.text(column, top + 0.42 / height, "\n".join(small[key]), va="top", fontsize=8.5,
                  linespacing=1.25, **style)
    axis.set_xticks(range(len(models)))
    axis.set_xticklabels(list(map(label, models)), fontsize=11)
    axis.set_yticks(range(len(sources)))
    axis.set_yticklabels(list(map(label, sources)), fontsize=11)
    axis.set_xticks(np.arange(1, len(models)) - 0.5, minor=True)
    axis.set_yticks(np.arange(1, len(sources)) - 0.5, minor=True)
    axis.grid(which="minor", color="#bbbbbb", linewidth=1)
    axis.set_ylabel("images the UAP\nis made from")
    axis.tick_params(length=0, which="both", top=False, labeltop=True, labelbottom=False)
    figure.colorbar(picture, ax=axis, label="fooling rate, %", fraction=0.04, pad=0.02)
    axis.set_title(label(title), fontsize=10, pad=10)
    save(figure, path)
    return label.note()


def curves(path, panels, title, xlabel):
    """Fooling rate against what was spent on a UAP, on a logarithmic axis.

    panels: dict from the title of a panel to a dict from the name of a line to (x, rates, repeated,
    control): what was spent, ascending; the metrics.Rate at each, and whether images were shown
    again; the Rate of the control.
    """
    label = Labels()
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    others = [name for name in names if name not in STYLES]
    styles = {**STYLES, **dict(zip(others, itertools.cycle(MORE_STYLES)))}
    figure, axes = plt.subplots(1, len(panels), figsize=(1 + 3.6 * len(panels), 3.6), sharey=True,
                                squeeze=False)
    for axis, (panel_title, panel) in zip(axes[0], panels.items()):
        for i, (name, (x, rates, repeated, control)) in enumerate(panel.items()):
            (color, marker), x, repeated = styles[name], np.array(x), np.array(repeated)
            value, low, high = 100 * np.array([rate[:3] for rate in rates]).T
            axis.fill_between(x, low, high, color=color, alpha=0.13, linewidth=0)
            axis.plot(x, value, color=color, linewidth=1.6)
            for chosen, face in ((~repeated, color), (repeated, "white")):
                axis.plot(x[chosen], value[chosen], linestyle="none", marker=marker, color=color,
                          markerfacecolor=face, markersize=6)
            # dashes of one control fall into the gaps of the others where they lie on each other
            axis.axhline(100 * control.value, color=color, linewidth=1.4,
                         linestyle=(4 * i, (4, 4 * max(1, len(panel) - 1))))
        spent = [n for x, *_ in panel.values() for n in x]
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(
            subs=(1, 2, 5) if max(spent) / min(spent) < 30 else (1,)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda count, _: "{:,g}".format(count)))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set(ylim=(-2, 102), xlabel=xlabel, title=label(panel_title))
        axis.grid(alpha=0.25, linewidth=0.6)
    axes[0, 0].set_ylabel("fooling rate on the test images, %")
    handles = [Line2D([], [], color=styles[name][0], marker=styles[name][1],
                      label=label(name))
               for name in names]
    if any(any(line[2]) for panel in panels.values() for line in panel.values()):
        handles.append(Line2D([], [], color=GREY, marker="o", linestyle="none",
                              markerfacecolor="white", label="later passes: images shown again"))
    handles += [
        Line2D([], [], color=GREY, linestyle="--",
               label="control: the UAP's own values at random places"),
        plt.Rectangle((0, 0), 1, 1, color=GREY, alpha=0.25, linewidth=0, label="Wilson 95 %")]
    figure.suptitle(label(title), fontsize=11)
    figure.tight_layout()
    figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), fontsize=9,
                  ncol=1 if len(panels) == 1 else 3, frameon=False)
    save(figure, path)
    return label.note()


def example_grid(path, images, heads, rows, title):
    """The same images clean and under several UAPs, a row for each.

    images: uint8, (n, h, w, 3). heads: n lines of text above the clean images. rows: a list of
    (title, v, captions, changed): the UAP, float32 (h, w, 3), model-input units; a line of text
    for each attacked image, and whether its prediction changed. The attacked images are drawn as
    image files hold them: clipped to 0..255 and rounded.
    """
    label = Labels()
    shape = 1 + len(rows), 1 + len(images)
    figure, axes = plt.subplots(*shape, figsize=(1.3 * shape[1], 1.55 * shape[0]), squeeze=False,
                                constrained_layout=True)
    for axis in axes.flat:
        axis.set_axis_off()

    def show(axis, picture, caption, bold=False):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(label(caption), fontsize=8, pad=3, fontweight="bold" if bold else "normal")

    axes[0, 0].text(0.5, 0.5, "clean", ha="center", va="center", fontsize=10)
    for i, image in enumerate(images, 1):
        show(axes[0, i], image, heads[i - 1])
    for row, (row_title, v, captions, changed) in zip(axes[1:], rows):
        picture, factor = magnified(v)
        show(row[0], picture, "{}\nUAP × {:.1f}".format(textwrap.fill(row_title, 22), factor))
        for axis, image, caption, bold in zip(row[1:], images, captions, changed):
            show(axis, to_pixels(to_model_input(image) + v), caption, bold)
    figure.suptitle(label(title), fontsize=10)
    save(figure, path)
    return label.note()
