"""Is the same classifier attacked alike in both environments? A measurement, not a test.

    sh utils/environment.sh python tests/between_environments.py --images demo/data/ilsvrc2012 \
        demo/models/VGG16.h5 demo-tf2/models/VGG16.h5

Each environment makes a UAP by DeepFool from the same images, and writes down what it asked the
classifier and what the answers were. Then each is asked what the other one asked. Printed are

- the largest difference of the logits, relative to their length; of the gradients at the median and
  at the most;
- how many decisions those answers lead to, and how many of them are alike: the class of an image,
  whether DeepFool goes on, which boundary it takes for the nearest;
- where some differ, the largest gap between the two largest logits there, relative to the logits'
  length;
- after how many images the two runs, each with its own answers, first decided differently.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np

from utils.common import arguments
from utils.common.errors import run_script

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ENVIRONMENTS = ("", "tf2")
NORM_RATIO = 0.04  # as make_uap.py
OF_A_BATCH = -1    # instead of a label: only the logits were asked for


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("model_files", nargs="+", metavar="model_file", help="of train_model.py")
    add("--images", required=True, help="a folder of images")
    add("--num-images", type=arguments.count, default=20, help="(default: %(default)s)")
    add("--own", help=argparse.SUPPRESS)  # file of the run that this process makes
    add("--other", help=argparse.SUPPRESS)  # or that it compares with this one's
    return parser.parse_args()


class Recorder:
    """A classifier whose questions and answers are written down.

    asked: list of (x, label, f, w), as of AttackGraph.boundary_gradients_to_leave.
    """

    def __init__(self, graph):
        self._graph, self.asked = graph, []

    def logits(self, batch):
        f = self._graph.logits(batch)
        self.asked += [(x, OF_A_BATCH, f_x, None) for x, f_x in zip(batch, f)]
        return f

    def boundary_gradients_to_leave(self, x, label):
        f, w = self._graph.boundary_gradients_to_leave(x, label)
        self.asked.append((x, label, f, w))
        return f, w


def attack_graph(description):
    from utils.attack.gradients.graph import AttackGraph
    from utils.classifier.saved_classifier import load_classifier
    from utils.classifier.session import start_session

    start_session(0, inference=True)
    return AttackGraph(load_classifier(description))


def make_run(args, description):
    """One pass of DeepFool's UAP, saved with everything that was asked."""
    from utils.attack.attacks import attack_events
    from utils.attack.events import ImagesShown
    from utils.attack.settings import AttackSettings
    from utils.attack.state import first_state
    from utils.images.folders import list_images
    from utils.images.pixels import PIXEL_SCALE, to_model_input
    from utils.images.reading import read_ahead

    size = description.image_size
    files = list_images(args.images)[:args.num_images]
    images = to_model_input(np.stack(list(read_ahead(
        [os.path.join(args.images, file) for file in files], size))))
    classifier, state = Recorder(attack_graph(description)), first_state((size, size, 3),
                                                                         len(images))
    events = attack_events(AttackSettings(norm=np.inf), classifier, state,
                           lambda indices: iter(images[indices]), None,
                           NORM_RATIO * description.mean_norm(np.inf) / PIXEL_SCALE)
    visits = [visit for event in events if isinstance(event, ImagesShown)
              for visit in event.visits]
    x, label, f, w = zip(*classifier.asked)
    np.savez(args.own, x=x, label=label, f=f, has_w=[each is not None for each in w],
             w=[each for each in w if each is not None], visits=json.dumps(visits, default=int))


def decision(f, w, label):
    """What follows from an answer: a class, or, for a DeepFool step, the boundary that is taken."""
    from utils.attack.deepfool import deepfool

    if w is None:
        return int(f.argmax())
    return deepfool(np.zeros_like(w[0]), lambda *_: (f, w), label, max_iter=1).path


def relative(difference, array):
    return np.linalg.norm(difference) / np.linalg.norm(array)


def compare(args, description):
    """Ask here what the other environment asked, and print how the answers differ."""
    own, other = (dict(np.load(file)) for file in (args.own, args.other))
    graph, gradients = attack_graph(description), iter(other["w"])
    of_f, of_w, alike, widest_gap = [], [], [], 0.0
    for x, label, f, has_w in zip(other["x"], other["label"], other["f"], other["has_w"]):
        w = next(gradients) if has_w else None
        if label == OF_A_BATCH:
            own_f, own_w = graph.logits(x[np.newaxis])[0], None
        else:
            own_f, own_w = graph.boundary_gradients_to_leave(x, label)
        of_f.append(relative(own_f - f, f))
        if w is not None and own_w is not None:
            of_w.append(relative(own_w - w, w))
        alike.append(decision(own_f, own_w, label) == decision(f, w, label))
        if not alike[-1]:
            second, first = np.sort(f)[-2:]
            widest_gap = max(widest_gap, relative(first - second, f))
    visits = [json.loads(str(run["visits"])) for run in (own, other)]
    together = next((number for number, pair in enumerate(zip(*visits)) if pair[0] != pair[1]),
                    len(visits[0]))
    print("  logits {:.1e}, gradients {:.1e} and {:.1e}; {} of {} decisions alike{}; "
          "runs alike for {} of {} images".format(
              max(of_f), np.median(of_w), max(of_w), sum(alike), len(alike),
              "" if all(alike) else " (gap {:.1e})".format(widest_gap), together, len(visits[0])),
          flush=True)


def main():
    args = parse_arguments()
    if args.own:
        from utils.classifier.description import read_description

        (compare if args.other else make_run)(args, read_description(args.model_files[0]))
        return
    with tempfile.TemporaryDirectory() as folder:
        files = [os.path.join(folder, "run{}.npz".format(name)) for name in ENVIRONMENTS]

        def in_environment(number, model_file, *more):
            subprocess.check_call(
                ["sh", os.path.join(ROOT, "utils", "environment.sh"), "python",
                 os.path.abspath(__file__), model_file, "--images", args.images, "--num-images",
                 str(args.num_images), "--own", files[number], *more],
                env=dict(os.environ, CUDA_VISIBLE_DEVICES="", ENVIRONMENT=ENVIRONMENTS[number]))

        for model_file in args.model_files:
            for number in range(len(ENVIRONMENTS)):
                in_environment(number, model_file)
            for number, title in ((0, "asked in tf2, then in the study's environment"),
                                  (1, "asked in the study's environment, then in tf2")):
                print("{}, {}:".format(model_file, title), flush=True)
                in_environment(number, model_file, "--other", files[1 - number])


if __name__ == "__main__":
    run_script(main)
