"""A Keras classifier as the functions that the attacks call: logits, and gradients of logits.

Gradients are of logits, never of softmax outputs: on a confident classifier the latter vanish, and
DeepFool's linear step explodes. A gradient function's name says what it is for:

                                      to leave a class               to reach a class
    DeepFool, across a boundary       boundary_gradients_to_leave    boundary_gradient_to_reach
    FGSM, along the loss              loss_gradient_to_leave         loss_gradient_to_reach

Each is one run of the TensorFlow graph, takes one image x, float32 (h, w, 3), model-input units,
and returns (f, gradient): the logits, float32 (K,), and a float32 array, or None where the image is
there already; the backward part of the graph is then not executed.
"""

import keras.backend as K
import numpy as np
import tensorflow as tf

from utils.attack.fast_gradients import FastGradients


class AttackGraph:
    """model: a Keras classifier with a layer "logits", in a session started for inference.

    grey: give only the grey part of each gradient, its mean over the channels, equal in all three:
    an attack that follows it leaves grey images grey, as the authors' one-channel models do.
    """

    def __init__(self, model, grey=False):
        self._grey = grey
        self._session = K.get_session()
        self._classifier = FastGradients(model, self._session)
        self._x = self._classifier.input
        self._f = self._classifier.logits
        self._num_classes = int(self._f.shape[1])
        self._top = tf.argmax(self._f[0], output_type=tf.int32)
        self._label = tf.placeholder(tf.int32, ())
        self._gradients = {}

    def logits(self, x):
        """x: float32, (n, h, w, 3), model-input units. Returns float32 logits, (n, K)."""
        return self._session.run(self._f, {self._x: x})

    def boundary_gradients_to_leave(self, x, label):
        """The gradients of f_k - f_label for all k, (K, h, w, 3), of which that of `label` is 0;
        None when argmax f is not `label`."""
        f, w = self._run(tf.equal, self._others_minus_label, x, label)
        return f, None if w is None else np.insert(w, label, 0, axis=0)

    def boundary_gradient_to_reach(self, x, target):
        """The gradient of f_target - f_top with top = argmax f, (h, w, 3); None when top is
        `target`."""
        f, w = self._run(tf.not_equal, self._label_minus_top, x, target)
        return f, None if w is None else w[0]

    def loss_gradient_to_leave(self, x, label):
        """The gradient of logsumexp_{k != label} f_k - f_label, (h, w, 3); None when argmax f is
        not `label`.

        It points exactly where the gradient of the cross-entropy does, which is 1 - p_label times
        as long and vanishes in float32 on a confident classifier.
        """
        f, g = self._run(tf.equal, self._rest_minus_label, x, label)
        return f, None if g is None else g[0]

    def loss_gradient_to_reach(self, x, target):
        """The gradient of f_target - logsumexp_{k != target} f_k, (h, w, 3), against that of the
        cross-entropy; None when argmax f is `target`."""
        f, g = self._run(tf.not_equal, self._label_minus_rest, x, target)
        return f, None if g is None else g[0]

    def _run(self, condition, cotangents, x, label):
        """Logits, and the gradients, (m, h, w, 3), for the cotangents, (m, K), if
        condition(argmax f, label); else None."""
        if cotangents not in self._gradients:
            self._gradients[cotangents] = tf.cond(
                condition(self._top, self._label),
                lambda: self._grey_part(self._classifier.vector_jacobian(cotangents())),
                lambda: tf.zeros([0] + self._x.shape.as_list()[1:]))
        f, gradients = self._session.run((self._f, self._gradients[cotangents]),
                                         {self._x: x[np.newaxis], self._label: label})
        return f[0], gradients if len(gradients) else None

    def _grey_part(self, g):
        if not self._grey:
            return g
        return tf.reduce_mean(g, -1, keepdims=True) * tf.ones(3)

    def _one_hot(self, label):
        return tf.one_hot(label, self._num_classes)[tf.newaxis]

    def _others_minus_label(self):
        """One row for each of the K - 1 classes k != label, in order."""
        units = tf.eye(self._num_classes)
        others = tf.concat([units[:self._label], units[self._label + 1:]], 0)
        others.set_shape((self._num_classes - 1, self._num_classes))
        return others - self._one_hot(self._label)

    def _label_minus_top(self):
        return self._one_hot(self._label) - self._one_hot(self._top)

    def _rest_minus_label(self):
        """The gradient of logsumexp is the softmax."""
        is_label = self._one_hot(self._label)
        return tf.nn.softmax(tf.where(is_label > 0, tf.fill(tf.shape(is_label), -np.inf),
                                      self._f)) - is_label

    def _label_minus_rest(self):
        return -self._rest_minus_label()
