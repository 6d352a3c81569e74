"""Step 1: fine-tune an ImageNet classifier on ISIC2018 Task 3 (skin lesions, 7 classes).

    python train_model.py --model VGG16

reads   data/isic2018/ (data/README.md says how to get it), or the folder of another --dataset
writes  models/VGG16.h5            the weights of the last epoch
        models/VGG16.json          what steps 2 and 3 need to know, and how the model was made
        models/VGG16/              train.csv, test.csv, history.csv, learning_curve.png,
                                   confusion_matrix.png

While it runs, models/VGG16/checkpoint.npz holds where it is: the same command continues an
interrupted training and ends with the same weights.
"""

import argparse
import os
import time

from utils import arguments, datasets, device, splits
from utils.classifier import ARCHITECTURES, MIN_IMAGE_SIZE
from utils.errors import UserError, run_script
from utils.training import RECIPES


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", required=True, choices=ARCHITECTURES, help="architecture")
    add("--name", help="name of the model's files (default: the architecture)")
    add("--dataset", default="isic2018", metavar="NAME",
        help="isic2018, or a folder below --data-dir with a folder of images for each class, or "
             "with images and labels.csv of rows file,label (default: %(default)s)")
    add("--data-dir", default="data",
        help="folder that holds the data set's (default: %(default)s)")
    add("--models-dir", default="models", help="where to write (default: %(default)s)")
    add("--split", default="image", metavar="image|lesion|FOLDER",
        help="image: 70/30 by class, as the study; lesion: no lesion on both sides; or a folder "
             "with train.csv and test.csv of rows file,label (default: %(default)s)")
    add("--weights", default="imagenet", metavar="imagenet|none|FILE",
        help="to start from: Keras' ImageNet weights, random ones, or an h5 file of this "
             "architecture and as many classes (default: %(default)s)")
    add("--recipe", default="study", choices=sorted(RECIPES),
        help="study: 100 epochs, no balancing, no augmentation; follow-up: 50 epochs, classes "
             "balanced by oversampling, images rotated and shifted (default: %(default)s)")
    add("--epochs", type=arguments.count, help="(default: the recipe's)")
    add("--learning-rate", type=arguments.positive, default=1e-3,
        help="of the first epoch; the recipe lowers it later (default: %(default)s)")
    add("--batch-size", type=arguments.count, default=32, help="(default: %(default)s)")
    add("--image-size", type=arguments.count, default=299,
        help="height and width in pixels (default: %(default)s)")
    add("--limit", type=arguments.count,
        help="use at most this many training images and as many test images")
    add("--seed", type=arguments.seed, default=0, help="(default: %(default)s)")
    add("--device", choices=device.DEVICES, default="auto",
        help="auto: a GPU, if TensorFlow sees one (default: %(default)s)")
    add("--checkpoint-seconds", type=arguments.positive, default=600,
        help="time between two checkpoints (default: %(default)s)")
    add("--checkpoint-batches", type=arguments.count,
        help="batches between two checkpoints (default: as --checkpoint-seconds)")
    add("--restart", action="store_true",
        help="begin anew where an interrupted run would be continued")
    args = parser.parse_args()
    if args.image_size < MIN_IMAGE_SIZE[args.model]:
        parser.error("--image-size {}: {} needs at least {}".format(
            args.image_size, args.model, MIN_IMAGE_SIZE[args.model]))
    if args.dataset != "isic2018":
        if os.path.basename(args.dataset) != args.dataset or args.dataset in ("", ".", ".."):
            parser.error("--dataset {}: expected the name of a folder below --data-dir".format(
                args.dataset))
        if args.split == "lesion" or args.name in ARCHITECTURES:
            parser.error("--split lesion and names of the study's own models are for isic2018")
        args.name = args.name or "{}-{}".format(args.model, args.dataset)
    if args.weights not in ("imagenet", "none") and not os.path.isfile(args.weights):
        parser.error("--weights {}: no such file; expected imagenet, none, or an h5 file that "
                     "train_model.py wrote".format(args.weights))
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


def fit(args, model, images, labels, num_classes, path, identity):
    """Train `model`, from the checkpoint at `path` if there is one; return the history.

    images, labels: dict of arrays for "train" and "test". identity: see load_checkpoint.
    """
    import keras.backend as K
    import numpy as np
    from tqdm import tqdm

    from utils import training
    from utils.checkpoint import Schedule, StopRequest, load_checkpoint, save_checkpoint

    recipe = RECIPES[args.recipe]
    epochs = args.epochs or recipe.epochs
    training.compile_for_training(model, args.learning_rate)
    progress = {"history": [], "batches": 0, "totals": [0, 0.0, 0.0]}
    checkpoint = load_checkpoint(path, identity, args.restart)
    if checkpoint is not None:
        progress = checkpoint[0]
        training.set_state(model, checkpoint[1])
        print("continuing after {} of {} epochs and {} batches".format(
            len(progress["history"]), epochs, progress["batches"]))
    history, totals = progress["history"], progress["totals"]

    def batches(side, order, augment=False, seed=0):
        return training.epoch_batches(images[side], labels[side], num_classes, order,
                                      args.batch_size, augment, seed)

    def save():
        save_checkpoint(path, identity, progress, training.state(model))

    def orders():
        for epoch in range(len(history), epochs):
            yield epoch, training.epoch_order(labels["train"], recipe.oversample, args.seed, epoch)

    test = batches("test", np.arange(len(labels["test"])))
    per_epoch = len(batches("train", training.epoch_order(
        labels["train"], recipe.oversample, args.seed, 0)))
    stop = StopRequest()
    due = Schedule(args.checkpoint_seconds, args.checkpoint_batches)
    with tqdm(total=epochs * per_epoch, initial=len(history) * per_epoch + progress["batches"],
              unit="batch", desc="training " + (args.name or args.model)) as bar:
        for epoch, order in orders():
            rate = training.learning_rate(recipe, args.learning_rate, epoch)
            K.set_value(model.optimizer.lr, rate)
            begin = progress["batches"] * args.batch_size
            for _ in training.train(model, batches(
                    "train", order[begin:], recipe.augment, args.seed + epoch * len(order) + begin),
                    totals):
                progress["batches"] += 1
                bar.update()
                if stop.received or due(1):
                    save()
                if stop.received:
                    raise KeyboardInterrupt
            test_loss, test_accuracy = model.evaluate_generator(test)
            history.append({
                "epoch": epoch + 1, "learning_rate": rate, "loss": totals[1] / totals[0],
                "accuracy": totals[2] / totals[0], "test_loss": test_loss,
                "test_accuracy": test_accuracy})
            progress["batches"], totals[:] = 0, [0, 0.0, 0.0]
            bar.set_postfix(epoch=epoch + 1, loss="{:.3f}".format(history[-1]["loss"]),
                            accuracy="{:.3f}".format(history[-1]["accuracy"]),
                            test="{:.3f}".format(test_accuracy))
    save()
    return history


def main():
    args = parse_arguments()
    name = args.name or args.model
    dataset = datasets.labelled_images(args.data_dir, args.dataset)
    split = make_split(args, dataset.labels)

    import numpy as np
    from sklearn.metrics import confusion_matrix

    from utils import classifier, figures
    from utils.checkpoint import remove_checkpoint
    from utils.files import (hold_for_writing, require_space, sha256_of_file, sha256_of_lines,
                             write_text)
    from utils.images import read_images, to_model_input
    from utils.metrics import accuracy, recall_per_class
    from utils.attack.norms import mean_norm
    from utils.provenance import environment, now

    started = now()
    hold_for_writing(args.models_dir, name)
    device.choose(args.device)
    classifier.start_session(args.seed, inference=False)
    class_names = dataset.class_names
    from_file = args.weights not in ("imagenet", "none")
    model = classifier.build_classifier(args.model, args.image_size, len(class_names),
                                        None if from_file else args.weights)
    if from_file:
        classifier.load_weights(model, args.weights, args.model)

    require_space(args.models_dir, 5 * 4 * model.count_params())  # checkpoint: weights and momenta
    folder = os.path.join(args.data_dir, dataset.image_folder)
    images, labels = {}, {}
    for side, rows in zip(split._fields, split):
        images[side] = read_images([os.path.join(folder, file) for file, _ in rows],
                                   args.image_size, "reading {} images".format(side))
        labels[side] = np.array([class_names.index(label) for _, label in rows])

    weights_path = os.path.join(args.models_dir, name + ".h5")
    details = classifier.details_folder(weights_path)
    split_hashes = {side: sha256_of_lines(",".join(row) for row in rows)
                    for side, rows in zip(split._fields, split)}
    checkpoint_path = os.path.join(details, "checkpoint.npz")
    began = time.time()
    history = fit(args, model, images, labels, len(class_names), checkpoint_path, dict(
        vars(args), epochs=None, restart=None, checkpoint_seconds=None, checkpoint_batches=None,
        split_sha256=split_hashes,
        weights_sha256=sha256_of_file(args.weights) if from_file else None))
    seconds = time.time() - began

    columns = ("epoch", "learning_rate", "loss", "accuracy", "test_loss", "test_accuracy")
    write_text(os.path.join(details, "history.csv"), "".join(
        ",".join(str(value) for value in row) + "\n"
        for row in [columns] + [[row[c] for c in columns] for row in history]))
    figures.learning_curve(os.path.join(details, "learning_curve.png"), history, name)

    scores = {}
    for side in split._fields:
        probabilities = classifier.predict_in_batches(
            lambda batch: model.predict(to_model_input(batch)), images[side])
        predictions = probabilities.argmax(axis=1)
        overall = accuracy(labels[side], predictions)
        recalls = recall_per_class(labels[side], predictions, len(class_names))
        scores[side] = {"images": overall.total, "accuracy": overall.value,
                        "recall": {c: r.value if r.total else None
                                   for c, r in zip(class_names, recalls)}}
        print("{:5s} accuracy {:.1%} of {} images; recall {}".format(
            side, overall.value, overall.total, ", ".join(
                "{} {:.0%}".format(c, r.value) for c, r in zip(class_names, recalls) if r.total)))
    figures.confusion_matrix(
        os.path.join(details, "confusion_matrix.png"),
        confusion_matrix(labels["test"], predictions, labels=range(len(class_names))),
        class_names, "{}, {} test images, accuracy {:.1%}".format(
            name, scores["test"]["images"], scores["test"]["accuracy"]),
        "true class", "predicted class")

    for side, rows in zip(split._fields, split):
        splits.write_rows(os.path.join(details, side + ".csv"), rows)

    classifier.save_classifier(model.get_weights(), weights_path, dict(
        environment(),
        name=name,
        architecture=args.model,
        class_names=class_names,
        image_folder=dataset.image_folder,
        image_size=args.image_size,
        scaling=classifier.SCALING,
        mean_norms={"2": mean_norm(images["train"], 2), "inf": mean_norm(images["train"], np.inf)},
        split={side: {"images": len(rows), "sha256": split_hashes[side]}
               for side, rows in zip(split._fields, split)},
        scores=scores,
        arguments=vars(args),
        epochs=len(history),
        seconds_of_training=round(seconds, 1),
        started=started,
        finished=now(),
    ))
    remove_checkpoint(checkpoint_path)
    print("wrote {}, {} and {}{}".format(weights_path, classifier.description_path(weights_path),
                                         details, os.sep))


if __name__ == "__main__":
    run_script(main)
