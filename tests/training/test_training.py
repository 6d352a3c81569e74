"""The recipes, the order and content of batches, and training that repeats bit for bit."""

import json
from unittest import mock

import numpy as np
import pytest

import train_model
from utils.classifier import architectures
from utils.classifier.convolution_gradients import gradients_for_training
from utils.classifier.frameworks import K, cross_entropy, keras, layers
from utils.classifier.session import start_session
from utils.common.checkpoint import Checkpoint
from utils.common.errors import UserError
from utils.images.pixels import to_model_input
from utils.training import fine_tuning
from utils.training.batches import (
    LabelledPixels,
    TrainingImages,
    batches,
    epoch_order,
    number_of_batches,
)
from utils.training.fine_tuning import EpochResult, Progress
from utils.training.recipes import RECIPES, learning_rate
from utils.training.settings import TrainingSettings

CLASSES = 3
SIZE = 12
LABELS = np.array([0] * 30 + [1] * 7 + [3] * 1)  # no image of class 2


@pytest.mark.parametrize("name, recipe, falls", [
    # the code of the two repositories: `epoch > 40` and so on, epochs counted from 0
    ("study", (100, False, False), {41: 0.1, 61: 0.01, 81: 0.001, 91: 0.0005}),
    ("follow-up", (50, True, True), {41: 0.1, 46: 0.01})])
def test_the_recipes_are_those_of_the_two_repositories(name, recipe, falls):
    found, factor = RECIPES[name], 1
    assert (found.epochs, found.oversample, found.augment) == recipe
    for epoch in range(found.epochs):
        factor = falls.get(epoch, factor)
        assert learning_rate(found, 0.5, epoch) == pytest.approx(0.5 * factor, rel=1e-12)


def test_without_oversampling_an_epoch_shows_every_image_once():
    order = epoch_order(LABELS, False, 0, 0)
    assert sorted(order) == list(range(len(LABELS))) != list(order)


def test_oversampling_repeats_random_images_until_each_class_is_as_large_as_the_largest():
    order, other = (epoch_order(LABELS, True, 0, epoch) for epoch in (0, 1))
    assert set(order) == set(range(len(LABELS)))
    assert list(np.bincount(LABELS[order])) == [30, 30, 0, 30]
    assert list(np.bincount(order)[:30]) == [1] * 30
    times = np.bincount(order)[30:37]
    assert len(set(times)) > 1 and list(times) != list(np.bincount(other)[30:37])


@pytest.mark.parametrize("oversample", [False, True])
def test_the_order_is_that_of_seed_and_epoch(oversample):
    def order(seed, epoch):
        return list(epoch_order(LABELS, oversample, seed, epoch))

    assert order(3, 5) == order(3, 5)
    assert order(3, 5) != order(3, 6) and order(3, 5) != order(4, 5)


def data_set(n=23):
    random = np.random.RandomState(0)
    return LabelledPixels(random.randint(0, 256, (n, SIZE, SIZE, 3)).astype(np.uint8),
                          random.randint(0, CLASSES, n))


@pytest.mark.parametrize("batch_size, sizes", [
    (5, [5, 5, 5, 5, 3]), (23, [23]), (100, [23]), (1, [1] * 23)])
def test_an_epoch_in_batches_is_every_image_once_in_order_with_its_label(batch_size, sizes):
    images, labels = data_set()
    order = np.random.RandomState(1).permutation(len(images))
    found = list(batches(data_set(), CLASSES, batch_size, order))
    assert [len(x) for x, _ in found] == sizes == [len(y) for _, y in found]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in found]),
                                  to_model_input(images)[order])
    np.testing.assert_array_equal(np.concatenate([y for _, y in found]),
                                  np.eye(CLASSES)[labels[order]])


def test_augmentation_changes_each_showing_repeats_with_its_seed_and_leaves_numpys_own_alone():
    def images(seed):
        shown = batches(data_set(), CLASSES, 5, np.zeros(23, int), True, seed)
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
    (x, _), = batches(LabelledPixels(image, np.zeros(1, int)), 1, 200, np.zeros(200, int), True)
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
    with gradients_for_training():
        x = layers.BatchNormalization()(layers.Conv2D(8, 3)(image))
        x = layers.Conv2D(8, 3, activation="relu")(layers.Activation("relu")(x))
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(CLASSES, activation="softmax")(x))
    return model, fine_tuning.compile_for_training(model, 0.1)


def test_the_averages_of_a_normalisation_begin_with_the_first_batch_whatever_was_loaded():
    model, _ = compiled_model(0)
    _, convolution, normalisation = model.layers[:3]
    normalisation.set_weights([np.full_like(w, 7) for w in normalisation.get_weights()])
    means = []
    for seed in range(3):
        x = np.random.RandomState(seed).uniform(-1, 1, (6, SIZE, SIZE, 3))
        y = keras.Model(model.input, convolution.output).predict(x)
        model.train_on_batch(x, np.eye(CLASSES)[np.arange(6) % CLASSES])
        means.append(y.mean(axis=(0, 1, 2)))
    shares = 0.99 ** np.arange(3)[::-1]
    np.testing.assert_allclose(normalisation.get_weights()[2], np.average(means, 0, shares),
                               rtol=1e-3, atol=1e-5)


def weights_of(model):
    return b"".join(weight.tobytes() for weight in model.get_weights())


def settings(**changed):
    """Those of a training with every rule of the follow-up's recipe."""
    return TrainingSettings(**dict(dict(
        model="VGG16", name="VGG16", dataset="isic2018", split=None, weights="none",
        recipe="follow-up", epochs=2, learning_rate=0.1, batch_size=4, image_size=SIZE,
        resize="bilinear", limit=None, seed=0, data_dir="data", models_dir="models", device="cpu",
        checkpoint_seconds=120, restart=False), **changed))


def test_a_training_in_16_bits_is_another_training():
    """And float32 is not named, unless a data set is called so."""
    usual = settings().identity()
    assert "precision" not in usual
    assert settings(precision="bfloat16").identity() == dict(usual, precision="bfloat16")
    assert settings(dataset="float32").identity() == dict(usual, dataset="float32")


def train(model, progress, seed=0, until=None):
    """Train `until` so many batches were shown."""
    images, labels = data_set()
    sides = TrainingImages(LabelledPixels(images, labels), LabelledPixels(images[:7], labels[:7]),
                           CLASSES)
    steps = fine_tuning.fit(model, sides, settings(seed=seed), progress)
    for _, _ in zip(range(until or 1000), steps):
        pass
    return weights_of(model)


def test_a_probability_counts_as_at_least_1e_7_and_below_it_gives_no_gradient():
    start_session(0, inference=False)
    logits = K.variable([[0.0, 1.0, 2.0], [0.0, 30.0, 1.0]])
    loss = cross_entropy(K.constant([[1, 0, 0], [1, 0, 0]]), K.softmax(logits))
    losses, gradients = K.get_session().run([loss, K.gradients(loss, [logits])[0]])
    softmax = np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()
    np.testing.assert_allclose(losses, [-np.log(softmax[0]), -np.log(1e-7)], rtol=1e-5)
    np.testing.assert_allclose(gradients[0], softmax - [1, 0, 0], rtol=1e-5)
    assert not gradients[1].any()


def test_the_first_weights_are_the_seeds_whatever_was_drawn_before():
    np.random.seed(12345)
    first = weights_of(compiled_model(0)[0])
    np.random.seed(67890)
    assert weights_of(compiled_model(0)[0]) == first
    assert weights_of(compiled_model(1)[0]) != first


def test_two_trainings_give_the_same_weights_to_the_last_bit_and_an_interrupted_one_too():
    history = Progress()
    whole = train(compiled_model(0)[0], history)
    assert train(compiled_model(0)[0], Progress()) == whole
    assert train(compiled_model(0)[0], Progress(), seed=1) != whole
    trained = history.history[0]
    assert trained.epoch == 1 and trained.loss > 0 and trained.test_loss > 0
    epoch = number_of_batches(len(epoch_order(data_set().labels, True, 0, 0)), 4)
    for until in (3, epoch - 1, epoch, epoch + 1, epoch + 2, epoch + 5):  # the test has 2 batches
        progress = Progress()
        model, variables = compiled_model(0)
        assert train(model, progress, until=until) != whole
        assert len(progress.tested_batches) == {epoch + 1: 1, epoch + 2: 2}.get(until, 0)
        progress = Progress.from_json(json.loads(json.dumps(progress.as_json())))
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
        train(model, Progress())


@pytest.mark.parametrize("epochs, trained_batches", [(1, 0), (2, 3)])
def test_an_interrupted_training_cannot_end_before_where_it_is(epochs, trained_batches):
    history = [EpochResult(epoch, 0.1, 1.0, 0.5, 1.0, 0.5) for epoch in (1, 2)]
    progress = Progress(history=history, trained_batches=trained_batches)
    step = mock.Mock()  # takes every checkpoint
    with pytest.raises(UserError, match=f"--epochs {epochs}: epoch {epochs + 1} has"):
        train_model.continue_from(Checkpoint({}, progress.as_json(), []), [],
                                  settings(epochs=epochs), step)


def test_the_history_is_the_mean_over_images_not_over_batches():
    progress = Progress(totals=fine_tuning.Totals(10, 5.0, 8.0), trained_batches=3, tested_batches=[
        fine_tuning.BatchResult(4, 1.0, 0.5), fine_tuning.BatchResult(1, 6.0, 0.0)])
    progress.end_epoch(0.01)
    assert progress == Progress(history=[EpochResult(1, 0.01, 0.5, 0.8, 2.0, 0.4)])


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
