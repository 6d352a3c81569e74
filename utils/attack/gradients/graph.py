"""A Keras classifier as the functions that the attacks call: logits, and gradients of logits.

Gradients are of logits, never of softmax outputs: on a confident classifier the latter vanish, and
DeepFool's linear step explodes. A gradient function's name says what it is for:

                                      to leave a class               to reach a class
    DeepFool, across a boundary       boundary_gradients_to_leave    boundary_gradient_to_reach
    FGSM, along the loss              loss_gradient_to_leave         loss_gradient_to_reach
    SGD, along a mean clipped loss    minibatch_gradient_to_leave    minibatch_gradient_to_reach

Each is one run of the TensorFlow graph. Those of SGD take a minibatch and its labels; the others
take one image x, float32 (h, w, 3), model-input units, and return (f, gradient): the logits,
float32 (K,), and a float32 array, or None where the image is there already; the backward part of
the graph is then not executed.
"""

import collections
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from utils.attack.gradients.layer_passes import LayerPass, ThroughTensorFlow
from utils.attack.gradients.network_rewriting import passes_of
from utils.classifier.convolution_gradients import flipped_kernel_gradients
from utils.classifier.frameworks import K, activations, layers, tf
from utils.common.errors import UserError

BETA = 10.0  # of the clipped loss of a minibatch
SILENT = 1e-12  # energy of a layer's activations, beside which any other is far larger


class AttackGraph:
    """A classifier's logits and gradients.

    model: a Keras classifier, in a session started for inference; logits.head_of says what its last
        layer may be. The weights of the layers that layer_passes has are copied.
    grey: give only the grey part of each gradient, its mean over the channels, equal in all three:
        an attack that follows it leaves grey images grey, as the authors' one-channel models do.
    passes: the layer_passes of the network, in order. outputs: the tensor that each gives.

    The gradients are those of tf.gradients up to float32 rounding, about 1e-6 of their length; but
    where the input of a rectifier is itself within rounding of 0, the two may see it on different
    sides, and differ by what went through it (one random image in 20; 5e-2 at the most was seen).
    """

    def __init__(self, model: Any, grey: bool = False) -> None:
        self._grey = grey
        self._session = K.get_session()
        self._x = model.inputs[0]
        constants = {}  # outside the GraphDef, which must be below 2 GB and is copied several times

        def constant(value: np.ndarray) -> tf.Tensor:
            variable = tf.Variable(tf.placeholder(tf.float32, value.shape), trainable=False,
                                   collections=[])
            constants[variable] = value
            return variable.value()

        self.passes: List[LayerPass] = passes_of(model, self._session)
        self.outputs: Dict[LayerPass, tf.Tensor] = {self.passes[0]: self._x}
        with flipped_kernel_gradients():  # of minibatches
            for layer in self.passes[1:]:
                layer.prepare(constant)
                self.outputs[layer] = layer.forward(*self._inputs(layer))
        # in one run: each run of a changed graph prepares all of it again
        self._session.run([variable.initializer for variable in constants],
                          {variable.initial_value: value for variable, value in constants.items()})
        self._f = self.outputs[self.passes[-1]]
        self._num_classes = int(self._f.shape[1])
        self._top = tf.argmax(self._f[0], output_type=tf.int32)
        self._label = tf.placeholder(tf.int32, ())
        self._labels = tf.placeholder(tf.int32, (None,))
        # the tensors that were built, by the function that was asked for
        self._gradients: Dict[Any, Any] = {}

    def slow_layers(self) -> Dict[str, int]:
        """Count the layers of each Keras class that have no backward pass in layer_passes.

        They take their gradients from tf.gradients.
        """
        return dict(collections.Counter(
            layer.kind for layer in self.passes if isinstance(layer, ThroughTensorFlow)))

    def note_on_slow_layers(self) -> Optional[str]:
        """Return a sentence on the slow layers; None where every layer has a backward pass."""
        slow = self.slow_layers()
        if not slow:
            return None
        named = ", ".join(f"{count} {kind}" for kind, count in sorted(slow.items()))
        return (f"gradients: {sum(slow.values())} of {len(self.passes) - 1} layers ({named}) go "
                "through tf.gradients, the others through backward passes of their own")

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Compute the logits, float32 (n, K), of x: float32, (n, h, w, 3), model-input units."""
        return self._session.run(self._f, {self._x: x})

    def vector_jacobian(self, cotangents: tf.Tensor) -> tf.Tensor:
        """Build the gradient of each sum_k cotangents[j, k] f_k with respect to one image.

        cotangents: float32 (m, K), m known when the graph is built. Returns float32 (m, h, w, 3),
        a tensor of a graph that must be run with one image. tf.gradients would run m backward
        passes; here the m cotangents go back as one batch, through the activations of one image.
        """
        terms = collections.defaultdict(list)  # of the gradient of each layer's output
        terms[self.passes[-1]].append(cotangents)
        for layer in reversed(self.passes[1:]):
            gradients = layer.backward(tf.add_n(terms.pop(layer)), self.outputs[layer],
                                       *self._inputs(layer))
            for source, gradient in zip(layer.sources, gradients):
                gradient.set_shape(
                    cotangents.shape[:1].concatenate(self.outputs[source].shape[1:]))
                terms[source].append(gradient)
        return tf.add_n(terms[self.passes[0]])

    def _inputs(self, layer: LayerPass) -> List[tf.Tensor]:
        return [self.outputs[source] for source in layer.sources]

    def boundary_gradients_to_leave(
            self, x: np.ndarray, label: int) -> Tuple[np.ndarray, Optional[np.ndarray]]:
        """Return f and the gradients of f_k - f_label for all k, (K, h, w, 3).

        That of `label` is 0. None instead of them when argmax f is not `label`.
        """
        f, w = self._run(tf.equal, self._others_minus_label, x, label=label)
        return f, None if w is None else np.insert(w, label, 0, axis=0)

    def boundary_gradient_to_reach(
            self, x: np.ndarray, target: int) -> Tuple[np.ndarray, Optional[np.ndarray]]:
        """Return f and the gradient of f_target - f_top with top = argmax f, (h, w, 3).

        None instead of the gradient when top is `target`.
        """
        return self._run_one(tf.not_equal, self._label_minus_top, x, label=target)

    def loss_gradient_to_leave(
            self, x: np.ndarray, label: int) -> Tuple[np.ndarray, Optional[np.ndarray]]:
        """Return f and the gradient of logsumexp_{k != label} f_k - f_label, (h, w, 3).

        None instead of the gradient when argmax f is not `label`. It points exactly where the
        gradient of the cross-entropy does, which is 1 - p_label times as long and vanishes in
        float32 on a confident classifier.
        """
        return self._run_one(tf.equal, self._rest_minus_label, x, label=label)

    def loss_gradient_to_reach(
            self, x: np.ndarray, target: int) -> Tuple[np.ndarray, Optional[np.ndarray]]:
        """Return f and the gradient of f_target - logsumexp_{k != target} f_k, (h, w, 3).

        It points against that of the cross-entropy. None instead of it when argmax f is `target`.
        """
        return self._run_one(tf.not_equal, self._label_minus_rest, x, label=target)

    def minibatch_gradient_to_leave(
            self, x: np.ndarray, labels: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Return f and the gradient of the mean of min(logsumexp_{k != label} f_k - f_label, BETA).

        x: a minibatch, float32 (n, h, w, 3). labels: int (n,). Returns logits, (n, K), and the
        gradient, (h, w, 3).
        """
        return self._run_minibatch(1, x, labels)

    def minibatch_gradient_to_reach(
            self, x: np.ndarray, labels: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Return f and the gradient of the mean of min(f_label - logsumexp_{k != label} f_k, BETA).

        Arguments and shapes are those of minibatch_gradient_to_leave.
        """
        return self._run_minibatch(-1, x, labels)

    def _run_minibatch(self, sign: int, x: np.ndarray,
                       labels: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        if sign not in self._gradients:
            is_label = tf.one_hot(self._labels, self._num_classes, True, False)
            margin = (tf.reduce_logsumexp(self._rest(is_label), 1)
                      - tf.boolean_mask(self._f, is_label))
            g = tf.gradients(tf.minimum(sign * margin, BETA), self._x)[0]
            self._gradients[sign] = self._grey_part(tf.reduce_mean(g, 0))
        return self._session.run((self._f, self._gradients[sign]),
                                 {self._x: x, self._labels: labels})

    def _run(self, condition: Callable, cotangents: Callable[[], tf.Tensor], x: np.ndarray,
             label: int) -> Tuple[np.ndarray, Optional[np.ndarray]]:
        """Run the logits and, if condition(argmax f, label), the gradients for the cotangents.

        Returns f, (K,), and the gradients, (m, h, w, 3), for cotangents (m, K), or None.
        """
        if cotangents not in self._gradients:
            self._gradients[cotangents] = tf.cond(
                condition(self._top, self._label),
                lambda: self._grey_part(self.vector_jacobian(cotangents())),
                lambda: tf.zeros([0] + self._x.shape.as_list()[1:]))
        f, gradients = self._session.run((self._f, self._gradients[cotangents]),
                                         {self._x: x[np.newaxis], self._label: label})
        return f[0], gradients if len(gradients) else None

    def _run_one(self, condition: Callable, cotangents: Callable[[], tf.Tensor], x: np.ndarray,
                 label: int) -> Tuple[np.ndarray, Optional[np.ndarray]]:
        f, gradients = self._run(condition, cotangents, x, label=label)
        return f, None if gradients is None else gradients[0]

    def _grey_part(self, g: tf.Tensor) -> tf.Tensor:
        return grey_part(g) if self._grey else g

    def _rest(self, is_label: tf.Tensor) -> tf.Tensor:
        """The logits but those of the labels, which are minus infinity."""
        return tf.where(is_label, tf.fill(tf.shape(self._f), -np.inf), self._f)

    def _one_hot(self, label: tf.Tensor) -> tf.Tensor:
        return tf.one_hot(label, self._num_classes)[tf.newaxis]

    def _others_minus_label(self) -> tf.Tensor:
        """One row for each of the K - 1 classes k != label, in order."""
        units = tf.eye(self._num_classes)
        others = tf.concat([units[:self._label], units[self._label + 1:]], 0)
        others.set_shape((self._num_classes - 1, self._num_classes))
        return others - self._one_hot(self._label)

    def _label_minus_top(self) -> tf.Tensor:
        return self._one_hot(self._label) - self._one_hot(self._top)

    def _rest_minus_label(self) -> tf.Tensor:
        """The gradient of logsumexp is the softmax."""
        is_label = self._one_hot(self._label)
        return tf.nn.softmax(self._rest(is_label > 0)) - is_label

    def _label_minus_rest(self) -> tf.Tensor:
        return -self._rest_minus_label()


def activation_energy(model: Any, grey: bool = False) -> Callable[
        [np.ndarray], Tuple[float, np.ndarray]]:
    """Build the objective of utils.attack.gd_uap: how strongly a model's convolutions respond.

    model: a Keras model in a session started for inference. grey: as of AttackGraph. Returns a
    function: v, float32 (h, w, 3), model-input units, the only input -> (objective, g): the sum
    over all rectified convolutions l of log(||a_l||_2^2 / 2), and its gradient, (h, w, 3).

    A rectified convolution is a layer that gives images, (n, h, w, c), and rectifies them: its
    activation is relu, or it is a ReLU, capped or not. Raises UserError where there is none.
    """
    rectified = [layer.output for layer in model.layers if _rectifies_images(layer)]
    if not rectified:
        others = {getattr(layer.activation, "__name__", "unknown") for layer in model.layers
                  if hasattr(layer, "activation")}
        raise UserError("--attack gd-uap is defined by rectified convolutions, and this network "
                        f"has none (its activations are {', '.join(sorted(others))}); use "
                        "another attack")
    # A layer that is silent under v alone has no gradient; without SILENT it would make it NaN.
    objective = tf.add_n([tf.log(tf.nn.l2_loss(each) + SILENT) for each in rectified])
    g = tf.gradients(objective, model.inputs[0])[0][0]
    if grey:
        g = grey_part(g)
    session = K.get_session()
    return lambda v: session.run((objective, g), {model.inputs[0]: v[np.newaxis]})


def _rectifies_images(layer: Any) -> bool:
    is_rectifier = (getattr(layer, "activation", None) is activations.relu
                    or isinstance(layer, layers.ReLU))
    return is_rectifier and len(layer.output.shape) == 4


def grey_part(g: tf.Tensor) -> tf.Tensor:
    """Return the mean over the channels of g, (..., h, w, 3), in all three."""
    return tf.reduce_mean(g, -1, keepdims=True) * tf.ones(3)
