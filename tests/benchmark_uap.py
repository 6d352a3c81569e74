"""How fast is the UAP loop, and does speed change anything? A benchmark, not a test.

    python tests/benchmark_uap.py                                models and images of the demo

Measures, in one process and interleaved, on the same trained model, images, order and settings:

- our loop with DeepFool, which reads its images from files, against
  UniversalPerturbation(attacker="deepfool") of the Adversarial Robustness Toolbox (ART) 1.1.1 on
  arrays, and against the floor of the exact algorithm, which is one forward and six backward passes
  an iteration, each at the cost of one forward pass of the unmodified Keras model,
- predictions for evaluation against Keras' model.predict at the same batch size,
- reading images ahead against one thread of Pillow.

ART and the floor run as their users run them: in a session of their own with TensorFlow's default
settings, and with the C library's usual treatment of freed memory, which is set back before each of
their runs. model.predict has the settings of our session, in which it is faster.

An image that v fools already costs one forward pass, and says little about the step. The ratio "on
images not yet fooled" is that of DeepFool's seconds for each of the others.

With --memory instead: the peak memory of make_uap.py for 1,000 and for 20,000 generated images.

Every ratio is the median, over the repetitions, of the ratio within one repetition.
"""

import argparse
import collections
import contextlib
import ctypes
import os
import random
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np

from utils import arguments
from utils.classifier import ARCHITECTURES
from utils.errors import run_script

MAX_ITERATIONS = 10  # as make_uap.py
OVERSHOOT = 0.02
BATCH = 16


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--models-dir", default="demo/models", help="of train_model.py (default: %(default)s)")
    add("--models", nargs="+", default=ARCHITECTURES, help="names (default: %(default)s)")
    add("--images", default="demo/data/ilsvrc2012", help="a folder (default: %(default)s)")
    add("--sizes", nargs="+", type=arguments.count, default=(299, 128),
        help="image sizes; the convolutions' weights fit any (default: %(default)s)")
    add("--num-images", type=arguments.count, default=3,
        help="in each run of the loop (default: %(default)s)")
    add("--repetitions", type=arguments.count, default=5, help="(default: %(default)s)")
    add("--memory", action="store_true", help="measure memory, not time")
    add("--norm-ratio", type=arguments.positive, default=0.04, help="(default: %(default)s)")
    return parser.parse_args()


class Stopwatch:
    """A function that counts its calls and adds up the seconds spent in them."""

    def __init__(self, function):
        self._function = function
        self.calls, self.seconds = 0, 0.0

    def __call__(self, *words, **options):
        began = time.perf_counter()
        result = self._function(*words, **options)
        self.seconds += time.perf_counter() - began
        self.calls += 1
        return result


# One run of a loop over n images. in_deepfool, waiting: the seconds of `seconds` spent in DeepFool,
# and waiting for images. iterations: of DeepFool, all images. fooled: images that v fooled already
# when they were shown. rate: fooling rate on the images after the pass.
Run = collections.namedtuple("Run", "seconds in_deepfool waiting iterations fooled rate")


def our_run(graph, paths, shape, p, xi):
    """One pass of utils.uap over image files, clean predictions and final rate included."""
    from utils.attack.deepfool import deepfool
    from utils.images import read_ahead, to_model_input
    from utils.attack.uap import State, universal_perturbation

    waiting = []

    def read(indices):
        stream = read_ahead([paths[i] for i in indices], shape[0])
        for _ in indices:
            take = Stopwatch(lambda: next(stream))
            image = take()
            waiting.append(take.seconds)
            yield to_model_input(image)

    state = State(shape, len(paths))
    step = Stopwatch(lambda x, label: deepfool(x, graph.boundary_gradients_to_leave, label,
                                               OVERSHOOT, MAX_ITERATIONS))
    visits = []
    began = time.perf_counter()
    for found in universal_perturbation(state, read, graph.logits, step, p, xi, passes=1, goal=1.0,
                                        seed=0):
        visits += found
    return Run(time.perf_counter() - began, step.seconds, sum(waiting),
               sum(len(visit.path) for visit in visits),
               sum(not visit.path for visit in visits), state.rates[-1])


def art_run(classifier, images, p, xi):
    """The same with ART; `classifier` is its KerasClassifier of a model that ends in logits."""
    from art.attacks import UniversalPerturbation

    n = len(images)
    order = np.random.RandomState([0, 0]).permutation(n)  # the order of our_run
    random.seed(0)
    place = np.empty(n, int)
    place[random.sample(range(n), n)] = np.arange(n)      # ART shows x[sample] in turn
    random.seed(0)
    classifier.class_gradient = Stopwatch(type(classifier).class_gradient.__get__(classifier))

    class Watched(UniversalPerturbation):
        def _get_attack(self, *words):
            deepfool = super(Watched, self)._get_attack(*words)
            self.step = deepfool.generate = Stopwatch(deepfool.generate)
            return deepfool

    attack = Watched(classifier, attacker="deepfool", delta=0.0, max_iter=1, eps=xi, norm=p,
                     attacker_params={"max_iter": MAX_ITERATIONS, "epsilon": OVERSHOOT,
                                      "batch_size": 1})
    began = time.perf_counter()
    attack.generate(images[order][place])
    # ART makes all gradients once before the first iteration, and once more after each.
    iterations = classifier.class_gradient.calls - attack.step.calls
    return Run(time.perf_counter() - began, attack.step.seconds, 0.0, iterations,
               n - attack.step.calls, attack.fooling_rate)


@contextlib.contextmanager
def usual_memory():
    """Undo classifier.keep_freed_memory() for a while.

    glibc raises its threshold for large blocks by itself, up to 32 MB; these are given back.
    """
    from utils import classifier

    for parameter, value in ((-3, 2 ** 25), (-4, 65536), (-1, 2 ** 26)):
        ctypes.CDLL(None).mallopt(parameter, value)  # M_MMAP_THRESHOLD, M_MMAP_MAX, M_TRIM_...
    yield
    classifier.keep_freed_memory()


def timed(function):
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def median(values):
    return float(np.median(list(values)))


def benchmark_model(args, name, size):
    """Print everything about one model at one image size."""
    import keras
    import keras.backend as K
    import tensorflow as tf
    from art.classifiers import KerasClassifier

    from utils import classifier, prediction
    from utils.attack.graph import AttackGraph
    from utils.images import PIXEL_SCALE, list_images, read_ahead, read_image, to_model_input
    from utils.attack.norms import mean_norm

    weights = os.path.join(args.models_dir, name + ".h5")
    description = dict(classifier.read_description(weights), image_size=size)
    classifier.start_session(0, inference=True)
    model = classifier.load_classifier(weights, description)
    logits = keras.Model(model.input, model.get_layer("logits").output)
    graph = AttackGraph(model)
    usual_session = tf.Session(graph=tf.Graph())

    @contextlib.contextmanager
    def usual_settings():
        with usual_session.graph.as_default(), usual_session.as_default(), usual_memory():
            yield

    def art_run_on(images):
        with usual_settings():
            return art_run(art, images, p, xi)

    def forward_seconds():
        with usual_settings():
            return median(timed(lambda: forward([images[:1]])) for _ in range(5))

    with usual_settings():
        K.set_learning_phase(0)
        its = classifier.load_classifier(weights, description)
        its = keras.Model(its.input, its.get_layer("logits").output)
        its.compile("sgd", "categorical_crossentropy")  # ART asks for it, and never uses it
        art = KerasClassifier(its, use_logits=True)
        forward = K.function([its.input], [its.output])

    paths = [os.path.join(args.images, file) for file in list_images(args.images)]
    paths = paths[:max(args.num_images, 2 * BATCH)]
    pixels = np.stack(list(read_ahead(paths, size)))
    images = to_model_input(pixels[:args.num_images])
    p, xi = np.inf, args.norm_ratio * mean_norm(pixels, np.inf) / PIXEL_SCALE
    batches = np.resize(pixels, (2 * BATCH,) + pixels.shape[1:])

    v = xi * np.sign(np.random.RandomState(0).uniform(-1, 1, images.shape[1:])).astype(np.float32)

    def evaluate_ours():
        prediction.Predictor(graph.logits, batches, description["class_names"], BATCH).predict(
            lambda batch: to_model_input(batch) + v)

    def evaluate_keras():
        logits.predict(to_model_input(batches) + v, batch_size=BATCH).argmax(axis=1)

    our_run(graph, paths[:1], images.shape[1:], p, xi)  # the first run of anything prepares it
    art_run_on(images[:1])
    for warm_up in (forward_seconds, evaluate_ours, evaluate_keras):
        warm_up()

    ours, arts, floors, evaluations, readings = [], [], [], [], []
    for _ in range(args.repetitions):
        before = forward_seconds()
        ours.append(our_run(graph, paths[:args.num_images], images.shape[1:], p, xi))
        floors.append(7 * (before + forward_seconds()) / 2)
        arts.append(art_run_on(images))
        evaluations.append((timed(evaluate_ours), timed(evaluate_keras)))
        readings.append((timed(lambda: list(read_ahead(paths, size))),
                         timed(lambda: [read_image(path, size) for path in paths])))

    n = args.num_images
    print("\n{} at {} x {}, {} images a run, {} repetitions; seven forward passes take {:.3f} s"
          .format(name, size, size, n, args.repetitions, median(floors)))
    print("{:5s}{:>9s}{:>12s}{:>14s}{:>20s}{:>26s}{:>18s}{:>14s}".format(
        "", "s/image", "iterations", "s/iteration", "over seven forwards",
        "the same, DeepFool alone", "fooled when shown", "fooling rate"))
    for title, runs in (("ours", ours), ("ART", arts)):
        print("{:5s}{:9.3f}{:12.2f}{:14.3f}{:20.2f}{:26.2f}{:18.0%}{:14.0%}".format(
            title, median(run.seconds / n for run in runs),
            median(run.iterations / n for run in runs),
            median(run.seconds / run.iterations for run in runs),
            median(run.seconds / run.iterations / floor for run, floor in zip(runs, floors)),
            median(run.in_deepfool / run.iterations / floor for run, floor in zip(runs, floors)),
            median(run.fooled / n for run in runs), median(run.rate for run in runs)))
    print("ours is {:.2f} x as fast as ART in images per second, {:.2f} x on images not yet fooled, "
          "{:.2f} x per DeepFool iteration".format(
              median(a.seconds / o.seconds for o, a in zip(ours, arts)),
              median(a.in_deepfool / (n - a.fooled) / o.in_deepfool * (n - o.fooled)
                     for o, a in zip(ours, arts)),
              median(a.seconds / a.iterations * o.iterations / o.seconds
                     for o, a in zip(ours, arts))))
    print("waiting for images: {:.1%} of our loop's time".format(
        median(run.waiting / run.seconds for run in ours)))
    print("evaluation: {:.1f} images/s, {:.0%} of model.predict's (batch size {})".format(
        len(batches) / median(o for o, _ in evaluations), median(k / o for o, k in evaluations),
        BATCH))
    print("reading: {:.0f} images/s, {:.2f} x one thread of Pillow".format(
        len(paths) / median(ours for ours, _ in readings),
        median(pillow / ours for ours, pillow in readings)), flush=True)


def peak_memory(command):
    """Run a command; the largest resident set of its process, in MB."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("{} failed".format(" ".join(command)))
    return usage.ru_maxrss / 1024


def benchmark_memory(args):
    """Print the peak memory of make_uap.py (FGSM, one pass) for few and for many images."""
    from PIL import Image

    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "images")
        os.makedirs(source)
        random_state = np.random.RandomState(0)
        for i in range(20000):
            pixels = random_state.randint(0, 256, (6, 6, 3), np.uint8)
            Image.fromarray(pixels).resize((96, 96), Image.BICUBIC).save(
                os.path.join(source, "{:05d}.jpg".format(i)))
        peaks = [peak_memory(
            [sys.executable, os.path.join(root, "make_uap.py"), "--model-file",
             os.path.join(args.models_dir, args.models[0] + ".h5"), "--source-dir", source,
             "--num-images", str(n), "--passes", "1", "--attack", "fgsm", "--step-size", "0.05",
             "--norm-ratio", "1", "--results-dir", os.path.join(folder, str(n))])
            for n in (1000, 20000)]
    print("peak memory of make_uap.py with {}, FGSM: {:.0f} MB for 1,000 images, {:.0f} MB for "
          "20,000, {:+.1%}".format(args.models[0], *peaks, peaks[1] / peaks[0] - 1))


def main():
    args = parse_arguments()
    if args.memory:
        benchmark_memory(args)
        return
    for size in args.sizes:
        for name in args.models:
            benchmark_model(args, name, size)


if __name__ == "__main__":
    run_script(main)
