"""What evaluate.py is asked for."""

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class GivenUap:
    """The UAP of --uap and the model to try it on.

    file: .npy. norm: its p, 2 or infinity, where no run.json says it. norm_bound: of the p-norm, in
    grey levels, None where none is given. unit: of perturbation_file.UNITS, what the file is in.
    """

    file: str
    model_file: str
    norm: float
    norm_bound: Optional[float]
    unit: str


@dataclass(frozen=True)
class EvaluationSettings:
    """What evaluate.py is asked for.

    uap: the only UAP to evaluate, None for all below results_dir. seed: of the two random controls.
    limit: use at most this many test images, None for all. again: predict even where the rows are
    up to date. allow_mismatch: evaluate a UAP on another model than its own. note: a sentence to
    print above the table. expected_rates_file, tolerance: a csv file of rates in percent, and how
    many points ours may be from them. promises_file: a csv file of what the table must show. Either
    file is None where that is not to be checked.
    """

    data_dir: str
    models_dir: str
    results_dir: str
    batch_size: int
    seed: int
    device: str
    uap: Optional[GivenUap]
    limit: Optional[int]
    again: bool
    allow_mismatch: bool
    note: Optional[str]
    promises_file: Optional[str]
    expected_rates_file: Optional[str]
    tolerance: float
