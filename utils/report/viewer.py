"""What the viewer of the HTML report shows: images, UAPs, and what is predicted of each."""

import base64
import io
from typing import Any, Dict, List, Optional

import numpy as np
from PIL import Image

from utils.evaluation.evaluated_uap import EvaluatedUap
from utils.images.pixels import PIXEL_SCALE
from utils.report.contents import Contents
from utils.report.examples import ShownImages, first_of_each_class, perturbation_of
from utils.report.settings import title_of
from utils.report.study_table import in_study_order, nearest_to_published

LARGEST = 255  # grey levels: of a picture's value


def viewer(contents: Contents) -> List[Dict[str, Any]]:
    """Return all that the viewer can show, as JSON: a list of classifiers.

    The page computes the attacked images itself: pixels are whole numbers, so that an attacked
    image as a file holds it is their sum with the UAP in rounded grey levels, clipped to 0..255.
    Classifiers without images or UAPs at hand are left out.
    """
    classifiers = []
    for name in in_study_order(run.classifier.name for run in contents.runs):
        runs = sorted((run for run in contents.runs if run.classifier.name == name),
                      key=nearest_to_published)
        images = first_of_each_class(runs[0], contents.read_images)
        if images is None:
            continue
        uaps = [uap for uap in (_uap(run, images) for run in runs) if uap is not None]
        if uaps:
            classifiers.append({"name": name, "images": _images(images), "uaps": uaps})
    return classifiers


def _images(images: ShownImages) -> List[Dict[str, Any]]:
    rows = images.run.predictions
    return [{"file": str(rows["file"][place]), "label": str(rows["label"][place]),
             "clean": str(rows["clean"][place]),
             "confidence": float(rows["clean_confidence"][place]), "picture": data_uri(pixels)}
            for place, pixels in zip(images.places, images.pixels)]


def _uap(run: EvaluatedUap, images: ShownImages) -> Optional[Dict[str, Any]]:
    v = perturbation_of(run) if run.test_sha256 == images.run.test_sha256 else None
    if v is None:
        return None
    rows = run.predictions
    return {
        "run": run.uap.name, "source": title_of(run.uap.source),
        "attack": title_of(run.uap.attack), "largest": float(np.abs(v).max() * PIXEL_SCALE),
        "picture": data_uri(signed_picture(v)),
        "predictions": [{
            "attacked": str(rows["uap"][place]),
            "confidence": float(rows["uap_confidence"][place]),
            "as_file": str(rows["uap_8bit"][place])} for place in images.places]}


def signed_picture(v: np.ndarray) -> np.ndarray:
    """Return a UAP as one picture, uint8 (2 h, w, 3): what it adds, above what it takes away.

    v: (h, w, 3), model-input units; the values are in grey levels, rounded.
    """
    levels = np.rint(v * PIXEL_SCALE)
    return np.clip(np.concatenate([levels, -levels]), 0, LARGEST).astype(np.uint8)


def data_uri(pixels: np.ndarray) -> str:
    """Return a picture, uint8 (h, w, 3), as an address that holds it, without loss."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
