"""The gradients that the attacks ask for, computed faster than tf.gradients computes them.

To understand the attack, skip this folder: graph.py's docstring says what its functions return, and
tests/attack/test_attack_graph.py compares them with tf.gradients. It may import what utils.attack
may; it must not know the algorithms.
"""
