"""Step 2: make one universal adversarial perturbation (UAP) from the images of one source.

    python make_uap.py --model-file models/VGG16.h5 --source ilsvrc2012 --num-images 10000

reads   models/VGG16.h5, models/VGG16.json, data/ilsvrc2012/ (no medical image for this source)
writes  results/VGG16/ilsvrc2012/  uap.npy    float32, (height, width, 3), model-input units:
                                              1 unit is 128 grey levels
                                   uap.png    its picture
                                   snapshots/ v after 10, 20, 50, 100 ... images and each pass
                                   log.csv    one row for each image shown
                                   images.csv the images, and those that could not be read
                                   run.json   arguments, versions, hashes, counts

While it runs, the files are in results/VGG16/.ilsvrc2012.partial/. The same command continues an
interrupted run and ends with the same files.
"""

import argparse
import csv
import os

from utils import arguments, datasets, device
from utils.errors import UserError, run_script

MAX_ITERATIONS = 10  # of DeepFool for one image inside the loop


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model-file", required=True, metavar="FILE", help="a model that train_model.py wrote")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--source", metavar="|".join(datasets.SOURCES),
                        help="images below --data-dir; the data set that the model was trained on "
                             "(isic2018, or its name): the model's training images")
    source.add_argument("--source-dir", metavar="FOLDER", help="any folder of images")
    add("--data-dir", default="data", help="(default: %(default)s)")
    add("--results-dir", default="results", help="where to write (default: %(default)s)")
    add("--name", help="name of the run's folder (default: the source and what is not the default)")
    add("--attack", choices=("deepfool", "fgsm"), default="deepfool",
        help="the step for one image (default: %(default)s)")
    add("--norm", choices=("2", "inf"), default="inf",
        help="p, the norm that is bounded (default: %(default)s)")
    add("--norm-ratio", type=arguments.positive, default=0.04,
        help="zeta: the bound xi, as a share of the mean p-norm of the model's training images "
             "(default: %(default)s)")
    add("--num-images", type=arguments.count,
        help="how many images, drawn with the seed (default: all)")
    add("--passes", type=arguments.count, default=5,
        help="passes over the images at the most (default: %(default)s)")
    add("--target-fooling-rate", type=arguments.share, default=0.95,
        help="1 - delta: stop after a pass with this fooling rate on the images "
             "(default: %(default)s)")
    add("--target", metavar="CLASS", help="make every image this class (default: any other class)")
    add("--step-size", type=arguments.positive, default=0.001,
        help="of --attack fgsm, L-infinity, model-input units (default: %(default)s)")
    add("--seed", type=arguments.seed, default=0, help="(default: %(default)s)")
    add("--device", choices=device.DEVICES, default="auto",
        help="auto: a GPU, if TensorFlow sees one (default: %(default)s)")
    add("--checkpoint-seconds", type=arguments.positive, default=60,
        help="time between two checkpoints (default: %(default)s)")
    add("--checkpoint-images", type=arguments.count,
        help="images between two checkpoints (default: as --checkpoint-seconds)")
    add("--max-broken-share", type=arguments.share, default=0.01,
        help="stop when more than this share of the images cannot be read (default: %(default)s)")
    add("--restart", action="store_true",
        help="begin anew where an interrupted run would be continued")
    return parser.parse_args()


def source_images(args, model):
    """(folder, sorted files below it) of the source that the arguments name."""
    from utils.classifier import read_split_side

    trained_on = model["image_folder"].split(os.sep)[0]
    if args.source not in (None, trained_on) + tuple(datasets.SOURCES):
        raise UserError("--source {}: expected {}, or give --source-dir".format(
            args.source, ", ".join(sorted(set(datasets.SOURCES) | {trained_on}))))
    if args.source == trained_on:
        folder = os.path.join(args.data_dir, model["image_folder"])
        files = sorted(file for file, _ in read_split_side(args.model_file, model, "train"))
        datasets.check_images_exist(args.data_dir, model["image_folder"], files,
                                    "the model's train.csv")
    else:
        from utils.images import list_images

        folder = args.source_dir or os.path.join(args.data_dir, datasets.SOURCES[args.source])
        files = list_images(folder)
    if args.num_images and args.num_images > len(files):
        raise UserError("{}: {} images found, --num-images asks for {}; get more, or ask for fewer"
                        .format(folder, len(files), args.num_images))
    return folder, files


def run_name(args):
    """The run's folder: the source, and every choice that is not the table's."""
    if args.name:
        return args.name
    parts = [args.source or os.path.basename(os.path.abspath(args.source_dir))]
    if args.attack != "deepfool":
        parts.append(args.attack)
    if args.norm != "inf":
        parts.append("l" + args.norm)
    if args.target:
        parts.append("target-" + args.target)
    return "-".join(parts)


def attack_step(args, graph, target):
    """The step for one image: function (x, label) -> Step, where label is the target if any."""
    from utils.attack.deepfool import deepfool, targeted_deepfool
    from utils.attack.fgsm import fgsm, targeted_fgsm

    if args.attack == "deepfool":
        attack, gradients, options = (
            (deepfool, graph.differences, {"max_iter": MAX_ITERATIONS}) if target is None else
            (targeted_deepfool, graph.difference, {"max_iter": MAX_ITERATIONS}))
    else:
        attack, gradients, options = (
            fgsm if target is None else targeted_fgsm, graph.margin_gradient,
            {"step_size": args.step_size})
    return lambda x, label: attack(x, gradients, label, **options)


def image_reader(args, folder, files, size, run):
    """The function `read` of the UAP loop, over `files` below `folder`.

    Files that cannot be read are noted in run.broken; too many of them raise UserError.
    """
    from utils.images import BrokenImage, read_ahead, to_model_input

    def read(indices):
        stream = read_ahead((os.path.join(folder, files[i]) for i in indices), size)
        for index, image in zip(indices, stream):
            if isinstance(image, BrokenImage):
                run.broken[files[index]] = str(image)
                if len(run.broken) > args.max_broken_share * len(files):
                    if not run.state.visits:  # nothing that another start could continue
                        run.discard()
                    raise UserError(
                        "{}: {} of {} images cannot be read, the last is {} ({}); get them again"
                        .format(folder, len(run.broken), len(files), files[index], image))
                yield None
            else:
                yield to_model_input(image)

    return read


def follow(loop, args, run, bar, p):
    """Run the UAP loop to its end: log and snapshots, checkpoints, and the progress bar.

    Raises KeyboardInterrupt, after a checkpoint, at SIGINT and SIGTERM.
    """
    from utils.checkpoint import Schedule, StopRequest
    from utils.attack.norms import norm

    state, stop = run.state, StopRequest()
    due = Schedule(args.checkpoint_seconds, args.checkpoint_images)
    fooled = shown = 0  # in this pass, since this start
    for visits in loop:
        run.record(visits)
        shown += len(visits)
        fooled += sum(not visit.path for visit in visits)
        bar.update(len(visits))
        if state.checked:
            bar.set_postfix_str("looking at all images again: {:.0%}".format(
                state.checked / len(state.clean)))
        elif shown:
            bar.set_postfix(fooled="{:.1%}".format(fooled / shown),
                            norm="{:.4f}".format(norm(state.v, p)), refresh=False)
        if state.between_passes:
            fooled = shown = 0
            bar.write("after pass {}: {:.1%} of the images {}".format(
                state.pass_number, state.rates[-1],
                "fooled" if args.target is None else "predicted as " + args.target))
        if stop.received or due(len(visits)):
            run.save_checkpoint()
        if stop.received:
            raise KeyboardInterrupt


def finish(args, run, model_name, model, files, p, xi, started):
    """Write images.csv, uap.npy, uap.png and run.json, publish the run, and say what was done."""
    from utils import figures
    from utils.files import replacing, sha256_of_file, sha256_of_lines, write_json
    from utils.attack.norms import norm
    from utils.provenance import environment, now
    from utils.uap_run import save_perturbation

    state = run.state
    used = len(files) - len(run.broken)
    with replacing(os.path.join(run.work, "images.csv")) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(
                (file_name, run.broken.get(file_name, "used")) for file_name in files)
    uap_path = os.path.join(run.work, "uap.npy")
    save_perturbation(uap_path, state.v)
    figures.uap_picture(os.path.join(run.work, "uap.png"), state.v,
                        "UAP for {} from {} images of {}".format(
                            model_name, used, args.source or args.source_dir))
    write_json(os.path.join(run.work, "run.json"), dict(
        environment(),
        arguments=vars(args),
        model={"name": model_name, "architecture": model["architecture"],
               "file": args.model_file, "sha256": model["weights"]["sha256"],
               "image_size": model["image_size"], "scaling": model["scaling"]},
        source=args.source or os.path.join(args.source_dir, ""),
        attack=args.attack,
        target=args.target,
        norm={"p": args.norm, "bound": xi, "value": norm(state.v, p)},
        images={"used": used, "broken": len(run.broken), "sha256": sha256_of_lines(files)},
        passes=state.pass_number,
        visits=state.visits,
        updates=state.updates,
        fooling_rate_on_images=state.rates,
        uap={"file": "uap.npy", "sha256": sha256_of_file(uap_path)},
        seconds=round(run.seconds(), 1),
        started=started,
        finished=now(),
    ))
    run.publish()
    print("{} images, {} broken; {} shown in {} passes, {} changed the UAP; norm {:.4f}, allowed "
          "{:.4f}; wrote {}{}".format(used, len(run.broken), state.visits, state.pass_number,
                                      state.updates, norm(state.v, p), xi, run.folder, os.sep))


def main():
    args = parse_arguments()
    from utils.classifier import read_description

    model = read_description(args.model_file)
    class_names = model["class_names"]
    if args.target is not None and args.target not in class_names:
        raise UserError("--target {}: {} knows the classes {}".format(
            args.target, args.model_file, " ".join(class_names)))
    target = None if args.target is None else class_names.index(args.target)
    folder, files = source_images(args, model)
    device.choose(args.device)

    import numpy as np
    from tqdm import tqdm

    from utils import classifier
    from utils.attack.graph import AttackGraph
    from utils.files import hold_for_writing, require_space, sha256_of_lines
    from utils.images import PIXEL_SCALE
    from utils.provenance import now
    from utils.attack.uap import universal_perturbation
    from utils.uap_run import UapRun, disk_space

    started = now()
    chosen = np.random.RandomState(args.seed).permutation(len(files))[:args.num_images]
    files = [files[i] for i in chosen]

    classifier.start_session(args.seed, inference=True)
    graph = AttackGraph(classifier.load_classifier(args.model_file, model))
    name = classifier.model_name(args.model_file)
    size = model["image_size"]
    p = np.inf if args.norm == "inf" else 2
    xi = args.norm_ratio * model["mean_norms"][args.norm] / PIXEL_SCALE
    hold_for_writing(os.path.join(args.results_dir, name), run_name(args))
    require_space(args.results_dir, disk_space(len(files), args.passes, size))
    identity = dict(vars(args), restart=None, checkpoint_seconds=None, checkpoint_images=None,
                    max_broken_share=None,
                    model_sha256=model["weights"]["sha256"],
                    images_sha256=sha256_of_lines(files))
    run = UapRun(os.path.join(args.results_dir, name, run_name(args)), identity, files,
                 class_names, (size, size, 3), p, args.restart)
    state = run.state
    if run.resumed:
        print("continuing after image {} of at most {}".format(
            state.visits, len(files) * args.passes))

    with tqdm(total=len(files) * args.passes, initial=state.visits, unit="image",
              desc="{} {}".format(name, run_name(args))) as bar:
        follow(universal_perturbation(
            state, image_reader(args, folder, files, size, run), graph.logits,
            attack_step(args, graph, target), p, xi, args.passes, args.target_fooling_rate,
            args.seed, target), args, run, bar, p)
    finish(args, run, name, model, files, p, xi, started)


if __name__ == "__main__":
    run_script(main)
