"""The bound xi of a UAP's norm."""

from utils.attack.settings import AttackSettings
from utils.classifier.description import ClassifierDescription
from utils.images.pixels import PIXEL_SCALE


def bound_of_norm(settings: AttackSettings, network: ClassifierDescription) -> float:
    """Return xi, the bound of the p-norm of v, model-input units.

    It is zeta times the mean p-norm of the images that the classifier was trained on, in grey
    levels, divided by 128. The images that the UAP is made from play no part: a UAP from
    photographs has the same bound as one from lesions. The mean norm is a number in the network's
    description, so no training image is read. Where the training images are not at hand, as those
    of a pretrained network, it is that of other images, which `network.mean_norms_of` names.
    """
    return settings.norm_ratio * network.mean_norm(settings.norm) / PIXEL_SCALE
