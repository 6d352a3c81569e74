"""All numbers of the report, computed from evaluated UAPs; how they look is not decided here."""

from dataclasses import dataclass
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from sklearn.metrics import confusion_matrix

from utils.evaluation import metrics
from utils.evaluation.evaluated_uap import EvaluatedUap
from utils.evaluation.metrics import Rate
from utils.evaluation.rows import CONTROLS
from utils.images.datasets import SOURCE_FOLDERS
from utils.images.isic2018 import ISIC2018_CLASSES
from utils.report.settings import DOMAIN, NO_SOURCE, STUDY_MODELS, differences
from utils.report.study_table import CellKey, StudyTable, nearest_to_published

LEVELS = tuple(k / 10 for k in range(1, 10))  # fooling rates at which the curves are compared
CONFIDENCES = (0, 0.6, 0.8, 0.95, 0.99, 1)  # in the clean prediction, softmax
SIGNIFICANT = 0.05
# What an attacker may have, from most to least.
LESIONS, NATURAL_IMAGES, NO_IMAGE, NO_CLASSIFIER = NEEDS = (
    "ISIC2018 images", "natural images", "no image", "no image and no classifier")


class ClassShare(NamedTuple):
    """A class, and its share of some images; None of no image."""

    name: Optional[str]
    share: Rate


def largest_class(classes: np.ndarray) -> ClassShare:
    """Return the most frequent class, the first by name of several, with its share."""
    names, counts = np.unique(classes, return_counts=True)
    name = names[counts.argmax()] if len(names) else None
    return ClassShare(name, metrics.rate(classes == name))


@dataclass(frozen=True)
class UapSummary:
    """All numbers of one UAP on one classifier: a row of table.csv.

    cell: whether it stands in the study's table. differs: in what it differs from the published
    table. published: the published rate in %, where nothing differs. For a targeted UAP rate,
    rate_8bit, random and permuted are success rates on the images not already predicted as the
    target; target_share is the share of all images predicted as the target. mcnemar_p: of UAP
    against permuted. dominant: what is predicted most often under the UAP; largest_label: the most
    frequent true class. norm_bound: model-input units; largest_change: in grey levels.
    """

    cell: bool
    model: str
    made_for: Optional[str]
    source: str
    attack: str
    norm: str
    norm_ratio: Optional[float]
    target: Optional[str]
    run: str
    seed: Optional[int]
    published: Optional[float]
    differs: Tuple[str, ...]
    rate: Rate
    rate_8bit: Rate
    random: Rate
    permuted: Rate
    mcnemar_p: float
    accuracy_clean: Rate
    accuracy_uap: Rate
    largest_label: ClassShare
    dominant: ClassShare
    target_share: Optional[Rate]
    test_images: int
    images: Optional[int]
    passes: Optional[int]
    steps_made: Optional[int]
    steps_kept: Optional[int]
    norm_bound: Optional[float]
    bound_from: Optional[str]
    largest_change: Optional[float]

    @property
    def share_of_steps_kept(self) -> Optional[float]:
        """Return the share of its steps that changed the label, 0..1; None where none was made."""
        if not self.steps_made or self.steps_kept is None:
            return None
        return self.steps_kept / self.steps_made


def is_cell_of_the_study(run: EvaluatedUap) -> bool:
    """Return whether a UAP stands in the study's table, whatever its settings."""
    return (run.uap.target is None and run.uap.made_for == run.classifier.name
            and run.classifier.name in STUDY_MODELS and run.uap.source in SOURCE_FOLDERS
            and run.classifier.class_names == ISIC2018_CLASSES)


def summarise(run: EvaluatedUap, published: Dict[CellKey, float]) -> UapSummary:
    """Return all numbers of a UAP. published: fooling rates in %, by cell."""
    uap, label, attacked = run.uap, run.predictions["label"], run.predictions["uap"]
    marks = tuple(differences(run))
    return UapSummary(
        cell=is_cell_of_the_study(run), model=run.classifier.name, made_for=uap.made_for,
        source=uap.source, attack=uap.attack, norm=uap.norm, norm_ratio=uap.norm_ratio,
        target=uap.target, run=uap.name, seed=uap.identity.get("seed"),
        published=None if marks else published.get(CellKey(run.classifier.name, uap.source)),
        differs=marks, rate=run.rate(), rate_8bit=run.rate("uap_8bit"), random=run.rate("random"),
        permuted=run.rate("permuted"),
        mcnemar_p=metrics.mcnemar_p(run.hits(), run.hits("permuted")),
        accuracy_clean=metrics.accuracy(label, run.predictions["clean"]),
        accuracy_uap=metrics.accuracy(label, attacked), largest_label=largest_class(label),
        dominant=largest_class(attacked),
        target_share=None if uap.target is None else metrics.rate(attacked == uap.target),
        test_images=run.test_images, images=uap.images, passes=uap.passes,
        steps_made=uap.steps.made if uap.steps else None,
        steps_kept=uap.steps.kept if uap.steps else None, norm_bound=uap.norm_bound,
        bound_from=uap.bound_from, largest_change=uap.largest_change)


# Paired tests


@dataclass(frozen=True)
class PairedTest:
    """McNemar's exact test of two attacks on the same images.

    only_one, only_other: on how many images the one succeeded and the other did not, and the other
    way round. p_holm: p corrected by Holm's method for all tests made together.
    """

    one: Rate
    other: Rate
    only_one: int
    only_other: int
    p: float
    p_holm: float

    @property
    def one_is_better(self) -> bool:
        """Return whether the one succeeds more often, with a corrected p of at most 0.05."""
        return self.p_holm <= SIGNIFICANT and self.only_one > self.only_other


class AttackedImages(NamedTuple):
    """The test images of an evaluated UAP under an attack: a column of its predictions."""

    run: EvaluatedUap
    column: str = "uap"

    def hits(self) -> np.ndarray:
        """Return on which images the attack succeeds, bool (n,)."""
        return self.run.hits(self.column)

    def rate(self) -> Rate:
        """Return the fooling rate, or the success rate where the UAP is targeted."""
        return self.run.rate(self.column)


class Pair(NamedTuple):
    """Two attacks on the same images."""

    one: AttackedImages
    other: AttackedImages


def paired_tests(pairs: Sequence[Pair]) -> List[PairedTest]:
    """Compare two attacks in each of several pairs, corrected for the number of pairs."""
    hits = [(pair.one.hits(), pair.other.hits()) for pair in pairs]
    p_values = [metrics.mcnemar_p(by_one, by_other) for by_one, by_other in hits]
    tests = []
    for pair, (by_one, by_other), p, p_holm in zip(pairs, hits, p_values, metrics.holm(p_values)):
        tests.append(PairedTest(
            one=pair.one.rate(), other=pair.other.rate(),
            only_one=int(np.sum(by_one & ~by_other)), only_other=int(np.sum(by_other & ~by_one)),
            p=p, p_holm=p_holm))
    return tests


@dataclass(frozen=True)
class AgainstControls:
    """A UAP against its two controls: a test for each, by the name of the control."""

    run: EvaluatedUap
    tests: Dict[str, PairedTest]

    @property
    def beats_both(self) -> bool:
        """Return whether it fools more images than either control, with corrected p <= 0.05."""
        return all(test.one_is_better for test in self.tests.values())


def against_controls(runs: Sequence[EvaluatedUap]) -> List[AgainstControls]:
    """Compare each UAP with both of its controls, corrected for the number of all these tests."""
    tests = paired_tests([Pair(AttackedImages(run), AttackedImages(run, control))
                          for run in runs for control in CONTROLS])
    comparisons = []
    for i, run in enumerate(runs):
        of_run = tests[i * len(CONTROLS):(i + 1) * len(CONTROLS)]
        comparisons.append(AgainstControls(run, dict(zip(CONTROLS, of_run))))
    return comparisons


@dataclass(frozen=True)
class AgainstDomain:
    """A UAP from natural images against that from the classifier's own domain."""

    run: EvaluatedUap
    test: PairedTest


def against_domain(table: StudyTable) -> List[AgainstDomain]:
    """Compare each UAP of a table with that from its classifier's own domain on the same images."""
    runs, pairs = [], []
    for run in table.runs.values():
        domain = table.domain_of(run)
        if domain is not None and domain.test_sha256 == run.test_sha256:
            runs.append(run)
            pairs.append(Pair(AttackedImages(run), AttackedImages(domain)))
    return [AgainstDomain(run, test) for run, test in zip(runs, paired_tests(pairs))]


# Images needed


class Crossing(NamedTuple):
    """Where a curve first reaches a rate.

    images: None where it never does. is_upper_bound: whether it was reached at the first
    measurement already, so that fewer images may do.
    """

    images: Optional[float]
    is_upper_bound: bool


def images_needed(shown: Sequence[int], rates: Sequence[float], level: float) -> Crossing:
    """Return the number of images at which a curve first reaches the rate `level`.

    shown: numbers of images, ascending. rates: the rate measured at each. Between two measurements
    the curve is straight over the logarithm of the number of images.
    """
    for i, rate in enumerate(rates):
        if rate >= level:
            if i == 0:
                return Crossing(float(shown[0]), True)
            step = (level - rates[i - 1]) / (rate - rates[i - 1])
            return Crossing(shown[i - 1] * (shown[i] / shown[i - 1]) ** step, False)
    return Crossing(None, False)


@dataclass(frozen=True)
class ImagesNeeded:
    """The images that a UAP takes to reach a rate.

    at_rate: by the measured rates; at_high, at_low: by the ends of their 95 % intervals. shown: how
    many there were in all. factor: how many times as many as images of the classifier's own
    domain, None where either never reaches the rate or both reach it at their first measurement.
    sign: "≤ " or "≥ " where the factor is only a bound.
    """

    at_rate: Crossing
    at_high: Crossing
    at_low: Crossing
    shown: int
    factor: Optional[float]
    sign: str

    @property
    def exact_factor(self) -> Optional[float]:
        """Return the factor where it is no bound."""
        return None if self.sign else self.factor


def needed_for(run: EvaluatedUap, domain: Optional[EvaluatedUap], level: float) -> ImagesNeeded:
    """Return the images that a UAP takes to reach a rate, beside those from its own domain."""
    at_rate = _crossing(run, level, lambda rate: rate.value)
    of_domain = Crossing(None, False)
    if domain is not None:
        of_domain = _crossing(domain, level, lambda rate: rate.value)
    factor = None
    both_are_bounds = at_rate.is_upper_bound and of_domain.is_upper_bound
    if at_rate.images is not None and of_domain.images is not None and not both_are_bounds:
        factor = at_rate.images / of_domain.images
    sign = ""
    if at_rate.is_upper_bound:
        sign = "≤ "
    elif of_domain.is_upper_bound:
        sign = "≥ "
    return ImagesNeeded(
        at_rate=at_rate, at_high=_crossing(run, level, lambda rate: rate.high),
        at_low=_crossing(run, level, lambda rate: rate.low), shown=max(run.curve),
        factor=factor, sign=sign)


def _crossing(run: EvaluatedUap, level: float, end: Callable[[Rate], float]) -> Crossing:
    return images_needed(list(run.curve), [end(rate) for rate in run.curve.values()], level)


def levels_reached(runs: Sequence[EvaluatedUap]) -> List[float]:
    """Return those of LEVELS that the curve of at least one UAP reaches."""
    rates = [rate.value for run in runs for rate in run.curve.values()]
    return [level for level in LEVELS if any(rate >= level for rate in rates)]


@dataclass(frozen=True)
class CurvePoint:
    """The rate of a UAP after something was spent on it; repeated: images are shown again."""

    spent: float
    rate: Rate
    repeated: bool


def curve_of(run: EvaluatedUap, spent: Callable[[int], Optional[float]]) -> List[CurvePoint]:
    """Return the curve of a UAP.

    spent: function from the images shown to what is on the axis; where None or 0, there is no
    point.
    """
    points = []
    for shown, rate in run.curve.items():
        value = spent(shown)
        if value:
            repeated = shown > (run.uap.images or shown)
            points.append(CurvePoint(spent=value, rate=rate, repeated=repeated))
    return points


# Classes and confidences


@dataclass(frozen=True)
class PredictedClasses:
    """What is predicted most often. counts: int (K, K), rows clean, columns under the UAP."""

    counts: np.ndarray
    clean: ClassShare
    attacked: ClassShare
    fooled: ClassShare


def predicted_classes(run: EvaluatedUap) -> PredictedClasses:
    """Count the predicted classes of the test images, clean and under the UAP."""
    clean, attacked = run.predictions["clean"], run.predictions["uap"]
    return PredictedClasses(
        counts=confusion_matrix(clean, attacked, labels=run.classifier.class_names),
        clean=largest_class(clean), attacked=largest_class(attacked),
        fooled=largest_class(attacked[run.hits()]))


@dataclass(frozen=True)
class Sensitivity:
    """How the fooling rate of a UAP depends on the image.

    where_right, where_wrong: of the images that the classifier gets right and wrong. by_confidence:
    for each interval of CONFIDENCES in which the clean prediction lies. by_class: for each true
    class; images_of_class: how many there are.
    """

    accuracy_clean: Rate
    accuracy_attacked: Rate
    where_right: Rate
    where_wrong: Rate
    by_confidence: List[Rate]
    by_class: Dict[str, Rate]
    images_of_class: Dict[str, int]


def sensitivity(run: EvaluatedUap) -> Sensitivity:
    """Compute how the fooling rate of an untargeted UAP depends on the image."""
    label, clean, attacked = (run.predictions[name] for name in ("label", "clean", "uap"))
    confidence = run.predictions["clean_confidence"].astype(float)
    interval = np.digitize(confidence, CONFIDENCES[1:-1])
    class_names = run.classifier.class_names

    def rate_where(chosen: np.ndarray) -> Rate:
        return metrics.fooling_rate(clean[chosen], attacked[chosen])

    return Sensitivity(
        accuracy_clean=metrics.accuracy(label, clean),
        accuracy_attacked=metrics.accuracy(label, attacked),
        where_right=rate_where(clean == label), where_wrong=rate_where(clean != label),
        by_confidence=[rate_where(interval == i) for i in range(len(CONFIDENCES) - 1)],
        by_class={name: rate_where(label == name) for name in class_names},
        images_of_class={name: int(np.sum(label == name)) for name in class_names})


# What the attacker has


class NormBound(NamedTuple):
    """Norm and ratio of a UAP's bound."""

    norm: str
    ratio: Optional[float]


def by_bound(runs: Sequence[EvaluatedUap]) -> Dict[NormBound, List[EvaluatedUap]]:
    """Return the untargeted UAPs of ISIC2018's classes by their bound, best comparable first."""
    grouped: Dict[NormBound, List[EvaluatedUap]] = {}
    for run in sorted(runs, key=nearest_to_published):
        if run.classifier.class_names == ISIC2018_CLASSES and run.uap.target is None:
            grouped.setdefault(NormBound(run.uap.norm, run.uap.norm_ratio), []).append(run)
    return grouped


def need_of(run: EvaluatedUap) -> Optional[str]:
    """Return which of NEEDS an attacker must have to make a UAP; None of one for another model."""
    if run.uap.made_for == run.classifier.name:
        return {DOMAIN: LESIONS, NO_SOURCE: NO_IMAGE}.get(run.uap.source, NATURAL_IMAGES)
    return NO_CLASSIFIER if run.uap.source == NO_SOURCE and run.uap.backbone else None


def strongest(runs: Sequence[EvaluatedUap]) -> Optional[EvaluatedUap]:
    """Return the UAP that fools most of its test images, the first of several; None of none."""
    return max(runs, key=lambda run: run.rate().value, default=None)


class MedianAndRange(NamedTuple):
    """The median, the smallest and the largest of some numbers."""

    median: float
    smallest: float
    largest: float


def median_and_range(values: Sequence[float]) -> MedianAndRange:
    """Return the median, the smallest and the largest of some numbers, of which there is one."""
    return MedianAndRange(float(np.median(values)), min(values), max(values))
