"""The logits of a Keras classifier, and several gradients of them in one backward pass, in
TensorFlow operations that cost little more than the convolutions themselves.

tf.gradients of K - 1 scalars runs K - 1 backward passes of one image. Here the K - 1 cotangents go
back as one batch, through the activations of one image, by the backward passes of layer_passes.
"""

import collections

import tensorflow as tf

from utils.attack.network_rewriting import layers_of


class FastGradients:
    """model: a Keras classifier with a layer "logits", for inference, in the TensorFlow `session`.
    Its weights are copied: what changes them later changes nothing here.

    input: the model's input, float32 (n, h, w, 3). logits: float32 (n, K). layers: in order, and
    values: the output of each.
    The gradients are those of tf.gradients up to float32 rounding, about 1e-6 of their length; but
    where the input of a rectifier is itself within rounding of 0, the two may see it on different
    sides, and differ by what went through it (one random image in 20; 5e-2 at the most was seen).
    """

    def __init__(self, model, session):
        constants = {}  # outside the GraphDef, which must be below 2 GB and is copied several times

        def constant(value):
            variable = tf.Variable(tf.placeholder(tf.float32, value.shape), trainable=False,
                                   collections=[])
            constants[variable] = value
            return variable.value()

        self.input = model.input
        self.layers = layers_of(model, session)
        self.values = {self.layers[0]: self.input}
        for layer in self.layers[1:]:
            layer.prepare(constant)
            self.values[layer] = layer.forward(*self._inputs(layer))
        self.logits = self.values[self.layers[-1]]
        # in one run: each run of a changed graph prepares all of it again
        session.run([variable.initializer for variable in constants],
                    {variable.initial_value: value for variable, value in constants.items()})

    def vector_jacobian(self, cotangents):
        """The gradient of each sum_k cotangents[j, k] f_k with respect to one image.

        cotangents: float32 (m, K), m known when the graph is built. Returns float32 (m, h, w, 3).
        The graph must be run with one image.
        """
        terms = collections.defaultdict(list)  # of the gradient of each layer's output
        terms[self.layers[-1]].append(cotangents)
        for layer in reversed(self.layers[1:]):
            gradients = layer.backward(_sum(terms.pop(layer)), self.values[layer],
                                       *self._inputs(layer))
            for source, gradient in zip(layer.sources, gradients):
                gradient.set_shape(
                    cotangents.shape[:1].concatenate(self.values[source].shape[1:]))
                terms[source].append(gradient)
        return _sum(terms[self.layers[0]])

    def _inputs(self, layer):
        return [self.values[source] for source in layer.sources]


def _sum(tensors):
    return tensors[0] if len(tensors) == 1 else tf.add_n(tensors)
