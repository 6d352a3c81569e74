"""The seven architectures of the authors' code of 2021, from files of weights as it writes them.

hkthirano/MedicalAI-UAP, utils/model.py and train_model.py: a network of Keras' without its top,
global average pooling, one dense layer; ModelCheckpoint with save_weights_only. The weights here
are random.
"""

import dataclasses

import numpy as np
import pytest

from utils.attack.attacks import attack_events, beginning
from utils.attack.gradients.graph import AttackGraph
from utils.attack.settings import AttackSettings
from utils.classifier import foreign_network
from utils.classifier.architectures import MIN_IMAGE_SIZE, build_classifier
from utils.classifier.foreign_network import (
    build_network,
    layers_of_weights,
    with_preprocessing,
)
from utils.classifier.frameworks import K, keras, layers, tf
from utils.classifier.preprocessing import NAMED
from utils.classifier.session import start_session
from utils.images.norms import norm

# And the layers that go through tf.gradients.
ARCHITECTURES = {
    "InceptionV3": set(), "VGG16": set(), "VGG19": set(), "ResNet50": set(),
    "InceptionResNetV2": {"ScaledAddition"}, "DenseNet121": {"BatchNormalization"},
    "DenseNet169": {"BatchNormalization"}}
CLASSES = 2
XI = 0.1


def write_weights(path, architecture):
    """Write a file as the authors' ModelCheckpoint does, random as before any training."""
    start_session(0, inference=True)
    built = build_classifier(architecture, MIN_IMAGE_SIZE[architecture], CLASSES)
    x = layers.GlobalAveragePooling2D()(built.get_layer("features").input)
    model = keras.Model(built.input, layers.Dense(CLASSES, activation="softmax")(x))
    model.save_weights(path)
    return model, built


def images(n, size):
    return np.random.RandomState(1).uniform(-1, 1, (n, size, size, 3)).astype(np.float32)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_a_file_of_weights_is_adopted_and_attacked_to_the_end(
        tmp_path, monkeypatch, architecture):
    path, size = str(tmp_path / "weights.h5"), MIN_IMAGE_SIZE[architecture]
    x = images(2, size)
    model, built = write_weights(path, architecture)
    expected = model.predict(x)
    # Building it once more takes seconds, and nothing but its layers is asked for.
    monkeypatch.setattr(foreign_network, "build_classifier", lambda *_: built)
    read, arrays = layers_of_weights(path, architecture, size, CLASSES)
    read = with_preprocessing(read, arrays, NAMED["study"], size)
    start_session(0, inference=True)
    network = build_network(read, arrays, path)
    graph = AttackGraph(network)
    assert set(graph.slow_layers()) == ARCHITECTURES[architecture]
    f = graph.logits(x).astype(np.float64)
    softmax = np.exp(f) / np.exp(f).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax, expected, rtol=1e-3, atol=1e-6)

    top = int(f[0].argmax())
    plain, = K.get_session().run(
        tf.gradients(network.output.op.inputs[0], network.inputs[0],
                     [[[1.0, -1.0]]] if top == 1 else [[[-1.0, 1.0]]]), {network.inputs[0]: x[:1]})
    _, w = graph.boundary_gradients_to_leave(x[0], top)
    assert np.linalg.norm(w[1 - top] - plain[0]) < 1e-3 * np.linalg.norm(plain)

    for attack in ("deepfool", "sgd"):
        settings = dataclasses.replace(AttackSettings(), attack=attack)
        state = beginning(settings, x[0].shape, len(x), XI, grey=False)
        events = attack_events(settings, graph, state, lambda indices: iter(x[indices]),
                               target=None, xi=XI)
        assert len(list(events)) > 1
        assert state.visits == len(x) and state.steps > 0
        assert norm(state.v, np.inf) <= XI * (1 + 1e-6)
    # Of random weights, DeepFool's step may change no label, and is dropped; SGD keeps every step.
    assert norm(state.v, np.inf) > 0
