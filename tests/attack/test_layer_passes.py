"""The hand-written backward pass against tf.gradients of the Keras model."""

import numpy as np
import pytest
from test_attack_graph import images, logit_gradients

from utils.attack.gradients import layer_passes
from utils.attack.gradients.graph import AttackGraph, activation_energy
from utils.attack.gradients.layer_passes import Relu
from utils.classifier import architectures
from utils.classifier.frameworks import K, keras, layers, tf
from utils.classifier.scaled_addition import ScaledAddition
from utils.classifier.session import start_session
from utils.common.errors import UserError

CLASSES = 4
SIZES = {"VGG16": 33, "ResNet50": 64, "InceptionV3": 75}


def randomise(model):
    """Biases, and batch normalisation that differs from the identity, as after training."""
    random = np.random.RandomState(0)
    values = []
    for layer in model.layers:
        for weight in layer.weights:
            if len(weight.shape) == 1:
                low, high = (-0.3, 0.3) if weight.name.split("/")[-1][:4] in (
                    "bias", "beta", "movi") and "variance" not in weight.name else (0.5, 1.5)
                values.append((weight, random.uniform(low, high, weight.shape.as_list())))
    K.batch_set_value(values)


def of_architecture(architecture):
    """(model, its image size)."""
    start_session(0, inference=True)
    model = architectures.build_classifier(architecture, SIZES[architecture], CLASSES)
    randomise(model)
    return model, SIZES[architecture]


def of_layers(make, size=9):
    """The classifier that takes the logits from what `make` makes of an image."""
    start_session(0, inference=True)
    image = keras.Input((size, size, 3))
    x = layers.GlobalAveragePooling2D()(make(image))
    model = keras.Model(image, layers.Dense(CLASSES, name="logits")(x))
    randomise(model)
    return model


def assert_same(model, x):
    """The logits of x, (n, h, w, 3), and the Jacobian of its first image agree up to float32
    rounding. Returns both, of the latter."""
    graph = AttackGraph(model)
    f = graph.logits(x)
    expected = keras.Model(model.input, model.get_layer("logits").output).predict(x)
    np.testing.assert_allclose(f, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    w = K.get_session().run(graph.vector_jacobian(tf.eye(CLASSES)), {model.input: x[:1]})
    for found, gradient in zip(w, logit_gradients(model, x[0])):
        assert np.linalg.norm(found - gradient) < 1e-4 * np.linalg.norm(gradient)
    return f[0], w


@pytest.mark.parametrize("architecture", sorted(SIZES))
def test_the_studys_architectures(architecture):
    model, size = of_architecture(architecture)
    x = images(1, size)
    f, w = assert_same(model, x)
    top = int(f.argmax())
    found = np.delete(AttackGraph(model).boundary_gradients_to_leave(x[0], top)[1], top, axis=0)
    assert found.shape == (CLASSES - 1, size, size, 3)
    expected = np.delete(w, top, axis=0) - w[top]
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)


@pytest.mark.parametrize("architecture", sorted(SIZES))
def test_gradients_are_exact_where_rectifiers_agree_and_these_differ_only_next_to_0(architecture):
    model, size = of_architecture(architecture)
    graph = AttackGraph(model)
    cotangent = tf.one_hot([0], CLASSES)
    plain = tf.gradients(model.get_layer("logits").output, model.input, cotangent)[0]
    ours = [graph.outputs[layer] for layer in graph.passes if isinstance(layer, Relu)]
    theirs = [layer.output for layer in model.layers
              if getattr(layer, "activation", None) is keras.activations.relu]
    fetched = (graph.vector_jacobian(cotangent), plain, ours, theirs)
    exact = 0
    for seed in range(6):
        found, expected, ours, theirs = K.get_session().run(
            fetched, {model.input: images(1, size, seed)})
        assert len(ours) == len(theirs)
        agree = True
        for a, b in zip(ours, theirs):
            b = b[:, ::round(b.shape[1] / a.shape[1]), ::round(b.shape[2] / a.shape[2])]  # thinned
            differ = (a > 0) != (b > 0)
            assert (np.maximum(a, b)[differ] < 1e-4 * b.max()).all()
            agree = agree and not differ.any()
        if agree:
            exact += 1
            assert np.linalg.norm(found - expected) < 3e-6 * np.linalg.norm(expected)
    assert exact > 2


@pytest.mark.parametrize("size", [12, 13])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (3, 3), (2, 1), (3, 2)])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 3), (5, 4)])
def test_convolutions(kernel, strides, padding, size):
    def make(x):
        x = layers.Conv2D(5, 1, activation="relu")(x)
        x = layers.Conv2D(6, kernel, strides=strides, padding=padding, use_bias=False)(x)
        return layers.Activation("relu")(layers.BatchNormalization(scale=False)(x))

    assert_same(of_layers(make, size), images(1, size))


@pytest.mark.parametrize("size", [12, 13])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("pool, strides", [(2, 2), (3, 2), (3, 1), (2, 3)])
@pytest.mark.parametrize("pooling", [layers.MaxPooling2D, layers.AveragePooling2D])
def test_poolings(pooling, pool, strides, padding, size):
    def make(x):
        x = pooling(pool, strides=strides, padding=padding)(layers.Conv2D(5, 3)(x))
        return layers.Conv2D(4, 1, activation="relu")(x)

    assert_same(of_layers(make, size), images(1, size))


def test_a_pooling_of_two_users():
    def make(x):
        x = layers.AveragePooling2D(3, strides=1, padding="same")(x)
        return layers.Concatenate()([layers.Conv2D(2, 1)(x),
                                     layers.Conv2D(2, 1, activation="relu")(x)])

    assert_same(of_layers(make), images(3, 9))


@pytest.mark.parametrize("known", [True, False])
def test_the_first_of_equal_maxima_gets_the_gradient_as_in_tensorflow(monkeypatch, known):
    monkeypatch.setattr(layer_passes, "KNOWN_MAXIMA_SPEED_UP_POOLING", known)
    assert_same(of_layers(lambda x: layers.Conv2D(4, 1)(layers.MaxPooling2D(3, strides=2)(x))),
                np.round(2 * images(1, 9)))
    kinds = {operation.type for operation in tf.get_default_graph().get_operations()}
    assert ("MaxPoolGradWithArgmax" in kinds) == known


@pytest.mark.parametrize("settings", [{}, {"scale": False}, {"center": False}, {"axis": 3}])
@pytest.mark.parametrize("place", ["first", "after a rectifier", "twice used", "thinned", "dense"])
def test_a_batch_normalisation_that_no_convolution_takes_in(place, settings):
    def make(x):
        if place == "first":
            return layers.Conv2D(4, 3)(layers.BatchNormalization(**settings)(x))
        if place == "dense":  # its only axis is the last
            x = layers.Dense(5, activation="relu")(layers.Flatten()(layers.Conv2D(4, 3)(x)))
            x = layers.BatchNormalization(**dict(settings, axis=-1))(x)
            return layers.Reshape((1, 1, 5))(x)
        x = layers.Conv2D(5, 3, activation="relu")(x)
        y = layers.BatchNormalization(**settings)(x)
        if place == "thinned":
            return layers.Conv2D(4, 1, strides=2)(layers.Activation("relu")(y))
        return layers.Add()([x, y]) if place == "twice used" else layers.Conv2D(4, 1)(y)

    model = of_layers(make)
    assert "BatchNormalization" not in AttackGraph(model).slow_layers()
    assert_same(model, images(3, 9))


def test_the_scaled_addition_of_inceptionresnetv2():
    def make(x):
        x = layers.Conv2D(4, 3, activation="relu")(x)
        x = ScaledAddition(0.17)([x, layers.Conv2D(4, 3, padding="same")(x)])
        return layers.Conv2D(4, 1, strides=2)(layers.Activation("relu")(x))

    model = of_layers(make)
    assert not AttackGraph(model).slow_layers()
    assert_same(model, images(3, 9))


def mixed(layer):
    """The layer between two convolutions that layer_passes has."""
    def make(x):
        x = layer(layers.Conv2D(4, 3, activation="relu")(x))
        return layers.Conv2D(5, 1, activation="relu")(x)
    return make


def two_users(x):
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    return layers.Add()([x, layers.Activation("relu")(layers.Conv2D(3, 3, padding="same")(x))])


@pytest.mark.parametrize("make, kinds", [
    (lambda x: layers.DepthwiseConv2D(3)(x), {"DepthwiseConv2D": 1}),
    (two_users, {"DepthwiseConv2D": 1}),
    (lambda x: mixed(layers.SeparableConv2D(4, 3, strides=2))(x), {"SeparableConv2D": 1}),
    (lambda x: mixed(layers.Conv2D(4, 3, dilation_rate=2))(x), {"Conv2D": 1}),
    (lambda x: mixed(layers.Conv2DTranspose(4, 3, strides=2))(x), {"Conv2DTranspose": 1}),
    (lambda x: mixed(layers.Conv2D(4, 3, activation="tanh"))(x), {"Conv2D": 1}),
    (lambda x: mixed(layers.Activation("sigmoid"))(x), {"Activation": 1}),
    (lambda x: mixed(layers.ReLU(6.0))(x), {"ReLU": 1}),
    (lambda x: mixed(layers.LeakyReLU())(x), {"LeakyReLU": 1}),
    (lambda x: mixed(layers.PReLU())(x), {"PReLU": 1}),
    (lambda x: mixed(layers.ELU())(x), {"ELU": 1}),
    (lambda x: mixed(layers.BatchNormalization(axis=1))(x), {"BatchNormalization": 1}),
    (lambda x: mixed(layers.UpSampling2D())(x), {"UpSampling2D": 1}),
    (lambda x: mixed(layers.Cropping2D())(x), {"Cropping2D": 1}),
    (lambda x: layers.Concatenate(axis=1)([x, x]), {"Concatenate": 1}),
    (lambda x: layers.Multiply()([layers.Conv2D(3, 1)(x), x]), {"Multiply": 1}),
])
def test_a_layer_without_a_backward_pass_goes_through_tensorflow_and_no_other(make, kinds):
    model = of_layers(make)
    assert AttackGraph(model).slow_layers() == kinds
    assert_same(model, images(3, 9))


@pytest.mark.parametrize("layer", [layers.Dropout(0.5), layers.SpatialDropout2D(0.5),
                                   layers.Activation("linear")])
def test_a_layer_that_does_nothing_at_inference_costs_nothing(layer):
    model = of_layers(mixed(layer))
    assert not AttackGraph(model).slow_layers()
    assert_same(model, images(3, 9))


def sequential():
    """The usual small network of a tutorial: flattened, several dense layers, dropout."""
    start_session(0, inference=True)
    model = keras.Sequential([
        layers.Conv2D(6, 3, activation="relu", input_shape=(9, 9, 3)), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(10, activation="relu"), layers.Dropout(0.5),
        layers.Dense(8, activation="tanh"), layers.Dense(CLASSES, activation="softmax")])
    randomise(model)
    return model


def plain_logits(model):
    """What the softmax, the last operation of the Keras model, is computed from."""
    assert model.output.op.type == "Softmax"
    return model.output.op.inputs[0]


def assert_same_as_plain(model, x, tolerance=1e-3):
    """The logits of x, (n, h, w, 3), are Keras', and the Jacobian of the first image is that of
    tf.gradients, class by class, up to a share of its length. Returns the AttackGraph."""
    graph, f = AttackGraph(model), plain_logits(model)
    session, image = K.get_session(), model.inputs[0]
    expected = session.run(f, {image: x})
    np.testing.assert_allclose(graph.logits(x), expected, rtol=1e-3,
                               atol=1e-4 * np.abs(expected).max())
    classes = int(f.shape[1])
    cotangent = tf.placeholder(tf.float32, f.shape)
    gradient = tf.gradients(f, image, cotangent)[0]
    found = session.run(graph.vector_jacobian(tf.eye(classes)), {image: x[:1]})
    for w, row in zip(found, np.eye(classes)):
        plain = session.run(gradient, {image: x[:1], cotangent: row[np.newaxis]})[0]
        assert np.linalg.norm(w - plain) < tolerance * np.linalg.norm(plain)
    return graph


def test_a_sequential_network_with_a_flatten_and_several_dense_layers():
    model = sequential()
    assert assert_same_as_plain(model, images(3, 9)).slow_layers() == {"Flatten": 1, "Dense": 1}


@pytest.mark.parametrize("architecture, slow", [
    ("MobileNetV2", {"DepthwiseConv2D", "ReLU"}), ("Xception", {"SeparableConv2D"})])
def test_other_architectures_of_keras(architecture, slow):
    """tests/scripts/test_authors_architectures.py has VGG19, DenseNet121, DenseNet169 and
    InceptionResNetV2."""
    start_session(0, inference=True)
    size = architectures.MIN_IMAGE_SIZE[architecture]
    model = architectures.build_classifier(architecture, size, 2)
    randomise(model)
    # In a network of so many rectifiers the input of one may be within rounding of 0 or 6: on in
    # one computation and off in the other, which changes the gradient by less than a percent.
    graph = assert_same_as_plain(model, images(1, size), tolerance=0.02)
    assert set(graph.slow_layers()) == slow


def with_head(*head):
    """A classifier that ends with these layers."""
    start_session(0, inference=True)
    model = keras.Sequential([layers.Conv2D(5, 3, activation="relu", input_shape=(9, 9, 3)),
                              *head])
    randomise(model)
    return model


@pytest.mark.parametrize("head", [
    lambda: [layers.GlobalMaxPooling2D(), layers.Dense(3), layers.Activation("softmax")],
    lambda: [layers.GlobalMaxPooling2D(), layers.Dense(3), layers.Softmax()],
    lambda: [layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax")],
    lambda: [layers.Conv2D(3, 7), layers.GlobalAveragePooling2D(), layers.Activation("softmax")]])
def test_the_logits_are_what_the_softmax_is_computed_from_under_any_name(head):
    model = with_head(*head())
    assert_same_as_plain(model, images(3, 9))


def test_the_softmax_of_a_convolution_before_a_reshape_is_found_too():
    model = with_head(layers.GlobalAveragePooling2D(), layers.Reshape((1, 1, 5)),
                      layers.Conv2D(3, 1), layers.Activation("softmax"), layers.Reshape((3,)))
    x = images(4, 9)
    f = AttackGraph(model).logits(x)
    np.testing.assert_allclose(np.exp(f) / np.exp(f).sum(axis=1, keepdims=True), model.predict(x),
                               rtol=1e-4)


def test_a_sigmoid_of_one_output_becomes_two_logits_of_which_the_first_is_0():
    model = with_head(layers.Flatten(), layers.Dense(1, activation="sigmoid"))
    graph, x = AttackGraph(model), images(5, 9)
    f = graph.logits(x)
    assert f.shape == (5, 2) and not f[:, 0].any()
    np.testing.assert_allclose(1 / (1 + np.exp(-f[:, 1])), model.predict(x)[:, 0], rtol=1e-4)
    label = int(f[0].argmax())
    plain, = K.get_session().run(tf.gradients(model.output.op.inputs[0], model.input),
                                 {model.input: x[:1]})
    _, w = graph.boundary_gradients_to_leave(x[0], label)
    np.testing.assert_allclose(w[1 - label], plain[0] * (1 if label == 0 else -1), rtol=1e-4,
                               atol=1e-6)
    assert not w[label].any()


@pytest.mark.parametrize("head, message", [
    ([layers.Flatten(), layers.Dense(1)], "activation linear.* has 1 outputs"),
    ([layers.Flatten(), layers.Dense(3, activation="sigmoid")], "activation sigmoid.* 3 outputs"),
    ([layers.Flatten(), layers.Dense(1, activation="softmax")], "activation softmax.* 1 outputs"),
    ([layers.Flatten(), layers.Dense(2, activation="tanh")], "activation tanh.* 2 outputs"),
    ([layers.Flatten(), layers.BatchNormalization()], "BatchNormalization, activation none"),
])
def test_a_network_that_gives_no_logits_is_refused(head, message):
    with pytest.raises(UserError, match=message):
        AttackGraph(with_head(*head))


def test_gd_uap_takes_rectified_images_and_refuses_a_network_without_any():
    start_session(0, inference=True)
    image = keras.Input((9, 9, 3))
    x = layers.ReLU(6.0)(layers.Conv2D(4, 3)(image))
    capped, x = x, layers.Dense(5, activation="relu")(layers.Flatten()(x))
    model = keras.Model(image, layers.Dense(2, activation="softmax")(x))
    v = images(1, 9)[0]
    value = keras.Model(image, capped).predict(v[np.newaxis])
    assert activation_energy(model)(v)[0] == pytest.approx(np.log((value ** 2).sum() / 2))
    without = keras.Sequential([
        layers.Conv2D(4, 3, activation="elu", input_shape=(9, 9, 3)), layers.Flatten(),
        layers.Dense(2, activation="softmax")])
    with pytest.raises(UserError, match="gd-uap .*rectified.* elu, softmax"):
        activation_energy(without)
