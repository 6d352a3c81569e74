"""What benchmark.py measures in one environment: it starts this file, and says what is computed.

    python tests/benchmark_side.py network|training|attack|art '{"architecture": "VGG16", ...}'

Each prints the names of its measures, as JSON. Then each name that comes in, a line, is computed
once, and a line goes out: how many images or iterations that were, and the seconds that they took,
of the clock and of the processors. `network` has no measures: it saves the classifier that the
others load.
"""

import contextlib
import json
import logging
import os
import sys
import time
import warnings
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np

CLASSES = 7
FLIPPED = "flipped kernels"
ITERATIONS = 1  # of DeepFool for its image


class Side:
    """architecture: its name. path: of its h5 file. size: height and width of the images, pixels.
    batch_size: images in a batch. leave_out: whether to measure what is left out, too."""

    def __init__(self, architecture, path, size, batch_size, leave_out):
        self.architecture, self.path, self.size = architecture, path, size
        self.leave_out = leave_out
        # The same in all environments; model-input units
        self.x = np.random.RandomState(0).uniform(
            -1, 1, (batch_size, size, size, 3)).astype(np.float32)

    def network(self):
        """Save a classifier with random kernels that keep the size of a signal (He et al. 2015)."""
        from utils.classifier import architectures
        from utils.classifier.session import start_session

        start_session(0, inference=True)
        model = architectures.build_classifier(self.architecture, self.size, CLASSES)
        random = np.random.RandomState(0)
        model.set_weights([random.normal(size=w.shape, scale=(2 / np.prod(w.shape[:-1])) ** 0.5)
                           if w.ndim > 1 else w for w in model.get_weights()])
        model.save(self.path, include_optimizer=False)
        return {}

    def training(self):
        """A batch of train_model.py, or with either kind of gradients of the convolutions."""
        from utils.classifier.convolution_gradients import (
            flipped_kernel_gradients,
            gradients_for_training,
        )

        if self.leave_out:
            return {"training": self._training_step(flipped_kernel_gradients),
                    f"training without {FLIPPED}": self._training_step(contextlib.suppress)}
        return {"training": self._training_step(gradients_for_training)}

    def _training_step(self, gradients):
        from utils.training.fine_tuning import compile_for_training

        labels = np.eye(CLASSES)[np.arange(len(self.x)) % CLASSES]
        within = own_session(inference=False)
        with within(), gradients():
            model = self._loaded()
            compile_for_training(model, rate=1e-3)

        def step():
            with within():
                model.train_on_batch(self.x, labels)
            return len(self.x)
        return step

    def attack(self):
        """What the attacks and the evaluation ask for; what plain Keras needs for the same."""
        from utils.attack.gradients import layer_passes
        from utils.classifier.frameworks import K, keras

        if self.leave_out:  # so every part is there
            layer_passes.KNOWN_MAXIMA_SPEED_UP_POOLING = True
        within = own_session(inference=True)
        with within():
            model = self._loaded()
            measures = self._attack_steps(model, within)
            logits = keras.Model(model.input, model.get_layer("logits").output)
            both_passes = K.function([model.input], [
                logits.output, K.gradients(logits.output[:, 0], model.input)[0]])

        def peer(compute):
            def step():
                with within():
                    compute()
                return len(self.x)
            return step
        measures["forward and backward pass of Keras"] = peer(lambda: both_passes([self.x]))
        measures["model.predict of Keras"] = peer(
            lambda: logits.predict(self.x, batch_size=len(self.x)))
        if self.leave_out:
            for name, patches in left_out().items():
                within = own_session(inference=True)
                with within(), contextlib.ExitStack() as stack:
                    for patch in patches:
                        stack.enter_context(patch)
                    steps = self._attack_steps(self._loaded(), within)
                    steps["DeepFool"]()  # which builds its part of the graph
                    measures[f"DeepFool without {name}"] = steps["DeepFool"]
                    if name == FLIPPED:
                        steps["SGD"]()
                        measures[f"SGD without {name}"] = steps["SGD"]
        return measures

    def _attack_steps(self, model, within):
        from utils.attack.deepfool import deepfool
        from utils.attack.gradients.graph import AttackGraph

        graph = AttackGraph(model)
        labels = graph.logits(self.x).argmax(axis=1)

        def iterations():
            with within():
                return len(deepfool(self.x[0], graph.boundary_gradients_to_leave, int(labels[0]),
                                    max_iter=ITERATIONS).path)

        def minibatch():
            with within():
                return len(graph.minibatch_gradient_to_leave(self.x, labels)[0])

        return {"DeepFool": iterations, "SGD": minibatch,
                "evaluation": lambda: len(graph.logits(self.x))}

    def _loaded(self):
        from utils.classifier import architectures

        model = architectures.build_classifier(self.architecture, self.size, CLASSES)
        model.load_weights(self.path)
        return model

    def art(self):
        """DeepFool of the Adversarial Robustness Toolbox, in the way that its version asks for."""
        warnings.simplefilter("ignore")  # what ART and its Keras say of themselves
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        from art.attacks.evasion import DeepFool
        from art.estimators import classification

        if hasattr(classification, "TensorFlowClassifier"):  # until 1.19
            import keras

            model = keras.models.load_model(self.path, compile=False)
            model = keras.Model(model.input, model.get_layer("logits").output)
            model.compile("sgd", "categorical_crossentropy")  # ART asks for it, and never uses it
            classifier = classification.KerasClassifier(model, use_logits=True)
        else:
            import tf_keras

            model = tf_keras.models.load_model(self.path, compile=False)
            model = tf_keras.Model(model.input, model.get_layer("logits").output)
            classifier = classification.TensorFlowV2Classifier(
                model, nb_classes=CLASSES, input_shape=self.x.shape[1:])
        attack = DeepFool(classifier, max_iter=ITERATIONS, epsilon=0.02, verbose=False)

        def iterations():
            with mock.patch.object(classifier, "class_gradient",
                                   wraps=classifier.class_gradient) as gradients:
                attack.generate(self.x[:1])
            return gradients.call_count  # those behind the last iteration, too, as its predictions
        return {"DeepFool of ART": iterations}


def own_session(inference):
    """A function that gives a context: a graph and a session with the settings of the product's."""
    from utils.classifier.frameworks import K, tf
    from utils.classifier.session import keep_freed_memory, session_config

    keep_freed_memory()
    session = tf.Session(graph=tf.Graph(), config=session_config())

    @contextlib.contextmanager
    def within():
        with session.graph.as_default(), session.as_default():
            yield
    with within():
        tf.set_random_seed(0)
        if inference:
            K.set_learning_phase(0)
    return within


def without_flipped_kernels():
    """Let convolutions have TensorFlow's gradients: those of that operation's name."""
    from utils.classifier import convolution_gradients

    return mock.patch.object(convolution_gradients, "_registered", lambda: "Conv2D")


def left_out():
    """From what is left out to the patches that leave it out."""
    from utils.attack.gradients import layer_passes

    backward = layer_passes.LayerPass.backward

    def through_tensorflow(*kinds):
        return [mock.patch.object(kind, "backward", backward) for kind in kinds]

    kinds = [kind for kind in vars(layer_passes).values()
             if isinstance(kind, type) and issubclass(kind, layer_passes.LayerPass)
             and "backward" in vars(kind) and kind is not layer_passes.LayerPass]
    return {
        FLIPPED: [without_flipped_kernels()] + through_tensorflow(
            layer_passes.Convolution),
        "the pass of maxima": through_tensorflow(layer_passes.MaxPooling),
        "the pass of rectifiers": through_tensorflow(layer_passes.Relu),
        "any hand-written pass": [without_flipped_kernels()] + through_tensorflow(*kinds)}


def main():
    role, settings = sys.argv[1:]
    if role != "art":
        from utils.classifier import device

        device.choose("cpu")
    measures = getattr(Side(**json.loads(settings)), role)()
    print(json.dumps(list(measures)), flush=True)
    for line in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        amount = measures[line.rstrip("\n")]()
        print(json.dumps([amount, time.perf_counter() - wall, time.process_time() - processor]),
              flush=True)


if __name__ == "__main__":
    main()
