"""The reviewer's report: a first page, appendices, and all of it in one HTML file."""

import os
from typing import Optional, Sequence

from utils.common.whole_files import write_text
from utils.evaluation.evaluated_uap import EvaluatedUap
from utils.report import html, markdown
from utils.report.appendices import appendices
from utils.report.contents import make_contents
from utils.report.document import Page
from utils.report.examples import ReadTestImages
from utils.report.first_page import first_page
from utils.report.gallery import Gallery
from utils.report.viewer import viewer


def write_report(results_dir: str, models_dir: str, runs: Sequence[EvaluatedUap],
                 note: Optional[str], read_images: ReadTestImages) -> str:
    """Write report.md, the folder report/ with appendices and pictures, and report.html.

    models_dir: where the models' JSON files are, for the provenance. note: a sentence to print
    above, or None. Returns the path of the first page.
    """
    folder = os.path.join(results_dir, markdown.REPORT_FOLDER)
    gallery = Gallery(folder)
    contents = make_contents(runs, gallery, read_images, models_dir=models_dir, note=note)
    topics = appendices(contents)
    first = first_page(contents, topics)
    gallery.remove_others()
    for topic in topics:
        write_text(os.path.join(folder, topic.name + ".md"),
                   markdown.write_page(topic, is_first=False))
    _remove_other_pages(folder, topics)
    path = os.path.join(results_dir, "report.md")
    write_text(path, markdown.write_page(first, is_first=True))
    write_text(os.path.join(results_dir, "report.html"),
               html.write_report(first, topics, viewer(contents),
                                 picture_folder=gallery.folder))
    return path


def _remove_other_pages(folder: str, topics: Sequence[Page]) -> None:
    """Remove the appendices of an earlier report."""
    names = {topic.name + ".md" for topic in topics}
    for name in os.listdir(folder):
        if name.endswith(".md") and name not in names:
            os.remove(os.path.join(folder, name))
