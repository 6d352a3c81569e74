"""What a report is about: the evaluated UAPs, and what else its pages are made from."""

from dataclasses import dataclass
from typing import Dict, Optional, Sequence, Tuple

from utils.evaluation.evaluated_uap import EvaluatedUap
from utils.report.document import Cell
from utils.report.examples import ReadTestImages
from utils.report.gallery import Gallery
from utils.report.pictures import Style, source_styles
from utils.report.settings import title_of
from utils.report.study_table import StudyTable, study_tables


@dataclass(frozen=True)
class Contents:
    """The evaluated UAPs of a report.

    tables: of each attack and norm. styles: of each source, by its title, the same in all
    pictures. models_dir: where the models' JSON files are. note: a sentence to stand above.
    """

    runs: Tuple[EvaluatedUap, ...]
    tables: Tuple[StudyTable, ...]
    styles: Dict[str, Style]
    gallery: Gallery
    read_images: ReadTestImages
    models_dir: str
    note: Optional[str]


def make_contents(runs: Sequence[EvaluatedUap], gallery: Gallery, read_images: ReadTestImages,
                  models_dir: str, note: Optional[str]) -> Contents:
    """Sort the evaluated UAPs of a report."""
    return Contents(
        runs=tuple(runs), tables=tuple(study_tables(runs)),
        styles=source_styles(title_of(run.uap.source) for run in runs), gallery=gallery,
        read_images=read_images, models_dir=models_dir, note=note)


def names(run: EvaluatedUap) -> Dict[str, Cell]:
    """Return the first cells of a row about a UAP: its model, the images that it is made from."""
    return {"model": run.classifier.name, "UAP from": title_of(run.uap.source)}
