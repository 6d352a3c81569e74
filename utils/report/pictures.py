"""The pictures of the report. Each function writes one file from numbers that are given to it."""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from utils.figures import BLUE, GREEN, GREY, ORANGE, magnified, plt, save
from utils.images import to_model_input, to_pixels

# Colour and marker of each source, the same in every picture. The three of the study differ in
# lightness, too: black, dark, light.
BLACK, PINK = "#000000", "#CC79A7"
STYLES = {"open_images_v5": (ORANGE, "o"), "ilsvrc2012": (BLUE, "^"), "isic2018": (BLACK, "s")}
MORE_STYLES = ((GREEN, "D"), (PINK, "v"), (GREY, "P"))

DARK = 0.7  # share of the colour scale from which white text is easier to read than black


def styles(sources):
    """The (colour, marker) of each source: dict. Sources of the study always have the same."""
    others = [source for source in sources if source not in STYLES]
    return dict(STYLES, **{source: MORE_STYLES[i % len(MORE_STYLES)]
                           for i, source in enumerate(others)})


def rate_table(path, cells, sources, models, titles, title):
    """The table of fooling rates as a picture: darker means more images fooled.

    cells: dict from (source, model) to a list of lines of text, of which the first is the rate,
    and the rate 0..1, or None where the cell was not run. titles: dict from a source to its title.
    """
    figure, axis = plt.subplots(figsize=(1.6 + 2.1 * len(models), 0.7 + 1.15 * len(sources)))
    shades = np.full((len(sources), len(models)), np.nan)
    for row, source in enumerate(sources):
        for column, model in enumerate(models):
            lines, rate = cells[source, model]
            if rate is None:
                axis.add_patch(plt.Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="white",
                                             hatch="//", edgecolor="#cccccc", linewidth=0))
            else:
                shades[row, column] = 100 * rate
            color = "white" if rate is not None and rate > DARK else "black"
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1} if rate is None else None
            axis.text(column, row - 0.23, lines[0], ha="center", va="center", fontsize=14,
                      fontweight="normal" if rate is None else "bold", color=color, bbox=box)
            axis.text(column, row + 0.17, "\n".join(lines[1:]), ha="center", va="center",
                      fontsize=8.5, linespacing=1.35, color=color, bbox=box)
    picture = axis.imshow(shades, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    axis.set_xticks(range(len(models)))
    axis.set_xticklabels(models, fontsize=11)
    axis.xaxis.tick_top()
    axis.set_yticks(range(len(sources)))
    axis.set_yticklabels([titles[source] for source in sources], fontsize=11)
    axis.set_ylabel("images the UAP is made from")
    axis.tick_params(length=0)
    for edge in range(1, max(len(models), len(sources))):
        if edge < len(models):
            axis.axvline(edge - 0.5, color="white", linewidth=2)
        if edge < len(sources):
            axis.axhline(edge - 0.5, color="white", linewidth=2)
    figure.colorbar(picture, ax=axis, label="fooling rate, %", fraction=0.04, pad=0.02)
    axis.set_title(title, fontsize=10, pad=10)
    save(figure, path)


def curves(path, panels, titles, title):
    """Fooling rate against the number of images shown: a panel for each model.

    panels: dict from a model to a dict from a source to (shown, rates, control, images): the
    numbers of images shown, ascending; the metrics.Rate at each; the Rate of the control; and how
    many of the images are shown for the first time. titles: dict from a source to its title.
    """
    sources = [s for s in titles if any(s in panel for panel in panels.values())]
    style = styles(sources)
    figure, axes = plt.subplots(1, len(panels), figsize=(1 + 3.6 * len(panels), 3.6), sharey=True,
                                squeeze=False)
    for axis, (model, panel) in zip(axes[0], panels.items()):
        for i, (source, (shown, rates, control, images)) in enumerate(panel.items()):
            color, marker = style[source]
            low, value, high = (100 * np.array([getattr(rate, key) for rate in rates])
                                for key in ("low", "value", "high"))
            axis.fill_between(shown, low, high, color=color, alpha=0.13, linewidth=0)
            axis.plot(shown, value, color=color, linewidth=1.6)
            new = np.array([images is None or count <= images for count in shown])
            for chosen, face in ((new, color), (~new, "white")):
                axis.plot(np.array(shown)[chosen], value[chosen], linestyle="none", marker=marker,
                          color=color, markerfacecolor=face, markersize=6)
            # dashes of one control fall into the gaps of the others where they lie on each other
            axis.axhline(100 * control.value, color=color, linewidth=1.4,
                         linestyle=(4 * i, (4, 4 * max(1, len(panel) - 1))))
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=_ticks(panel)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda count, _: "{:,.0f}".format(count)))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_ylim(-2, 102)
        axis.grid(alpha=0.25, linewidth=0.6)
        axis.set_title(model, fontsize=11)
        axis.set_xlabel("images shown to make_uap.py")
    axes[0, 0].set_ylabel("fooling rate on the test images, %")
    handles = [Line2D([], [], color=style[s][0], marker=style[s][1], label="UAP from " + titles[s])
               for s in sources]
    handles += [
        Line2D([], [], color=GREY, marker="o", linestyle="none", markerfacecolor="white",
               label="later passes: images shown again"),
        Line2D([], [], color=GREY, linestyle="--",
               label="control: the UAP's own values at random places"),
        plt.Rectangle((0, 0), 1, 1, color=GREY, alpha=0.25, linewidth=0, label="Wilson 95 %")]
    figure.suptitle(title, fontsize=11)
    figure.tight_layout()
    figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), fontsize=9,
                  ncol=1 if len(panels) == 1 else 3, frameon=False)
    save(figure, path)


def _ticks(panel):
    """The multiples of powers of ten to label: fewer where the curves run over many powers."""
    shown = [n for measured in panel.values() for n in measured[0]]
    return (1, 2, 5) if max(shown) / min(shown) < 30 else (1,)


def example_grid(path, images, heads, rows, title):
    """The same images clean and under several UAPs.

    images: uint8, (n, h, w, 3). heads: n lines of text above the clean images. rows: a list of
    (title, v, captions, changed): the UAP, float32 (h, w, 3), model-input units; a line of text
    for each attacked image, and whether its prediction changed. The attacked images are drawn as
    image files hold them: clipped to 0..255 and rounded.
    """
    n = len(images)
    width, height = 1.0, 1.3  # of a tile with its caption; a tile is 1 x 1
    gap, left = 0.08, 1.55
    figure = plt.figure(figsize=(1.18 * (left + n * (width + gap)),
                                 1.18 * ((1 + len(rows)) * height + 0.1)))
    axis = figure.add_axes([0, 0, 1, 1])

    def tile(picture, column, row, caption, bold=False):
        x, y = column * (width + gap) + (left - width - gap), row * height
        axis.imshow(picture, extent=(x, x + 1, y + 1, y), interpolation="nearest")
        axis.text(x + 0.5, y - 0.03, caption, ha="center", va="bottom", fontsize=8,
                  linespacing=1.1, fontweight="bold" if bold else "normal")

    axis.text(left - gap, 0.5, "clean", ha="right", va="center", fontsize=10)
    for i in range(n):
        tile(images[i], i + 1, 0, heads[i])
    for row, (row_title, v, captions, changed) in enumerate(rows, 1):
        picture, factor = magnified(v)
        tile(picture, 0, row, "{}\nUAP × {:.1f}".format(row_title, factor))
        for i in range(n):
            tile(to_pixels(to_model_input(images[i]) + v), i + 1, row, captions[i], changed[i])
    axis.set_xlim(0, left + n * (width + gap))
    axis.set_ylim(1 + len(rows) * height, -0.4)
    axis.set_aspect("equal")
    axis.set_axis_off()
    axis.set_title(title, fontsize=10, pad=4)
    save(figure, path)


def confusions(path, panels, class_names, title):
    """Where the predictions go: a confusion matrix for each UAP on one model.

    panels: dict from a title to int counts (K, K), rows: predicted clean, columns: under the UAP.
    """
    k = len(class_names)
    side = 1.1 + 0.36 * k
    figure, axes = plt.subplots(1, len(panels), figsize=(side * len(panels) + 0.9, side + 0.4),
                                sharey=True, squeeze=False, constrained_layout=True)
    for axis, (panel, counts) in zip(axes[0], panels.items()):
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        picture = axis.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
        for row in range(k):
            for column in range(k):
                if counts[row, column]:
                    axis.text(column, row, counts[row, column], ha="center", va="center",
                              fontsize=8, color="white" if shares[row, column] > DARK else "black")
        axis.set_xticks(range(k))
        axis.set_xticklabels(class_names, rotation=60, ha="right", rotation_mode="anchor",
                             fontsize=8)
        axis.set_yticks(range(k))
        axis.set_yticklabels(class_names, fontsize=8)
        axis.set_title("UAP from " + panel, fontsize=10)
        axis.set_xlabel("predicted under the UAP")
    axes[0, 0].set_ylabel("predicted clean")
    figure.colorbar(picture, ax=list(axes[0]), label="share of the row, %", fraction=0.03, pad=0.01)
    figure.suptitle(title, fontsize=11)
    save(figure, path)


def class_rates(path, panels, titles, title):
    """Fooling rate of each true class: a panel for each model.

    panels: dict from a model to (class names, images of each class, dict from a source to the
    metrics.Rate of each class). titles: dict from a source to its title.
    """
    sources = [s for s in titles if any(s in panel[2] for panel in panels.values())]
    style = styles(sources)
    widest = max(len(panel[0]) for panel in panels.values())
    figure, axes = plt.subplots(len(panels), 1, figsize=(1.6 + 0.95 * widest, 2.3 * len(panels)),
                                squeeze=False)
    for axis, (model, (class_names, counts, rates)) in zip(axes[:, 0], panels.items()):
        for i, source in enumerate(sources):
            if source in rates:
                color, marker = style[source]
                low, value, high = (
                    100 * np.array([getattr(rate, key) for rate in rates[source]])
                    for key in ("low", "value", "high"))
                axis.errorbar(
                    np.arange(len(class_names)) + 0.2 * (i - (len(sources) - 1) / 2), value,
                    yerr=(value - low, high - value), linestyle="none", marker=marker, color=color,
                    capsize=2.5, markersize=5, linewidth=1.2)
        axis.set_xticks(range(len(class_names)))
        axis.set_xticklabels(["{}\n{} images".format(name, count)
                              for name, count in zip(class_names, counts)], fontsize=8)
        axis.set_xlim(-0.5, len(class_names) - 0.5)
        axis.set_ylim(-3, 103)
        axis.set_ylabel("fooling rate, %")
        axis.set_title(model, fontsize=10)
        axis.grid(axis="y", alpha=0.25, linewidth=0.6)
        for edge in range(1, len(class_names)):
            axis.axvline(edge - 0.5, color="#dddddd", linewidth=0.8)
    handles = [Line2D([], [], color=style[s][0], marker=style[s][1], label="UAP from " + titles[s])
               for s in sources]
    figure.suptitle(title, fontsize=11)
    figure.tight_layout()
    figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), fontsize=9,
                  ncol=min(3, len(sources)), frameon=False)
    save(figure, path)
