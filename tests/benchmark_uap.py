"""How fast is the UAP loop, and does speed change anything? A benchmark, not a test.

    PYTHONPATH=.venv-art sh utils/environment.sh python tests/benchmark_uap.py

on the models and images of the demo; tests/README.md has the results. Measures, in one process and
interleaved, on the same trained model, images, order and settings:

- our loop with DeepFool, which reads its images from files, against
  UniversalPerturbation(attacker="deepfool") of the Adversarial Robustness Toolbox (ART) on arrays,
- the gradient of a minibatch of --attack sgd against one forward and one backward pass of the
  unmodified Keras model at the same batch size,
- predictions for evaluation against Keras' model.predict at the same batch size.

ART and the plain passes run as their users run them: in a session of their own with TensorFlow's
default settings, and with the C library's usual treatment of freed memory, which is set back before
each of their runs. model.predict has the settings of our session, in which it is faster.

Every ratio is the median, over the repetitions, of the ratio within one repetition.
"""

import argparse
import collections
import contextlib
import ctypes
import dataclasses
import os
import random
import sys
import time
from typing import NamedTuple

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np

from utils.attack.attacks import attack_events
from utils.attack.deepfool import MAX_ITERATIONS, OVERSHOOT
from utils.attack.events import ImagesShown
from utils.attack.settings import AttackSettings
from utils.attack.state import first_state
from utils.classifier import architectures, session
from utils.classifier.description import read_description
from utils.classifier.saved_classifier import load_classifier
from utils.common import arguments
from utils.common.errors import run_script
from utils.evaluation.prediction import Predictor
from utils.images.folders import list_images
from utils.images.norms import mean_norm
from utils.images.pixels import PIXEL_SCALE, to_model_input
from utils.images.reading import read_ahead

NORM_RATIO = 0.04  # as make_uap.py
BATCH = 16


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--models-dir", default="demo/models", help="of train_model.py (default: %(default)s)")
    add("--models", nargs="+", default=architectures.ARCHITECTURES,
        help="names (default: %(default)s)")
    add("--images", default="demo/data/ilsvrc2012", help="a folder (default: %(default)s)")
    add("--sizes", nargs="+", type=arguments.count, default=(299, 128),
        help="image sizes; the convolutions' weights fit any (default: %(default)s)")
    add("--num-images", type=arguments.count, default=3,
        help="in each run of the loop (default: %(default)s)")
    add("--repetitions", type=arguments.count, default=5, help="(default: %(default)s)")
    return parser.parse_args()


def timed(function, *words):
    began = time.perf_counter()
    function(*words)
    return time.perf_counter() - began


def median(values):
    return float(np.median(list(values)))


class TimedRun(NamedTuple):
    """One run of a loop over n images.

    iterations: of DeepFool, all images. fooled: images that v fooled already when they were shown.
    rate: fooling rate on the images after the pass.
    """

    seconds: float
    iterations: int
    fooled: int
    rate: float


def our_run(graph, paths, size, p, xi):
    """One pass of utils.attack.uap over image files, then, as ART does, the final fooling rate."""
    def read(indices):
        return map(to_model_input, read_ahead([paths[i] for i in indices], size))

    state = first_state((size, size, 3), len(paths))
    # a second pass would begin, so the rate is asked for; but any rate is enough
    settings = AttackSettings(norm=p, passes=2, target_fooling_rate=0.0)
    began = time.perf_counter()
    visits = [visit for event in attack_events(settings, graph, state, read, None, xi)
              if isinstance(event, ImagesShown) for visit in event.visits]
    return TimedRun(time.perf_counter() - began, sum(len(visit.path) for visit in visits),
                    sum(not visit.path for visit in visits), state.rates[-1])


def art_run(art, images, p, xi):
    """The same with ART; `art` is its KerasClassifier of a model that ends in logits."""
    from art.attacks.evasion import UniversalPerturbation

    n, calls = len(images), collections.Counter()
    order = np.random.RandomState([0, 0]).permutation(n)  # the order of our_run
    random.seed(0)
    place = np.empty(n, int)
    place[random.sample(range(n), n)] = np.arange(n)      # ART shows x[sample] in turn
    random.seed(0)

    def counted(name, function):
        def call(*words, **options):
            calls[name] += 1
            return function(*words, **options)
        return call

    class Watched(UniversalPerturbation):
        def _get_attack(self, *words):
            attack = super()._get_attack(*words)
            attack.generate = counted("step", attack.generate)
            return attack

    art.class_gradient = counted("gradients", type(art).class_gradient.__get__(art))
    attack = Watched(art, attacker="deepfool", delta=0.0, max_iter=1, eps=xi, norm=p,
                     verbose=False, attacker_params={
                         "max_iter": MAX_ITERATIONS, "epsilon": OVERSHOOT, "verbose": False})
    seconds = timed(attack.generate, images[order][place])
    # ART makes all gradients once before the first iteration, and once more after each.
    return TimedRun(seconds, calls["gradients"] - calls["step"], n - calls["step"],
                    attack.fooling_rate)


class Theirs:
    """A trained model in a session with TensorFlow's default settings."""

    def __init__(self, weights, description):
        from art.estimators.classification import KerasClassifier

        from utils.classifier.frameworks import K, keras, tf

        self._session = tf.Session(graph=tf.Graph())
        with self.usual_settings():
            K.set_learning_phase(0)
            model = load_classifier(description)
            model = keras.Model(model.input, model.get_layer("logits").output)
            model.compile("sgd", "categorical_crossentropy")  # ART asks for it, and never uses it
            self.art = KerasClassifier(model, use_logits=True)
            self.both_passes = K.function([model.input], [
                model.output, K.gradients(model.output[:, 0], model.input)[0]])

    @contextlib.contextmanager
    def usual_settings(self):
        """Undo session.keep_freed_memory() too, but for what glibc raises by itself."""
        with self._session.graph.as_default(), self._session.as_default():
            for parameter, value in ((-3, 2 ** 25), (-4, 65536), (-1, 2 ** 26)):
                ctypes.CDLL(None).mallopt(parameter, value)  # M_MMAP_THRESHOLD, ..._MAX, M_TRIM_...
            yield
            session.keep_freed_memory()


def benchmark_model(args, name, size):
    """Measure one model at one image size, and print everything about it."""
    from utils.attack.gradients.graph import AttackGraph
    from utils.classifier.frameworks import keras

    weights = os.path.join(args.models_dir, name + ".h5")
    description = dataclasses.replace(read_description(weights), image_size=size)
    session.start_session(0, inference=True)
    model = load_classifier(description)
    graph, plain = AttackGraph(model), keras.Model(model.input, model.get_layer("logits").output)
    theirs = Theirs(weights, description)
    paths = [os.path.join(args.images, file) for file in list_images(args.images)]
    pixels = np.stack(list(read_ahead(paths[:max(args.num_images, 2 * BATCH)], size)))
    p, xi = np.inf, NORM_RATIO * mean_norm(pixels, np.inf) / PIXEL_SCALE
    x = to_model_input(pixels)
    batches = np.resize(pixels, (2 * BATCH,) + pixels.shape[1:])
    predictor = Predictor(graph.logits, batches, description.class_names, BATCH)
    v = xi * np.sign(np.random.RandomState(0).uniform(-1, 1, x.shape[1:])).astype(np.float32)

    def repetition(n):
        ours = our_run(graph, paths[:n], size, p, xi)
        with theirs.usual_settings():
            arts = art_run(theirs.art, x[:n], p, xi)
            both_passes = timed(theirs.both_passes, [x[:BATCH]])
        return (ours, arts,
                timed(graph.minibatch_gradient_to_leave, x[:BATCH], [0] * len(x[:BATCH])),
                both_passes, timed(predictor.predict, v),
                timed(lambda: plain.predict(to_model_input(batches) + v, batch_size=BATCH)))

    repetition(1)  # the first run of anything prepares it
    print(f"\n{name} at {size} x {size}")
    report(args.num_images, [repetition(args.num_images) for _ in range(args.repetitions)],
           len(x[:BATCH]), len(batches))


def report(n, repetitions, minibatch, evaluated):
    """Print what `repetitions` of n images measured; the other arguments: numbers of images."""
    ours, arts, *others = zip(*repetitions)
    print(f"{n} images a run, {len(repetitions)} repetitions")
    row = "{:5s}{:>10}{:>12}{:>14}{:>19}{:>15}"
    print(row.format("", "s/image", "iterations", "s/iteration", "fooled when shown",
                     "fooling rate"))
    for title, runs in (("ours", ours), ("ART", arts)):
        print(row.format(title, *(form.format(median(values)) for form, values in (
            ("{:.3f}", (run.seconds / n for run in runs)),
            ("{:.2f}", (run.iterations / n for run in runs)),
            ("{:.3f}", (run.seconds / run.iterations for run in runs)),
            ("{:.0%}", (run.fooled / n for run in runs)), ("{:.0%}", (run.rate for run in runs))))))
    for_images = median(art.seconds / our.seconds for our, art in zip(ours, arts))
    for_iterations = median(art.seconds / art.iterations * our.iterations / our.seconds
                            for our, art in zip(ours, arts))
    print(f"ours is {for_images:.2f} x as fast as ART in images per second, {for_iterations:.2f} x "
          "per DeepFool iteration")
    for title, number, taken, peer in (
            ("minibatch gradient", minibatch, others[:2], "a forward and a backward pass's"),
            ("evaluation", evaluated, others[2:], "model.predict's")):
        share = median(b / a for a, b in zip(*taken))
        print(f"{title}: {number / median(taken[0]):.1f} images/s, {share:.0%} of {peer}")
    sys.stdout.flush()


def main():
    args = parse_arguments()
    for size in args.sizes:
        for name in args.models:
            benchmark_model(args, name, size)


if __name__ == "__main__":
    run_script(main)
