"""Step 2: make one universal adversarial perturbation (UAP) from the images of one source.

    python make_uap.py --model-file models/VGG16.h5 --source ilsvrc2012 --num-images 10000

reads   models/VGG16.h5, models/VGG16.json, data/ilsvrc2012/ (no medical image for this source)
writes  results/VGG16/ilsvrc2012-images-10000/
            uap.npy    float32, (height, width, 3), model-input units: 1 unit is 128 grey levels
            uap.png    its picture
            snapshots/ v after 10, 20, 50, 100 ... images and each pass
            log.csv    one row for each image shown
            images.csv the images, and those that could not be read
            run.json   arguments, versions, hashes, counts

The folder's name holds every choice that is not the default, so no run overwrites another. The same
command again does nothing where the run is finished, and continues it where it was interrupted;
until it is finished, its files are in a hidden folder beside its place.
"""

import csv
import os

import numpy as np

from utils import arguments, classifier, datasets, device
from utils.attack.norms import norm
from utils.attack.state import LookedAgain, PassDone, Shown
from utils.errors import UserError, run_script
from utils.images import PIXEL_SCALE, BrokenImage, list_images, read_ahead, to_model_input

MAX_ITERATIONS = 10  # of DeepFool for one image inside the loop, as in its authors' code

# The choices that make a run another run: option, default, and how the folder's name tells it.
CHOICES = (("attack", "deepfool", "{}"), ("norm", float("inf"), "l{:g}"),
           ("norm_ratio", 0.04, "ratio-{:g}"), ("num_images", None, "images-{}"),
           ("passes", 1, "passes-{}"), ("target_fooling_rate", None, "until-{:g}"),
           ("target", None, "target-{}"), ("step_size", 0.001, "step-{:g}"), ("seed", 0, "seed-{}"))


def add_options(add, add_source):
    add("--model-file", required=True, metavar="FILE", help="a model that train_model.py wrote")
    add_source("--source", metavar="|".join(datasets.SOURCES),
               help="images below --data-dir; the data set that the model was trained on "
                    "(isic2018, or its name): the model's training images")
    add_source("--source-dir", metavar="FOLDER", help="any folder of images")
    add("--name", type=arguments.folder_name,
        help="name of the run's folder (default: the source and every choice that is not the "
             "default)")
    add("--attack", choices=("deepfool", "fgsm"),
        help="the step for one image (default: %(default)s)")
    add("--norm", type=arguments.norm, metavar="2|inf",
        help="p, the norm that is bounded (default: %(default)s)")
    add("--norm-ratio", type=arguments.positive,
        help="zeta: the bound xi, as a share of the mean p-norm of the model's training images "
             "(default: %(default)s)")
    add("--num-images", type=arguments.count,
        help="how many images, drawn with the seed (default: all)")
    add("--passes", type=arguments.count, help="passes over the images (default: %(default)s)")
    add("--target-fooling-rate", type=arguments.share, metavar="RATE",
        help="1 - delta: begin no further pass once the UAP fools this share of the images, which "
             "is looked at after each pass but the last (default: never look)")
    add("--target", metavar="CLASS", help="make every image this class (default: any other class)")
    add("--step-size", type=arguments.positive,
        help="of --attack fgsm, L-infinity, model-input units (default: %(default)s)")
    add("--estimate", action="store_true",
        help="write nothing: measure a few images, and print the hours that this run will take")
    add("--max-broken-share", type=arguments.share, default=0.01,
        help="stop when more than this share of the images cannot be read (default: %(default)s)")


def parse_arguments():
    parser = arguments.script_parser(__doc__, "data-dir", "results-dir", "seed", "device",
                                     "checkpoint-seconds", "restart")
    add_options(parser.add_argument,
                parser.add_mutually_exclusive_group(required=True).add_argument)
    parser.set_defaults(**{option: default for option, default, _ in CHOICES})
    return parser.parse_args()


def draw_images(args, model):
    """(folder, files below it in the order drawn) of the source that the arguments name."""
    trained_on = model["image_folder"].split(os.sep)[0]
    if args.source not in (None, trained_on) + tuple(datasets.SOURCES):
        raise UserError("--source {}: expected {}, or give --source-dir".format(
            args.source, ", ".join(sorted(set(datasets.SOURCES) | {trained_on}))))
    if args.source == trained_on:
        folder = os.path.join(args.data_dir, model["image_folder"])
        files = sorted(file for file, _ in classifier.read_split_side(
            args.model_file, model, "train"))
        datasets.check_images_exist(args.data_dir, model["image_folder"], files,
                                    "the model's train.csv")
    else:
        folder = args.source_dir or os.path.join(args.data_dir, datasets.SOURCES[args.source])
        files = list_images(folder)
    if args.num_images and args.num_images > len(files):
        raise UserError("{}: {} images found, --num-images asks for {}; get more, or ask for fewer"
                        .format(folder, len(files), args.num_images))
    chosen = np.random.RandomState(args.seed).permutation(len(files))[:args.num_images]
    return folder, [files[i] for i in chosen]


def run_name(args):
    """The run's folder: the source, and every choice that is not the default."""
    return args.name or "-".join(
        [args.source or os.path.basename(os.path.abspath(args.source_dir))]
        + [text.format(getattr(args, option)) for option, default, text in CHOICES
           if getattr(args, option) != default])


def target_class(args, model):
    """The index of --target, or None."""
    if args.target is None:
        return None
    if args.target not in model["class_names"]:
        raise UserError("--target {}: {} knows the classes {}".format(
            args.target, args.model_file, " ".join(model["class_names"])))
    return model["class_names"].index(args.target)


def attack_step(args, graph, target):
    """The step for one image: function (x, label) -> Step, where label is the target if any."""
    from utils.attack.deepfool import deepfool, targeted_deepfool
    from utils.attack.fgsm import fgsm

    if args.attack == "fgsm":
        gradient = graph.loss_gradient_to_leave if target is None else graph.loss_gradient_to_reach
        return lambda x, label: fgsm(x, gradient, label, args.step_size)
    attack, gradients = ((deepfool, graph.boundary_gradients_to_leave) if target is None else
                         (targeted_deepfool, graph.boundary_gradient_to_reach))
    return lambda x, label: attack(x, gradients, label, max_iter=MAX_ITERATIONS)


def image_reader(args, folder, files, size, run):
    """The function `read` of the UAP loop, over `files` below `folder`.

    Files that cannot be read are noted in run.broken; too many of them raise UserError.
    """
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


def load_loop(args, model, target, folder, files, xi):
    """Load the classifier; the function (run) -> events of the UAP loop from run.state on."""
    device.choose(args.device)
    from utils.attack.graph import AttackGraph
    from utils.attack.uap import universal_perturbation

    classifier.start_session(args.seed, inference=True)
    graph = AttackGraph(classifier.load_classifier(args.model_file, model), model["grey"])
    return lambda run: universal_perturbation(
        run.state, image_reader(args, folder, files, model["image_size"], run), graph.logits,
        attack_step(args, graph, target), args.norm, xi, args.passes, args.seed, target,
        args.target_fooling_rate)


def follow(events, args, run, bar):
    """Run the UAP loop to its end: log and snapshots, checkpoints, and the progress bar.

    Raises KeyboardInterrupt, after a checkpoint, at SIGINT and SIGTERM.
    """
    from utils.checkpoint import Schedule, StopRequest

    state, stop = run.state, StopRequest()
    due = Schedule(args.checkpoint_seconds)
    fooled = shown = 0  # in this pass, since this start
    for event in events:
        run.record(event)
        visits = event.visits if isinstance(event, Shown) else []
        shown += len(visits)
        fooled += sum(not visit.path for visit in visits)
        bar.update(len(visits))
        if visits:
            bar.set_postfix(fooled="{:.1%}".format(fooled / shown),
                            kept="{}/{}".format(state.updates, state.steps),
                            norm="{:.4f}".format(norm(state.v, args.norm)), refresh=False)
        elif isinstance(event, LookedAgain):
            bar.set_postfix_str("looking at all images again: {:.0%}".format(
                event.images / len(state.clean)))
        elif isinstance(event, PassDone) and event.rate is not None:
            fooled = shown = 0
            bar.write("after pass {}: {:.1%} of the images {}".format(
                event.number, event.rate,
                "fooled" if args.target is None else "predicted as " + args.target))
        if stop.received or due():
            run.save_checkpoint()
        if stop.received:
            raise KeyboardInterrupt


def finish(args, run, model_name, model, files, xi, started):
    """Write images.csv, uap.npy, uap.png and run.json, publish the run, and say what was done."""
    from utils import figures
    from utils.files import replacing, sha256_of_file
    from utils.json_files import write_json
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
    size = norm(state.v, args.norm)
    write_json(os.path.join(run.work, "run.json"), dict(
        environment(),
        arguments=arguments.as_json(args),
        identity=run.identity,
        model={"name": model_name, "architecture": model["architecture"],
               "file": args.model_file, "sha256": model["weights"]["sha256"],
               "image_size": model["image_size"], "scaling": model["scaling"]},
        source=args.source or os.path.join(args.source_dir, ""),
        attack=args.attack,
        target=args.target,
        norm={"p": "{:g}".format(args.norm), "ratio": args.norm_ratio, "bound": xi, "value": size},
        images={"used": used, "broken": len(run.broken),
                "sha256": run.identity["images_sha256"]},
        passes=state.pass_number,
        visits=state.visits,
        steps={"made": state.steps, "kept": state.updates},
        fooling_rate_on_images=state.rates,
        snapshots=run.snapshots,
        uap={"file": "uap.npy", "sha256": sha256_of_file(uap_path)},
        seconds=round(run.seconds(), 1),
        started=started,
        finished=now(),
    ))
    run.publish()
    print("{} images, {} broken; {} shown in {} passes, {} of {} steps kept; norm {:.4f}, allowed "
          "{:.4f}; wrote {}{}".format(used, len(run.broken), state.visits, state.pass_number,
                                      state.updates, state.steps, size, xi, run.folder, os.sep))


def main():
    args = parse_arguments()
    model = classifier.read_description(args.model_file)
    target = target_class(args, model)
    folder, files = draw_images(args, model)
    name = classifier.model_name(args.model_file)
    xi = args.norm_ratio * model["mean_norms"]["{:g}".format(args.norm)] / PIXEL_SCALE
    if args.estimate:
        from utils.estimate import print_estimate

        print_estimate(args, model, len(files), load_loop(args, model, target, folder, files, xi))
        return

    from utils.checkpoint import is_finished
    from utils.files import hold_for_writing, require_space, sha256_of_lines
    from utils.provenance import now
    from utils.uap_run import UapRun, checkpoint_of, disk_space

    started = now()
    size = model["image_size"]
    where = os.path.join(args.results_dir, name, run_name(args))
    identity = dict({option: value for option, value in arguments.as_json(args).items()
                     if option in [option for option, _, _ in CHOICES]},
                    model_sha256=model["weights"]["sha256"], images_sha256=sha256_of_lines(files))
    if is_finished(os.path.join(where, "run.json"), identity, checkpoint_of(where), args.restart):
        print("{}{}: finished; --restart makes it anew".format(where, os.sep))
        return
    hold_for_writing(os.path.dirname(where), os.path.basename(where))
    require_space(args.results_dir, disk_space(len(files), args.passes, size))

    from tqdm import tqdm

    loop = load_loop(args, model, target, folder, files, xi)
    run = UapRun(where, identity, files, model["class_names"], (size, size, 3), args.norm,
                 args.restart)
    state = run.state
    if run.resumed:
        print("continuing after image {} of at most {}".format(
            state.visits, len(files) * args.passes))
    with tqdm(total=len(files) * args.passes, initial=state.visits, unit="image",
              desc="{} {}".format(name, run_name(args))) as bar:
        follow(loop(run), args, run, bar)
    finish(args, run, name, model, files, xi, started)


if __name__ == "__main__":
    run_script(main)
