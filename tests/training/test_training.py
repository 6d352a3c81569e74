"""The recipes, the order and content of batches, and training that repeats bit for bit."""

from types import SimpleNamespace

import numpy as np
import pytest

import train_model
from utils.classifier import architectures
from utils.classifier.convolution_gradients import quick_gradients
from utils.classifier.frameworks import K, keras, layers
from utils.classifier.session import start_session
from utils.common.errors import UserError
from utils.images.pixels import to_model_input
from utils.training import fine_tuning

CLASSES = 3
SIZE = 12
LABELS = np.array([0] * 30 + [1] * 7 + [3] * 1)  # no image of class 2


@pytest.mark.parametrize("name, recipe, falls", [
    # the code of the two repositories: `epoch > 40` and so on, epochs counted from 0
    ("study", (100, False, False), {41: 0.1, 61: 0.01, 81: 0.001, 91: 0.0005}),
    ("follow-up", (50, True, True), {41: 0.1, 46: 0.01})])
def test_the_recipes_are_those_of_the_two_repositories(name, recipe, falls):
    found, factor = fine_tuning.RECIPES[name], 1
    assert (found.epochs, found.oversample, found.augment) == recipe
    for epoch in range(found.epochs):
        factor = falls.get(epoch, factor)
        assert fine_tuning.learning_rate(found, 0.5, epoch) == pytest.approx(0.5 * factor, rel=1e-12)


def test_without_oversampling_an_epoch_shows_every_image_once():
    order = fine_tuning.epoch_order(LABELS, False, 0, 0)
    assert sorted(order) == list(range(len(LABELS))) != list(order)


def test_oversampling_repeats_random_images_until_each_class_is_as_large_as_the_largest():
    order, other = (fine_tuning.epoch_order(LABELS, True, 0, epoch) for epoch in (0, 1))
    assert set(order) == set(range(len(LABELS)))
    assert list(np.bincount(LABELS[order])) == [30, 30, 0, 30]
    assert list(np.bincount(order)[:30]) == [1] * 30
    times = np.bincount(order)[30:37]
    assert len(set(times)) > 1 and list(times) != list(np.bincount(other)[30:37])


@pytest.mark.parametrize("oversample", [False, True])
def test_the_order_is_that_of_seed_and_epoch(oversample):
    def order(seed, epoch):
        return list(fine_tuning.epoch_order(LABELS, oversample, seed, epoch))

    assert order(3, 5) == order(3, 5)
    assert order(3, 5) != order(3, 6) and order(3, 5) != order(4, 5)


def data_set(n=23):
    random = np.random.RandomState(0)
    return (random.randint(0, 256, (n, SIZE, SIZE, 3)).astype(np.uint8),
            random.randint(0, CLASSES, n))


@pytest.mark.parametrize("batch_size, sizes", [
    (5, [5, 5, 5, 5, 3]), (23, [23]), (100, [23]), (1, [1] * 23)])
def test_an_epoch_in_batches_is_every_image_once_in_order_with_its_label(batch_size, sizes):
    images, labels = data_set()
    order = np.random.RandomState(1).permutation(len(images))
    found = list(fine_tuning.batches(images, labels, CLASSES, batch_size, order))
    assert [len(x) for x, _ in found] == sizes == [len(y) for _, y in found]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in found]),
                                  to_model_input(images)[order])
    np.testing.assert_array_equal(np.concatenate([y for _, y in found]),
                                  np.eye(CLASSES)[labels[order]])


def test_augmentation_changes_each_showing_repeats_with_its_seed_and_leaves_numpys_own_alone():
    def images(seed):
        shown = fine_tuning.batches(*data_set(), CLASSES, 5, np.zeros(23, int), True, seed)
        return np.concatenate([x for x, _ in shown])

    np.random.seed(0)
    expected = np.random.uniform(size=3)
    np.random.seed(0)
    np.testing.assert_array_equal(images(3), images(3))
    assert (images(3) != images(1000)).any(axis=(1, 2, 3)).all()
    assert len({image.tobytes() for image in images(3)}) == 23
    np.testing.assert_array_equal(np.random.uniform(size=3), expected)


def test_augmentation_turns_by_5_degrees_and_shifts_by_5_percent_at_the_most():
    size, point = 101, 70  # a spot 20 pixels from the centre, both ways
    image = np.zeros((1, size, size, 3), np.uint8)
    image[0, point - 1:point + 2, point - 1:point + 2] = 255
    (x, _), = fine_tuning.batches(image, np.zeros(1, int), 1, 200, np.zeros(200, int), True)
    mass = (x[..., 0] + 1).astype(np.float64)
    places = np.arange(size) - 50
    rows = (mass.sum(axis=2) * places).sum(axis=1) / mass.sum(axis=(1, 2))
    columns = (mass.sum(axis=1) * places).sum(axis=1) / mass.sum(axis=(1, 2))
    turn = np.hypot(20, 20) * np.radians(5)
    assert np.hypot(rows - 20, columns - 20).max() < np.hypot(5.05, 5.05) + turn + 0.5
    assert np.abs(rows - 20).max() > 4.5 and np.abs(columns - 20).max() > 4.5


def compiled_model(seed):
    start_session(seed, inference=False)
    image = keras.Input((SIZE, SIZE, 3))
    with quick_gradients():
        x = layers.BatchNormalization()(layers.Conv2D(8, 3)(image))
        x = layers.Conv2D(8, 3, activation="relu")(layers.Activation("relu")(x))
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(CLASSES, activation="softmax")(x))
    return model, fine_tuning.compile_for_training(model, 0.1)


def weights_of(model):
    return b"".join(weight.tobytes() for weight in model.get_weights())


def train(model, progress, epochs=2, seed=0, until=None):
    """Train with every rule of the follow-up's recipe, `until` so many batches were shown."""
    images, labels = data_set()
    sides = [{"train": each, "test": each[:7]} for each in (images, labels)]
    steps = fine_tuning.fit(model, *sides, CLASSES, fine_tuning.RECIPES["follow-up"], 0.1, epochs, 4,
                         seed, progress)
    for _, _ in zip(range(until or 1000), steps):
        pass
    return weights_of(model)


def test_the_first_weights_are_the_seeds_whatever_was_drawn_before():
    np.random.seed(12345)
    first = weights_of(compiled_model(0)[0])
    np.random.seed(67890)
    assert weights_of(compiled_model(0)[0]) == first
    assert weights_of(compiled_model(1)[0]) != first


def test_two_trainings_give_the_same_weights_to_the_last_bit_and_an_interrupted_one_too():
    history = fine_tuning.new_progress()
    whole = train(compiled_model(0)[0], history)
    assert train(compiled_model(0)[0], fine_tuning.new_progress()) == whole
    assert train(compiled_model(0)[0], fine_tuning.new_progress(), seed=1) != whole
    for until in (3, 6, 10):  # batches; an epoch has 7 or more
        progress = fine_tuning.new_progress()
        model, variables = compiled_model(0)
        assert train(model, progress, until=until) != whole
        values = K.batch_get_value(variables)
        model, variables = compiled_model(5)
        K.batch_set_value(list(zip(variables, values)))
        assert train(model, progress) == whole
        assert progress == history


def test_a_training_that_diverges_is_stopped():
    model, _ = compiled_model(0)
    K.set_value(model.optimizer.lr, 0)
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    with pytest.raises(UserError, match="the loss of epoch 1 is nan; --restart"):
        train(model, fine_tuning.new_progress())


@pytest.mark.parametrize("epochs, batches", [(1, 0), (2, 3)])
def test_an_interrupted_training_cannot_end_before_where_it_is(monkeypatch, epochs, batches):
    monkeypatch.setattr(fine_tuning, "compile_for_training", lambda model, rate: [])
    progress = dict(fine_tuning.new_progress(), history=[{}, {}], batches=batches)
    args = SimpleNamespace(recipe="study", learning_rate=0.1, epochs=epochs)
    with pytest.raises(UserError, match="--epochs {}: epoch {} has".format(epochs, epochs + 1)):
        train_model.train(args, None, {}, {}, 2, (progress, []), None)


def test_each_step_is_nesterovs_with_a_rate_that_decays_from_the_first_step(monkeypatch):
    monkeypatch.setattr(fine_tuning, "DECAY", 0.5)  # large, so that a wrong count of steps shows
    random = np.random.RandomState(0)
    x, y = random.normal(size=(20, 5)), np.eye(CLASSES)[random.randint(0, CLASSES, 20)]
    start_session(0, inference=False)
    place = keras.Input((5,))
    model = keras.Model(place, layers.Dense(CLASSES, activation="softmax", use_bias=False)(place))
    fine_tuning.compile_for_training(model, 0.3)
    w, v = model.get_weights()[0].astype(np.float64), 0
    for step in range(20):
        model.train_on_batch(x, y)
        p = np.exp(x.dot(w))
        gradient = x.T.dot(p / p.sum(axis=1, keepdims=True) - y) / len(x)
        rate = 0.3 / (1 + 0.5 * step)
        v = 0.9 * v - rate * gradient
        w = w + 0.9 * v - rate * gradient
    np.testing.assert_allclose(model.get_weights()[0], w, atol=1e-5)


def test_a_network_without_pretrained_weights_has_hes_kernels_and_short_averages():
    start_session(0, inference=False)
    network = architectures.build_classifier("ResNet50", 32, CLASSES, from_scratch=True)
    for layer in network.layers:
        if isinstance(layer, layers.Conv2D):
            assert layer.get_config()["kernel_initializer"] == keras.initializers.serialize(
                keras.initializers.he_normal())
        elif isinstance(layer, layers.BatchNormalization):
            assert layer.momentum == 0.9
    kinds = {type(layer) for layer in network.layers}
    assert {layers.Conv2D, layers.BatchNormalization} <= kinds
