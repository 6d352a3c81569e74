"""Make the pictures of a report small, to commit them: 64 colours each, and examples as JPEGs.

    python -m utils.report.small_pictures results/reproduction/main

reads   FOLDER/report.md and FOLDER/report/, as evaluate.py leaves them
writes  FOLDER/report/*.png in 64 colours, FOLDER/report/example*.jpg in the place of the .png, and
        the links to these in FOLDER/report.md and FOLDER/report/*.md
"""

import pathlib
import re

from PIL import Image

from utils.common import arguments
from utils.common.errors import run_script
from utils.common.whole_files import replacing, write_text

COLORS = 64
JPEG_QUALITY = 85
EXAMPLE = re.compile(r"\b(example[\w.-]*)\.png\b")


def shrink(path: pathlib.Path) -> None:
    """Save a picture in few colours; of photographs, as a JPEG that takes the picture's place."""
    with Image.open(str(path)) as file:
        image = file.convert("RGB")
    if EXAMPLE.fullmatch(path.name):
        with replacing(str(path.with_suffix(".jpg"))) as temporary:
            image.save(temporary, "JPEG", quality=JPEG_QUALITY, optimize=True)
        path.unlink()
    else:
        with replacing(str(path)) as temporary:
            image.quantize(COLORS, dither=Image.NONE).save(temporary, "PNG", optimize=True)


def main() -> None:
    parser = arguments.script_parser(__doc__)
    parser.add_argument("folder", metavar="FOLDER", type=pathlib.Path)
    folder = parser.parse_args().folder
    for path in folder.glob("report/*.png"):
        shrink(path)
    for path in [folder / "report.md", *folder.glob("report/*.md")]:
        write_text(str(path), EXAMPLE.sub(r"\1.jpg", path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    run_script(main)
