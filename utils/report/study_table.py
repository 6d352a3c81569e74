"""The study's table, classifiers by sources, for each attack and norm: which UAP stands where."""

from dataclasses import dataclass
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from utils.evaluation.evaluated_uap import EvaluatedUap
from utils.images.datasets import SOURCE_FOLDERS
from utils.report.settings import (
    DOMAIN,
    NO_SOURCE,
    PUBLISHED_ATTACKS,
    PUBLISHED_NORM,
    STUDY_MODELS,
    differences,
    title_of,
)


class TableKind(NamedTuple):
    """Of which UAPs a table is: their attack and their norm."""

    attack: str
    norm: str


FIRST = TableKind("deepfool", "inf")  # this project's own


class CellKey(NamedTuple):
    """A cell of the study's table."""

    model: str
    source: str


@dataclass(frozen=True, eq=False)
class StudyTable:
    """The UAPs of one attack and norm, which stand in one table.

    runs: for each cell the UAP that stands for it. others: further UAPs of the same cells.
    models, sources: of the table, in order. common: in what all of them differ from the published
    table.
    """

    attack: str
    norm: str
    models: Tuple[str, ...]
    sources: Tuple[str, ...]
    runs: Dict[CellKey, EvaluatedUap]
    others: Tuple[EvaluatedUap, ...]
    common: Tuple[str, ...]

    @property
    def title(self) -> str:
        """Return what the table is about."""
        return f"UAPs by {title_of(self.attack)}, L{self.norm} norm"

    @property
    def in_common(self) -> str:
        """Return in what all UAPs differ from the published table, as a sentence, or nothing."""
        return f"Not as published: {'; '.join(self.common)}." if self.common else ""

    @property
    def is_published(self) -> bool:
        """Return whether the published table may have been made in this way."""
        return self.attack in PUBLISHED_ATTACKS and self.norm == PUBLISHED_NORM

    @property
    def name_parts(self) -> Tuple[str, ...]:
        """Return what tells the names of its pictures from those of the other tables."""
        return () if TableKind(self.attack, self.norm) == FIRST else (self.attack, "l" + self.norm)

    def domain_of(self, run: EvaluatedUap) -> Optional[EvaluatedUap]:
        """Return the UAP from the classifier's own domain with the same bound.

        None where it is the UAP itself, or was not run.
        """
        domain = self.runs.get(CellKey(run.classifier.name, DOMAIN))
        if domain in (None, run) or domain.uap.norm_ratio != run.uap.norm_ratio:
            return None
        return domain

    def by_model(self) -> Dict[str, List[EvaluatedUap]]:
        """Return the UAPs of each model that has any, in the order of the sources."""
        grouped: Dict[str, List[EvaluatedUap]] = {}
        for key, run in self.runs.items():
            grouped.setdefault(key.model, []).append(run)
        return grouped


def study_tables(runs: Sequence[EvaluatedUap]) -> List[StudyTable]:
    """Return the tables that have UAPs, DeepFool's L-infinity first; that one alone when none has.

    Targeted UAPs, and those evaluated on another model than their own, belong to none.
    """
    grouped: Dict[TableKind, List[EvaluatedUap]] = {}
    for run in of_the_table(runs):
        grouped.setdefault(TableKind(run.uap.attack, run.uap.norm), []).append(run)
    kinds = list(grouped) or [FIRST]
    return [_study_table(kind, grouped.get(kind, []))
            for kind in sorted(kinds, key=lambda kind: kind != FIRST)]


def _study_table(kind: TableKind, runs: Sequence[EvaluatedUap]) -> StudyTable:
    best: Dict[CellKey, EvaluatedUap] = {}
    for run in sorted(runs, key=nearest_to_published):
        best.setdefault(CellKey(run.classifier.name, run.uap.source), run)
    models = in_study_order([*STUDY_MODELS, *(key.model for key in best)])
    used = {key.source for key in best}
    sources = [] if used == {NO_SOURCE} else list(SOURCE_FOLDERS)
    sources += sorted(used - set(SOURCE_FOLDERS))
    cells = [CellKey(model, source) for model in models for source in sources]
    return StudyTable(
        attack=kind.attack, norm=kind.norm, models=tuple(models), sources=tuple(sources),
        runs={cell: best[cell] for cell in cells if cell in best},
        others=tuple(run for run in runs if run not in best.values()),
        common=tuple(common_differences(runs)))


def common_differences(runs: Iterable[EvaluatedUap]) -> List[str]:
    """Return in what all of some UAPs differ from the published table."""
    marks = [differences(run) for run in runs] or [[]]
    return [mark for mark in marks[0] if all(mark in others for others in marks)]


def nearest_to_published(run: EvaluatedUap) -> Tuple[int, int, str]:
    """Return a key that sorts first the UAP that stands for all like it.

    That is the one with the settings nearest to the published ones, then with the most images.
    """
    return len(differences(run)), -(run.uap.images or 0), run.uap.name


def in_study_order(models: Iterable[str]) -> List[str]:
    """Return names of models without repetition: the study's in its order, then others by name."""
    names = set(models)
    return [name for name in STUDY_MODELS if name in names] + sorted(names - set(STUDY_MODELS))


def of_the_table(runs: Iterable[EvaluatedUap]) -> List[EvaluatedUap]:
    """Return those UAPs that are untargeted and on the model that they were made for."""
    return [run for run in runs
            if run.uap.target is None and run.uap.made_for == run.classifier.name]
