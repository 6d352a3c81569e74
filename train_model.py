"""Step 1: fine-tune an ImageNet classifier on ISIC2018 Task 3 (skin lesions, 7 classes).

    python train_model.py --model VGG16

reads   data/isic2018/ (data/README.md says how to get it), or the folder of another --dataset
writes  models/VGG16.h5            the weights of the last epoch
        models/VGG16.json          what steps 2 and 3 need to know, and how the model was made
        models/VGG16/              train.csv, test.csv, history.csv, learning_curve.png,
                                   confusion_matrix.png

The same command again does nothing where the training is finished, and continues it where it was
interrupted, from models/VGG16/checkpoint.npz, to the same weights.
"""

import os
import time

import numpy as np

from utils import arguments, classifier, datasets, device, splits
from utils.checkpoint import (Schedule, StopRequest, is_finished, load_checkpoint,
                              remove_checkpoint, save_checkpoint)
from utils.errors import UserError, run_script
from utils.files import (hold_for_writing, require_space, sha256_of_file, sha256_of_lines,
                         write_text)
from utils.images import RESIZE, read_images, to_model_input
from utils.training import RECIPES

# The choices that make a training another training; the split and the weights count by their hash.
CHOICES = ("model", "dataset", "weights", "recipe", "epochs", "learning_rate", "batch_size",
           "image_size", "resize", "seed")
HISTORY = ("epoch", "learning_rate", "loss", "accuracy", "test_loss", "test_accuracy")


def add_options(add):
    add("--model", required=True, choices=classifier.ARCHITECTURES, help="architecture")
    add("--name", type=arguments.folder_name,
        help="name of the model's files (default: the architecture; of another --dataset, "
             "architecture-dataset)")
    add("--dataset", default="isic2018", metavar="NAME", type=arguments.folder_name,
        help="isic2018, or a folder below --data-dir with a folder of images for each class, or "
             "with images and labels.csv of rows file,label (default: %(default)s)")
    add("--split", default="image", metavar="image|lesion|FOLDER",
        help="image: 70/30 by class; lesion: no lesion on both sides; or a folder with train.csv "
             "and test.csv, or the authors' train_pre.csv and test_pre.csv, of rows file,label "
             "(default: %(default)s)")
    add("--weights", default="imagenet", metavar="imagenet|none|FILE",
        help="to start from: Keras' ImageNet weights, random ones, or an h5 file of this "
             "architecture, without top or with any (default: %(default)s)")
    add("--recipe", default="study", choices=sorted(RECIPES),
        help="study: 100 epochs, no balancing, no augmentation; follow-up: 50 epochs, classes "
             "balanced by oversampling, images rotated and shifted (default: %(default)s)")
    add("--epochs", type=arguments.count, help="(default: the recipe's)")
    add("--learning-rate", type=arguments.positive, default=1e-3,
        help="of the first epoch; the recipe lowers it later (default: %(default)s)")
    add("--image-size", type=arguments.count, default=299,
        help="height and width in pixels (default: %(default)s)")
    add("--resize", default="bilinear", choices=sorted(RESIZE),
        help="how images become that size; the 2021 code has nearest (default: %(default)s)")
    add("--limit", type=arguments.count,
        help="use at most this many training images and as many test images")


def parse_arguments():
    parser = arguments.script_parser(__doc__, "data-dir", "models-dir", "batch-size", "seed",
                                     "device", "checkpoint-seconds", "restart")
    add_options(parser.add_argument)
    args = parser.parse_args()
    if args.image_size < classifier.MIN_IMAGE_SIZE[args.model]:
        parser.error("--image-size {}: {} needs at least {}".format(
            args.image_size, args.model, classifier.MIN_IMAGE_SIZE[args.model]))
    if args.dataset != "isic2018":
        if args.split == "lesion" or args.name in classifier.ARCHITECTURES:
            parser.error("--split lesion and names of the study's own models are for isic2018")
        args.name = args.name or "{}-{}".format(args.model, args.dataset)
    if args.weights not in ("imagenet", "none") and not os.path.isfile(args.weights):
        parser.error("--weights {}: no such file; expected imagenet, none, or an h5 file that "
                     "Keras or train_model.py wrote".format(args.weights))
    args.name = args.name or args.model
    args.epochs = args.epochs or RECIPES[args.recipe].epochs
    return args


def make_split(args, labels):
    """The training and test rows that the arguments ask for. labels: of the data set."""
    if args.split == "image":
        split = splits.image_split(labels, args.seed)
    elif args.split == "lesion":
        split = splits.lesion_split(labels, datasets.isic2018_lesions(args.data_dir), args.seed)
    elif os.path.isdir(args.split):
        split = splits.folder_split(args.split, labels)
    else:
        raise UserError("--split {}: expected image, lesion, or a folder with train.csv and "
                        "test.csv".format(args.split))
    return splits.Split(*(splits.limit_rows(rows, args.limit, args.seed) for rows in split))


def start_model(args, num_classes, class_names):
    """The model to train, and where its weights come from, for its JSON file."""
    classifier.start_session(args.seed, inference=False)
    if args.weights in ("imagenet", "none"):
        model = classifier.build_classifier(args.model, args.image_size, num_classes, args.weights)
        return model, "random" if args.weights == "none" else "ImageNet by Keras"
    model = classifier.build_classifier(args.model, args.image_size, num_classes)
    loaded = classifier.load_weights(model, args.weights, args.model, class_names)
    print("{file}: {layers} layers loaded; the head is {head}".format(**loaded))
    return model, loaded


def read_split(args, dataset, split):
    """({side: images, uint8 (n, size, size, 3)}, {side: labels, int (n,)}) of "train", "test"."""
    folder = os.path.join(args.data_dir, dataset.image_folder)
    images, labels = {}, {}
    for side, rows in zip(split._fields, split):
        images[side] = read_images([os.path.join(folder, file) for file, _ in rows],
                                   args.image_size, args.resize,
                                   "reading {} images".format(side))
        labels[side] = np.array([dataset.class_names.index(label) for _, label in rows])
    return images, labels


def train(args, model, images, labels, num_classes, path, identity):
    """Train `model`, from the checkpoint at `path` if there is one; return the history.

    Raises KeyboardInterrupt, after a checkpoint, at SIGINT and SIGTERM.
    """
    from tqdm import tqdm

    from utils import training

    recipe = RECIPES[args.recipe]
    training.compile_for_training(model, args.learning_rate)
    progress = {"history": [], "batches": 0, "totals": [0, 0.0, 0.0]}
    checkpoint = load_checkpoint(path, identity, args.restart)
    if checkpoint is not None:
        progress = checkpoint[0]
        training.set_state(model, checkpoint[1])
        print("continuing after {} of {} epochs and {} batches".format(
            len(progress["history"]), args.epochs, progress["batches"]))

    per_epoch = -(-len(training.epoch_order(labels["train"], recipe.oversample, args.seed, 0))
                  // args.batch_size)
    stop, due = StopRequest(), Schedule(args.checkpoint_seconds)
    with tqdm(total=args.epochs * per_epoch, unit="batch", desc="training " + args.name,
              initial=len(progress["history"]) * per_epoch + progress["batches"]) as bar:
        for _ in training.fit(model, images, labels, num_classes, recipe, args.learning_rate,
                              args.epochs, args.batch_size, args.seed, progress):
            bar.update()
            if progress["history"]:
                last = progress["history"][-1]
                bar.set_postfix(
                    refresh=False, epoch=last["epoch"], loss="{:.3f}".format(last["loss"]),
                    accuracy="{:.3f}".format(last["accuracy"]),
                    test="{:.3f}".format(last["test_accuracy"]))
            if stop.received or due():
                save_checkpoint(path, identity, progress, training.state(model))
            if stop.received:
                raise KeyboardInterrupt
    save_checkpoint(path, identity, progress, training.state(model))
    return progress["history"]


def score(model, images, labels, class_names):
    """What the model makes of both sides: (dict for its JSON file, classes of the test images)."""
    from utils.metrics import accuracy, recall_per_class

    scores = {}
    for side in images:
        predictions = classifier.predict_in_batches(
            lambda batch: model.predict(to_model_input(batch)), images[side]).argmax(axis=1)
        overall = accuracy(labels[side], predictions)
        recalls = recall_per_class(labels[side], predictions, len(class_names))
        scores[side] = {"images": overall.total, "accuracy": overall.value,
                        "recall": {c: r.value if r.total else None
                                   for c, r in zip(class_names, recalls)}}
        print("{:5s} accuracy {:.1%} of {} images; recall {}".format(
            side, overall.value, overall.total, ", ".join(
                "{} {:.0%}".format(c, r.value) for c, r in zip(class_names, recalls) if r.total)))
    return scores, predictions


def write_details(details, name, history, split, scores, labels, predictions, class_names):
    """The folder of a model: history, split, and the two pictures."""
    from utils import figures

    write_text(os.path.join(details, "history.csv"), "".join(
        ",".join(str(value) for value in row) + "\n"
        for row in [HISTORY] + [[row[c] for c in HISTORY] for row in history]))
    for side, rows in zip(split._fields, split):
        datasets.write_csv(os.path.join(details, side + ".csv"), None, rows)
    figures.learning_curve(os.path.join(details, "learning_curve.png"), history, name)
    figures.confusion_matrix(
        os.path.join(details, "confusion_matrix.png"), labels, predictions, class_names,
        "{}, {} test images, accuracy {:.1%}".format(
            name, scores["test"]["images"], scores["test"]["accuracy"]))


def main():
    args = parse_arguments()
    dataset = datasets.labelled_images(args.data_dir, args.dataset)
    class_names = dataset.class_names
    split = make_split(args, dataset.labels)
    split_hashes = {side: sha256_of_lines(",".join(row) for row in rows)
                    for side, rows in zip(split._fields, split)}
    identity = dict({option: getattr(args, option) for option in CHOICES}, split=split_hashes)
    if args.weights not in ("imagenet", "none"):
        identity["weights"] = sha256_of_file(args.weights)
    weights_path = os.path.join(args.models_dir, args.name + ".h5")
    details = classifier.details_folder(weights_path)
    checkpoint_path = os.path.join(details, "checkpoint.npz")
    if is_finished(classifier.description_path(weights_path), identity, checkpoint_path,
                   args.restart):
        print("{}: finished; --restart trains it anew".format(weights_path))
        return
    hold_for_writing(args.models_dir, args.name)

    from utils.attack.norms import is_grey, mean_norm
    from utils.provenance import environment, now

    device.choose(args.device)
    started, began = now(), time.time()
    model, weights_from = start_model(args, len(class_names), class_names)
    require_space(args.models_dir, 5 * 4 * model.count_params())  # checkpoint: weights and momenta
    images, labels = read_split(args, dataset, split)
    history = train(args, model, images, labels, len(class_names), checkpoint_path,
                    dict(identity, epochs=None))  # an interrupted training may be lengthened
    scores, predictions = score(model, images, labels, class_names)
    write_details(details, args.name, history, split, scores, labels["test"], predictions,
                  class_names)
    classifier.save_classifier(model.get_weights(), weights_path, dict(
        environment(),
        name=args.name, architecture=args.model, class_names=class_names,
        image_folder=dataset.image_folder, image_size=args.image_size, resize=args.resize,
        scaling=classifier.SCALING, grey=is_grey(images["train"]),
        mean_norms={"2": mean_norm(images["train"], 2), "inf": mean_norm(images["train"], np.inf)},
        split={side: {"images": len(rows), "sha256": split_hashes[side]}
               for side, rows in zip(split._fields, split)},
        weights_from=weights_from, identity=identity, arguments=vars(args), scores=scores,
        epochs=len(history), seconds=round(time.time() - began, 1), started=started,
        finished=now(),
    ))
    remove_checkpoint(checkpoint_path)
    print("wrote {}, {} and {}{}".format(weights_path, classifier.description_path(weights_path),
                                         details, os.sep))


if __name__ == "__main__":
    run_script(main)
