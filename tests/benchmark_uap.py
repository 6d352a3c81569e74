"""How fast is the UAP loop, and does speed change anything? A benchmark, not a test.

    PYTHONPATH=.venv-art sh utils/environment.sh python tests/benchmark_uap.py

on the models and images of the demo; tests/README.md has the results. Measures, in one process and
interleaved, on the same trained model, images, order and settings:

- our loop with DeepFool, which reads its images from files, against
  UniversalPerturbation(attacker="deepfool") of the Adversarial Robustness Toolbox (ART) on arrays,
  and against the floor of the exact algorithm, which is one forward and six backward passes an
  iteration, each at the cost of one forward pass of the unmodified Keras model,
- the gradient of a minibatch of --attack sgd against one forward and one backward pass of that
  model at the same batch size,
- predictions for evaluation against Keras' model.predict at the same batch size,
- reading images ahead against one thread of Pillow.

ART and the floor run as their users run them: in a session of their own with TensorFlow's default
settings, and with the C library's usual treatment of freed memory, which is set back before each of
their runs. model.predict has the settings of our session, in which it is faster.

An image that v fools already costs one forward pass, and says little about the step. The ratio "on
images not yet fooled" is that of DeepFool's seconds for each of the others.

Every ratio is the median, over the repetitions, of the ratio within one repetition.
"""

import argparse
import collections
import contextlib
import ctypes
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np

from utils import arguments, classifier, session
from utils.attack.deepfool import OVERSHOOT, deepfool
from utils.attack.norms import mean_norm
from utils.attack.state import Showing, Shown, State
from utils.attack.uap import universal_perturbation
from utils.errors import run_script
from utils.images import PIXEL_SCALE, list_images, read_ahead, read_image, to_model_input
from utils.prediction import Predictor

MAX_ITERATIONS, NORM_RATIO = 10, 0.04  # as make_uap.py
BATCH = 16


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--models-dir", default="demo/models", help="of train_model.py (default: %(default)s)")
    add("--models", nargs="+", default=classifier.ARCHITECTURES,
        help="names (default: %(default)s)")
    add("--images", default="demo/data/ilsvrc2012", help="a folder (default: %(default)s)")
    add("--sizes", nargs="+", type=arguments.count, default=(299, 128),
        help="image sizes; the convolutions' weights fit any (default: %(default)s)")
    add("--num-images", type=arguments.count, default=3,
        help="in each run of the loop (default: %(default)s)")
    add("--repetitions", type=arguments.count, default=5, help="(default: %(default)s)")
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


def timed(function):
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def median(values):
    return float(np.median(list(values)))


# One run of a loop over n images. in_deepfool, waiting: the seconds of `seconds` spent in DeepFool,
# and waiting for images. iterations: of DeepFool, all images. fooled: images that v fooled already
# when they were shown. rate: fooling rate on the images after the pass.
Run = collections.namedtuple("Run", "seconds in_deepfool waiting iterations fooled rate")


def our_run(graph, paths, p, xi):
    """One pass of utils.attack.uap over image files, then, as ART does, the final fooling rate."""
    waiting = []

    def read(indices):
        stream = read_ahead([paths[i] for i in indices], graph.shape[0])
        for _ in indices:
            take = Stopwatch(lambda: next(stream))
            image = take()
            waiting.append(take.seconds)
            yield to_model_input(image)

    state = State(graph.shape, len(paths))
    step = Stopwatch(lambda x, label: deepfool(x, graph.boundary_gradients_to_leave, label,
                                               max_iter=MAX_ITERATIONS))
    began = time.perf_counter()
    visits = [visit for event in universal_perturbation(
        state, read, graph.logits, step, p, xi, passes=1, seed=0)
        if isinstance(event, Shown) for visit in event.visits]
    for _ in Showing(state, read, graph.logits, target=None).look_again():
        pass
    return Run(time.perf_counter() - began, step.seconds, sum(waiting),
               sum(len(visit.path) for visit in visits),
               sum(not visit.path for visit in visits), state.rates[-1])


def art_run(art, images, p, xi):
    """The same with ART; `art` is its KerasClassifier of a model that ends in logits."""
    from art.attacks.evasion import UniversalPerturbation

    n = len(images)
    order = np.random.RandomState([0, 0]).permutation(n)  # the order of our_run
    random.seed(0)
    place = np.empty(n, int)
    place[random.sample(range(n), n)] = np.arange(n)      # ART shows x[sample] in turn
    random.seed(0)
    art.class_gradient = Stopwatch(type(art).class_gradient.__get__(art))

    class Watched(UniversalPerturbation):
        def _get_attack(self, *words):
            deepfool = super()._get_attack(*words)
            self.step = deepfool.generate = Stopwatch(deepfool.generate)
            return deepfool

    attack = Watched(art, attacker="deepfool", delta=0.0, max_iter=1, eps=xi, norm=p,
                     verbose=False, attacker_params={
                         "max_iter": MAX_ITERATIONS, "epsilon": OVERSHOOT, "verbose": False})
    began = time.perf_counter()
    attack.generate(images[order][place])
    # ART makes all gradients once before the first iteration, and once more after each.
    iterations = art.class_gradient.calls - attack.step.calls
    return Run(time.perf_counter() - began, attack.step.seconds, 0.0, iterations,
               n - attack.step.calls, attack.fooling_rate)


@contextlib.contextmanager
def usual_memory():
    """Undo session.keep_freed_memory() for a while, but for what glibc raises by itself."""
    for parameter, value in ((-3, 2 ** 25), (-4, 65536), (-1, 2 ** 26)):
        ctypes.CDLL(None).mallopt(parameter, value)  # M_MMAP_THRESHOLD, M_MMAP_MAX, M_TRIM_...
    yield
    session.keep_freed_memory()


class Ours:
    """A trained model in a session of the project, with its AttackGraph."""

    def __init__(self, weights, description):
        import keras

        from utils.attack.graph import AttackGraph

        classifier.start_session(0, inference=True)
        model = classifier.load_classifier(weights, description)
        self.graph = AttackGraph(model)
        self.graph.shape = model.input_shape[1:]
        self._keras = keras.Model(model.input, model.get_layer("logits").output)
        self._class_names = description["class_names"]

    def evaluate(self, pixels, v):
        """As evaluate.py does."""
        Predictor(self.graph.logits, pixels, self._class_names, BATCH).predict(v)

    def evaluate_plainly(self, pixels, v):
        self._keras.predict(to_model_input(pixels) + v, batch_size=BATCH).argmax(axis=1)


class Theirs:
    """The same model in a session with TensorFlow's default settings, for ART and for the floor."""

    def __init__(self, weights, description):
        import keras
        import keras.backend as K
        import tensorflow as tf
        from art.estimators.classification import KerasClassifier

        self._session = tf.Session(graph=tf.Graph())
        with self._usual_settings():
            K.set_learning_phase(0)
            model = classifier.load_classifier(weights, description)
            model = keras.Model(model.input, model.get_layer("logits").output)
            model.compile("sgd", "categorical_crossentropy")  # ART asks for it, and never uses it
            self._art = KerasClassifier(model, use_logits=True)
            self._forward = K.function([model.input], [model.output])
            self._both_passes = K.function([model.input], [
                model.output, K.gradients(model.output[:, 0], model.input)[0]])

    @contextlib.contextmanager
    def _usual_settings(self):
        with self._session.graph.as_default(), self._session.as_default(), usual_memory():
            yield

    def art_run(self, images, p, xi):
        with self._usual_settings():
            return art_run(self._art, images, p, xi)

    def forward_seconds(self, image):
        with self._usual_settings():
            return median(timed(lambda: self._forward([image[np.newaxis]])) for _ in range(5))

    def both_passes_seconds(self, x):
        with self._usual_settings():
            return timed(lambda: self._both_passes([x]))


def benchmark_model(args, name, size):
    """Measure one model at one image size, and print everything about it."""
    weights = os.path.join(args.models_dir, name + ".h5")
    description = dict(classifier.read_description(weights), image_size=size)
    ours, theirs = Ours(weights, description), Theirs(weights, description)
    paths = [os.path.join(args.images, file) for file in list_images(args.images)]
    paths = paths[:max(args.num_images, 2 * BATCH)]
    pixels = np.stack(list(read_ahead(paths, size)))
    images = to_model_input(pixels[:args.num_images])
    p, xi = np.inf, NORM_RATIO * mean_norm(pixels, np.inf) / PIXEL_SCALE
    minibatch = to_model_input(pixels[:BATCH])
    batches = np.resize(pixels, (2 * BATCH,) + pixels.shape[1:])
    v = xi * np.sign(np.random.RandomState(0).uniform(-1, 1, images.shape[1:])).astype(np.float32)

    def repetition(n):
        before = theirs.forward_seconds(images[0])
        our = our_run(ours.graph, paths[:n], p, xi)
        floor = 7 * (before + theirs.forward_seconds(images[0])) / 2
        return (our, theirs.art_run(images[:n], p, xi), floor,
                timed(lambda: ours.graph.minibatch_gradient_to_leave(minibatch,
                                                                     [0] * len(minibatch))),
                theirs.both_passes_seconds(minibatch),
                timed(lambda: ours.evaluate(batches, v)),
                timed(lambda: ours.evaluate_plainly(batches, v)),
                timed(lambda: list(read_ahead(paths, size))),
                timed(lambda: [read_image(path, size) for path in paths]))

    repetition(1)  # the first run of anything prepares it
    print("\n{} at {} x {}".format(name, size, size))
    report(args.num_images, [repetition(args.num_images) for _ in range(args.repetitions)],
           len(minibatch), len(batches), len(paths))


def report(n, repetitions, minibatch, evaluated, read):
    """Print what `repetitions` of n images measured; the other arguments: numbers of images."""
    ours, arts, floors, *others = zip(*repetitions)
    print("{} images a run, {} repetitions; seven forward passes take {:.3f} s".format(
        n, len(repetitions), median(floors)))
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
    print("ours is {:.2f} x as fast as ART in images per second, {:.2f} x on images not yet "
          "fooled, {:.2f} x per DeepFool iteration".format(
              median(a.seconds / o.seconds for o, a in zip(ours, arts)),
              median(a.in_deepfool / (n - a.fooled) / o.in_deepfool * (n - o.fooled)
                     for o, a in zip(ours, arts)),
              median(a.seconds / a.iterations * o.iterations / o.seconds
                     for o, a in zip(ours, arts))))
    print("waiting for images: {:.1%} of our loop's time".format(
        median(run.waiting / run.seconds for run in ours)))
    for title, number, taken, peer in (
            ("minibatch gradient", minibatch, others[:2], "a forward and a backward pass's"),
            ("evaluation", evaluated, others[2:4], "model.predict's"),
            ("reading", read, others[4:], "one thread of Pillow's")):
        print("{}: {:.1f} images/s, {:.0%} of {}".format(
            title, number / median(taken[0]), median(b / a for a, b in zip(*taken)), peer))
    sys.stdout.flush()


def main():
    args = parse_arguments()
    for size in args.sizes:
        for name in args.models:
            benchmark_model(args, name, size)


if __name__ == "__main__":
    run_script(main)
