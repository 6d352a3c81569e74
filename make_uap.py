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

import argparse
import dataclasses
import os
from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple

from tqdm import tqdm

from utils.attack.attacks import attack_events, attacked_functions, beginning
from utils.attack.bound import bound_of_norm
from utils.attack.estimate import print_estimate
from utils.attack.events import Event
from utils.attack.perturbation_file import save_perturbation
from utils.attack.settings import (
    ATTACKS,
    DEFAULTS,
    AttackSettings,
    as_json,
    exact,
    options_without_meaning,
    run_name,
)
from utils.attack.source_images import (
    NO_IMAGES,
    DrawnImages,
    ImageSource,
    TooManyBroken,
    draw_images,
    image_reader,
    training_data_set,
)
from utils.attack.state import AttackState
from utils.attack.uap_run import RunRecorder, uap_stage
from utils.classifier import architectures, backbone, device
from utils.classifier.description import ClassifierDescription, read_description
from utils.classifier.saved_classifier import load_classifier
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


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that only this script has."""
    attacked = parser.add_mutually_exclusive_group(required=True)
    source = parser.add_mutually_exclusive_group(required=True)
    attacked.add_argument("--model-file", metavar="FILE",
        help="a classifier that train_model.py or utils.classifier.adopt wrote")
    attacked.add_argument("--backbone", choices=architectures.ARCHITECTURES,
        help="for gd-uap: a pretrained network, with --weights and --image-size")
    add = parser.add_argument
    add("--weights", metavar="imagenet|FILE",
        help="the weights of --backbone: Keras' own, or those in an h5 file")
    add("--image-size", type=arguments.count, metavar="PIXELS",
        help="the height and width of the images that --backbone takes")
    source.add_argument("--source", metavar="|".join(list(datasets.SOURCE_FOLDERS) + ["none"]),
        help="the data set below --data-dir that the UAP is made from; the one that the model was "
             "trained on (isic2018, or its name) stands for the model's training images; none is "
             "for gd-uap, which takes no images")
    source.add_argument("--source-dir", metavar="FOLDER",
        help="any folder of images, instead of --source")
    add("--name", type=arguments.folder_name,
        help="the name of the run's folder (default: the source and every choice that is not the "
             "default)")
    summaries = [f"{name}: {options.summary}" for name, options in ATTACKS.items()]
    add("--attack", choices=ATTACKS, help="; ".join(summaries) + " (default: %(default)s)")
    add("--norm", type=arguments.norm, metavar="2|inf",
        help="p, the norm that is bounded (default: %(default)s)")
    add("--norm-ratio", type=arguments.positive,
        help="zeta: the bound xi of the p-norm, as a share of the mean p-norm of the model's "
             "training images (default: %(default)s)")
    add("--num-images", type=arguments.count,
        help="how many images are drawn, with the seed (default: all)")
    add("--passes", type=arguments.count,
        help="how many times all images are shown (default: %(default)s)")
    add("--target-fooling-rate", type=arguments.share, metavar="RATE",
        help="1 - delta: begin no further pass once the UAP fools this share of the images, which "
             "is measured after each pass but the last (default: it is never measured)")
    add("--target", metavar="CLASS",
        help="the class that every image is to become (default: any class but its own)")
    step_sizes = [f"{name}: {options.step_size}" for name, options in ATTACKS.items()
                  if options.step_size]
    add("--step-size", type=arguments.positive,
        help="the length of a step, model-input units; " + "; ".join(step_sizes))
    add("--estimate", action="store_true",
        help="write nothing: measure a few images, and print the hours that this run will take")
    add("--max-broken-share", type=arguments.share, default=0.01,
        help="stop when more than this share of the images cannot be read (default: %(default)s)")


def parse_arguments() -> argparse.Namespace:
    """Read the command line, and end with a message where options do not belong together."""
    parser = arguments.script_parser(__doc__, "data-dir", "results-dir", "batch-size", "seed",
                                     "device", "precision", "checkpoint-seconds", "restart")
    add_options(parser)
    parser.set_defaults(**dataclasses.asdict(DEFAULTS))
    args = parser.parse_args()
    if (args.attack == "gd-uap") != (args.source == NO_IMAGES):
        parser.error("--attack gd-uap and --source none belong together")
    unused = [option for option in sorted(options_without_meaning(args.attack))
              if getattr(args, option) != parser.get_default(option)]
    if unused:
        options = ", --".join(unused).replace("_", "-")
        parser.error(f"--attack {args.attack} knows none of --{options}")
    of_a_backbone = [args.backbone, args.weights, args.image_size]
    if any(of_a_backbone) and not (all(of_a_backbone) and args.attack == "gd-uap"):
        parser.error("--backbone, --weights, --image-size and --attack gd-uap belong together")
    if args.target_fooling_rate is not None and args.passes == 1:
        parser.error("--target-fooling-rate does nothing with --passes 1: it decides whether "
                     "another pass begins; give --passes 2 or more, or leave it out")
    args.name = args.name or run_name(source_of(args).name.rstrip("/"), settings_of(args))
    return args


def settings_of(args: argparse.Namespace) -> AttackSettings:
    """Return the choices of the attack."""
    return AttackSettings(**{field.name: getattr(args, field.name)
                             for field in dataclasses.fields(AttackSettings)})


def source_of(args: argparse.Namespace) -> ImageSource:
    """Return where the images come from."""
    return ImageSource(dataset=args.source, folder=args.source_dir)


def describe_network(args: argparse.Namespace) -> ClassifierDescription:
    """Return what the JSON file of --model-file says, or the same about --backbone."""
    if args.backbone is None:
        return read_description(args.model_file)
    return backbone.describe(args.backbone, args.weights, args.image_size)


def index_of_target(args: argparse.Namespace, network: ClassifierDescription) -> Optional[int]:
    """Return the index of the class --target, or None without this option.

    Raises UserError where the network has no such class.
    """
    if args.target is None:
        return None
    if args.target not in network.class_names:
        classes = " ".join(network.class_names)
        raise UserError(f"--target {args.target}: {args.model_file} knows the classes {classes}")
    return network.class_names.index(args.target)


class Run(NamedTuple):
    """What one run is about.

    network: as of describe_network. target: the index of the class to reach, or None. xi: the bound
    of the norm, model-input units.
    """

    settings: AttackSettings
    network: ClassifierDescription
    source: ImageSource
    images: DrawnImages
    target: Optional[int]
    xi: float

    @property
    def shape(self) -> Tuple[int, int, int]:
        """Return the shape of v: (h, w, c)."""
        return self.network.image_size, self.network.image_size, 3


def plan_run(args: argparse.Namespace) -> Run:
    """Read and check everything that the run is asked for, before any work. Raises UserError."""
    settings, source, network = settings_of(args), source_of(args), describe_network(args)
    target = index_of_target(args, network)
    images = draw_images(source, data_dir=args.data_dir, model=network,
                         num_images=settings.num_images, seed=settings.seed)
    return Run(settings=settings, network=network, source=source, images=images, target=target,
               xi=bound_of_norm(settings, network))


def load_network(args: argparse.Namespace, run: Run) -> Any:
    """Load the network's weights; return what the attack asks it for."""
    device.choose(args.device)
    start_session(args.seed, inference=True, precision=run.settings.precision)
    model = load_classifier(run.network)
    functions = attacked_functions(run.settings, model, run.network.grey)
    note = None if run.settings.attack == "gd-uap" else functions.note_on_slow_layers()
    if note is not None:
        print(note)
    return functions


def start_attack(run: Run, functions: Any, state: AttackState, broken: Dict[str, str],
                 max_broken_share: float) -> Iterator[Event]:
    """Return the events of the attack, which goes on from a state.

    functions: as load_network returns them. broken: receives the names of the files that cannot be
    read, with the reasons. max_broken_share: how large their share may become.
    """
    read = image_reader(run.images, image_size=run.network.image_size,
                        resize=run.network.resize, max_broken_share=max_broken_share,
                        broken=broken)
    return attack_events(run.settings, functions, state, read=read, target=run.target, xi=run.xi)


def estimate(args: argparse.Namespace, run: Run) -> None:
    """Print how long the run will take."""
    functions = load_network(args, run)
    is_of_training_images = run.source.dataset == training_data_set(run.network)
    print_estimate(
        run.settings,
        lambda state: start_attack(run, functions, state, broken={},
                                   max_broken_share=args.max_broken_share),
        shape=run.shape, number_of_images=len(run.images.files),
        training_images=(None if is_of_training_images
                         else run.network.split["train"].images))


def run_attack(args: argparse.Namespace, run: Run, functions: Any,
               recorder: RunRecorder) -> None:
    """Run the attack to its end, with checkpoints and a progress bar."""
    state, images = recorder.state, len(run.images.files)
    events = start_attack(run, functions, state, broken=recorder.broken,
                          max_broken_share=args.max_broken_share)
    if state.visits or state.steps:
        print(f"continuing after image {state.visits} of at most {images * run.settings.passes}, "
              f"{state.steps} steps")
    with tqdm(total=images * run.settings.passes or None, initial=state.visits, unit="image",
              desc=f"{run.network.name} {args.name}") as bar:
        try:
            for event in with_checkpoints(events, recorder.save_checkpoint,
                                          args.checkpoint_seconds):
                recorder.record(event)
                bar.set_postfix_str(f"{state.updates} of {state.steps} steps kept, norm "
                                    f"{recorder.norm_of_v:.4f}", refresh=False)
                bar.update(state.visits - bar.n)
        except TooManyBroken:
            if not state.visits:  # nothing that another start could continue
                recorder.discard()
            raise


def write_results(args: argparse.Namespace, run: Run, recorder: RunRecorder,
                  started: str) -> None:
    """Write images.csv, uap.npy, uap.png and run.json, publish the run, and say what was done."""
    from utils.attack import pictures
    from utils.classifier.frameworks import VERSIONS

    state, settings, network, work = recorder.state, run.settings, run.network, recorder.stage.work
    files, broken, identity = run.images.files, recorder.broken, recorder.stage.identity
    used, size = len(files) - len(broken), norm(state.v, settings.norm)
    write_csv(os.path.join(work, "images.csv"), None,
              [(file, broken.get(file, "used")) for file in files])
    uap_path = os.path.join(work, "uap.npy")
    save_perturbation(uap_path, state.v)
    pictures.uap_picture(os.path.join(work, "uap.png"), state.v,
                         f"UAP for {network.name} from {used} images of {run.source.name}")
    write_json(os.path.join(work, "run.json"), dict(
        environment(VERSIONS),
        arguments=arguments.as_json(args),
        identity=identity,
        model={
            "name": network.name, "architecture": network.architecture,
            "file": network.file, "image_size": network.image_size,
            "scaling": architectures.SCALING, "sha256": network.weights_sha256},
        made_for=network.name if args.backbone else None,
        source=run.source.name,
        attack=settings.attack,
        target=settings.target,
        norm={"p": exact(settings.norm), "ratio": settings.norm_ratio, "bound": run.xi,
              "value": size},
        images={"used": used, "broken": len(broken), "sha256": identity["images_sha256"]},
        passes=state.passes_completed,
        visits=state.visits,
        steps={"made": state.steps, "kept": state.updates},
        fooling_rate_on_images=state.rates,
        snapshots=recorder.snapshots,
        uap={"file": "uap.npy", "sha256": sha256_of_file(uap_path)},
        seconds=round(recorder.seconds(), 1),
        started=started,
        finished=now(),
    ))
    recorder.publish()
    print(f"{used} images, {len(broken)} broken; {state.visits} shown in {state.passes_completed} "
          f"passes, {state.updates} of {state.steps} steps kept; norm {size:.4f}, allowed "
          f"{run.xi:.4f}; wrote {recorder.stage.place}{os.sep}")


def main() -> None:
    """Make one UAP, unless it is finished."""
    args, started = parse_arguments(), now()
    run = plan_run(args)
    if args.estimate:
        estimate(args, run)
        return
    identity = dict(as_json(run.settings), model_sha256=run.network.weights_sha256,
                    images_sha256=fingerprint_of_images(run.images.folder, run.images.files))
    stage = uap_stage(os.path.join(args.results_dir, run.network.name, args.name), identity,
                    args.restart)
    if not stage.lock_unless_finished():
        print(f"{stage.place}{os.sep}: finished; --restart makes it anew")
        return
    checkpoint = stage.last_checkpoint()
    functions = load_network(args, run)
    first = beginning(run.settings, run.shape, number_of_images=len(run.images.files), xi=run.xi,
                      grey=run.network.grey)
    recorder = RunRecorder(stage, run.images.files, run.network.class_names, beginning=first,
                           p=run.settings.norm, checkpoint=checkpoint)
    run_attack(args, run, functions, recorder=recorder)
    write_results(args, run, recorder, started=started)


if __name__ == "__main__":
    run_script(main)
