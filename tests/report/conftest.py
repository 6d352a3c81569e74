"""The small study and its report, which several files test."""

import pytest
import small_study
from evaluated_runs import undrawn, write


@pytest.fixture(scope="session")
def small_results(tmp_path_factory):
    """A folder with the small study: its models, pictures and rows."""
    folder = str(tmp_path_factory.mktemp("small-study"))
    small_study.make(folder)
    return folder


@pytest.fixture(scope="session")
def written(small_results):
    """The report on the small study."""
    with undrawn() as drawn:
        pages = write(small_results)
    return small_study.Written(pages, drawn)
