"""Was each classifier fooled by natural images? The numbers of the report's first page."""

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence

from utils.evaluation.evaluated_uap import EvaluatedUap
from utils.images.isic2018 import ISIC2018_CLASSES
from utils.report.numbers import (
    NATURAL_IMAGES,
    NO_IMAGE,
    AgainstControls,
    against_controls,
    strongest,
)
from utils.report.settings import DOMAIN, NO_SOURCE
from utils.report.study_table import in_study_order, nearest_to_published, of_the_table

# What a UAP is made from, in the order of the first page's table.
OWN_DOMAIN = "the classifier's own domain"
KINDS = (NATURAL_IMAGES, OWN_DOMAIN, NO_IMAGE)


@dataclass(frozen=True)
class ClassifierVerdict:
    """A classifier and the strongest UAP of each kind of source, against its two controls.

    uaps: by the kind, one of KINDS; one from no image only where there is none from images.
    """

    name: str
    uaps: Dict[str, AgainstControls]

    @property
    def is_fooled_by_natural_images(self) -> Optional[bool]:
        """Return whether natural images fool it more than either control; None where not tested."""
        return self.uaps[NATURAL_IMAGES].beats_both if NATURAL_IMAGES in self.uaps else None


def kind_of(run: EvaluatedUap) -> str:
    """Return which of KINDS a UAP is made from."""
    source = run.uap.source
    if source == NO_SOURCE:
        return NO_IMAGE
    domains = {run.classifier.image_folder.replace("\\", "/").split("/")[0]}
    if run.classifier.class_names == ISIC2018_CLASSES:
        domains.add(DOMAIN)
    return OWN_DOMAIN if source in domains else NATURAL_IMAGES


def verdicts(runs: Sequence[EvaluatedUap]) -> List[ClassifierVerdict]:
    """Return the verdict on each classifier.

    Only untargeted UAPs count that were made for the classifier, of the bound that its UAP nearest
    to the published settings has; of several of a kind, the one that fools most test images. The
    tests against controls are corrected for the number of all of them here.
    """
    chosen: List[EvaluatedUap] = []
    for model in in_study_order(run.classifier.name for run in of_the_table(runs)):
        of_model = [run for run in of_the_table(runs) if run.classifier.name == model]
        nearest = min(of_model, key=nearest_to_published)
        comparable = [run for run in of_model if run.uap.norm == nearest.uap.norm
                      and run.uap.norm_ratio == nearest.uap.norm_ratio]
        by_kind = [strongest([run for run in comparable if kind_of(run) == kind])
                   for kind in KINDS]
        from_images = [run for run in by_kind[:-1] if run is not None]
        chosen += from_images or [run for run in by_kind if run is not None]
    by_classifier: Dict[str, Dict[str, AgainstControls]] = {}
    for each in against_controls(chosen):
        by_classifier.setdefault(each.run.classifier.name, {})[kind_of(each.run)] = each
    return [ClassifierVerdict(name, uaps) for name, uaps in by_classifier.items()]
