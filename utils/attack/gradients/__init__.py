"""The gradients that the attacks ask for, computed faster than tf.gradients computes them.

To understand the attack, skip this folder: the docstring of graph.py says what its functions
return, and nothing else in utils.attack depends on how they do it. To check it, run
tests/attack/test_layer_passes.py and tests/attack/test_attack_graph.py, which compare logits and
gradients with tf.gradients of the unmodified Keras model and with finite differences.

graph.py is the classifier as the functions that the attacks call. network_rewriting.py turns Keras
layers into passes, of which there are fewer and smaller ones than layers. layer_passes.py has the
forward and the backward pass of each kind of layer; what has none goes through tf.gradients.

It may import what utils.attack may. It must not know the algorithms.
"""
