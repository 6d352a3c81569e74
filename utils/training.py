"""Fine-tuning a classifier: recipes, batches, and a gradient step that repeats exactly."""

import collections

import numpy as np

from utils.images import to_model_input

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
    """
    import keras.backend as K
    import tensorflow as tf
    from keras.optimizers import SGD

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


def state(model):
    """Everything the next epoch depends on, as arrays; set_state() puts it back."""
    import keras.backend as K

    return K.batch_get_value(_variables(model))


def set_state(model, arrays):
    """Put back what state() gave for a model that was built and compiled in the same way."""
    import keras.backend as K

    K.batch_set_value(list(zip(_variables(model), arrays)))


def _variables(model):
    """All variables of the session: weights, momenta, step count, and the sums and counts behind
    the moving averages of batch normalisation, which Keras does not list."""
    import tensorflow as tf

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


def epoch_batches(images, labels, num_classes, order, batch_size, augment, seed):
    """One epoch as a Keras Sequence of (model input, one-hot labels).

    images: uint8, (n, size, size, 3). labels: int, (n,). order: indices to show. augment: rotate
    by up to 5 degrees and shift by up to 5 %, drawn from `seed`.
    """
    from keras.preprocessing.image import ImageDataGenerator
    from keras.utils import Sequence, to_categorical

    generator = ImageDataGenerator()

    def augmented(image, seed):
        random = np.random.RandomState(seed % 2 ** 32)
        height, width, _ = image.shape
        return generator.apply_transform(image, {
            "theta": random.uniform(-ROTATION, ROTATION),
            "tx": random.uniform(-SHIFT, SHIFT) * height,
            "ty": random.uniform(-SHIFT, SHIFT) * width})

    class Batches(Sequence):
        def __len__(self):
            return -(-len(order) // batch_size)

        def __getitem__(self, number):
            start = number * batch_size
            chosen = order[start:start + batch_size]
            x = to_model_input(images[chosen])
            if augment:
                x = np.stack([augmented(image, seed + start + i) for i, image in enumerate(x)])
            return x, to_categorical(labels[chosen], num_classes)

    return Batches()


def fit(model, images, labels, num_classes, recipe, rate, epochs, batch_size, seed, progress):
    """Train a compiled model, as a generator that yields after each batch.

    images, labels: dicts of arrays for "train" and "test", as epoch_batches takes them. rate: of
    the first epoch. progress: {"history": a dict for each finished epoch, "batches": of the
    current one, "totals": its number of images, the sum of their losses, how many were right};
    changed in place, and with state() enough to continue after any yield with the same weights.
    """
    import keras.backend as K

    for epoch in range(len(progress["history"]), epochs):
        K.set_value(model.optimizer.lr, learning_rate(recipe, rate, epoch))
        order = epoch_order(labels["train"], recipe.oversample, seed, epoch)
        begin = progress["batches"] * batch_size
        totals = progress["totals"]
        for x, y in _in_order(epoch_batches(
                images["train"], labels["train"], num_classes, order[begin:], batch_size,
                recipe.augment, seed + epoch * len(order) + begin)):
            loss, accuracy = model.train_on_batch(x, y)
            for i, value in enumerate((1, loss, accuracy)):
                totals[i] += len(x) * float(value)
            progress["batches"] += 1
            yield
        test_loss, test_accuracy = model.evaluate_generator(epoch_batches(
            images["test"], labels["test"], num_classes, np.arange(len(labels["test"])),
            batch_size, False, 0))
        progress["history"].append({
            "epoch": epoch + 1, "learning_rate": learning_rate(recipe, rate, epoch),
            "loss": totals[1] / totals[0], "accuracy": totals[2] / totals[0],
            "test_loss": test_loss, "test_accuracy": test_accuracy})
        progress["batches"], progress["totals"] = 0, [0, 0.0, 0.0]


def _in_order(batches):
    """The batches of a Keras Sequence, each made in the background while the one before is used."""
    from keras.utils import OrderedEnqueuer

    if not len(batches):
        return
    enqueuer = OrderedEnqueuer(batches)
    enqueuer.start()
    try:
        for _, batch in zip(range(len(batches)), enqueuer.get()):
            yield batch
    finally:
        enqueuer.stop()
