"""Generated stand-ins for the three data sets, in their official layouts, and to pretrain on.

    python -m data.generate demo/data

They let the demo and the tests run anywhere, offline, in minutes. The lesions look like dermoscopy
only enough that a classifier can learn the 7 classes; the natural images are crops of the two
photographs that scikit-learn ships, and textures: 8 classes, to pretrain a classifier on as others
are on ImageNet. No result on them says anything about ISIC2018.
"""

import os
from typing import Sequence, Tuple

import numpy as np
from PIL import Image
from scipy import ndimage

from utils.common import arguments
from utils.common.csv_files import write_csv
from utils.common.errors import run_script
from utils.images.datasets import SOURCE_FOLDERS
from utils.images.isic2018 import (
    ISIC2018_CLASSES,
    ISIC2018_GROUND_TRUTH,
    ISIC2018_IMAGES,
    ISIC2018_LESIONS,
)

# For each class: colour of the lesion, how ragged its border is, how strong its texture is.
APPEARANCE = {
    "MEL": ((60, 40, 35), 0.30, 25),
    "NV": ((140, 90, 60), 0.05, 5),
    "BCC": ((215, 140, 140), 0.12, 10),
    "AKIEC": ((190, 85, 70), 0.22, 35),
    "BKL": ((175, 140, 75), 0.15, 25),
    "DF": ((150, 110, 105), 0.08, 8),
    "VASC": ((150, 30, 60), 0.10, 10),
}
SKIN = (225, 180, 155)

# For each class of textures: its pattern, and the two colours that it mixes.
TEXTURES = {
    "sky": ("clouds", (70, 120, 200), (225, 230, 245)),
    "forest": ("clouds", (20, 45, 20), (100, 150, 60)),
    "dunes": ("stripes", (170, 115, 60), (245, 215, 160)),
    "bricks": ("checks", (95, 35, 30), (195, 105, 85)),
    "ripples": ("rings", (10, 70, 90), (110, 180, 190)),
    "berries": ("dots", (60, 70, 40), (200, 30, 90)),
}
GREY = (124, 117, 104)  # the mean colour of ILSVRC2012
NATURAL_CLASSES = ("building", "flower") + tuple(TEXTURES)
PRETRAINING = "natural"  # the data set of images in these classes, a folder for each


def grid(random: np.random.RandomState, size: int) -> Tuple[np.ndarray, ...]:
    """Return x and y in -1..1, and both turned by a random angle.

    These are four float arrays, (size, size, 1).
    """
    y, x = np.mgrid[-1:1:size * 1j, -1:1:size * 1j][..., np.newaxis]
    angle = random.uniform(0, np.pi)
    return x, y, x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def smooth_noise(random: np.random.RandomState, size: int, scale: float) -> np.ndarray:
    """Return noise of mean 0 and deviation 1: float, (size, size, 1).

    scale: about how wide its patches are, in pixels.
    """
    noise = ndimage.gaussian_filter(random.normal(size=(size, size)), scale, mode="wrap")
    return ((noise - noise.mean()) / noise.std())[..., np.newaxis]


def exposed(random: np.random.RandomState, picture: np.ndarray) -> np.ndarray:
    """Return a picture, (h, w, 3), darker or lighter, and with noise, as a camera takes it; uint8.

    A classifier of pictures of one exposure may turn on brightness alone; a permuted UAP, which
    keeps its mean, then fools as often as the UAP, as was seen before pictures differed in it.
    """
    picture = picture * random.uniform(0.85, 1.1) + random.normal(0, 10, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def lesion_image(random: np.random.RandomState, label: str, size: int) -> np.ndarray:
    """Draw one lesion of class `label` on skin: uint8, (size, size, 3)."""
    colour, raggedness, texture = APPEARANCE[label]
    x, y, u, w = grid(random, size)
    distance = np.hypot(u - random.uniform(-0.15, 0.15), w * random.uniform(1.0, 1.4))
    distance /= random.uniform(0.5, 0.75)
    distance += raggedness * smooth_noise(random, size, size / 16)
    inside = 1 / (1 + np.exp((distance - 1) * 12))

    skin = SKIN + random.normal(0, 8, 3) + 5 * smooth_noise(random, size, size / 6)
    lesion = colour + random.normal(0, 8, 3) + texture * smooth_noise(random, size, size / 40)
    if label == "DF":  # a pale centre in a darker ring
        lesion = lesion + 70 * np.exp(-(distance / 0.4) ** 2)
    vignette = 1 - 0.25 * np.clip(np.hypot(x, y) - 0.8, 0, 1)
    return exposed(random, (skin * (1 - inside) + lesion * inside) * vignette)


def pattern_field(random: np.random.RandomState, pattern: str, size: int) -> np.ndarray:
    """Draw a pattern: float, (size, size, 1), about -1..1."""
    if pattern == "clouds":
        return smooth_noise(random, size, random.uniform(size / 24, size / 8))
    if pattern == "dots":
        spots = (random.uniform(size=(size, size)) < random.uniform(0.005, 0.02)).astype(float)
        spots = ndimage.gaussian_filter(spots, size / 32, mode="wrap")[..., np.newaxis]
        return 2 * spots / max(spots.max(), 1e-9) - 0.6
    x, y, u, w = grid(random, size)
    waves = random.uniform(3, 9) * np.pi
    if pattern == "rings":
        return np.sin(waves * np.hypot(x - random.uniform(-1, 1), y - random.uniform(-1, 1)))
    return np.sin(waves * u) * (np.sin(waves * w) if pattern == "checks" else 1)


def natural_image(random: np.random.RandomState, photographs: Sequence[np.ndarray], name: str,
                  size: int) -> np.ndarray:
    """Draw an image of one of NATURAL_CLASSES: uint8, (size, size, 3)."""
    if name in TEXTURES:
        pattern, *colours = TEXTURES[name]
        one, other = (colour + random.normal(0, 15, 3) for colour in colours)
        mix = 1 / (1 + np.exp(-3 * pattern_field(random, pattern, size)))
        picture = other * mix + one * (1 - mix)
    else:
        photograph = photographs[name == "flower"]
        shorter = min(photograph.shape[:2])
        side = random.randint(min(size // 2, shorter - 1), shorter)
        top, left = (random.randint(length - side + 1) for length in photograph.shape[:2])
        crop = photograph[top:top + side, left:left + side]
        if random.uniform() < 0.5:
            crop = crop[:, ::-1]
        picture = np.asarray(Image.fromarray(crop).resize((size, size), Image.BILINEAR))
    contrast = random.uniform(0.4, 1)
    return exposed(random, contrast * picture + (1 - contrast) * np.array(GREY))


def _save_jpeg(path, pixels):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Image.fromarray(pixels).save(path, "JPEG", quality=95)


def generate_isic2018(data_dir: str, num_images: int, size: int, seed: int) -> None:
    """Write `num_images` lesions, the classes in turn, with ground truth and lesion groupings.

    Every third image shows the same lesion as the image of its class before it.
    """
    random = np.random.RandomState(seed)
    truth, lesions, lesion_of_class = [], [], {}
    for number in range(num_images):
        label = ISIC2018_CLASSES[number % len(ISIC2018_CLASSES)]
        name = f"ISIC_{9000000 + number:07d}"
        if number // len(ISIC2018_CLASSES) % 3 != 2:
            lesion_of_class[label] = f"GEN_{number:07d}"
        _save_jpeg(os.path.join(data_dir, ISIC2018_IMAGES, name + ".jpg"),
                   lesion_image(random, label, size))
        truth.append([name] + [float(c == label) for c in ISIC2018_CLASSES])
        lesions.append([name, lesion_of_class[label], "generated"])
    root = os.path.join(data_dir, "isic2018")
    write_csv(os.path.join(root, ISIC2018_GROUND_TRUTH, ISIC2018_GROUND_TRUTH + ".csv"),
              ("image",) + ISIC2018_CLASSES, truth)
    write_csv(os.path.join(root, ISIC2018_LESIONS + ".csv"),
              ("image", "lesion_id", "diagnosis_confirm_type"), lesions)


def generate_natural(data_dir: str, num_images: int, size: int, seed: int) -> None:
    """Write `num_images` images of each natural data set, the classes in turn.

    One has the layout of ILSVRC2012, one that of Open Images, and one the folders of PRETRAINING.
    """
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images
    random = np.random.RandomState(seed)
    for folder, file_name in (
            (os.path.join(SOURCE_FOLDERS["ilsvrc2012"], "train"), _ilsvrc2012_file),
            (SOURCE_FOLDERS["open_images_v5"], _open_images_file),
            (PRETRAINING, _pretraining_file)):
        for number in range(num_images):
            k = number % len(NATURAL_CLASSES)
            _save_jpeg(os.path.join(data_dir, folder, file_name(number, k)),
                       natural_image(random, photographs, NATURAL_CLASSES[k], size=size))


def _ilsvrc2012_file(number: int, k: int) -> str:
    return f"n{k:08d}/n{k:08d}_{number}.JPEG"


def _open_images_file(number: int, k: int) -> str:
    return f"{number:016x}.jpg"


def _pretraining_file(number: int, k: int) -> str:
    return f"{NATURAL_CLASSES[k]}/{number}.jpg"


def generate(data_dir: str, isic_images: int = 800, natural_images: int = 480, size: int = 80,
             seed: int = 0) -> None:
    """Write all data sets below `data_dir`; the same arguments give the same files."""
    generate_isic2018(data_dir, isic_images, size, seed=seed)
    generate_natural(data_dir, natural_images, size, seed=(seed + 1) % 2 ** 32)


def main() -> None:
    parser = arguments.script_parser(__doc__, "seed")
    parser.add_argument("data_dir", metavar="FOLDER")
    for option, default, text in (("isic-images", 800, "lesions"),
                                  ("natural-images", 480, "of each natural data set"),
                                  ("size", 80, "in pixels")):
        parser.add_argument("--" + option, type=arguments.count, default=default,
                            help=text + " (default: %(default)s)")
    args = parser.parse_args()
    generate(**vars(args))
    print(f"wrote {args.isic_images} lesions and 3 x {args.natural_images} natural images to "
          f"{args.data_dir}{os.sep}")


if __name__ == "__main__":
    run_script(main)
