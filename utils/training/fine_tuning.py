"""Fine-tuning a classifier: a gradient step that repeats exactly, and the epochs."""

from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence

import numpy as np

from utils.common.checkpoint import ArrayKind
from utils.common.errors import UserError
from utils.common.json_files import NATURAL, NUMBER, fields
from utils.training.batches import TrainingImages, batches, epoch_order
from utils.training.recipes import learning_rate
from utils.training.settings import TrainingSettings

MOMENTUM = 0.9
DECAY = 1e-6


class EpochResult(NamedTuple):
    """One row of history.csv.

    epoch: counted from 1. loss: cross-entropy. accuracy: 0..1; of the training images both are
    means over the batches of the epoch, during which the weights change.
    """

    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    test_loss: float
    test_accuracy: float


class BatchResult(NamedTuple):
    """What Keras says of a batch: how many images, their mean loss, and the share that was right.
    """

    images: int
    loss: float
    accuracy: float


class Totals(NamedTuple):
    """Of the batches of an epoch: the images, the sum of their losses, and how many were right."""

    images: int = 0
    loss: float = 0.0
    right: float = 0.0

    def plus(self, images: int, loss: float, accuracy: float) -> "Totals":
        """Return the totals with one batch more. loss, accuracy: means over its images."""
        return Totals(self.images + images, self.loss + images * loss,
                      self.right + images * accuracy)


# What a checkpoint says of a training: Progress.as_json().
_BATCH_RESULT = {"type": "array", "items": NUMBER, "minItems": 3, "maxItems": 3}
PROGRESS_SCHEMA = fields(
    history={"type": "array", "items": fields(**dict.fromkeys(EpochResult._fields, NUMBER))},
    trained_batches=NATURAL, totals=_BATCH_RESULT,
    tested_batches={"type": "array", "items": _BATCH_RESULT})


@dataclass
class Progress:
    """What a training remembers, beside the values of its variables, to be continued.

    history: of the finished epochs. trained_batches: how many of the current epoch were shown.
    totals: of these.
    tested_batches: of the current epoch, once all its training images were shown.
    """

    history: List[EpochResult] = field(default_factory=list)
    trained_batches: int = 0
    totals: Totals = Totals()
    tested_batches: List[BatchResult] = field(default_factory=list)

    def as_json(self) -> Dict[str, Any]:
        """Return this as values of a JSON file."""
        return {"history": [result._asdict() for result in self.history],
                "trained_batches": self.trained_batches, "totals": list(self.totals),
                "tested_batches": [list(result) for result in self.tested_batches]}

    @classmethod
    def from_json(cls, values: Dict[str, Any]) -> "Progress":
        """Return what as_json() was called for. values: of PROGRESS_SCHEMA."""
        return cls(history=[EpochResult(**result) for result in values["history"]],
                   trained_batches=values["trained_batches"], totals=Totals(*values["totals"]),
                   tested_batches=[BatchResult(*result) for result in values["tested_batches"]])

    def end_epoch(self, rate: float) -> None:
        """Add the result of the current epoch to the history, and begin the next one."""
        totals = self.totals
        sizes = [result.images for result in self.tested_batches]
        self.history.append(EpochResult(
            epoch=len(self.history) + 1, learning_rate=rate, loss=totals.loss / totals.images,
            accuracy=totals.right / totals.images,
            test_loss=float(np.average([result.loss for result in self.tested_batches],
                                       weights=sizes)),
            test_accuracy=float(np.average([result.accuracy for result in self.tested_batches],
                                           weights=sizes))))
        self.trained_batches, self.totals, self.tested_batches = 0, Totals(), []


def compile_for_training(model: Any, rate: float) -> List[Any]:
    """Compile with the study's optimiser and loss (SGD, Nesterov momentum, cross-entropy).

    All gradients are made before the first weight changes, and the step is counted after the last
    did. Without these gates TensorFlow 1.14 may update a weight that backpropagation, or the count
    that the learning rate, has yet to read, and no two runs are alike.
    Returns everything the next epoch depends on, the variables of the session: weights, momenta,
    step count, and the sums and counts behind moving averages, which Keras does not list.
    """
    from utils.classifier.frameworks import SGD, K, cross_entropy, tf

    class GatedSGD(SGD):
        def get_gradients(self, loss, params):
            return tf.tuple(super(GatedSGD, self).get_gradients(loss, params))

        def get_updates(self, loss, params):
            updates = super(GatedSGD, self).get_updates(loss, params)
            with tf.control_dependencies(updates[1:]):
                updates[0] = K.update_add(self.iterations, 1)
            return updates

    model.compile(GatedSGD(lr=rate, momentum=MOMENTUM, decay=DECAY, nesterov=True),
                  loss=cross_entropy, metrics=["accuracy"])
    model._make_train_function()  # makes the optimizer's variables
    return tf.global_variables()


def kinds_of(variables: Sequence[Any]) -> List[ArrayKind]:
    """Return what the arrays of a checkpoint must be: as these variables of the session."""
    return [ArrayKind(tuple(variable.shape.as_list()), variable.dtype.base_dtype.name)
            for variable in variables]


def fit(model: Any, images: TrainingImages, settings: TrainingSettings,
        progress: Progress) -> Iterator[None]:
    """Train a compiled model, as a generator that yields after each batch, of both sides.

    progress: where to begin; changed in place, and with the values of all variables enough to
    continue after any yield to the same weights and history. Raises UserError when the loss is no
    finite number any more.
    """
    from utils.classifier.frameworks import K

    recipe, batch_size, seed = settings.chosen_recipe, settings.batch_size, settings.seed
    for epoch in range(len(progress.history), settings.epochs):
        rate = learning_rate(recipe, settings.learning_rate, epoch)
        K.set_value(model.optimizer.lr, rate)
        order = epoch_order(images.train.labels, recipe.oversample, seed, epoch=epoch)
        shown = progress.trained_batches * batch_size
        for x, y in batches(images.train, images.num_classes, batch_size, order=order[shown:],
                            augment=recipe.augment, seed=seed + epoch * len(order) + shown):
            loss, accuracy = map(float, model.train_on_batch(x, y))
            if not np.isfinite(loss):
                raise UserError(f"the loss of epoch {epoch + 1} is {loss}; --restart with a "
                                "smaller --learning-rate")
            progress.totals = progress.totals.plus(len(x), loss, accuracy)
            progress.trained_batches += 1
            yield
        tested = np.arange(len(progress.tested_batches) * batch_size, len(images.test.labels))
        for x, y in batches(images.test, images.num_classes, batch_size, order=tested):
            loss, accuracy = map(float, model.test_on_batch(x, y))
            progress.tested_batches.append(BatchResult(len(x), loss, accuracy))
            yield
        progress.end_epoch(rate)
