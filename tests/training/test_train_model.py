"""What train_model.py leaves when something goes wrong after the last epoch."""

import checkout

TRAIN = ("--model", "VGG16", "--weights", "none", "--image-size", "32", "--epochs", "1",
         "--limit", "14")
WITHOUT_FONTS = """
import sys
sys.path.insert(0, ".")
import train_model
def draw_pictures(*arguments, **named):
    raise RuntimeError("a font cannot be read")
train_model.draw_pictures = draw_pictures
train_model.main()
"""


def test_a_model_whose_pictures_cannot_be_drawn_is_saved_and_the_same_command_draws_them(
        trained, tmp_path):
    words = TRAIN + ("--models-dir", str(tmp_path))
    code, _, errors = checkout.script(trained, "-c", WITHOUT_FONTS, *words, KEEP="the fork away")
    assert code == 1 and "a font cannot be read" in errors
    weights = (tmp_path / "VGG16.h5").read_bytes()
    assert (tmp_path / "VGG16.json").exists() and (tmp_path / "VGG16" / "test.csv").exists()
    assert not (tmp_path / "VGG16" / "confusion_matrix.png").exists()
    code, output, errors = checkout.script(trained, "train_model.py", *words)
    assert code == 0, errors
    assert "continuing after 1 of 1 epochs" in output
    assert (tmp_path / "VGG16" / "confusion_matrix.png").exists()
    assert (tmp_path / "VGG16.h5").read_bytes() == weights
    assert not (tmp_path / "VGG16" / "checkpoint.npz").exists()
