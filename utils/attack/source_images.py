"""The images that a UAP is made from: which, in which order drawn, and how they are read."""

import os

import numpy as np

from utils.classifier import saved_classifier
from utils.common.errors import UserError
from utils.images import datasets
from utils.images.decoding import BrokenImage
from utils.images.folders import list_images
from utils.images.pixels import to_model_input
from utils.images.presence import check_images_exist
from utils.images.reading import look_over, read_ahead


def draw_images(args, model):
    """(folder, files below it in the order drawn) of the source that the arguments name."""
    if args.source == "none":
        return "", []
    trained_on = model["image_folder"].split(os.sep)[0]
    if args.source == trained_on:
        folder = os.path.join(args.data_dir, model["image_folder"])
        files = sorted(file for file, _ in saved_classifier.read_split_side(
            args.model_file, model, "train"))
        check_images_exist(args.data_dir, model["image_folder"], files, "the model's train.csv")
    elif args.source in (None,) + tuple(datasets.SOURCES):
        folder = args.source_dir or os.path.join(args.data_dir, datasets.SOURCES[args.source])
        files = list_images(folder)
    else:
        raise UserError("--source {}: expected {}, or give --source-dir".format(
            args.source, ", ".join(sorted(set(datasets.SOURCES) | {trained_on}))))
    if args.num_images and args.num_images > len(files):
        raise UserError("{}: {} images found, --num-images asks for {}; get more, or ask for fewer"
                        .format(folder, len(files), args.num_images))
    chosen = np.random.RandomState(args.seed).permutation(len(files))[:args.num_images]
    drawn = [files[i] for i in chosen]
    look_over([os.path.join(folder, file) for file in drawn])
    return folder, drawn


def image_reader(args, folder, files, model, run):
    """The function `read` of the UAP loop, over `files` below `folder`, as `model` takes them.

    Files that cannot be read are noted in run.broken; too many of them raise UserError.
    """
    def read(indices):
        stream = read_ahead((os.path.join(folder, files[i]) for i in indices),
                            model["image_size"], model["resize"])
        for index, image in zip(indices, stream):
            if not isinstance(image, BrokenImage):
                yield to_model_input(image)
                continue
            run.broken[files[index]] = str(image)
            if len(run.broken) > args.max_broken_share * len(files):
                if not run.state.visits:  # nothing that another start could continue
                    run.discard()
                raise UserError(
                    "{}: {} of {} images cannot be read, the last is {} ({}); get them again"
                    .format(folder, len(run.broken), len(files), files[index], image))
            yield None

    return read
