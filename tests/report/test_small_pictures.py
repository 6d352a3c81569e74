"""The pictures of a report, made small to be committed."""

import numpy as np
from PIL import Image

import checkout


def test_examples_become_jpegs_and_other_pictures_have_64_colours(tmp_path):
    (tmp_path / "report").mkdir()
    noise = Image.fromarray(np.random.RandomState(0).randint(0, 256, (40, 60, 3), np.uint8))
    for name in ("example", "examples-VGG16", "curve"):
        noise.save(str(tmp_path / "report" / f"{name}.png"))
    (tmp_path / "report.md").write_text("![a](report/example.png) ![b](report/curve.png)\n")
    (tmp_path / "report" / "examples.md").write_text("[Examples](examples-VGG16.png) of März\n",
                                                     encoding="utf-8")
    code, _, errors = checkout.script(
        checkout.ROOT, "-m", "utils.report.small_pictures", tmp_path, PYTHONDONTWRITEBYTECODE="1")
    assert code == 0, errors
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "curve.png", "example.jpg", "examples-VGG16.jpg", "examples.md"]
    with Image.open(str(tmp_path / "report" / "curve.png")) as curve:
        assert curve.size == (60, 40) and len(curve.convert("RGB").getcolors()) <= 64
    assert "example.jpg) ![b](report/curve.png)" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "report" / "examples.md").read_text(
        encoding="utf-8") == "[Examples](examples-VGG16.jpg) of März\n"
