"""A Keras classifier as the functions that the attacks call: logits, and gradients of logits.

Gradients are of logits, never of softmax outputs: on a confident classifier the latter vanish, and
DeepFool's linear step explodes. Each gradient function is one run of the TensorFlow graph, whose
backward part is executed only if the label makes it necessary.
"""

import keras.backend as K
import numpy as np
import tensorflow as tf
from keras import activations

from utils.attack.fast_gradients import FastGradients

BETA = 10.0  # of the clipped loss of a minibatch


class AttackGraph:
    """model: a Keras classifier with a layer "logits", in a session started for inference.

    grey: give only the grey part of each gradient, its mean over the channels, equal in all three:
    an attack that follows it leaves grey images grey, as the authors' one-channel models do.
    """

    def __init__(self, model, grey=False):
        self._grey = grey
        self._session = K.get_session()
        self._classifier = FastGradients(model)
        self._x = self._classifier.input
        self._f = self._classifier.logits
        self._num_classes = int(self._f.shape[1])
        self._top = tf.argmax(self._f[0], output_type=tf.int32)
        self._label = tf.placeholder(tf.int32, ())
        self._leave = tf.placeholder(tf.bool, ())
        self._graphs, self._minibatch = {}, None

    def logits(self, x):
        """x: float32, (n, h, w, 3), model-input units. Returns float32 logits, (n, K)."""
        return self._session.run(self._f, {self._x: x})

    def differences(self, x, label):
        """Logits of one image, and the gradients that DeepFool needs to leave `label`.

        x: float32, (h, w, 3), model-input units. Returns (f, w): f float32 (K,), and w float32
        (K, h, w, 3), the gradients of f_k - f_label, of which w[label] is 0; w is None when
        argmax f is not `label`.
        """
        f, w = self._run(self._differences, x, label)
        return f, None if w is None else np.insert(w, label, 0, axis=0)

    def difference(self, x, target):
        """Logits of one image, and the gradient that DeepFool needs to reach `target`.

        x: as above. Returns (f, w): w float32 (h, w, 3), the gradient of f_target - f_top with
        top = argmax f, or None when top is `target`.
        """
        f, w = self._run(self._difference, x, target)
        return f, None if w is None else w[0]

    def margin_gradient(self, x, label, leave):
        """Logits of one image, and the gradient of logsumexp_{k != label} f_k - f_label.

        x: as above. leave: True to get the gradient only while argmax f is `label`, False only
        while it is not. Returns (f, g): g float32 (h, w, 3) or None.
        """
        f, g = self._run(self._margin, x, label, leave)
        return f, None if g is None else g[0]

    def minibatch_gradient(self, x, label, leave):
        """Logits of a minibatch, and the gradient that a perturbation of all its images follows.

        x: float32, (n, h, w, 3), model-input units. label: int, (n,). leave: True to leave the
        labels, False to reach them. Returns (f, g): f float32 (n, K), and g float32 (h, w, 3), the
        gradient of the mean over the minibatch of min(m, BETA), where m is the margin that
        margin_gradient climbs, or its negative.
        """
        if self._minibatch is None:
            self._labels = tf.placeholder(tf.int32, (None,))
            is_label = tf.one_hot(self._labels, self._num_classes, True, False)
            others = tf.where(is_label, tf.fill(tf.shape(self._f), -np.inf), self._f)
            margin = tf.reduce_logsumexp(others, 1) - tf.boolean_mask(self._f, is_label)
            loss = tf.minimum(tf.where(self._leave, margin, -margin), BETA)
            self._minibatch = grey_part(
                tf.reduce_mean(tf.gradients(loss, self._x)[0], 0), self._grey)
        return self._session.run((self._f, self._minibatch),
                                 {self._x: x, self._labels: label, self._leave: leave})

    def _run(self, build, x, label, leave=True):
        if build not in self._graphs:
            self._graphs[build] = build()
        f, gradients = self._session.run(
            (self._f, self._graphs[build]),
            {self._x: x[np.newaxis], self._label: label, self._leave: leave})
        return f[0], gradients if len(gradients) else None

    def _gradients_if(self, condition, make_cotangents):
        """The gradients for the cotangents (m, K), as (m, h, w, 3); (0, h, w, 3) if not."""
        def gradients():
            return grey_part(self._classifier.vector_jacobian(make_cotangents()), self._grey)

        return tf.cond(condition, gradients, lambda: tf.zeros([0] + self._x.shape.as_list()[1:]))

    def _one_hot(self, label):
        return tf.one_hot(label, self._num_classes)[tf.newaxis]

    def _differences(self):
        def cotangents():  # one row for each of the K - 1 classes k != label, in order
            units = tf.eye(self._num_classes)
            others = tf.concat([units[:self._label], units[self._label + 1:]], 0)
            others.set_shape((self._num_classes - 1, self._num_classes))
            return others - self._one_hot(self._label)

        return self._gradients_if(tf.equal(self._top, self._label), cotangents)

    def _difference(self):
        return self._gradients_if(
            tf.not_equal(self._top, self._label),
            lambda: self._one_hot(self._label) - self._one_hot(self._top))

    def _margin(self):
        def cotangent():  # the gradient of logsumexp is the softmax
            is_label = self._one_hot(self._label)
            others = tf.nn.softmax(tf.where(is_label > 0, tf.fill(tf.shape(is_label), -np.inf),
                                            self._f))
            return others - is_label

        return self._gradients_if(tf.equal(tf.equal(self._top, self._label), self._leave),
                                  cotangent)


class Activations:
    """How much a Keras model, its top aside, is excited: the objective of utils.attack.gd_uap.

    model: in a session started for inference. grey: as of AttackGraph.
    """

    def __init__(self, model, grey=False):
        self._x = model.input
        rectified = [layer.output for layer in model.layers
                     if getattr(layer, "activation", None) is activations.relu]
        objective = tf.add_n([tf.log(tf.nn.l2_loss(each)) for each in rectified])
        self._outputs = objective, grey_part(tf.gradients(objective, self._x)[0][0], grey)

    def gradient(self, v):
        """v: float32, (h, w, 3), model-input units, the only input. Returns (objective, g): the sum
        over all rectified convolutions l of log(||a_l||_2^2 / 2), and its gradient, (h, w, 3).
        """
        return K.get_session().run(self._outputs, {self._x: v[np.newaxis]})


def grey_part(g, grey):
    """g, (..., h, w, 3); where `grey`, its mean over the channels, in all three."""
    return tf.reduce_mean(g, -1, keepdims=True) * tf.ones(3) if grey else g
