"""How far is the next class from an image, and how long is the step of one attack there?

    python tests/step_lengths.py --model-file models/VGG16.h5 \\
        --sources data/ilsvrc2012/train data/isic2018
    python tests/step_lengths.py --model-file models/VGG16.h5 \\
        --sources data/ilsvrc2012/train --num-images 6000 --links FOLDER

For clean images of each folder: the logit margin (the largest logit less the second), the length of
DeepFool's step in the L-infinity norm as a share of the bound xi (ratio 0.04), and whether a step
of FGSM changes the label, which is the study's condition for keeping it. Writes steps-<model>.csv
and a picture of it to --folder. With --links: instead, links to the images with the smaller and
with the larger margins, in FOLDER/smaller and FOLDER/larger, and to those of each predicted class,
in FOLDER/NV ..., for make_uap.py --source-dir. Not part of the test suite.
"""

import os
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from utils.attack.settings import DEFAULTS  # noqa: E402
from utils.attack.source_images import ImageSource, draw_images  # noqa: E402
from utils.classifier import device, session  # noqa: E402
from utils.classifier.description import classifier_name, read_description  # noqa: E402
from utils.classifier.saved_classifier import load_classifier  # noqa: E402
from utils.common import arguments  # noqa: E402
from utils.common.csv_files import write_csv  # noqa: E402
from utils.common.errors import run_script  # noqa: E402
from utils.images.pixels import PIXEL_SCALE, to_model_input  # noqa: E402
from utils.images.reading import read_images  # noqa: E402

COLUMNS = ("source", "file", "logit_margin", "deepfool_step", "fgsm_changes")


def parse_arguments():
    parser = arguments.script_parser(__doc__, "seed", "device")
    parser.add_argument("--model-file", required=True)
    parser.add_argument("--sources", nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("--num-images", type=arguments.count, default=200,
                        help="of each folder, drawn with the seed (default: %(default)s)")
    parser.add_argument("--folder", default=".", help="to write to (default: %(default)s)")
    parser.add_argument("--links", metavar="FOLDER")
    return parser.parse_args()


def read(args, info, source):
    """(files, images) drawn from a folder, as make_uap.py draws them. UserError."""
    files = draw_images(ImageSource(dataset=None, folder=source), data_dir="",
                        model=info, num_images=args.num_images, seed=args.seed).files
    return files, read_images([os.path.join(source, file) for file in files], info.image_size,
                              info.resize, "reading " + source)


def margins(f):
    """f: logits, (n, K). Returns the largest less the second largest, (n,)."""
    second, first = np.sort(f, axis=1)[:, -2:].T
    return first - second


def steps(graph, x, label, xi):
    """(DeepFool's step in units of xi, whether FGSM's changes the label) of one image."""
    from utils.attack.deepfool import deepfool
    from utils.attack.fgsm import STEP_SIZE, fgsm

    to_boundary = deepfool(x, graph.boundary_gradients_to_leave, label).dv
    along_loss = fgsm(x, graph.loss_gradient_to_leave, label, STEP_SIZE).dv
    return (np.abs(to_boundary).max() / xi,
            int(graph.logits((x + along_loss)[np.newaxis])[0].argmax() != label))


def draw(path, rows, title):
    """rows: as in the csv file."""
    from utils.common.figures import PANEL_WIDTHS, plt, save
    from utils.report.pictures import source_styles
    from utils.report.settings import title_of

    figure, (left, right) = plt.subplots(1, 2, figsize=(PANEL_WIDTHS[2], 3.6))
    sources = list(dict.fromkeys(row[0] for row in rows))
    styles = source_styles(map(title_of, sources))
    for source in sources:
        margin, length, changed = np.array([row[2:] for row in rows if row[0] == source], float).T
        share, color = np.arange(1, len(length) + 1) / len(length), styles[title_of(source)].color
        left.plot(np.sort(length), share, color=color,
                  label=f"{title_of(source)}:\nmedian {np.median(length):.2f} xi")
        right.plot(np.sort(margin), share, color=color,
                   label=f"{title_of(source)}:\nFGSM changes {changed.mean():.0%}")
    left.axvline(1, color="black", linewidth=0.8)
    left.set(xscale="log", xlabel="length of DeepFool's step / xi (L-infinity)",
             ylabel="share of the images")
    right.set(xscale="log", xlabel="logit margin of the clean image")
    for axis in (left, right):
        axis.set_ylim(0, 1)
        axis.grid(alpha=0.3)
        axis.legend(loc="upper left")
    figure.suptitle(title)
    figure.tight_layout()
    save(figure, path)


def link(folder, source, files):
    for file in files:
        target = os.path.join(folder, file)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.symlink(os.path.abspath(os.path.join(source, file)), target)


def link_parts(folder, source, files, f, class_names):
    """f: the logits of the files, (n, K)."""
    files, margin, classes = np.array(files), margins(f), f.argmax(axis=1)
    parts = dict(zip(("smaller", "larger"), np.array_split(np.argsort(margin), 2)))
    parts.update((class_names[k], np.flatnonzero(classes == k)) for k in np.unique(classes))
    for name, indices in parts.items():
        link(os.path.join(folder, name), source, files[indices])
        print(f"{name}: {len(indices)} images, median margin {np.median(margin[indices]):.3g}")


def main():
    args = parse_arguments()
    info, name = (f(args.model_file) for f in (read_description, classifier_name))
    xi = DEFAULTS.norm_ratio * info.mean_norms["inf"] / PIXEL_SCALE
    device.choose(args.device)
    session.start_session(args.seed, inference=True)
    from utils.attack.gradients.graph import AttackGraph

    graph, rows = AttackGraph(load_classifier(info)), []
    for source in args.sources:
        files, images = read(args, info, source)
        f = np.concatenate([graph.logits(to_model_input(images[i:i + 32]))
                            for i in range(0, len(images), 32)])
        if args.links:
            link_parts(args.links, source, files, f, info.class_names)
        else:
            rows += [(os.path.basename(source), file, margin) + steps(
                         graph, to_model_input(image), int(logits.argmax()), xi)
                     for file, margin, image, logits in zip(files, margins(f), images, f)]
    if rows:
        path = os.path.join(args.folder, f"steps-{name}.csv")
        write_csv(path, COLUMNS, [row[:2] + tuple(map("{:.5g}".format, row[2:])) for row in rows])
        draw(path.replace(".csv", ".png"), rows,
             f"{name}: {args.num_images} clean images of each source")


if __name__ == "__main__":
    run_script(main)
