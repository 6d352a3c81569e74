"""Step 2: make one universal adversarial perturbation (UAP) from the images of one source.

    python make_uap.py --model-file models/VGG16.h5 --source ilsvrc2012 --num-images 10000

reads   models/VGG16.h5, models/VGG16.json, data/ilsvrc2012/ (no medical image for this source)
writes  results/VGG16/ilsvrc2012-images-10000/
            uap.npy, uap.png     float32, (height, width, 3), model-input units, and its picture
            snapshots/           v after 10, 20, 50, 100 ... images and each pass
            log.csv, images.csv  the images shown, and those that could not be read
            run.json             arguments, versions, hashes, counts

The folder's name holds every choice that is not the default, so no run overwrites another. The same
command again does nothing where the run is finished, and continues it where it was interrupted;
until it is finished, its files are in a hidden folder beside its place.
"""

import os

from tqdm import tqdm

from utils.attack.attack_choice import ATTACKS, chosen_loop, new_state
from utils.attack.estimate import print_estimate
from utils.attack.perturbation_file import save_perturbation
from utils.attack.run_name import DEFAULTS, run_name
from utils.attack.source_images import draw_images, image_reader
from utils.attack.uap_run import UapRun, uap_step
from utils.classifier import architectures, backbone, device, saved_classifier
from utils.classifier.session import start_session
from utils.common import arguments
from utils.common.checkpoint import with_checkpoints
from utils.common.csv_files import write_csv
from utils.common.errors import UserError, run_script
from utils.common.hashes import sha256_of_file
from utils.common.json_files import write_json
from utils.common.provenance import environment, now
from utils.images import datasets
from utils.images.fingerprint import fingerprint_of_images
from utils.images.norms import norm
from utils.images.pixels import PIXEL_SCALE

# The options that an attack has no use for.
UNUSED = {"deepfool": {"step_size", "batch_size"}, "fgsm": {"batch_size"}, "sgd": set(),
          "gd-uap": set(DEFAULTS) - {"attack", "norm", "norm_ratio", "seed"} | {"estimate"}}


def add_options(parser):
    attacked, source = (parser.add_mutually_exclusive_group(required=True) for _ in range(2))
    attacked.add_argument("--model-file", metavar="FILE", help="a model that train_model.py wrote")
    attacked.add_argument("--backbone", choices=architectures.ARCHITECTURES,
        help="for gd-uap: a pretrained network, with --weights and --image-size")
    add = parser.add_argument
    add("--weights", metavar="imagenet|FILE", help="of --backbone: Keras' own, or an h5 file")
    add("--image-size", type=arguments.count, metavar="PIXELS", help="of --backbone")
    source.add_argument("--source", metavar="|".join(list(datasets.SOURCES) + ["none"]),
        help="images below --data-dir; the data set that the model was trained on (isic2018, or "
             "its name): the model's training images; none: for gd-uap")
    source.add_argument("--source-dir", metavar="FOLDER", help="any folder of images")
    add("--name", type=arguments.folder_name,
        help="of the run's folder (default: the source and every choice that is not the default)")
    add("--attack", choices=ATTACKS,
        help="deepfool or fgsm: a step for each image; sgd: for each minibatch; gd-uap: without "
             "images (default: %(default)s)")
    add("--norm", type=arguments.norm, metavar="2|inf", help="p (default: %(default)s)")
    add("--norm-ratio", type=arguments.positive,
        help="zeta: the bound xi of the p-norm, as a share of the mean p-norm of the model's "
             "training images (default: %(default)s)")
    add("--num-images", type=arguments.count, help="drawn with the seed (default: all)")
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
    add_options(parser)
    parser.set_defaults(**DEFAULTS)
    args = parser.parse_args()
    if (args.attack == "gd-uap") != (args.source == "none"):
        parser.error("--attack gd-uap and --source none belong together")
    unused = [option for option in sorted(UNUSED[args.attack])
              if getattr(args, option) != parser.get_default(option)]
    if unused:
        parser.error("--attack {} knows none of --{}".format(
            args.attack, ", --".join(unused).replace("_", "-")))
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


def attacked_network(args):
    """What the JSON file of --model-file says, or as much of --backbone; its name and file."""
    if args.backbone is None:
        return dict(saved_classifier.read_description(args.model_file), file=args.model_file,
                    name=saved_classifier.model_name(args.model_file))
    file, info = backbone.describe(args.backbone, args.weights, args.image_size)
    return dict(info, file=file, name="backbone-{}-{}".format(args.backbone, args.image_size))


def load_loop(args, info, folder, files, xi):
    """Load the network; the function (run) -> events of the attack's loop from run.state on."""
    device.choose(args.device)
    start_session(args.seed, inference=True)
    network = saved_classifier.load_classifier(info["file"], info)
    target = info["class_names"].index(args.target) if args.target else None

    def loop(run):
        return chosen_loop(args, network, info["grey"], run.state,
                           image_reader(args, folder, files, info, run), xi, target)
    return loop


def finish(args, info, run, files, xi, started):
    """Write images.csv, uap.npy, uap.png and run.json, publish the run, and say what was done."""
    from utils.attack import pictures

    state, source = run.state, source_name(args)
    used, size = len(files) - len(run.broken), norm(state.v, args.norm)
    write_csv(os.path.join(run.step.work, "images.csv"), None,
              [(file, run.broken.get(file, "used")) for file in files])
    uap_path = os.path.join(run.step.work, "uap.npy")
    save_perturbation(uap_path, state.v)
    pictures.uap_picture(os.path.join(run.step.work, "uap.png"), state.v,
                        "UAP for {} from {} images of {}".format(info["name"], used, source))
    write_json(os.path.join(run.step.work, "run.json"), dict(
        environment(),
        arguments=arguments.as_json(args), identity=run.step.identity,
        model=dict({key: info[key] for key in ("name", "architecture", "file", "image_size",
                                               "scaling")}, sha256=info["weights"]["sha256"]),
        made_for=info["name"] if args.backbone else None,
        source=source, attack=args.attack, target=args.target,
        norm={"p": "{:g}".format(args.norm), "ratio": args.norm_ratio, "bound": xi, "value": size},
        images={"used": used, "broken": len(run.broken),
                "sha256": run.step.identity["images_sha256"]},
        passes=state.pass_number, visits=state.visits,
        steps={"made": state.steps, "kept": state.updates},
        fooling_rate_on_images=state.rates, snapshots=run.snapshots,
        uap={"file": "uap.npy", "sha256": sha256_of_file(uap_path)},
        seconds=round(run.seconds(), 1), started=started, finished=now(),
    ))
    run.publish()
    print("{} images, {} broken; {} shown in {} passes, {} of {} steps kept; norm {:.4f}, allowed "
          "{:.4f}; wrote {}{}".format(used, len(run.broken), state.visits, state.pass_number,
                                      state.updates, state.steps, size, xi, run.step.place, os.sep))


def main():
    args, started = parse_arguments(), now()
    info = attacked_network(args)
    if args.target not in [None] + info["class_names"]:
        raise UserError("--target {}: {} knows the classes {}".format(
            args.target, args.model_file, " ".join(info["class_names"])))
    folder, files = draw_images(args, info)
    xi = args.norm_ratio * info["mean_norms"]["{:g}".format(args.norm)] / PIXEL_SCALE
    if args.estimate:
        print_estimate(args, info, len(files), load_loop(args, info, folder, files, xi))
        return

    where = os.path.join(args.results_dir, info["name"], args.name)
    identity = {option: value for option, value in arguments.as_json(args).items()
                if option in DEFAULTS}
    identity.update(model_sha256=info["weights"]["sha256"],
                    images_sha256=fingerprint_of_images(folder, files))
    step = uap_step(where, identity, args.restart)
    if not step.begins():
        print("{}{}: finished; --restart makes it anew".format(where, os.sep))
        return
    checkpoint = step.last_checkpoint()

    loop = load_loop(args, info, folder, files, xi)
    shape = (info["image_size"], info["image_size"], 3)
    run = UapRun(step, files, info["class_names"],
                 new_state(args, shape, len(files), xi, info["grey"]), args.norm, checkpoint)
    state, most = run.state, len(files) * args.passes
    if checkpoint is not None:
        print("continuing after image {} of at most {}, {} steps".format(
            state.visits, most, state.steps))
    with tqdm(total=most or None, initial=state.visits, unit="image",
              desc="{} {}".format(info["name"], args.name)) as bar:
        for event in with_checkpoints(loop(run), run.save_checkpoint, args.checkpoint_seconds):
            run.record(event)
            bar.set_postfix_str("{} of {} steps kept, norm {:.4f}".format(
                state.updates, state.steps, norm(state.v, args.norm)), refresh=False)
            bar.update(state.visits - bar.n)
    finish(args, info, run, files, xi, started)


if __name__ == "__main__":
    run_script(main)
