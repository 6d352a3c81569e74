"""The recipes, the order and content of batches, and training that repeats bit for bit."""

import keras
import numpy as np
import pytest
from keras import layers

from utils import classifier, training
from utils.images import to_model_input

CLASSES = 3
SIZE = 12


@pytest.mark.parametrize("recipe, epoch, factor", [
    # the study's code: `epoch > 40` and so on, epochs counted from 0
    ("study", 0, 1), ("study", 40, 1), ("study", 41, 0.1), ("study", 60, 0.1),
    ("study", 61, 0.01), ("study", 80, 0.01), ("study", 81, 0.001), ("study", 90, 0.001),
    ("study", 91, 0.0005), ("study", 99, 0.0005),
    ("follow-up", 0, 1), ("follow-up", 40, 1), ("follow-up", 41, 0.1), ("follow-up", 45, 0.1),
    ("follow-up", 46, 0.01), ("follow-up", 49, 0.01)])
def test_the_learning_rate_falls_at_the_epochs_of_the_recipe(recipe, epoch, factor):
    for base in (1e-3, 0.5):
        rate = training.learning_rate(training.RECIPES[recipe], base, epoch)
        assert rate == pytest.approx(base * factor, rel=1e-12)


def test_the_recipes_are_those_of_the_two_repositories():
    study, follow_up = training.RECIPES["study"], training.RECIPES["follow-up"]
    assert (study.epochs, study.oversample, study.augment) == (100, False, False)
    assert (follow_up.epochs, follow_up.oversample, follow_up.augment) == (50, True, True)


LABELS = np.array([0] * 30 + [1] * 7 + [3] * 1)  # no image of class 2


def test_without_oversampling_an_epoch_shows_every_image_once():
    order = training.epoch_order(LABELS, False, 0, 0)
    assert sorted(order) == list(range(len(LABELS))) != list(order)


def test_oversampling_shows_every_image_and_each_class_as_often_as_the_largest():
    order = training.epoch_order(LABELS, True, 0, 0)
    assert set(order) == set(range(len(LABELS)))
    assert list(np.bincount(LABELS[order])) == [30, 30, 0, 30]
    assert list(np.bincount(order)[:30]) == [1] * 30


def test_oversampling_repeats_random_images_of_a_class():
    times = np.bincount(training.epoch_order(LABELS, True, 0, 0))[30:37]
    assert len(set(times)) > 1
    assert list(times) != list(np.bincount(training.epoch_order(LABELS, True, 0, 1))[30:37])


@pytest.mark.parametrize("oversample", [False, True])
def test_the_order_is_that_of_seed_and_epoch(oversample):
    def order(seed, epoch):
        return list(training.epoch_order(LABELS, oversample, seed, epoch))

    assert order(3, 5) == order(3, 5)
    assert order(3, 5) != order(3, 6) and order(3, 5) != order(4, 5)


def data_set(n=23):
    random = np.random.RandomState(0)
    return (random.randint(0, 256, (n, SIZE, SIZE, 3)).astype(np.uint8),
            random.randint(0, CLASSES, n))


def batches(augment=False, seed=0, batch_size=5, order=None):
    images, labels = data_set()
    order = np.random.RandomState(1).permutation(len(images)) if order is None else order
    sequence = training.epoch_batches(images, labels, CLASSES, order, batch_size, augment, seed)
    return [sequence[number] for number in range(len(sequence))], order


@pytest.mark.parametrize("batch_size, sizes", [
    (5, [5, 5, 5, 5, 3]), (23, [23]), (100, [23]), (1, [1] * 23)])
def test_an_epoch_in_batches_is_every_image_once_in_order_with_its_label(batch_size, sizes):
    found, order = batches(batch_size=batch_size)
    images, labels = data_set()
    assert [len(x) for x, _ in found] == sizes == [len(y) for _, y in found]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in found]),
                                  to_model_input(images)[order])
    np.testing.assert_array_equal(np.concatenate([y for _, y in found]),
                                  np.eye(CLASSES)[labels[order]])


def test_augmentation_repeats_with_its_seed_and_differs_with_another():
    def images(seed):
        return np.concatenate([x for x, _ in batches(augment=True, seed=seed)[0]])

    np.testing.assert_array_equal(images(3), images(3))
    assert (images(3) != images(1000)).any(axis=(1, 2, 3)).all()


def test_augmentation_leaves_numpys_own_random_numbers_alone():
    np.random.seed(0)
    expected = np.random.uniform(size=3)
    np.random.seed(0)
    batches(augment=True)
    np.testing.assert_array_equal(np.random.uniform(size=3), expected)


def test_augmentation_changes_each_showing_of_an_image_and_no_label():
    (x, y), = batches(augment=True, batch_size=10, order=np.zeros(10, int))[0]
    assert len({image.tobytes() for image in x}) == 10
    assert (y == y[0]).all()


def test_augmentation_turns_by_5_degrees_and_shifts_by_5_percent_at_the_most():
    size, point = 101, 70  # a spot 20 pixels from the centre, both ways
    image = np.zeros((1, size, size, 3), np.uint8)
    image[0, point - 1:point + 2, point - 1:point + 2] = 255
    sequence = training.epoch_batches(image, np.zeros(1, int), 1, np.zeros(200, int), 200, True, 0)
    mass = (sequence[0][0][..., 0] + 1).astype(np.float64)
    places = np.arange(size) - 50
    rows = (mass.sum(axis=2) * places).sum(axis=1) / mass.sum(axis=(1, 2))
    columns = (mass.sum(axis=1) * places).sum(axis=1) / mass.sum(axis=(1, 2))
    turn = np.hypot(20, 20) * np.radians(5)
    moved = np.hypot(rows - 20, columns - 20)
    assert moved.max() < np.hypot(5.05, 5.05) + turn + 0.5
    assert np.abs(rows - 20).max() > 4.5 and np.abs(columns - 20).max() > 4.5


def compiled_model(seed):
    classifier.start_session(seed, inference=False)
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(8, 3)(image)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu")(x)
    x = layers.Conv2D(8, 3, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(CLASSES, activation="softmax")(x))
    training.compile_for_training(model, 0.1)
    return model


def weights_of(model):
    return b"".join(weight.tobytes() for weight in model.get_weights())


def train(model, epochs, seed=0):
    images, labels = data_set()
    for epoch in epochs:
        order = training.epoch_order(labels, True, seed, epoch)
        model.fit_generator(
            training.epoch_batches(images, labels, CLASSES, order, 4, True, seed),
            shuffle=False, verbose=0)
    return weights_of(model)


def test_the_first_weights_are_the_seeds_whatever_was_drawn_before():
    np.random.seed(12345)
    first = weights_of(compiled_model(0))
    np.random.seed(67890)
    assert weights_of(compiled_model(0)) == first
    assert weights_of(compiled_model(1)) != first


def test_two_trainings_give_the_same_weights_to_the_last_bit():
    first = train(compiled_model(0), range(2))
    for _ in range(3):
        assert train(compiled_model(0), range(2)) == first
    assert train(compiled_model(0), range(2), seed=1) != first


def test_a_training_continued_from_its_state_gives_the_same_weights_to_the_last_bit():
    whole = train(compiled_model(0), range(2))
    interrupted = compiled_model(0)
    train(interrupted, range(1))
    state = training.state(interrupted)
    other = compiled_model(5)
    training.set_state(other, state)
    assert train(other, range(1, 2)) == whole


def test_each_step_is_nesterovs_with_a_rate_that_decays_from_the_first_step(monkeypatch):
    monkeypatch.setattr(training, "DECAY", 0.5)  # large, so that a wrong count of steps shows
    random = np.random.RandomState(0)
    x, y = random.normal(size=(20, 5)), np.eye(CLASSES)[random.randint(0, CLASSES, 20)]
    classifier.start_session(0, inference=False)
    place = keras.Input((5,))
    model = keras.Model(place, layers.Dense(CLASSES, activation="softmax", use_bias=False)(place))
    training.compile_for_training(model, 0.3)
    w, v = model.get_weights()[0].astype(np.float64), 0
    for step in range(20):
        model.train_on_batch(x, y)
        p = np.exp(x.dot(w))
        gradient = x.T.dot(p / p.sum(axis=1, keepdims=True) - y) / len(x)
        rate = 0.3 / (1 + 0.5 * step)
        v = 0.9 * v - rate * gradient
        w = w + 0.9 * v - rate * gradient
    np.testing.assert_allclose(model.get_weights()[0], w, atol=1e-5)
