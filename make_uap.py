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

import argparse
import csv
import os

from utils import arguments, backbone, classifier, datasets
from utils.attack.norms import norm
from utils.attack.state import Climbed, LookedAgain, PassDone, Shown
from utils.attack_choice import ATTACKS, chosen_loop, new_state
from utils.errors import UserError, run_script
from utils.images import PIXEL_SCALE
from utils.uap_images import draw_images, image_reader

# The choices that make a run another run: option, default, and how the folder's name tells it.
CHOICES = (("attack", "deepfool", "{}"), ("norm", float("inf"), "l{:g}"),
           ("norm_ratio", 0.04, "ratio-{:g}"), ("num_images", None, "images-{}"),
           ("passes", 1, "passes-{}"), ("target_fooling_rate", None, "until-{:g}"),
           ("target", None, "target-{}"), ("step_size", None, "step-{:g}"),
           ("batch_size", 16, "batch-{}"), ("seed", 0, "seed-{}"))


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    attacked = parser.add_mutually_exclusive_group(required=True)
    attacked.add_argument("--model-file", metavar="FILE", help="a model that train_model.py wrote")
    attacked.add_argument("--backbone", choices=classifier.ARCHITECTURES,
                          help="for gd-uap: a pretrained network, with --weights and --image-size")
    add("--weights", metavar="imagenet|FILE", help="of --backbone: Keras' own, or an h5 file")
    add("--image-size", type=arguments.count, metavar="PIXELS", help="of --backbone")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--source", metavar="|".join(datasets.SOURCES),
                        help="images below --data-dir; the data set that the model was trained on "
                             "(isic2018, or its name): the model's training images; none: for "
                             "--attack gd-uap")
    source.add_argument("--source-dir", metavar="FOLDER", help="any folder of images")
    add("--data-dir", default="data", help="(default: %(default)s)")
    add("--results-dir", default="results", help="where to write (default: %(default)s)")
    add("--name", type=arguments.folder_name,
        help="name of the run's folder (default: the source and every choice that is not the "
             "default)")
    add("--attack", choices=ATTACKS,
        help="the step for one image; sgd: a step for each minibatch; gd-uap: without images "
             "(default: %(default)s)")
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
    add("--batch-size", type=arguments.count,
        help="images of one step of --attack sgd (default: %(default)s)")
    add("--seed", type=arguments.seed, help="(default: %(default)s)")
    add("--checkpoint-seconds", type=arguments.positive, default=60,
        help="time between two checkpoints (default: %(default)s)")
    add("--checkpoint-images", type=arguments.count,
        help="images between two checkpoints (default: as --checkpoint-seconds)")
    add("--max-broken-share", type=arguments.share, default=0.01,
        help="stop when more than this share of the images cannot be read (default: %(default)s)")
    add("--restart", action="store_true",
        help="make the run anew where it would be continued or is finished")
    parser.set_defaults(**{option: default for option, default, _ in CHOICES})
    args = parser.parse_args()
    without_images = args.attack == "gd-uap"
    if without_images != (args.source == "none"):
        parser.error("--attack gd-uap and --source none belong together")
    given = [option for option, default, _ in CHOICES if getattr(args, option) != default]
    if without_images and not set(given) <= {"attack", "norm", "norm_ratio", "seed"}:
        parser.error("--attack gd-uap knows none of --num-images, --passes, --target, "
                     "--target-fooling-rate, --step-size, --batch-size")
    if len({args.backbone is None, args.weights is None, args.image_size is None}) > 1 or (
            args.backbone and not without_images):
        parser.error("--backbone, --weights, --image-size and --attack gd-uap belong together")
    return args


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


def follow(events, args, run, bar):
    """Run the UAP loop to its end: log and snapshots, checkpoints, and the progress bar.

    Raises KeyboardInterrupt, after a checkpoint, at SIGINT and SIGTERM.
    """
    from utils.checkpoint import Schedule, StopRequest

    state, stop = run.state, StopRequest()
    due = Schedule(args.checkpoint_seconds, args.checkpoint_images)
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
        if stop.received or due(len(visits)):
            run.save_checkpoint()
        if stop.received:
            raise KeyboardInterrupt


def finish(args, run, model_name, model_file, model, files, xi, started):
    """Write images.csv, uap.npy, uap.png and run.json, publish the run, and say what was done."""
    from utils import figures
    from utils.files import replacing, sha256_of_file, write_json
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
               "backbone": args.backbone is not None, "file": model_file,
               "sha256": model["weights"]["sha256"], "image_size": model["image_size"],
               "scaling": model["scaling"]},
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
    if args.backbone:
        name = "backbone-{}-{}".format(args.backbone, args.image_size)
        model_file, model = backbone.describe(args.backbone, args.weights, args.image_size)
        load = backbone.load_backbone
    else:
        name, model_file = classifier.model_name(args.model_file), args.model_file
        model, load = classifier.read_description(model_file), classifier.load_classifier
    target = target_class(args, model)
    folder, files = draw_images(args, model)

    from utils.checkpoint import is_finished
    from utils.files import hold_for_writing, require_space, sha256_of_lines
    from utils.provenance import now
    from utils.uap_run import UapRun, disk_space

    started = now()
    size = model["image_size"]
    where = os.path.join(args.results_dir, name, run_name(args))
    identity = dict({option: value for option, value in arguments.as_json(args).items()
                     if option in [option for option, _, _ in CHOICES]},
                    model_sha256=model["weights"]["sha256"], images_sha256=sha256_of_lines(files))
    if not args.restart and is_finished(os.path.join(where, "run.json"), identity):
        print("{}{}: finished; --restart makes it anew".format(where, os.sep))
        return
    hold_for_writing(os.path.dirname(where), os.path.basename(where))
    require_space(args.results_dir, disk_space(len(files), args.passes, size))

    from tqdm import tqdm

    classifier.start_session(args.seed, inference=True)
    keras_model = load(model_file, model)
    shape, grey = (size, size, 3), model["grey"]
    xi = args.norm_ratio * model["mean_norms"]["{:g}".format(args.norm)] / PIXEL_SCALE
    run = UapRun(where, identity, files, model["class_names"],
                 new_state(args, shape, len(files), xi, grey), args.norm, args.restart)
    state = run.state
    if run.resumed:
        print("continuing after image {} of at most {}, {} steps".format(
            state.visits, len(files) * args.passes, state.steps))
    with tqdm(total=len(files) * args.passes or None, initial=state.visits, unit="image",
              desc="{} {}".format(name, run_name(args))) as bar:
        follow(chosen_loop(args, keras_model, grey, state, image_reader(
            args, folder, files, size, run), xi, target), args, run, bar)
    finish(args, run, name, model_file, model, files, xi, started)


if __name__ == "__main__":
    run_script(main)
