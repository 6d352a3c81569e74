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

import collections
import csv
import os

from utils import arguments, backbone, classifier, datasets, device
from utils.attack.norms import norm
from utils.attack.state import Climbed, LookedAgain, PassDone, Shown
from utils.attack_choice import ATTACKS, chosen_loop, new_state
from utils.choices import DEFAULTS, run_name
from utils.errors import UserError, run_script
from utils.images import PIXEL_SCALE
from utils.uap_images import draw_images, image_reader


def add_options(add, add_attacked, add_source):
    add_attacked("--model-file", metavar="FILE", help="a model that train_model.py wrote")
    add_attacked("--backbone", choices=classifier.ARCHITECTURES,
                 help="for gd-uap: a pretrained network, with --weights and --image-size")
    add("--weights", metavar="imagenet|FILE", help="of --backbone: Keras' own, or an h5 file")
    add("--image-size", type=arguments.count, metavar="PIXELS", help="of --backbone")
    add_source("--source", metavar="|".join(list(datasets.SOURCES) + ["none"]),
               help="images below --data-dir; the data set that the model was trained on "
                    "(isic2018, or its name): the model's training images; none: for gd-uap")
    add_source("--source-dir", metavar="FOLDER", help="any folder of images")
    add("--name", type=arguments.folder_name,
        help="name of the run's folder (default: the source and every choice that is not the "
             "default)")
    add("--attack", choices=ATTACKS,
        help="deepfool or fgsm: a step for each image; sgd: for each minibatch; gd-uap: without "
             "images (default: %(default)s)")
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
        help="model-input units: of fgsm, in every pixel (default: 0.001); of sgd, in the norm "
             "(default: falling, a share of xi)")
    add("--estimate", action="store_true",
        help="write nothing: measure a few images, and print the hours that this run will take")
    add("--max-broken-share", type=arguments.share, default=0.01,
        help="stop when more than this share of the images cannot be read (default: %(default)s)")


def parse_arguments():
    parser = arguments.script_parser(__doc__, "data-dir", "results-dir", "batch-size", "seed",
                                     "device", "checkpoint-seconds", "restart")
    add_options(parser.add_argument, *(parser.add_mutually_exclusive_group(
        required=True).add_argument for _ in range(2)))
    parser.set_defaults(**DEFAULTS)
    args = parser.parse_args()
    if (args.attack == "gd-uap") != (args.source == "none"):
        parser.error("--attack gd-uap and --source none belong together")
    given = {option for option, default in DEFAULTS.items() if getattr(args, option) != default}
    if args.attack == "gd-uap" and (
            args.estimate or not given <= {"attack", "norm", "norm_ratio", "seed"}):
        parser.error("--attack gd-uap knows none of --num-images, --passes, --target, "
                     "--target-fooling-rate, --step-size, --batch-size, --estimate")
    unused = {"deepfool": {"step_size", "batch_size"}, "fgsm": {"batch_size"}}.get(args.attack, ())
    if given & set(unused):
        parser.error("--attack {} knows no --{}".format(
            args.attack, " or --".join(sorted(unused)).replace("_", "-")))
    if len({args.backbone is None, args.weights is None, args.image_size is None}) > 1 or (
            args.backbone and args.attack != "gd-uap"):
        parser.error("--backbone, --weights, --image-size and --attack gd-uap belong together")
    args.name = args.name or run_name(
        source_name(args).rstrip("/"),
        **{option: getattr(args, option) for option in DEFAULTS})
    return args


def source_name(args):
    """The source as results name it; a folder's name ends with /, so it is none of the others."""
    return args.source or os.path.basename(os.path.abspath(args.source_dir)) + "/"


# The network to attack. info: what its JSON file says, or as much of a backbone's.
Attacked = collections.namedtuple("Attacked", "name file info load")


def attacked_network(args):
    """What --model-file or --backbone names. Raises UserError."""
    if args.backbone is None:
        return Attacked(classifier.model_name(args.model_file), args.model_file,
                        classifier.read_description(args.model_file), classifier.load_classifier)
    file, info = backbone.describe(args.backbone, args.weights, args.image_size)
    return Attacked("backbone-{}-{}".format(args.backbone, args.image_size), file, info,
                    backbone.load_backbone)


def target_class(args, info):
    """The index of --target, or None."""
    if args.target is None:
        return None
    if args.target not in info["class_names"]:
        raise UserError("--target {}: {} knows the classes {}".format(
            args.target, args.model_file, " ".join(info["class_names"])))
    return info["class_names"].index(args.target)


def load_loop(args, attacked, target, folder, files, xi):
    """Load the network; the function (run) -> events of the attack's loop from run.state on."""
    device.choose(args.device)
    classifier.start_session(args.seed, inference=True)
    network, info = attacked.load(attacked.file, attacked.info), attacked.info
    return lambda run: chosen_loop(
        args, network, info["grey"], run.state,
        image_reader(args, folder, files, info, run), xi, target)


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
        if isinstance(event, Shown):
            shown += len(event.visits)
            fooled += sum(not visit.path for visit in event.visits)
            bar.set_postfix(fooled="{:.1%}".format(fooled / shown),
                            kept="{}/{}".format(state.updates, state.steps),
                            norm="{:.4f}".format(norm(state.v, args.norm)), refresh=False)
            bar.update(len(event.visits))
        elif isinstance(event, Climbed):
            bar.set_postfix_str("iteration {}, {:.0%} at the bound, objective {:.3f}".format(
                state.steps, event.share, event.objective), refresh=False)
            bar.update(0)
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


def finish(args, run, attacked, files, xi, started):
    """Write images.csv, uap.npy, uap.png and run.json, publish the run, and say what was done."""
    from utils import figures
    from utils.files import replacing, sha256_of_file
    from utils.json_files import write_json
    from utils.provenance import environment, now
    from utils.uap_run import save_perturbation

    state, info = run.state, attacked.info
    used, size = len(files) - len(run.broken), norm(run.state.v, args.norm)
    with replacing(os.path.join(run.work, "images.csv")) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(
                (file_name, run.broken.get(file_name, "used")) for file_name in files)
    uap_path = os.path.join(run.work, "uap.npy")
    save_perturbation(uap_path, state.v)
    figures.uap_picture(os.path.join(run.work, "uap.png"), state.v,
                        "UAP for {} from {} images of {}".format(
                            attacked.name, used, source_name(args)))
    write_json(os.path.join(run.work, "run.json"), dict(
        environment(),
        arguments=arguments.as_json(args), identity=run.identity,
        model={"name": attacked.name, "architecture": info["architecture"], "file": attacked.file,
               "sha256": info["weights"]["sha256"], "image_size": info["image_size"],
               "scaling": info["scaling"]},
        made_for=attacked.name if args.backbone else None,
        source=source_name(args),
        attack=args.attack, target=args.target,
        norm={"p": "{:g}".format(args.norm), "ratio": args.norm_ratio, "bound": xi, "value": size},
        images={"used": used, "broken": len(run.broken), "sha256": run.identity["images_sha256"]},
        passes=state.pass_number, visits=state.visits,
        steps={"made": state.steps, "kept": state.updates},
        fooling_rate_on_images=state.rates, snapshots=run.snapshots,
        uap={"file": "uap.npy", "sha256": sha256_of_file(uap_path)},
        seconds=round(run.seconds(), 1), started=started, finished=now(),
    ))
    run.publish()
    print("{} images, {} broken; {} shown in {} passes, {} of {} steps kept; norm {:.4f}, allowed "
          "{:.4f}; wrote {}{}".format(used, len(run.broken), state.visits, state.pass_number,
                                      state.updates, state.steps, size, xi, run.folder, os.sep))


def main():
    args = parse_arguments()
    attacked = attacked_network(args)
    info = attacked.info
    target = target_class(args, info)
    folder, files = draw_images(args, info)
    xi = args.norm_ratio * info["mean_norms"]["{:g}".format(args.norm)] / PIXEL_SCALE
    if args.estimate:
        from utils.estimate import print_estimate

        print_estimate(args, info, len(files), load_loop(args, attacked, target, folder, files, xi))
        return

    from utils.checkpoint import is_finished
    from utils.files import hold_for_writing, require_space, sha256_of_lines
    from utils.provenance import now
    from utils.uap_run import UapRun, checkpoint_of, disk_space

    started, shape = now(), (info["image_size"], info["image_size"], 3)
    where = os.path.join(args.results_dir, attacked.name, args.name)
    identity = {option: value for option, value in arguments.as_json(args).items()
                if option in DEFAULTS}
    identity.update(model_sha256=info["weights"]["sha256"], images_sha256=sha256_of_lines(files))
    if is_finished(os.path.join(where, "run.json"), identity, checkpoint_of(where), args.restart):
        print("{}{}: finished; --restart makes it anew".format(where, os.sep))
        return
    hold_for_writing(os.path.dirname(where), os.path.basename(where))
    require_space(args.results_dir, disk_space(len(files), args.passes, shape[0]))

    from tqdm import tqdm

    loop = load_loop(args, attacked, target, folder, files, xi)
    run = UapRun(where, identity, files, info["class_names"],
                 new_state(args, shape, len(files), xi, info["grey"]), args.norm, args.restart)
    if run.resumed:
        print("continuing after image {} of at most {}, {} steps".format(
            run.state.visits, len(files) * args.passes, run.state.steps))
    with tqdm(total=len(files) * args.passes or None, initial=run.state.visits, unit="image",
              desc="{} {}".format(attacked.name, args.name)) as bar:
        follow(loop(run), args, run, bar)
    finish(args, run, attacked, files, xi, started)


if __name__ == "__main__":
    run_script(main)
