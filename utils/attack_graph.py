"""A Keras classifier as the functions that the attacks call: logits, and gradients of logits.

Gradients are of logits, never of softmax outputs: on a confident classifier the latter vanish, and
DeepFool's linear step explodes. Each gradient function is one run of the TensorFlow graph, whose
backward part is executed only if the label makes it necessary.
"""

import keras.backend as K
import numpy as np
import tensorflow as tf


class AttackGraph:
    """model: a Keras classifier with a layer "logits", in a session started for inference."""

    def __init__(self, model):
        self._session = K.get_session()
        self._x = model.input
        self._logits = model.get_layer("logits").output
        self._label = tf.placeholder(tf.int32, ())
        self._leave = tf.placeholder(tf.bool, ())
        self._graphs = {}

    def logits(self, x):
        """x: float32, (n, h, w, 3), model-input units. Returns float32 logits, (n, K)."""
        return self._session.run(self._logits, {self._x: x})

    def differences(self, x, label):
        """Logits of one image, and the gradients that DeepFool needs to leave `label`.

        x: float32, (h, w, 3), model-input units. Returns (f, w): f float32 (K,), and w float32
        (K, h, w, 3), the gradients of f_k - f_label, of which w[label] is 0; w is None when
        argmax f is not `label`.
        """
        f, w = self._run("differences", self._build_differences, x, label)
        return f, np.insert(w, label, 0, axis=0) if len(w) else None

    def difference(self, x, target):
        """Logits of one image, and the gradient that DeepFool needs to reach `target`.

        x: as above. Returns (f, w): w float32 (h, w, 3), the gradient of f_target - f_top with
        top = argmax f, or None when top is `target`.
        """
        f, w = self._run("difference", self._build_difference, x, target)
        return f, w[0] if len(w) else None

    def margin_gradient(self, x, label, leave):
        """Logits of one image, and the gradient of logsumexp_{k != label} f_k - f_label.

        x: as above. leave: True to get the gradient only while argmax f is `label`, False only
        while it is not. Returns (f, g): g float32 (h, w, 3) or None.
        """
        f, g = self._run("margin", self._build_margin, x, label, leave)
        return f, g[0] if len(g) else None

    def _run(self, name, build, x, label, leave=True):
        if name not in self._graphs:
            self._graphs[name] = build()
        f, gradients = self._session.run(
            (self._logits, self._graphs[name]),
            {self._x: x[np.newaxis], self._label: label, self._leave: leave})
        return f[0], gradients

    def _conditional_gradients(self, condition, make_scalars):
        """Gradients of the scalars with respect to x, (number, h, w, 3); none if not `condition`."""
        return tf.cond(
            condition,
            lambda: tf.concat([tf.gradients(scalar, self._x)[0] for scalar in make_scalars()], 0),
            lambda: tf.zeros(tf.concat([[0], tf.shape(self._x)[1:]], 0)))

    def _build_differences(self):
        f = self._logits[0]
        num_classes = int(f.shape[0])

        def others():  # the K - 1 classes k != label, in order
            for j in range(num_classes - 1):
                k = j + tf.cast(self._label <= j, tf.int32)
                yield f[k] - f[self._label]

        top = tf.argmax(f, output_type=tf.int32)
        return self._conditional_gradients(tf.equal(top, self._label), others)

    def _build_difference(self):
        f = self._logits[0]
        top = tf.argmax(f, output_type=tf.int32)
        return self._conditional_gradients(
            tf.not_equal(top, self._label), lambda: [f[self._label] - f[top]])

    def _build_margin(self):
        f = self._logits[0]

        def margin():
            is_label = tf.one_hot(self._label, int(f.shape[0]), on_value=True, off_value=False)
            others = tf.boolean_mask(f, tf.logical_not(is_label))
            return [tf.reduce_logsumexp(others) - f[self._label]]

        top = tf.argmax(f, output_type=tf.int32)
        return self._conditional_gradients(
            tf.equal(tf.equal(top, self._label), self._leave), margin)
