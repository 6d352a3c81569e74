"""Step 1: fine-tune an ImageNet classifier on ISIC2018 Task 3 (skin lesions, 7 classes).

    python train_model.py --model VGG16

reads   data/isic2018/ (data/README.md says how to get it), or the folder of another --dataset
writes  models/VGG16.h5    the weights of the last epoch
        models/VGG16.json  what steps 2 and 3 need to know, and how the model was made
        models/VGG16/      the split, the history of the epochs, and pictures of both

The same command again does nothing where the training is finished, and continues it where it was
interrupted, from models/VGG16/checkpoint.npz, to the same weights.
"""

import argparse
import dataclasses
import os
import textwrap
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from tqdm import tqdm

from utils.classifier import architectures, device
from utils.classifier.saved_classifier import save_classifier
from utils.classifier.session import start_session
from utils.classifier.weights import imagenet_weights, load_weights
from utils.common import arguments
from utils.common.checkpoint import Checkpoint, with_checkpoints
from utils.common.csv_files import write_csv
from utils.common.errors import UserError, run_script
from utils.common.hashes import sha256_of_lines
from utils.common.provenance import environment, now
from utils.common.stage import ResumableStage
from utils.evaluation.metrics import accuracy
from utils.images import datasets, splits
from utils.images.decoding import RESIZE
from utils.images.fingerprint import fingerprint_of_images
from utils.images.label_files import Split
from utils.images.norms import is_grey, mean_norm
from utils.images.reading import read_images, require_memory_for_images
from utils.training import fine_tuning
from utils.training.batches import (
    LabelledPixels,
    TrainingImages,
    batches,
    epoch_order,
    number_of_batches,
)
from utils.training.fine_tuning import EpochResult, Progress
from utils.training.recipes import RECIPES
from utils.training.settings import IMAGENET, RANDOM, TrainingSettings


def add_options(add: Callable[..., Any]) -> None:
    """Add the options that only this script has. add: the method add_argument of its parser."""
    of_the_study = architectures.ARCHITECTURES
    not_of_the_study = [name for name in architectures.MIN_IMAGE_SIZE if name not in of_the_study]
    add("--model", required=True, choices=architectures.MIN_IMAGE_SIZE, metavar="ARCHITECTURE",
        help=f"an architecture of the study, {', '.join(of_the_study)}, or another one of Keras: "
             f"{', '.join(not_of_the_study)}")
    add("--name", type=arguments.folder_name,
        help="the name of the model's files (default: the architecture, followed by --dataset "
             "where that is not isic2018)")
    add("--dataset", default="isic2018", metavar="NAME", type=arguments.folder_name,
        help="a folder below --data-dir with a folder of images for each class, or with images "
             "and labels.csv of rows file,label (default: %(default)s)")
    add("--split", metavar="image|lesion|FOLDER",
        help="how images are divided: image, 70 %% of each class for training and 30 %% for the "
             "test; lesion, the same without any lesion that has images on both sides; or a folder "
             "with the lists train.csv and test.csv, or the authors' train_pre.csv and "
             "test_pre.csv (default: the folders train and test of the data set, if it has them, "
             "else image)")
    add("--weights", default=IMAGENET, metavar="imagenet|none|FILE",
        help="the weights to start from: imagenet, Keras' own; none, random ones; or those in an "
             "h5 file of this architecture, without a top or with any (default: %(default)s)")
    add("--recipe", default="study", choices=sorted(RECIPES),
        help="study: 100 epochs; follow-up: 50 epochs, classes balanced by oversampling, images "
             "rotated and shifted (default: %(default)s)")
    add("--epochs", type=arguments.count, help="the number of epochs (default: the recipe's)")
    add("--learning-rate", type=arguments.positive, default=1e-3,
        help="the learning rate of the first epoch; the recipe lowers it later (default: "
             "%(default)s)")
    add("--image-size", type=arguments.count, default=299,
        help="height and width in pixels (default: %(default)s)")
    add("--resize", default="bilinear", choices=sorted(RESIZE),
        help="how images are brought to that size; the published code of 2021 uses nearest "
             "(default: %(default)s)")
    add("--limit", type=arguments.count,
        help="use at most this many training images, and at most as many test images")


def parse_arguments() -> TrainingSettings:
    """Read the command line, and end with a message where it cannot be meant."""
    parser = arguments.script_parser(__doc__, "data-dir", "models-dir", "batch-size", "seed",
                                     "device", "precision", "checkpoint-seconds", "restart")
    add_options(parser.add_argument)
    args = parser.parse_args()
    refuse_what_cannot_be_meant(parser, args)
    if args.name is None:
        is_of_the_study = args.dataset == "isic2018"
        args.name = args.model if is_of_the_study else f"{args.model}-{args.dataset}"
    if args.epochs is None:
        args.epochs = RECIPES[args.recipe].epochs
    return TrainingSettings(**vars(args))


def refuse_what_cannot_be_meant(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End with a message where options contradict each other or the files that are there."""
    least = architectures.MIN_IMAGE_SIZE[args.model]
    if args.image_size < least:
        parser.error(f"--image-size {args.image_size}: {args.model} needs at least {least}")
    is_of_the_study = args.dataset == "isic2018"
    if args.name in architectures.ARCHITECTURES and not (
            is_of_the_study and args.name == args.model):
        parser.error(f"--name {args.name}: the names of the study's own models are theirs")
    if args.split == "lesion" and not is_of_the_study:
        parser.error("--split lesion is for isic2018")
    if args.weights not in (IMAGENET, RANDOM) and not os.path.isfile(args.weights):
        parser.error(f"--weights {args.weights}: no such file; expected imagenet, none, or an h5 "
                     "file that Keras or train_model.py wrote")


def describe_split(split: Split) -> Dict[str, Dict[str, Any]]:
    """Return of each side its number of images and the SHA-256 of its rows, `file,class name`."""
    return {side: {"images": len(rows), "sha256": sha256_of_lines(map(",".join, rows))}
            for side, rows in split._asdict().items()}


def training_stage(settings: TrainingSettings, image_folder: str, split: Split) -> ResumableStage:
    """Return the stage: what makes this training this training, and where its files will be.

    image_folder: the folder of the images, below the data folder.
    """
    files = sorted(file for rows in split for file, _ in rows)
    identity = dict(
        settings.identity(),
        split={side: values["sha256"] for side, values in describe_split(split).items()},
        images=fingerprint_of_images(os.path.join(settings.data_dir, image_folder), files))
    place = os.path.join(settings.models_dir, settings.name)
    return ResumableStage(
        place=place, record=place + ".json", product=place + ".h5",
        checkpoint=os.path.join(place, "checkpoint.npz"), identity=identity,
        extendable=["epochs"],  # an interrupted training may be lengthened
        restart=settings.restart)


def start_model(settings: TrainingSettings,
                class_names: Sequence[str]) -> Tuple[Any, Union[str, Dict[str, Any]]]:
    """Return the model to train, and where its weights come from, for its JSON file.

    Raises UserError.
    """
    from utils.classifier.convolution_gradients import gradients_for_training

    start_session(settings.seed, inference=False, precision=settings.precision)
    with gradients_for_training():
        model = architectures.build_classifier(
            settings.model, settings.image_size, len(class_names),
            from_scratch=settings.weights == RANDOM)
    if settings.weights == RANDOM:
        return model, "random"
    if settings.weights == IMAGENET:
        load_weights(model, imagenet_weights(settings.model), settings.model,
                     class_names=class_names)
        return model, "ImageNet by Keras"
    loaded = load_weights(model, settings.weights, settings.model, class_names=class_names)
    print(f"{loaded.file}: {loaded.layers} layers loaded; the head is {loaded.head}")
    return model, loaded._asdict()


def read_split(settings: TrainingSettings, dataset: datasets.LabelledImages,
               split: Split) -> TrainingImages:
    """Read the images of both sides into memory. Raises UserError."""
    folder = os.path.join(settings.data_dir, dataset.image_folder)
    require_memory_for_images(len(split.train) + len(split.test), settings.image_size)

    def read_side(side: str) -> LabelledPixels:
        rows = getattr(split, side)
        images = read_images([os.path.join(folder, file) for file, _ in rows],
                             settings.image_size, settings.resize,
                             description=f"reading {side} images")
        labels = [dataset.class_names.index(label) for _, label in rows]
        return LabelledPixels(images, np.array(labels))

    return TrainingImages(read_side("train"), read_side("test"), len(dataset.class_names))


def continue_from(checkpoint: Checkpoint, variables: List[Any], settings: TrainingSettings,
                  stage: ResumableStage) -> Progress:
    """Set the variables of the session, and return the progress, to what a checkpoint says.

    Raises UserError when it cannot be of this training, or when that is beyond --epochs already.
    """
    from utils.classifier.frameworks import K

    stage.require_fit(checkpoint, fine_tuning.PROGRESS_SCHEMA, fine_tuning.kinds_of(variables))
    progress = Progress.from_json(checkpoint.progress)
    K.batch_set_value(list(zip(variables, checkpoint.arrays)))
    done = len(progress.history)
    print(f"continuing after {done} of {settings.epochs} epochs and {progress.trained_batches} "
          "batches")
    begun = done + (progress.trained_batches > 0)
    if begun > settings.epochs:
        raise UserError(f"--epochs {settings.epochs}: epoch {begun} has begun; ask for {begun} or "
                        "more, or give --restart")
    return progress


def train(settings: TrainingSettings, model: Any, images: TrainingImages,
          checkpoint: Optional[Checkpoint], stage: ResumableStage) -> List[EpochResult]:
    """Train `model`, from the checkpoint if there is one; return the history. Raises UserError."""
    from utils.classifier.frameworks import K

    variables = fine_tuning.compile_for_training(model, settings.learning_rate)
    progress = Progress()
    if checkpoint is not None:
        progress = continue_from(checkpoint, variables, settings, stage=stage)

    def save() -> None:
        stage.save_checkpoint(progress.as_json(), K.batch_get_value(variables))

    shown = epoch_order(images.train.labels, settings.chosen_recipe.oversample, settings.seed,
                        epoch=0)
    batches_of_epoch = (number_of_batches(len(shown), settings.batch_size)
                        + number_of_batches(len(images.test.labels), settings.batch_size))
    done = (len(progress.history) * batches_of_epoch + progress.trained_batches
            + len(progress.tested_batches))
    steps = fine_tuning.fit(model, images, settings, progress=progress)
    with tqdm(total=settings.epochs * batches_of_epoch, unit="batch", initial=done,
              desc=f"training {settings.name}") as bar:
        for _ in with_checkpoints(steps, save, settings.checkpoint_seconds):
            if progress.history:
                last = progress.history[-1]
                bar.set_postfix_str(
                    f"epoch {last.epoch}: loss {last.loss:.3f}, accuracy {last.accuracy:.3f}, "
                    f"test {last.test_accuracy:.3f}", refresh=False)
            bar.update()
    return progress.history


def score(model: Any, images: TrainingImages) -> Tuple[Dict[str, Any], np.ndarray]:
    """Measure and print the accuracy on both sides of the split.

    Returns the accuracies, as the model's JSON file holds them, and the classes that are predicted
    for the test images, int (n,).
    """
    scores = {}
    for name, side in (("train", images.train), ("test", images.test)):
        predictions = np.concatenate([model.predict_on_batch(x).argmax(axis=1)
                                      for x, _ in batches(side, images.num_classes)])
        overall = accuracy(side.labels, predictions)
        scores[name] = {"images": overall.total, "accuracy": overall.value}
        print(f"{name:5s} accuracy {overall.value:.1%} of {overall.total} images")
    return scores, predictions


def write_lists(folder: str, history: List[EpochResult], split: Split) -> None:
    """Write the history of the epochs and the lists of both sides of the split."""
    write_csv(os.path.join(folder, "history.csv"), EpochResult._fields, history)
    for side, rows in split._asdict().items():
        write_csv(os.path.join(folder, side + ".csv"), None, rows)


def draw_pictures(folder: str, name: str, history: List[EpochResult], scores: Dict[str, Any],
                  labels: np.ndarray, predictions: np.ndarray,
                  class_names: Sequence[str]) -> None:
    """Draw the learning curve, and the confusion matrix of the test images."""
    from sklearn.metrics import confusion_matrix

    from utils.training import pictures

    pictures.learning_curve(os.path.join(folder, "learning_curve.png"), history, name)
    test = scores["test"]
    counts = confusion_matrix(labels, predictions, labels=range(len(class_names)))
    pictures.confusion_matrix(
        os.path.join(folder, "confusion_matrix.png"), counts, class_names,
        title=f"{name}, {test['images']} test images, accuracy {test['accuracy']:.1%}")


def main() -> None:
    """Train one classifier, unless it is finished."""
    settings, started, began = parse_arguments(), now(), time.monotonic()
    architectures.require_buildable(settings.model, settings.image_size, "--image-size")
    dataset = datasets.labelled_images(settings.data_dir, settings.dataset)
    class_names = dataset.class_names
    print(f"{settings.dataset}: {len(dataset.labels)} images in {len(class_names)} classes: "
          f"{textwrap.shorten(' '.join(class_names), 300)}")
    split = splits.make_split(settings.split, dataset, settings.data_dir, limit=settings.limit,
                              seed=settings.seed)
    stage = training_stage(settings, dataset.image_folder, split)
    if not stage.lock_unless_finished():
        print(f"{stage.product}: finished; --restart trains it anew")
        return
    checkpoint = stage.last_checkpoint()

    device.choose(settings.device)
    from utils.classifier.frameworks import VERSIONS

    model, weights_from = start_model(settings, class_names)
    images = read_split(settings, dataset, split)
    history = train(settings, model, images, checkpoint=checkpoint, stage=stage)
    scores, predictions = score(model, images)
    write_lists(stage.place, history, split)
    save_classifier(model, stage.product, dict(
        environment(VERSIONS),
        name=settings.name,
        architecture=settings.model,
        class_names=class_names,
        image_folder=dataset.image_folder,
        image_size=settings.image_size,
        resize=settings.resize,
        scaling=architectures.SCALING,
        grey=is_grey(images.train.images),
        mean_norms={"2": mean_norm(images.train.images, 2),
                    "inf": mean_norm(images.train.images, np.inf)},
        split=describe_split(split),
        weights_from=weights_from,
        identity=stage.identity,
        arguments=dataclasses.asdict(settings),
        scores=scores,
        epochs=len(history),
        seconds=round(time.monotonic() - began, 1),
        started=started,
        finished=now(),
    ))
    draw_pictures(stage.place, settings.name, history, scores=scores, labels=images.test.labels,
                  predictions=predictions, class_names=class_names)
    stage.remove_checkpoint()
    print(f"wrote {stage.product}, {stage.record} and {stage.place}{os.sep}")


if __name__ == "__main__":
    run_script(main)
