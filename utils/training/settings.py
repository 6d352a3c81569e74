"""What a training is asked for."""

from dataclasses import asdict, dataclass
from typing import Any, Dict, Optional

from utils.common.hashes import sha256_of_file
from utils.common.precision import FLOAT32, without_float32
from utils.training.recipes import RECIPES, Recipe

IMAGENET, RANDOM = "imagenet", "none"  # weights to start from that are no file
# The choices that make a training another training; the split and the weights count by their hash.
CHOICES = ("model", "dataset", "weights", "recipe", "epochs", "learning_rate", "batch_size",
           "image_size", "resize", "seed", "precision")


@dataclass(frozen=True)
class TrainingSettings:
    """The options of train_model.py, under their names; its --help says what they mean.

    model: the architecture. split: as of splits.make_split. weights: IMAGENET, RANDOM, or the path
    of an h5 file. recipe: a key of RECIPES. image_size: height and width in pixels. limit: at most
    so many images of each side of the split, or None for all. precision: one of
    utils.common.precision.
    """

    model: str
    name: str
    dataset: str
    split: Optional[str]
    weights: str
    recipe: str
    epochs: int
    learning_rate: float
    batch_size: int
    image_size: int
    resize: str
    limit: Optional[int]
    seed: int
    data_dir: str
    models_dir: str
    device: str
    checkpoint_seconds: float
    restart: bool
    precision: str = FLOAT32

    @property
    def chosen_recipe(self) -> Recipe:
        """Return the recipe of this name."""
        return RECIPES[self.recipe]

    @property
    def weights_file(self) -> Optional[str]:
        """Return the path of the weights to start from; None where no file was given."""
        return None if self.weights in (IMAGENET, RANDOM) else self.weights

    def identity(self) -> Dict[str, Any]:
        """Return the choices that make this training another one than others, for its JSON file."""
        identity = without_float32(
            {name: value for name, value in asdict(self).items() if name in CHOICES})
        if self.weights_file is not None:
            identity["weights"] = sha256_of_file(self.weights_file)
        return identity
