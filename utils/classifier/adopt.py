"""Make a classifier that other code trained one of this repository: from an h5 file of Keras 2.

    python -m utils.classifier.adopt theirs.h5 --name theirs --preprocessing caffe \
        --dataset chest_xray --class-names NORMAL PNEUMONIA

reads   theirs.h5, a whole model (model.save), or with --model ARCHITECTURE its weights alone
        data/chest_xray/, the test images, as train_model.py reads them
writes  models/theirs.h5    the network, with its preprocessing as its first layer
        models/theirs.json  what make_uap.py and evaluate.py need to know
        models/theirs/      test.csv, and train.csv where --split gives training images

From then on it is used like any other: make_uap.py --model-file models/theirs.h5, evaluate.py. No
code that the file may hold is run. The same command again does nothing.
"""

import os
import time
from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from utils.classifier import device, saved_classifier
from utils.classifier.architectures import (
    ARCHITECTURES,
    MIN_IMAGE_SIZE,
    SCALING,
    require_buildable,
)
from utils.classifier.backbone import natural_mean_norms
from utils.classifier.description import OF_ITS_OWN, TRAINING_IMAGES
from utils.classifier.fit_of_preprocessing import is_suspicious, recalls, what_fits
from utils.classifier.preprocessing import EXPECTED, NAMED, as_convolution, parse_preprocessing
from utils.classifier.session import start_session
from utils.common import arguments
from utils.common.csv_files import write_csv
from utils.common.errors import UserError, run_script
from utils.common.hashes import sha256_of_file, sha256_of_lines
from utils.common.names import require_name
from utils.common.provenance import environment, now
from utils.common.stage import ResumableStage
from utils.images.datasets import LabelledImages, labelled_images
from utils.images.decoding import RESIZE
from utils.images.fingerprint import fingerprint_of_images
from utils.images.norms import is_grey, mean_norm
from utils.images.pixels import to_model_input
from utils.images.reading import read_images
from utils.images.splits import Split, limit_rows, make_split

TRIED = 300  # test images that other preprocessings are tried on
DEFAULT_SIZE = 299  # of the networks of --model, as in the study


@dataclass(frozen=True)
class AdoptionSettings:
    """What is asked for.

    file: of the classifier. architecture: of weights alone, or None. class_names: in the order of
    the outputs, or None for those of the data set. dataset, split: as of train_model.py, or None.
    The rest as its option is described.
    """

    file: str
    name: str
    architecture: Optional[str]
    class_names: Optional[List[str]]
    preprocessing: str
    image_size: Optional[int]
    resize: str
    dataset: Optional[str]
    split: Optional[str]
    limit: Optional[int]
    data_dir: str
    models_dir: str
    batch_size: int
    seed: int
    device: str
    restart: bool


class LabelledSides(NamedTuple):
    """The labelled images that are at hand. folder: below the data folder; empty without any."""

    folder: str
    class_names: List[str]
    split: Split


class Tested(NamedTuple):
    """What the classifier makes of the test images. labels, predictions: int (n,)."""

    images: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray


class MeanNorms(NamedTuple):
    """What bounds are shares of.

    values: pixel units, by p as "2" and "inf". source: of which images they are. is_grey: whether
    all of these are.
    """

    values: Dict[str, float]
    source: str
    is_grey: bool


def parse_arguments() -> AdoptionSettings:
    """Read the command line, and end with a message where its options contradict each other."""
    parser = arguments.script_parser(__doc__, "data-dir", "models-dir", "batch-size", "seed",
                                     "device", "restart")
    add = parser.add_argument
    add("file", metavar="FILE", help="an h5 file of Keras 2")
    add("--name", type=arguments.folder_name, required=True, help="of the classifier from now on")
    add("--model", choices=sorted(MIN_IMAGE_SIZE), metavar="ARCHITECTURE",
        help="where FILE has weights alone: a network of Keras' without its top, global average "
             f"pooling and one dense layer; one of {', '.join(sorted(MIN_IMAGE_SIZE))}")
    add("--preprocessing", required=True,
        help=f"what the network expects its pixels to be: {EXPECTED[len('expected '):]}")
    add("--class-names", nargs="+", metavar="CLASS",
        help="in the order of the outputs; of one sigmoid: first the class of 0 (default: those of "
             "the data set, in its order)")
    add("--image-size", type=arguments.count, metavar="PIXELS",
        help=f"where the network takes any (default with --model: {DEFAULT_SIZE})")
    add("--resize", default="bilinear", choices=sorted(RESIZE),
        help="how images become that size; Keras' load_img: nearest (default: %(default)s)")
    add("--dataset", metavar="NAME", type=arguments.folder_name,
        help="the test images: isic2018, or another folder below --data-dir, with a folder for "
             "each class or with labels.csv")
    add("--split", metavar="image|lesion|FOLDER",
        help="as of train_model.py: which of them are for the test; the others are the "
             "classifier's training images (default: as the data set's folders say, else all)")
    add("--limit", type=arguments.count, help="use at most this many images of each side")
    args = parser.parse_args()
    if args.name in ARCHITECTURES:
        parser.error(f"--name {args.name}: the names of the study's own models are theirs")
    if args.dataset is None and (args.split is not None or args.limit is not None):
        parser.error("--split and --limit need --dataset")
    if args.dataset is None and args.class_names is None:
        parser.error("give --dataset, or --class-names where there are no test images")
    return AdoptionSettings(architecture=args.model, **{
        key: value for key, value in vars(args).items() if key != "model"})


def read_labelled_sides(settings: AdoptionSettings) -> LabelledSides:
    """Read the images of both sides, and the classes in the order of the outputs.

    Raises UserError.
    """
    given = settings.class_names or []
    for name in given:
        require_name(name, "--class-names: a class")
    if len(set(given)) < len(given):
        raise UserError(f"--class-names {' '.join(given)}: a name twice; expected a name for each "
                        "output")
    if settings.dataset is None:
        return LabelledSides("", list(given), Split([], []))
    dataset = labelled_images(settings.data_dir, settings.dataset)
    class_names = settings.class_names or list(dataset.class_names)
    unknown = sorted(set(dataset.class_names) - set(class_names))
    if unknown:
        raise UserError(f"--class-names {' '.join(class_names)}: {settings.dataset} has images of "
                        f"{', '.join(unknown)}; expected these names among the classes")
    return LabelledSides(dataset.image_folder, class_names, _split(settings, dataset))


def _split(settings: AdoptionSettings, dataset: LabelledImages) -> Split:
    if settings.split is None and dataset.folder_split is None:
        return Split([], limit_rows(list(dataset.labels.items()), settings.limit, settings.seed))
    return make_split(settings.split, dataset, settings.data_dir, limit=settings.limit,
                      seed=settings.seed)


def load_network(settings: AdoptionSettings, classes: int) -> Any:
    """Load the network with its preprocessing in front: a Keras model, in a session for inference.

    classes: how many names there are. Raises UserError.
    """
    from utils.classifier.foreign_network import (
        build_network,
        layers_of_file,
        layers_of_weights,
        with_preprocessing,
    )
    from utils.classifier.logits import head_of

    if settings.architecture is None:
        layers, arrays = layers_of_file(settings.file)
    else:
        size = settings.image_size or DEFAULT_SIZE
        require_buildable(settings.architecture, size, "--image-size")
        layers, arrays = layers_of_weights(settings.file, settings.architecture, size,
                                           classes=classes)
    size = _image_size(settings, layers.input_shape)
    layers = with_preprocessing(layers, arrays, parse_preprocessing(settings.preprocessing),
                                image_size=size)
    start_session(settings.seed, inference=True)
    network = build_network(layers, arrays, settings.file)
    try:
        outputs = head_of(network).classes
    except UserError as error:
        raise UserError(f"{settings.file}: {error}")
    if outputs != classes:
        raise UserError(f"{settings.file}: the network tells {outputs} classes, and there are "
                        f"{classes} names; give --class-names with {outputs}, in the order of its "
                        "outputs")
    return network


def _image_size(settings: AdoptionSettings, input_shape: Tuple[Any, Any, int]) -> int:
    height, width, _ = input_shape
    sizes = {size for size in (height, width, settings.image_size) if size is not None}
    if not sizes:
        raise UserError(f"{settings.file}: the network takes images of any size; give --image-size")
    if len(sizes) > 1:
        asked = f", --image-size is {settings.image_size}" if settings.image_size else ""
        raise UserError(f"{settings.file}: the network takes images of {height} x {width} pixels"
                        f"{asked}; expected squares of one size")
    return sizes.pop()


def predict_test_images(settings: AdoptionSettings, network: Any, labelled: LabelledSides,
                        size: int) -> Tested:
    """Predict the test images. size: their height and width. Raises UserError."""
    images = _read(settings, labelled, "test", size=size)
    labels = np.array([labelled.class_names.index(label) for _, label in labelled.split.test])
    return Tested(images, labels, predict(network, images, settings.batch_size))


def _read(settings: AdoptionSettings, labelled: LabelledSides, side: str, size: int) -> np.ndarray:
    folder = os.path.join(settings.data_dir, labelled.folder)
    paths = [os.path.join(folder, file) for file, _ in getattr(labelled.split, side)]
    words = {"train": "reading training images", "test": "reading test images"}
    return read_images(paths, size, settings.resize, description=words[side])


def predict(network: Any, images: np.ndarray, batch_size: int) -> np.ndarray:
    """Predict the class of each image, int (n,). images: uint8, (n, h, w, 3)."""
    batches = [to_model_input(images[i:i + batch_size]) for i in range(0, len(images), batch_size)]
    outputs = np.concatenate([network.predict_on_batch(x) for x in batches])
    outputs = outputs.reshape(len(images), -1)
    if outputs.shape[1] == 1:
        return (outputs[:, 0] > 0.5).astype(int)
    return outputs.argmax(axis=1)


def _channels(network: Any) -> int:
    """How many channels the network takes from the convolution in front of it: 3, or 1 of grey."""
    return int(network.layers[1].output.shape[-1])


def warn_where_suspicious(settings: AdoptionSettings, network: Any, labelled: LabelledSides,
                          tested: Tested) -> None:
    """Say so where the classifier is hardly better than guessing, and what would fit."""
    classes = len(labelled.class_names)
    if not is_suspicious(tested.labels, tested.predictions, classes):
        return
    rows = [(str(index), str(label)) for index, label in enumerate(tested.labels)]
    some = [int(index) for index, _ in limit_rows(rows, TRIED, settings.seed)]
    front, channels = network.layers[1], _channels(network)
    before = front.get_weights()

    def predict_with(name: str) -> np.ndarray:
        front.set_weights(as_convolution(parse_preprocessing(name), channels))
        return predict(network, tested.images[some], settings.batch_size)

    given = settings.preprocessing
    others = [name for name in NAMED if NAMED[name] != parse_preprocessing(given)]
    fit = what_fits(predict_with, others, given, labels=tested.labels[some],
                    class_names=labelled.class_names)
    front.set_weights(before)
    tried = ", ".join(f"{name} {accuracy:.1%}" for name, accuracy in fit.others.items())
    print("warning: this is hardly better than guessing; the preprocessing or the order of the "
          f"classes is probably wrong. Accuracy on {len(some)} test images: {tried}.")
    options = []
    if fit.preprocessing is not None:
        options.append(f"--preprocessing {fit.preprocessing}")
    if fit.class_names is not None:
        options.append(f"--class-names {' '.join(fit.class_names)}")
    if options:
        print(f"warning: {' '.join(options)} would fit ({fit.accuracy:.1%}); give it, and "
              "--restart")
    else:
        print("warning: none of these fits; look at the code that trained it for what it does to "
              "its images")


def print_scores(scores: Dict[str, Any], class_names: List[str]) -> None:
    """Print the accuracy on the test images, and the share of each class that is recognised."""
    shares = ", ".join(f"{name} {'no images' if share is None else f'{share:.1%}'}"
                       for name, share in zip(class_names, scores["recall"]))
    print(f"test accuracy {scores['accuracy']:.1%} of {scores['images']:,} images; "
          f"recall: {shares}")


def norms_of(settings: AdoptionSettings, labelled: LabelledSides, tested: Optional[Tested],
             size: int) -> MeanNorms:
    """Compute the mean norms of the training images, else of the test, else of natural images."""
    if labelled.split.train:
        images, source = _read(settings, labelled, "train", size=size), TRAINING_IMAGES
    elif tested is not None:
        images, source = tested.images, "test images"
    else:
        return MeanNorms(natural_mean_norms(size), "natural images", False)
    values = {"2": mean_norm(images, 2), "inf": mean_norm(images, np.inf)}
    return MeanNorms(values, source, is_grey(images))


def describe_sides(labelled: LabelledSides) -> Dict[str, Dict[str, Any]]:
    """Return how many images each side of the split has, and the SHA-256 of its rows."""
    return {side: {"images": len(rows), "sha256": sha256_of_lines(map(",".join, rows))}
            for side, rows in labelled.split._asdict().items()}


def adoption_stage(settings: AdoptionSettings, labelled: LabelledSides) -> ResumableStage:
    """Return the stage: what makes this adoption this one, and where its files will be."""
    folder = os.path.join(settings.data_dir, labelled.folder)
    files = sorted(file for rows in labelled.split for file, _ in rows)
    place = os.path.join(settings.models_dir, settings.name)
    return ResumableStage(
        place=place, record=place + ".json", product=place + ".h5",
        checkpoint=os.path.join(place, "checkpoint.npz"), restart=settings.restart,
        identity={
            "file": sha256_of_file(settings.file), "model": settings.architecture,
            "preprocessing": settings.preprocessing, "class_names": labelled.class_names,
            "image_size": settings.image_size, "resize": settings.resize,
            "split": {side: described["sha256"]
                      for side, described in describe_sides(labelled).items()},
            "images": fingerprint_of_images(folder, files)})


def main() -> None:
    settings, started, began = parse_arguments(), now(), time.monotonic()
    parse_preprocessing(settings.preprocessing)
    if not os.path.isfile(settings.file):
        found = ("a folder, as a SavedModel is" if os.path.isdir(settings.file)
                 else "no such file")
        raise UserError(f"{settings.file}: {found}; expected an h5 file, as "
                        "model.save(\"FILE.h5\") of Keras 2 writes it")
    labelled = read_labelled_sides(settings)
    stage = adoption_stage(settings, labelled)
    if not stage.lock_unless_finished():
        print(f"{stage.product}: finished; --restart adopts it anew")
        return

    device.choose(settings.device)
    network = load_network(settings, len(labelled.class_names))
    size = int(network.inputs[0].shape[1])
    tested, scores = None, {}
    if labelled.split.test:
        tested = predict_test_images(settings, network, labelled, size=size)
        scores["test"] = {
            "images": len(tested.labels),
            "accuracy": float(np.mean(tested.labels == tested.predictions)),
            "recall": recalls(tested.labels, tested.predictions, len(labelled.class_names))}
        print_scores(scores["test"], labelled.class_names)
        warn_where_suspicious(settings, network, labelled, tested=tested)
    norms = norms_of(settings, labelled, tested, size=size)
    print(f"bounds are shares of the mean norms of the {norms.source}: {norms.values['2']:,.0f} "
          f"(p = 2), {norms.values['inf']:.1f} (p = inf), in grey levels")

    from utils.classifier.frameworks import VERSIONS

    for side, rows in labelled.split._asdict().items():
        write_csv(os.path.join(stage.place, side + ".csv"), None, rows)
    saved_classifier.save_adopted(network, stage.product, dict(
        environment(VERSIONS), name=settings.name, architecture=settings.architecture or OF_ITS_OWN,
        class_names=labelled.class_names, image_folder=labelled.folder, image_size=size,
        resize=settings.resize, scaling=SCALING, mean_norms=norms.values,
        mean_norms_of=norms.source, grey=norms.is_grey or _channels(network) == 1,
        split=describe_sides(labelled), identity=stage.identity, epochs=None,
        weights_from={"file": os.path.basename(settings.file), "sha256": stage.identity["file"]},
        adopted={"preprocessing": settings.preprocessing}, scores=scores,
        arguments=vars(settings), seconds=round(time.monotonic() - began, 1), started=started,
        finished=now()))
    print(f"wrote {stage.product}, {stage.record} and {stage.place}{os.sep}")


if __name__ == "__main__":
    run_script(main)
