"""The recipes of fine-tuning: how many epochs, at which rate, and how the images are shown."""

from typing import Dict, NamedTuple, Tuple


class DecayStep(NamedTuple):
    """From an epoch on, counted from 0, the first learning rate is multiplied by a factor."""

    epoch: int
    factor: float


class Recipe(NamedTuple):
    """How a classifier is trained.

    epochs: how many, unless another number is asked for. oversample: repeat random images of the
    smaller classes until all are as large as the largest. augment: rotate and shift the images.
    """

    epochs: int
    decay_steps: Tuple[DecayStep, ...]
    oversample: bool
    augment: bool


RECIPES: Dict[str, Recipe] = {
    # The study's script lowers the rate until epoch 91, from which 100 epochs are inferred; its own
    # default and its example run 10.
    "study": Recipe(
        epochs=100,
        decay_steps=(DecayStep(41, 0.1), DecayStep(61, 0.01), DecayStep(81, 0.001),
                     DecayStep(91, 0.0005)),
        oversample=False, augment=False),
    # The code of Hirano, Minagi, Takemoto 2021, whose models the follow-up paper attacks: random
    # oversampling, rotated by 5 degrees, shifted by 5 %.
    "follow-up": Recipe(
        epochs=50, decay_steps=(DecayStep(41, 0.1), DecayStep(46, 0.01)),
        oversample=True, augment=True),
}


def learning_rate(recipe: Recipe, first_rate: float, epoch: int) -> float:
    """Return the learning rate of an epoch, counted from 0; first_rate is that of the first."""
    factors = [step.factor for step in recipe.decay_steps if epoch >= step.epoch]
    return first_rate * (factors[-1] if factors else 1.0)
