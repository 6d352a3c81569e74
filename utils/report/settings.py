"""In what the settings of an evaluated UAP differ from those behind the published table."""

from dataclasses import dataclass, fields
from typing import Any, List, Optional, Tuple

from utils.attack.fgsm import STEP_SIZE
from utils.classifier.description import TRAINING_IMAGES
from utils.common.precision import FLOAT32, precision_of
from utils.evaluation.evaluated_uap import EvaluatedUap
from utils.images.datasets import SOURCE_FOLDERS
from utils.images.isic2018 import ISIC2018_CLASSES

DOMAIN = "isic2018"  # the source of the classifier's own domain; the others are natural images
NO_SOURCE = "none"   # of an attack that takes no image
STUDY_MODELS = ("VGG16", "ResNet50", "InceptionV3")  # the classifiers of the published table
TITLES = {"open_images_v5": "Open Images V5", "ilsvrc2012": "ILSVRC2012", DOMAIN: "ISIC2018",
          NO_SOURCE: "no image", "deepfool": "DeepFool", "fgsm": "FGSM", "sgd": "SGD",
          "gd-uap": "GD-UAP"}

# The published table's attack is not stated: DeepFool is this project's, FGSM with this step is
# that of the study's example command, and a published rate may stand beside either.
PUBLISHED_ATTACKS = ("deepfool", "fgsm")
PUBLISHED_NORM = "inf"
MIN_NATURAL_IMAGES = 10000  # fewer are marked; the follow-up took 100,000
MIN_ISIC_IMAGES = 6000      # its training set holds 7,000
MIN_TEST_IMAGES = 1000


def title_of(name: str) -> str:
    """Return what the report calls a source or an attack; any other name is its own title."""
    return TITLES.get(name, name)


@dataclass(frozen=True)
class ExperimentSettings:
    """All settings that decide whether a fooling rate may stand beside a published one.

    attack, source: as the report calls them. norm: "2" or "inf". norm_ratio: zeta, a share of the
    mean norm of the images mean_norms_of. step_size: of FGSM. target_fooling_rate: at which the
    loop was to stop. target: the class to be reached. made_for: the network that the UAP was made
    for. class_names: of the classifier. image_size: in pixels. recipe, epochs, learning_rate,
    batch_size, training_precision: of its training. weights: what that began with. precision: of
    the attack. images: of the source. test_images: on which the rate was measured. None is what is
    not known, or does not apply.
    """

    attack: str
    norm: str
    norm_ratio: Optional[float]
    mean_norms_of: str
    passes: Optional[int]
    target_fooling_rate: Optional[float]
    step_size: Optional[float]
    target: Optional[str]
    made_for: Optional[str]
    class_names: Tuple[str, ...]
    image_size: int
    recipe: Optional[str]
    epochs: Optional[int]
    learning_rate: Optional[float]
    batch_size: Optional[int]
    training_precision: str
    weights: str
    precision: str
    source: str
    images: Optional[int]
    test_images: int


# How a setting that differs is said, what it is between the braces. Those of which the published
# table has at least so many:
AT_LEAST = ("images", "test_images")
WORDING = {
    "attack": "{}", "norm": "L{} norm", "norm_ratio": "ratio {}",
    "mean_norms_of": "bound from the norms of {}", "passes": "{} passes",
    "target_fooling_rate": "until {} fooled", "step_size": "step {}", "target": "target {}",
    "made_for": "made for {}", "class_names": "other classes", "image_size": "{} px",
    "recipe": "recipe {}", "epochs": "{} epochs", "learning_rate": "learning rate {}",
    "batch_size": "training batches of {}", "training_precision": "trained in {}", "weights": "{}",
    "precision": "attack in {}", "source": "from {}", "images": "{} images",
    "test_images": "{} test images"}
# Those of the training, which nobody knows of a classifier that other code trained.
OF_TRAINING = ("recipe", "epochs", "learning_rate", "batch_size", "training_precision", "weights")


def settings_of(run: EvaluatedUap) -> ExperimentSettings:
    """Return the settings of an evaluated UAP."""
    classifier, uap = run.classifier, run.uap
    return ExperimentSettings(
        attack=title_of(uap.attack), norm=uap.norm, norm_ratio=uap.norm_ratio,
        mean_norms_of=classifier.mean_norms_of, passes=uap.passes,
        target_fooling_rate=uap.identity.get("target_fooling_rate"),
        step_size=_step_size(run), target=uap.target, made_for=uap.made_for,
        class_names=classifier.class_names, image_size=classifier.image_size,
        recipe=classifier.recipe, epochs=classifier.epochs,
        learning_rate=classifier.learning_rate, batch_size=classifier.batch_size,
        training_precision=classifier.precision, weights=_weights(classifier.weights_from),
        precision=precision_of(uap.identity), source=title_of(uap.source),
        images=None if uap.source == NO_SOURCE else uap.images, test_images=run.test_images)


def published_settings(run: EvaluatedUap) -> ExperimentSettings:
    """Return the settings behind the published table, for the cell in which a UAP stands.

    The study does not state the epochs: training.RECIPES says how 100 are inferred.
    """
    attack = run.uap.attack if run.uap.attack in PUBLISHED_ATTACKS else PUBLISHED_ATTACKS[0]
    source = run.uap.source if run.uap.source in SOURCE_FOLDERS else next(iter(SOURCE_FOLDERS))
    images = {DOMAIN: MIN_ISIC_IMAGES, NO_SOURCE: None}.get(run.uap.source, MIN_NATURAL_IMAGES)
    return ExperimentSettings(
        attack=title_of(attack), norm=PUBLISHED_NORM, norm_ratio=0.04,
        mean_norms_of=TRAINING_IMAGES, passes=1, target_fooling_rate=None,
        step_size=STEP_SIZE if attack == "fgsm" else None, target=None,
        made_for=run.classifier.name, class_names=ISIC2018_CLASSES, image_size=299,
        recipe="study", epochs=100, learning_rate=0.001, batch_size=32,
        training_precision=FLOAT32, weights=_weights("ImageNet by Keras"), precision=FLOAT32,
        source=title_of(source), images=images, test_images=MIN_TEST_IMAGES)


def differing_fields(here: ExperimentSettings, published: ExperimentSettings) -> List[str]:
    """Return the names of the fields in which two settings differ."""
    return [field.name for field in fields(ExperimentSettings) if not _agrees(
        field.name, getattr(here, field.name), getattr(published, field.name))]


def differences(run: EvaluatedUap) -> List[str]:
    """Return in what a UAP differs from the published table, as short texts; [] where it does not.

    Its seed and its architecture's name are no difference; what is not known is one. Of a
    classifier that other code trained, that is said in place of all settings of the training.
    """
    here = settings_of(run)
    is_adopted = here.recipe is None and here.epochs is None
    marks = []
    for name in differing_fields(here, published_settings(run)):
        if is_adopted and name in OF_TRAINING:
            if name == OF_TRAINING[0]:
                marks.append("trained by other code")
            continue
        value = getattr(here, name)
        marks.append(WORDING[name].format("?" if value is None else value))
    return marks


def _agrees(name: str, here: Any, published: Any) -> bool:
    if name in AT_LEAST and published is not None:
        return here is not None and here >= published
    return here == published


def _step_size(run: EvaluatedUap) -> Any:
    """The step of SGD that --step-size gave, or else None, the step of FGSM, None of the others."""
    if run.uap.attack == "sgd":
        return run.uap.identity.get("step_size")
    if run.uap.attack != "fgsm":
        return None
    step_size = run.uap.identity.get("step_size", "?")
    return STEP_SIZE if step_size is None else step_size


def _weights(weights_from: Any) -> str:
    """What a training began with, in words."""
    if isinstance(weights_from, dict):
        return "weights from a file"
    return f"{'?' if weights_from is None else weights_from} weights"
