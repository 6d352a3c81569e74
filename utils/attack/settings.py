"""What a run of make_uap.py is asked for, and the folder name that tells one run from another.

The Snakefile imports this module, too: it needs nothing but Python.
"""

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, NamedTuple, Optional

from utils.common.precision import FLOAT32, without_float32


class AttackOptions(NamedTuple):
    """What the command line of make_uap.py knows of an attack.

    summary: one phrase for the help text. takes: those options, by the name of their field, that
    only some attacks take. step_size: in what --step-size is measured, and its default; None for an
    attack that does not take it.
    """

    summary: str
    takes: FrozenSet[str]
    step_size: Optional[str] = None


# The options of every attack that is shown images.
OF_IMAGES = frozenset(["num_images", "passes", "target_fooling_rate", "target", "estimate"])

ATTACKS: Dict[str, AttackOptions] = {
    "deepfool": AttackOptions("a DeepFool step for each image", takes=OF_IMAGES),
    "fgsm": AttackOptions(
        "a sign step for each image", takes=OF_IMAGES | {"step_size", "precision"},
        step_size="in every pixel (default: 0.001)"),
    "sgd": AttackOptions(
        "a gradient step for each minibatch",
        takes=OF_IMAGES | {"step_size", "batch_size", "precision"},
        step_size="in the p-norm (default: falling, a share of xi)"),
    "gd-uap": AttackOptions("steps without any image", takes=frozenset({"precision"})),
}


def options_without_meaning(attack: str) -> FrozenSet[str]:
    """Return the options that some other attack takes and this one does not."""
    of_any = frozenset().union(*(options.takes for options in ATTACKS.values()))
    return of_any - ATTACKS[attack].takes


@dataclass(frozen=True)
class AttackSettings:
    """The choices that make one run another run, beside the network and the images.

    attack: one of ATTACKS. norm: p, 2 or infinity. norm_ratio: zeta, the bound xi of the p-norm as
    a share of the mean p-norm of the training images. num_images: how many are drawn, None for all.
    passes: over the images, at most. target_fooling_rate: 1 - delta, the share of images from
    which on no further pass begins; None never asks. target: the name of the class to reach, None
    to leave the clean class. step_size: model-input units, of fgsm in every pixel, of sgd in the
    norm; None for the attack's own. batch_size: of sgd. seed: of all that is drawn. precision: one
    of utils.common.precision; DeepFool, whose steps are exact, knows float32 alone.
    """

    attack: str = "deepfool"
    norm: float = float("inf")
    norm_ratio: float = 0.04
    num_images: Optional[int] = None
    passes: int = 1
    target_fooling_rate: Optional[float] = None
    target: Optional[str] = None
    step_size: Optional[float] = None
    batch_size: int = 16
    seed: int = 0
    precision: str = FLOAT32


DEFAULTS = AttackSettings()

# What precedes a value in the name of a run's folder, in the order of the name.
NAME_PARTS = {"attack": "", "norm": "l", "norm_ratio": "ratio-", "num_images": "images-",
              "passes": "passes-", "target_fooling_rate": "until-", "target": "target-",
              "step_size": "step-", "batch_size": "batch-", "seed": "seed-", "precision": ""}


def other_than_default(settings: AttackSettings) -> Dict[str, Any]:
    """Return the choices that are not the default, by the name of their field, in its order."""
    return {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)
            if getattr(settings, field.name) != field.default}


def exact(value: Any) -> str:
    """Return the shortest text that means exactly this number: 0.04, 2, inf, 0.04000001."""
    if not isinstance(value, float):
        return str(value)
    text = f"{value:g}"
    return text if float(text) == value else repr(value)


def as_json(settings: AttackSettings) -> Dict[str, Any]:
    """Return the choices as JSON values, which know no infinity."""
    return without_float32(dict(dataclasses.asdict(settings), norm=exact(settings.norm)))


def run_name(source: str, settings: AttackSettings) -> str:
    """Return the name of a run's folder: its source, and every choice that is not the default.

    The name is one that every file system takes: what some of them do not becomes a dash.
    """
    parts = [source]
    for option, value in other_than_default(settings).items():
        parts.append(NAME_PARTS[option] + exact(value))
    return safe_file_name("-".join(parts))


# Separators, what some file systems reserve, and what is no visible text or no UTF-8.
UNSAFE = re.compile(
    r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u2028-\u202e\u2066-\u2069\ud800-\udfff]')


def safe_file_name(text: str) -> str:
    """Return the text as the name of one folder.

    Each unsafe character becomes a dash, and there is none of the leading dots and dashes that hide
    a folder or make it look like an option.
    """
    return UNSAFE.sub("-", text).lstrip(".- ").rstrip(". ") or "images"
