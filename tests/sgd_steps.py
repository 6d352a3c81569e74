"""Which steps suit --attack sgd? Fooling rates of some, on images that are not the test images.

    python tests/sgd_steps.py --model-file models/VGG16.h5 --source data/ilsvrc2012

For each choice of the first and the last step (shares of xi) a UAP from natural images shown once,
and its fooling rate on training images of the classifier, and on other natural images. Not part of
the test suite.
"""

import os
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from utils.attack import sgd  # noqa: E402
from utils.attack.attacks import attack_events  # noqa: E402
from utils.attack.settings import DEFAULTS, AttackSettings  # noqa: E402
from utils.attack.state import first_state  # noqa: E402
from utils.classifier import device, session  # noqa: E402
from utils.classifier.description import read_description  # noqa: E402
from utils.classifier.saved_classifier import load_classifier, read_split_side  # noqa: E402
from utils.common import arguments  # noqa: E402
from utils.common.errors import run_script  # noqa: E402
from utils.evaluation.metrics import fooling_rate  # noqa: E402
from utils.evaluation.prediction import Predictor  # noqa: E402
from utils.images.folders import list_images  # noqa: E402
from utils.images.pixels import PIXEL_SCALE, to_model_input  # noqa: E402
from utils.images.reading import read_images  # noqa: E402

STEPS = ((0.1, 0.1), (0.2, 0.05), (0.4, 0.1), (0.2, 0.01))
BATCH = 16


def parse_arguments():
    parser = arguments.script_parser(__doc__, "data-dir", "seed", "device")
    parser.add_argument("--model-file", required=True)
    parser.add_argument("--source", required=True, metavar="FOLDER", help="of natural images")
    parser.add_argument("--num-images", type=arguments.count, default=1000,
                        help="shown to each UAP (default: %(default)s)")
    return parser.parse_args()


def read(args, info):
    """Dict from "shown", "training" and "natural" to uint8 images, drawn with the seed."""
    random = np.random.RandomState(args.seed)
    own = os.path.join(args.data_dir, info.image_folder)
    natural = random.permutation(list_images(args.source))[:args.num_images + 200]
    training = random.permutation([
        file for file, _ in read_split_side(info, "train")])[:400]
    drawn = {"shown": (args.source, natural[:-200]), "training": (own, training),
             "natural": (args.source, natural[-200:])}
    return {name: read_images([os.path.join(folder, file) for file in files], info.image_size,
                              info.resize, name) for name, (folder, files) in drawn.items()}


def make_uap(graph, images, steps, xi, seed):
    """v, float32 (h, w, c), of one pass over uint8 images (n, h, w, c)."""
    sgd.FIRST_STEP, sgd.LAST_STEP = steps
    state = first_state(images.shape[1:], len(images))
    settings = AttackSettings(attack="sgd", batch_size=BATCH, seed=seed)
    for _ in attack_events(settings, graph, state, target=None, xi=xi,
                           read=lambda indices: (to_model_input(images[i]) for i in indices)):
        pass
    return state.v


def main():
    args = parse_arguments()
    info = read_description(args.model_file)
    xi = DEFAULTS.norm_ratio * info.mean_norms["inf"] / PIXEL_SCALE
    device.choose(args.device)
    session.start_session(args.seed, inference=True)
    from utils.attack.gradients.graph import AttackGraph

    graph, images = AttackGraph(load_classifier(info)), read(args, info)
    shown = images.pop("shown")
    predictors = {name: Predictor(graph.logits, of_source, info.class_names, 32)
                  for name, of_source in images.items()}
    for steps in STEPS:
        v = make_uap(graph, shown, steps, xi, args.seed)
        texts = []
        for name, predictor in predictors.items():
            rate = fooling_rate(clean=predictor.predict_once("clean").classes,
                                attacked=predictor.predict(v).classes)
            texts.append(f"{rate.value:.1%} of {rate.total} {name} images")
        first, last = steps
        print(f"steps {first} to {last} xi: {', '.join(texts)}", flush=True)


if __name__ == "__main__":
    run_script(main)
