"""Draw the pictures of the documents from the committed rows and UAPs, without any classifier.

    python docs/draw_pictures.py --data-dir reproduction/data

reads   results/reproduction/: rows and UAPs; the test images of ISIC2018 below --data-dir
writes  docs/lesions.png    three lesions, clean and under one UAP
        docs/images.png     the fooling rate against the number of images
        docs/sureness.png   the fooling rate against how sure the classifier is of the clean image
        docs/authors.png    the run that the study's authors published, and the same attack here
"""

import json
import os
import sys
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from matplotlib.ticker import FuncFormatter

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from utils.common import arguments  # noqa: E402
from utils.common.errors import run_script  # noqa: E402
from utils.common.figures import BLUE, ORANGE, plt  # noqa: E402
from utils.common.whole_files import replacing  # noqa: E402
from utils.evaluation import metrics  # noqa: E402
from utils.evaluation.evaluated_uap import EvaluatedUap, read_evaluated  # noqa: E402
from utils.images.decoding import read_image  # noqa: E402
from utils.images.pixels import to_model_input, to_pixels  # noqa: E402
from utils.report.study_table import CellKey  # noqa: E402
from utils.report.table import published  # noqa: E402

RESULTS = os.path.join(ROOT, "results", "reproduction")
INCHES, DOTS = 10.0, 100  # width of a picture, and dots per inch: 1,000 pixels
BLACK, GREY = "#000000", "#666666"


class Run(NamedTuple):
    """A UAP on a classifier: <group>/<model>/<run>/ of the evidence."""

    model: str
    run: str
    group: str


SGD_AT_299 = Run("InceptionV3-299", "natural-sgd-images-5000", "full-size")
FGSM_AT_299 = Run("InceptionV3-299", "natural-fgsm-images-5000", "full-size")

# The run whose log the study's authors published, and the same attack on classifiers of ours.
AUTHORS_CURVE = os.path.join(RESULTS, "full-size", "authors-curve.csv")
AUTHORS_TEST_IMAGES = 3015  # the least number of which all published rates are shares
L2_RUN = "natural-fgsm-l2-images-10000-step-0.0005-bfloat16"
L2_LINES = {5: "-", 7: "--"}  # by the epochs of the classifier at 299 pixels

# The picture of three lesions: the UAP from photographs that fools a classifier most often, and the
# first test image of each of these classes that the classifier gets right. All three are fooled, as
# 98 % of the test images are.
SHOWN_UAP = SGD_AT_299
SHOWN_CLASSES = ("NV", "MEL", "BKL")
CLASS_TITLES = {"MEL": "melanoma", "NV": "nevus", "BCC": "basal cell carcinoma",
                "AKIEC": "actinic keratosis", "BKL": "benign keratosis",
                "DF": "dermatofibroma", "VASC": "vascular lesion"}


class Panel(NamedTuple):
    """Curves of one classifier and attack: from photographs, and from lesions.

    at_299: the UAP from photographs that is drawn beside these, at 299 pixels, if there is one.
    """

    title: str
    model: str
    photographs: str
    lesions: str
    at_299: Optional[Run] = None


PANELS = (
    Panel("InceptionV3, by SGD", "InceptionV3", "ilsvrc2012-sgd-images-10000",
          lesions="isic2018-sgd", at_299=SGD_AT_299),
    Panel("InceptionV3, by FGSM", "InceptionV3", "ilsvrc2012-fgsm",
          lesions="isic2018-fgsm", at_299=FGSM_AT_299),
    Panel("VGG16, by SGD", "VGG16", "ilsvrc2012-sgd-images-10000", lesions="isic2018-sgd"),
)


class Curve(NamedTuple):
    """How one UAP is drawn: its run, what the legend calls it, and its colour, marker and line."""

    run: str
    title: str
    color: str
    marker: str
    line: str


# The picture of how sure the classifier is of an image and how often it is fooled on it.
SURENESS_MODELS = {"InceptionV3": "InceptionV3, 128 px", "VGG16": "VGG16, 96 px"}
SURENESS_EDGES = (0, 60, 80, 95, 99, 100)  # of the probability of the predicted class, in %
SURENESS_CURVES = (
    Curve("ilsvrc2012-images-10000", "DeepFool, 10,000 photographs", BLUE, marker="^", line="--"),
    Curve("ilsvrc2012-fgsm", "FGSM, 14,394 photographs", BLUE, marker="v", line=":"),
    Curve("ilsvrc2012-sgd-images-10000", "SGD, 10,000 photographs", BLUE, marker="o", line="-"),
    Curve("isic2018", "DeepFool, 4,165 lesions", BLACK, marker="s", line="--"),
)


def evaluated(model: str, run: str, group: str = "main") -> EvaluatedUap:
    """What evaluate.py left of a committed UAP. Raises UserError."""
    return read_evaluated(os.path.join(RESULTS, group, model, run))


def save(figure: plt.Figure, name: str) -> None:
    """Save a figure as docs/<name>, INCHES * DOTS pixels wide."""
    with replacing(os.path.join(ROOT, "docs", name)) as temporary:
        figure.savefig(temporary, dpi=DOTS)
    plt.close(figure)


def caption(evaluation: EvaluatedUap, column: str, place: int) -> str:
    """The class predicted for a test image, and below it its probability."""
    name = evaluation.predictions[column][place]
    confidence = float(evaluation.predictions[column + "_confidence"][place])
    return f"{CLASS_TITLES[name]}\n{confidence:.0%}"


def first_right(evaluation: EvaluatedUap, class_name: str) -> int:
    """The place of the first test image of a class that is predicted as this class."""
    is_of_class = evaluation.predictions["label"] == class_name
    is_right = evaluation.predictions["clean"] == class_name
    return int(np.flatnonzero(is_of_class & is_right)[0])


def draw_lesions(data_dir: str) -> None:
    """Draw three lesions that the classifier gets right, the UAP, and the lesions under it."""
    evaluation = evaluated(*SHOWN_UAP)
    classifier = evaluation.classifier
    v = np.load(os.path.join(evaluation.folder, "uap.npy"), allow_pickle=False)
    figure, axes = plt.subplots(2, 4, figsize=(INCHES, 4.6))
    for axis in axes.flat:
        axis.set_axis_off()

    largest = float(np.abs(v).max())
    axes[0, 0].text(0.5, 0.5, "three lesions,\nclassified rightly\n(confidence in %)", ha="center",
                    va="center", fontsize=15)
    axes[1, 0].imshow(0.5 + 0.5 * v / largest, interpolation="nearest")
    axes[1, 0].set_title(f"+ one UAP, here × {0.5 / (largest / 2):.0f}", fontsize=13)
    for column, class_name in enumerate(SHOWN_CLASSES, 1):
        place = first_right(evaluation, class_name)
        path = os.path.join(data_dir, classifier.image_folder,
                            evaluation.predictions["file"][place])
        image = read_image(path, classifier.image_size, classifier.resize)
        attacked = to_pixels(to_model_input(image) + v)
        axes[0, column].imshow(image, interpolation="bilinear")
        axes[0, column].set_title(caption(evaluation, "clean", place), fontsize=13)
        axes[1, column].imshow(attacked, interpolation="bilinear")
        axes[1, column].set_title(caption(evaluation, "uap", place), fontsize=13,
                                  fontweight="bold")
    figure.tight_layout()
    save(figure, "lesions.png")


def points(evaluation: EvaluatedUap) -> Tuple[List[int], np.ndarray]:
    """The numbers of images of a curve, and value, low and high of each rate in %, (3, n)."""
    rates = 100 * np.array([(rate.value, rate.low, rate.high)
                            for rate in evaluation.curve.values()])
    return list(evaluation.curve), rates.T


def draw_curve(axis: plt.Axes, images: Sequence[float], rates: np.ndarray, **style: Any) -> None:
    """Draw a curve and the shade of its intervals. rates: in %, (3, n), as of points."""
    value, low, high = rates
    axis.fill_between(images, low, high, color=style["color"], alpha=0.15, linewidth=0)
    axis.plot(images, value, **style)


def draw_axis_of_images(axis: plt.Axes, label: str) -> None:
    """Draw the axis of the number of images that a UAP is made from, and the grid."""
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    axis.set_xlabel(label, fontsize=13)
    axis.tick_params(labelsize=12)
    axis.grid(alpha=0.3)


def draw_panel(axis: plt.Axes, panel: Panel) -> None:
    """Draw rate against images for photographs and lesions, the control, and the published rate."""
    of_photographs = evaluated(panel.model, panel.photographs)
    curves = [("photographs, at 128 px (VGG16: 96)", of_photographs, BLUE, "^", "-"),
              ("lesions, at 128 px (VGG16: 96)", evaluated(panel.model, panel.lesions), BLACK, "s",
               "-")]
    if panel.at_299:
        at_299 = evaluated(*panel.at_299)
        curves.insert(0, ("photographs, at 299 px, 3 epochs", at_299, BLUE, "o", "--"))
    for label, evaluation, color, marker, line in curves:
        draw_curve(axis, *points(evaluation), color=color, marker=marker, linestyle=line,
                   label=label)
    control = of_photographs.rate("permuted")
    axis.axhspan(100 * control.low, 100 * control.high, color=GREY, alpha=0.4, linewidth=0,
                 label="control at 128 px (96), shuffled")
    axis.axhline(published()[CellKey(panel.model, "ilsvrc2012")], color=ORANGE, linestyle="--",
                 label="published for photographs, at 299 px")
    draw_axis_of_images(axis, "images the UAP is made from")
    axis.set(ylim=(0, 100))
    axis.set_title(panel.title, fontsize=13)


def draw_images() -> None:
    """Draw the fooling rate against the number of images, one panel for each of PANELS."""
    figure, axes = plt.subplots(1, len(PANELS), figsize=(INCHES, 4.6), sharey=True)
    for axis, panel in zip(axes, PANELS):
        draw_panel(axis, panel)
    axes[0].set_ylabel("fooling rate, %", fontsize=13)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncol=2, fontsize=12.5, frameon=False)
    figure.tight_layout(rect=(0, 0.2, 1, 1))
    save(figure, "images.png")


def rates_by_sureness(evaluation: EvaluatedUap) -> List[metrics.Rate]:
    """The fooling rate of the test images whose clean prediction is as sure as each of the parts.

    A part reaches from one of SURENESS_EDGES up to the next one, which is not in it.
    """
    sure = 100 * evaluation.predictions["clean_confidence"].astype(float)
    parts = np.digitize(sure, SURENESS_EDGES[1:-1])
    clean, attacked = evaluation.predictions["clean"], evaluation.predictions["uap"]
    return [metrics.fooling_rate(clean[parts == part], attacked[parts == part])
            for part in range(len(SURENESS_EDGES) - 1)]


def draw_sureness() -> None:
    """Draw the fooling rate against the probability of the clean prediction, a panel a model."""
    figure, axes = plt.subplots(1, len(SURENESS_MODELS), figsize=(INCHES, 4.3), sharey=True)
    titles = [f"{low}–{high}" for low, high in zip(SURENESS_EDGES, SURENESS_EDGES[1:])]
    for axis, (model, title) in zip(axes, SURENESS_MODELS.items()):
        for curve in SURENESS_CURVES:
            rates = rates_by_sureness(evaluated(model, curve.run))
            axis.plot(titles, [100 * rate.value for rate in rates], color=curve.color,
                      marker=curve.marker, linestyle=curve.line, label=curve.title)
            axis.fill_between(titles, [100 * rate.low for rate in rates],
                              [100 * rate.high for rate in rates],
                              color=curve.color, alpha=0.1, linewidth=0)
        axis.set(ylim=(0, 100))
        axis.set_title(title, fontsize=13)
        axis.set_xlabel("probability of the clean prediction, %", fontsize=13)
        axis.tick_params(labelsize=12)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("fooling rate, %", fontsize=13)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncol=2, fontsize=12.5, frameon=False)
    figure.tight_layout(rect=(0, 0.15, 1, 1))
    save(figure, "sureness.png")


def published_points(shares: np.ndarray) -> np.ndarray:
    """As of points: value, low and high in % of rates of the published run, which are given."""
    rates = [metrics.rate(np.arange(AUTHORS_TEST_IMAGES) < round(share * AUTHORS_TEST_IMAGES))
             for share in shares]
    return 100 * np.array([(rate.value, rate.low, rate.high) for rate in rates]).T


def draw_authors() -> None:
    """Draw rate and norm against the number of images, of the published run and of ours."""
    theirs = np.genfromtxt(AUTHORS_CURVE, delimiter=",", names=True)
    figure, (rates, norms) = plt.subplots(1, 2, figsize=(INCHES, 4.6))
    draw_curve(rates, theirs["images"], published_points(theirs["fooling_rate"]), color=ORANGE,
               label="the published run")
    draw_curve(rates, theirs["images"], published_points(theirs["random"]), color=ORANGE,
               linestyle=":", label="the published run: a random vector")
    norms.plot(theirs["images"], theirs["norm"], color=ORANGE)
    for epochs, line in L2_LINES.items():
        ours = evaluated(f"InceptionV3-299-{epochs}-epochs", L2_RUN, "full-size")
        draw_curve(rates, *points(ours), color=BLUE, marker="o", linestyle=line,
                   label=f"here, on a classifier of {epochs} epochs")
        for column, marker in (("permuted", "x"), ("random", "_")):
            rates.plot(max(ours.curve), 100 * ours.rate(column).value, color=BLACK, marker=marker,
                       markersize=10, linestyle="")
        with open(os.path.join(ours.folder, "run.json"), encoding="utf-8") as file:
            run = json.load(file)
        snapshots = sorted(run["snapshots"].values(), key=lambda snapshot: snapshot["images"])
        norms.plot([snapshot["images"] for snapshot in snapshots],
                   [snapshot["norm"] for snapshot in snapshots], color=BLUE, marker="o",
                   linestyle=line)
    for marker, label in (("x", "here: the last UAPs, shuffled"), ("_", "here: random vectors")):
        rates.plot([], [], color=BLACK, marker=marker, markersize=10, linestyle="", label=label)
    rates.set(ylim=(0, 100))
    rates.set_ylabel("fooling rate, %", fontsize=13)
    norms.axhline(run["norm"]["bound"], color=BLACK, linestyle="--")
    norms.text(110, 0.98 * run["norm"]["bound"], "the bound ξ", va="top", fontsize=12)
    norms.set(ylim=(0, None))
    norms.set_ylabel("L2 norm of the UAP", fontsize=13)
    for axis in (rates, norms):
        draw_axis_of_images(axis, "photographs the UAP is made from")
        axis.set_xlim(100, 100000)
    figure.legend(loc="lower center", ncol=2, fontsize=12.5, frameon=False)
    figure.tight_layout(rect=(0, 0.24, 1, 1))
    save(figure, "authors.png")


def main() -> None:
    parser = arguments.script_parser(__doc__, "data-dir")
    args = parser.parse_args()
    draw_images()
    draw_sureness()
    draw_authors()
    draw_lesions(args.data_dir)


if __name__ == "__main__":
    run_script(main)
