"""Fine-tuning a classifier: recipes, batches, and a gradient step that repeats exactly."""

import collections

import numpy as np

from utils.images import to_model_input

Recipe = collections.namedtuple("Recipe", "epochs decay_steps oversample augment")
RECIPES = {
    # decay_steps: from which epoch (counted from 0) the learning rate is multiplied by what.
    "study": Recipe(100, ((41, 0.1), (61, 0.01), (81, 0.001), (91, 0.0005)), False, False),
    # Minagi, Hirano, Takemoto 2022: balanced by random oversampling, rotated 5 degrees, shifted 5 %.
    "follow-up": Recipe(50, ((40, 0.1), (45, 0.01)), True, True),
}
MOMENTUM = 0.9
DECAY = 1e-6


def learning_rate(recipe, base, epoch):
    """The learning rate of an epoch, counted from 0; `base` is that of the first."""
    factors = [1.0] + [factor for start, factor in recipe.decay_steps if epoch >= start]
    return base * factors[-1]


def compile_for_training(model, rate):
    """Compile with the study's optimiser and loss (SGD, Nesterov momentum, cross-entropy).

    All gradients are made before the first weight changes. Without that gate TensorFlow 1.14 may
    update a weight that backpropagation has yet to read, and no two runs are alike.
    """
    import tensorflow as tf
    from keras.optimizers import SGD

    class GatedSGD(SGD):
        def get_gradients(self, loss, params):
            return tf.tuple(super(GatedSGD, self).get_gradients(loss, params))

    model.compile(GatedSGD(lr=rate, momentum=MOMENTUM, decay=DECAY, nesterov=True),
                  loss="categorical_crossentropy", metrics=["accuracy"])


def state(model):
    """Everything the next epoch depends on: weights, then momenta and step count, as arrays."""
    return model.get_weights() + model.optimizer.get_weights()


def set_state(model, arrays):
    """Put back what state() gave for a model that was compiled in the same way."""
    model._make_train_function()  # makes the optimizer's variables
    number = len(model.weights)
    model.set_weights(arrays[:number])
    model.optimizer.set_weights(arrays[number:])


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

    generator = ImageDataGenerator(rotation_range=5, width_shift_range=0.05,
                                   height_shift_range=0.05)

    class Batches(Sequence):
        def __len__(self):
            return -(-len(order) // batch_size)

        def __getitem__(self, number):
            start = number * batch_size
            chosen = order[start:start + batch_size]
            x = to_model_input(images[chosen])
            if augment:
                x = np.stack([generator.random_transform(image, seed=(seed + start + i) % 2 ** 32)
                              for i, image in enumerate(x)])
            return x, to_categorical(labels[chosen], num_classes)

    return Batches()
