"""Step 1: fine-tune an ImageNet classifier on ISIC2018 Task 3 (skin lesions, 7 classes).

    python train_model.py --model VGG16

reads   data/isic2018/ (data/README.md says how to get it), or the folder of another --dataset
writes  models/VGG16.h5    the weights of the last epoch
        models/VGG16.json  what steps 2 and 3 need to know, and how the model was made
        models/VGG16/      the split, the history of the epochs, and pictures of both

The same command again does nothing where the training is finished, and continues it where it was
interrupted, from models/VGG16/checkpoint.npz, to the same weights.
"""

import os
import textwrap
import time

import numpy as np
from tqdm import tqdm

from utils.classifier import architectures, device, saved_classifier
from utils.classifier.session import start_session
from utils.classifier.weights import imagenet_weights, load_weights
from utils.common import arguments, csv_files
from utils.common.checkpoint import with_checkpoints
from utils.common.errors import UserError, run_script
from utils.common.hashes import sha256_of_file, sha256_of_lines
from utils.common.provenance import environment, now
from utils.common.step_run import ResumableStep
from utils.evaluation.metrics import accuracy
from utils.images import datasets, splits
from utils.images.decoding import RESIZE
from utils.images.fingerprint import fingerprint_of_images
from utils.images.norms import is_grey, mean_norm
from utils.images.reading import read_images, require_memory_for_images
from utils.training import fine_tuning

# The choices that make a training another training; the split and the weights count by their hash.
CHOICES = ("model", "dataset", "weights", "recipe", "epochs", "learning_rate", "batch_size",
           "image_size", "resize", "seed")
HISTORY = ("epoch", "learning_rate", "loss", "accuracy", "test_loss", "test_accuracy")


def add_options(add):
    of_the_study = architectures.ARCHITECTURES
    others = [name for name in architectures.MIN_IMAGE_SIZE if name not in of_the_study]
    add("--model", required=True, choices=architectures.MIN_IMAGE_SIZE, metavar="ARCHITECTURE",
        help=f"{', '.join(of_the_study)}, as in the study; Keras' others: {', '.join(others)}")
    add("--name", type=arguments.folder_name,
        help="of the model's files (default: the architecture, and any other --dataset)")
    add("--dataset", default="isic2018", metavar="NAME", type=arguments.folder_name,
        help="a folder below --data-dir with a folder of images for each class, or with images "
             "and labels.csv of rows file,label (default: %(default)s)")
    add("--split", metavar="image|lesion|FOLDER",
        help="70/30 by class; the same, no lesion on both sides; or a folder with train.csv and "
             "test.csv, or the authors' train_pre.csv and test_pre.csv (default: the folders train "
             "and test of the data set, if it has them, else image)")
    add("--weights", default="imagenet", metavar="imagenet|none|FILE",
        help="to start from: Keras', random ones, or an h5 file of this architecture, without "
             "top or with any (default: %(default)s)")
    add("--recipe", default="study", choices=sorted(fine_tuning.RECIPES),
        help="study: 100 epochs; follow-up: 50 epochs, classes balanced by oversampling, images "
             "rotated and shifted (default: %(default)s)")
    add("--epochs", type=arguments.count, help="(default: the recipe's)")
    add("--learning-rate", type=arguments.positive, default=1e-3,
        help="of the first epoch; the recipe lowers it later (default: %(default)s)")
    add("--image-size", type=arguments.count, default=299,
        help="height and width in pixels (default: %(default)s)")
    add("--resize", default="bilinear", choices=sorted(RESIZE),
        help="how images become that size; the 2021 code has nearest (default: %(default)s)")
    add("--limit", type=arguments.count,
        help="at most this many training and as many test images")


def parse_arguments():
    parser = arguments.script_parser(__doc__, "data-dir", "models-dir", "batch-size", "seed",
                                     "device", "checkpoint-seconds", "restart")
    add_options(parser.add_argument)
    args = parser.parse_args()
    if args.image_size < architectures.MIN_IMAGE_SIZE[args.model]:
        parser.error("--image-size {}: {} needs at least {}".format(
            args.image_size, args.model, architectures.MIN_IMAGE_SIZE[args.model]))
    own = args.dataset == "isic2018"
    if args.name in architectures.ARCHITECTURES and not (own and args.name == args.model):
        parser.error("--name {}: the names of the study's own models are theirs".format(args.name))
    if args.split == "lesion" and not own:
        parser.error("--split lesion is for isic2018")
    if args.weights not in ("imagenet", "none") and not os.path.isfile(args.weights):
        parser.error("--weights {}: no such file; expected imagenet, none, or an h5 file that "
                     "Keras or train_model.py wrote".format(args.weights))
    args.name = args.name or (args.model if own else "{}-{}".format(args.model, args.dataset))
    args.epochs = args.epochs or fine_tuning.RECIPES[args.recipe].epochs
    return args


def start_model(args, class_names):
    """The model to train, and where its weights come from, for its JSON file."""
    from utils.classifier.convolution_gradients import quick_gradients

    start_session(args.seed, inference=False)
    with quick_gradients():
        model = architectures.build_classifier(args.model, args.image_size, len(class_names),
                                            from_scratch=args.weights == "none")
    if args.weights == "none":
        return model, "random"
    if args.weights == "imagenet":
        load_weights(model, imagenet_weights(args.model), args.model, class_names)
        return model, "ImageNet by Keras"
    loaded = load_weights(model, args.weights, args.model, class_names)
    print(f"{loaded.file}: {loaded.layers} layers loaded; the head is {loaded.head}")
    return model, loaded._asdict()


def read_split(args, dataset, split):
    """({side: images, uint8 (n, size, size, 3)}, {side: labels, int (n,)}) of "train", "test"."""
    folder = os.path.join(args.data_dir, dataset.image_folder)
    images, labels = {}, {}
    require_memory_for_images(len(split.train) + len(split.test), args.image_size)
    for side, rows in split._asdict().items():
        images[side] = read_images([os.path.join(folder, file) for file, _ in rows],
                                   args.image_size, args.resize, "reading {} images".format(side))
        labels[side] = np.array([dataset.class_names.index(label) for _, label in rows])
    return images, labels


def train(args, model, images, labels, num_classes, checkpoint, step):
    """Train `model`, from the checkpoint if there is one; return the history.

    step: saves its checkpoints.
    """
    from utils.classifier.frameworks import K

    recipe, progress = fine_tuning.RECIPES[args.recipe], fine_tuning.new_progress()
    variables = fine_tuning.compile_for_training(model, args.learning_rate)
    if checkpoint is not None:
        step.require_fit(checkpoint, fine_tuning.PROGRESS, fine_tuning.kinds_of(variables))
        progress = checkpoint.progress
        K.batch_set_value(list(zip(variables, checkpoint.arrays)))
        done = len(progress["history"])
        print("continuing after {} of {} epochs and {} batches".format(
            done, args.epochs, progress["batches"]))
        begun = done + (progress["batches"] > 0)
        if begun > args.epochs:
            raise UserError("--epochs {}: epoch {} has begun; ask for {} or more, or give "
                            "--restart".format(args.epochs, begun, begun))
    shown = len(fine_tuning.epoch_order(labels["train"], recipe.oversample, args.seed, 0))
    per_epoch = -(-shown // args.batch_size)
    steps = fine_tuning.fit(model, images, labels, num_classes, recipe, args.learning_rate,
                         args.epochs, args.batch_size, args.seed, progress)

    def save():
        step.save_checkpoint(progress, K.batch_get_value(variables))

    with tqdm(total=args.epochs * per_epoch, unit="batch", desc="training " + args.name,
              initial=len(progress["history"]) * per_epoch + progress["batches"]) as bar:
        for _ in with_checkpoints(steps, save, args.checkpoint_seconds):
            if progress["history"]:
                bar.set_postfix_str(
                    "epoch {epoch}: loss {loss:.3f}, accuracy {accuracy:.3f}, test "
                    "{test_accuracy:.3f}".format(**progress["history"][-1]), refresh=False)
            bar.update()
    return progress["history"]


def score(model, images, labels, num_classes):
    """What the model makes of both sides: (dict for its JSON file, classes of the test images)."""
    scores = {}
    for side in images:
        predictions = np.concatenate([model.predict_on_batch(x).argmax(axis=1) for x, _ in (
            fine_tuning.batches(images[side], labels[side], num_classes))])
        overall = accuracy(labels[side], predictions)
        scores[side] = {"images": overall.total, "accuracy": overall.value}
        print("{:5s} accuracy {:.1%} of {} images".format(side, overall.value, overall.total))
    return scores, predictions


def write_details(details, name, history, split, scores, labels, predictions, class_names):
    """The folder of a model: history, split, and the two pictures."""
    from sklearn.metrics import confusion_matrix

    from utils.training import pictures

    csv_files.write_csv(os.path.join(details, "history.csv"), HISTORY,
                       [[epoch[column] for column in HISTORY] for epoch in history])
    for side, rows in split._asdict().items():
        csv_files.write_csv(os.path.join(details, side + ".csv"), None, rows)
    pictures.learning_curve(os.path.join(details, "learning_curve.png"), history, name)
    title = "{}, {} test images, accuracy {:.1%}".format(
        name, scores["test"]["images"], scores["test"]["accuracy"])
    counts = confusion_matrix(labels, predictions, labels=range(len(class_names)))
    pictures.confusion_matrix(os.path.join(details, "confusion_matrix.png"), counts, class_names,
                              title)


def main():
    args, started, began = parse_arguments(), now(), time.time()
    dataset = datasets.labelled_images(args.data_dir, args.dataset)
    print("{}: {} images in {} classes: {}".format(
        args.dataset, len(dataset.labels), len(dataset.class_names),
        textwrap.shorten(" ".join(dataset.class_names), 300)))
    split = splits.make_split(args.split, dataset, args.data_dir, args.limit, args.seed)
    sides = {side: {"images": len(rows), "sha256": sha256_of_lines(map(",".join, rows))}
             for side, rows in split._asdict().items()}
    identity = dict(
        {option: getattr(args, option) for option in CHOICES},
        split={side: its["sha256"] for side, its in sides.items()},
        images=fingerprint_of_images(os.path.join(args.data_dir, dataset.image_folder),
                                     sorted(file for rows in split for file, _ in rows)))
    if args.weights not in ("imagenet", "none"):
        identity["weights"] = sha256_of_file(args.weights)
    details = os.path.join(args.models_dir, args.name)
    weights_path, json_path = details + ".h5", details + ".json"
    step = ResumableStep(
        place=details, record=json_path, product=weights_path,
        checkpoint=os.path.join(details, "checkpoint.npz"), identity=identity,
        extendable=["epochs"], restart=args.restart)
    if not step.begins():
        print("{}: finished; --restart trains it anew".format(weights_path))
        return
    checkpoint = step.last_checkpoint()

    device.choose(args.device)
    model, weights_from = start_model(args, dataset.class_names)
    images, labels = read_split(args, dataset, split)
    history = train(args, model, images, labels, len(dataset.class_names), checkpoint,
                    step)
    scores, predictions = score(model, images, labels, len(dataset.class_names))
    write_details(details, args.name, history, split, scores, labels["test"], predictions,
                  dataset.class_names)
    saved_classifier.save_classifier(model.get_weights(), weights_path, dict(
        environment(),
        name=args.name, architecture=args.model, class_names=dataset.class_names,
        image_folder=dataset.image_folder, image_size=args.image_size, resize=args.resize,
        scaling=architectures.SCALING, grey=is_grey(images["train"]),
        mean_norms={"2": mean_norm(images["train"], 2), "inf": mean_norm(images["train"], np.inf)},
        split=sides, weights_from=weights_from, identity=identity, arguments=vars(args),
        scores=scores, epochs=len(history), seconds=round(time.time() - began, 1),
        started=started, finished=now(),
    ))
    step.remove_checkpoint()
    print("wrote {}, {} and {}{}".format(weights_path, json_path, details, os.sep))


if __name__ == "__main__":
    run_script(main)
