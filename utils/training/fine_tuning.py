"""Fine-tuning a classifier: recipes, batches, and a gradient step that repeats exactly."""

import collections
from typing import Any, List, Sequence

import numpy as np

from utils.common.background import in_background
from utils.common.checkpoint import ArrayKind
from utils.common.errors import UserError
from utils.common.json_files import NATURAL, NUMBER, fields
from utils.images.pixels import to_model_input

Recipe = collections.namedtuple("Recipe", "epochs decay_steps oversample augment")
RECIPES = {
    # decay_steps: from which epoch (counted from 0) the learning rate is multiplied by what.
    # The study's script lowers the rate until epoch 91, from which 100 epochs are inferred; its own
    # default and its example run 10.
    "study": Recipe(100, ((41, 0.1), (61, 0.01), (81, 0.001), (91, 0.0005)), False, False),
    # The code of Hirano, Minagi, Takemoto 2021, whose models the follow-up paper attacks: random
    # oversampling, rotated by 5 degrees, shifted by 5 %.
    "follow-up": Recipe(50, ((41, 0.1), (46, 0.01)), True, True),
}
MOMENTUM = 0.9
DECAY = 1e-6
ROTATION = 5  # degrees, of augmented images
SHIFT = 0.05  # of height and width


def learning_rate(recipe, base, epoch):
    """The learning rate of an epoch, counted from 0; `base` is that of the first."""
    factors = [1.0] + [factor for start, factor in recipe.decay_steps if epoch >= start]
    return base * factors[-1]


def compile_for_training(model, rate):
    """Compile with the study's optimiser and loss (SGD, Nesterov momentum, cross-entropy).

    All gradients are made before the first weight changes, and the step is counted after the last
    did. Without these gates TensorFlow 1.14 may update a weight that backpropagation, or the count
    that the learning rate, has yet to read, and no two runs are alike.
    Returns everything the next epoch depends on, the variables of the session: weights, momenta,
    step count, and the sums and counts behind moving averages, which Keras does not list.
    """
    from utils.classifier.frameworks import SGD, K, tf

    class GatedSGD(SGD):
        def get_gradients(self, loss, params):
            return tf.tuple(super(GatedSGD, self).get_gradients(loss, params))

        def get_updates(self, loss, params):
            updates = super(GatedSGD, self).get_updates(loss, params)
            with tf.control_dependencies(updates[1:]):
                updates[0] = K.update_add(self.iterations, 1)
            return updates

    model.compile(GatedSGD(lr=rate, momentum=MOMENTUM, decay=DECAY, nesterov=True),
                  loss="categorical_crossentropy", metrics=["accuracy"])
    model._make_train_function()  # makes the optimizer's variables
    return tf.global_variables()


def epoch_order(labels, oversample, seed, epoch):
    """The order in which one epoch shows the images.

    labels: int, (n,). oversample: repeat random images of the smaller classes until all classes
    are as large as the largest. Returns int indices; the same seed and epoch give the same order.
    """
    random = np.random.RandomState([seed, epoch])
    order = np.arange(len(labels))
    if oversample:
        counts = np.bincount(labels)
        order = np.concatenate([order] + [
            random.choice(np.flatnonzero(labels == label), counts.max() - count)
            for label, count in enumerate(counts) if count])
    return random.permutation(order)


def batches(images, labels, num_classes, batch_size=32, order=None, augment=False, seed=0):
    """Yield (model input, one-hot labels), each batch made while the one before is used.

    images: uint8, (n, size, size, 3). labels: int, (n,). order: indices to show; as they are if
    None. augment: rotate by up to 5 degrees and shift by up to 5 %, drawn from `seed`.
    """
    from utils.classifier.frameworks import keras

    generator = keras.preprocessing.image.ImageDataGenerator()
    order = np.arange(len(labels)) if order is None else order

    def augmented(image, seed):
        random = np.random.RandomState(seed % 2 ** 32)
        height, width, _ = image.shape
        return generator.apply_transform(image, {
            "theta": random.uniform(-ROTATION, ROTATION),
            "tx": random.uniform(-SHIFT, SHIFT) * height,
            "ty": random.uniform(-SHIFT, SHIFT) * width})

    def batch(start):
        chosen = order[start:start + batch_size]
        x = to_model_input(images[chosen])
        if augment:
            x = np.stack([augmented(image, seed + start + i) for i, image in enumerate(x)])
        return x, np.eye(num_classes, dtype=np.float32)[labels[chosen]]

    return in_background(batch, range(0, len(order), batch_size), workers=1, ahead=3)


NUMBERS = {"type": "array", "items": NUMBER, "minItems": 3, "maxItems": 3}
# What a checkpoint says of a training.
PROGRESS = fields(
    batches=NATURAL, totals=NUMBERS,
    history={"type": "array", "items": fields(**dict.fromkeys(
        ("epoch", "learning_rate", "loss", "accuracy", "test_loss", "test_accuracy"), NUMBER))})


def kinds_of(variables: Sequence[Any]) -> List[ArrayKind]:
    """Return what the arrays of a checkpoint must be: as these variables of the session."""
    return [ArrayKind(tuple(variable.shape.as_list()), variable.dtype.base_dtype.name)
            for variable in variables]


def new_progress():
    """A dict for each finished epoch; of the current one the number of batches, and three totals:
    images, sum of their losses, how many were right."""
    return {"history": [], "batches": 0, "totals": [0, 0.0, 0.0]}


def fit(model, images, labels, num_classes, recipe, rate, epochs, batch_size, seed, progress):
    """Train a compiled model, as a generator that yields after each batch.

    images, labels: dicts of arrays for "train" and "test", as batches() takes them. rate: of the
    first epoch. progress: see new_progress(); changed in place, and with the values of all
    variables enough to continue after any yield with the same weights. UserError: diverged.
    """
    from utils.classifier.frameworks import K

    for epoch in range(len(progress["history"]), epochs):
        K.set_value(model.optimizer.lr, learning_rate(recipe, rate, epoch))
        order = epoch_order(labels["train"], recipe.oversample, seed, epoch)
        begin = progress["batches"] * batch_size
        totals = progress["totals"]
        for x, y in batches(
                images["train"], labels["train"], num_classes, batch_size, order[begin:],
                recipe.augment, seed + epoch * len(order) + begin):
            loss, accuracy = model.train_on_batch(x, y)
            if not np.isfinite(loss):
                raise UserError("the loss of epoch {} is {}; --restart with a smaller "
                                "--learning-rate".format(epoch + 1, loss))
            for i, value in enumerate((1, loss, accuracy)):
                totals[i] += len(x) * float(value)
            progress["batches"] += 1
            yield
        sizes, losses, accuracies = zip(*((len(x), *model.test_on_batch(x, y)) for x, y in batches(
            images["test"], labels["test"], num_classes, batch_size)))
        progress["history"].append({
            "epoch": epoch + 1, "learning_rate": learning_rate(recipe, rate, epoch),
            "loss": totals[1] / totals[0], "accuracy": totals[2] / totals[0],
            "test_loss": np.average(losses, weights=sizes),
            "test_accuracy": np.average(accuracies, weights=sizes)})
        progress.update(dict(new_progress(), history=progress["history"]))
