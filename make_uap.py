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
"""

import argparse
import csv
import os
import shutil
import time

from utils import arguments, datasets
from utils.errors import UserError, run_script

MAX_ITERATIONS = 10  # of DeepFool for one image inside the loop
BROKEN_SHARE = 0.01  # more unreadable images than this stop the run


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model-file", required=True, metavar="FILE", help="a model that train_model.py wrote")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--source", choices=list(datasets.SOURCES),
                        help="images below --data-dir; isic2018: the model's training images")
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
    return parser.parse_args()


def source_images(args, model):
    """(folder, sorted files below it) of the source that the arguments name."""
    from utils.classifier import read_split_side

    if args.source == "isic2018":
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


def snapshot_counts(n):
    """1, 2, 5 times powers of ten, from 10 up to n."""
    return {m * 10 ** e for e in range(1, 10) for m in (1, 2, 5) if m * 10 ** e <= n}


def main():
    args = parse_arguments()
    from utils.classifier import read_description

    model_info = read_description(args.model_file)
    class_names = model_info["class_names"]
    if args.target is not None and args.target not in class_names:
        raise UserError("--target {}: {} knows the classes {}".format(
            args.target, args.model_file, " ".join(class_names)))
    target = None if args.target is None else class_names.index(args.target)
    folder, files = source_images(args, model_info)

    import numpy as np
    from tqdm import tqdm

    from utils import classifier, figures
    from utils.attack_graph import AttackGraph
    from utils.deepfool import deepfool, targeted_deepfool
    from utils.fgsm import fgsm, targeted_fgsm
    from utils.files import replacing, sha256_of_file, sha256_of_lines, write_json, write_text
    from utils.images import PIXEL_SCALE, BrokenImage, read_ahead, to_model_input
    from utils.norms import norm
    from utils.provenance import environment, now
    from utils.uap import BROKEN, State, universal_perturbation

    started = now()
    chosen = np.random.RandomState(args.seed).permutation(len(files))[:args.num_images]
    files = [files[i] for i in chosen]

    classifier.start_session(args.seed, inference=True)
    graph = AttackGraph(classifier.load_classifier(args.model_file, model_info))
    if args.attack == "deepfool" and target is None:
        def step(x, label):
            return deepfool(x, graph.differences, label, max_iter=MAX_ITERATIONS)
    elif args.attack == "deepfool":
        def step(x, label):
            return targeted_deepfool(x, graph.difference, label, max_iter=MAX_ITERATIONS)
    elif target is None:
        def step(x, label):
            return fgsm(x, graph.margin_gradient, label, args.step_size)
    else:
        def step(x, label):
            return targeted_fgsm(x, graph.margin_gradient, label, args.step_size)

    size = model_info["image_size"]
    broken = {}

    def read(indices):
        stream = read_ahead((os.path.join(folder, files[i]) for i in indices), size)
        for index, image in zip(indices, stream):
            if isinstance(image, BrokenImage):
                broken[files[index]] = str(image)
                if len(broken) > BROKEN_SHARE * len(files):
                    raise UserError(
                        "{}: {} of {} images cannot be read, the last is {} ({}); get them again"
                        .format(folder, len(broken), len(files), files[index], image))
                yield None
            else:
                yield to_model_input(image)

    p = np.inf if args.norm == "inf" else 2
    xi = args.norm_ratio * model_info["mean_norms"][args.norm] / PIXEL_SCALE
    name = classifier.model_name(args.model_file)
    run = os.path.join(args.results_dir, name, run_name(args))
    snapshots = os.path.join(run, "snapshots")
    if os.path.exists(os.path.join(run, "run.json")):  # a run is what its run.json describes
        os.remove(os.path.join(run, "run.json"))
    shutil.rmtree(snapshots, ignore_errors=True)
    os.makedirs(snapshots)

    def save_array(path, v):
        with replacing(path) as temporary:
            np.save(temporary, v)

    state = State((size, size, 3), len(files))
    wanted = snapshot_counts(len(files))
    began = time.time()
    fooled = shown = 0  # in this pass
    with open(os.path.join(run, "log.csv"), "w", buffering=1, encoding="utf-8", newline="") as file, \
            tqdm(total=len(files) * args.passes, unit="image",
                 desc="{} {}".format(name, os.path.basename(run))) as bar:
        log = csv.writer(file, lineterminator="\n")
        log.writerow(("visit", "pass", "file", "clean", "under_v", "iterations", "path", "norm"))
        for visits in universal_perturbation(
                state, read, graph.logits, step, p, xi, args.passes, args.target_fooling_rate,
                args.seed, target):
            size_of_v = norm(state.v, p)
            for visit in visits:
                shown += 1
                fooled += not visit.path
                log.writerow((
                    visit.visit, visit.pass_number, files[visit.index], class_names[visit.clean],
                    class_names[visit.predicted], len(visit.path),
                    " ".join(class_names[l] for l in visit.path), "{:.6g}".format(size_of_v)))
                if visit.visit in wanted:
                    save_array(os.path.join(snapshots, "images_{:07d}.npy".format(visit.visit)),
                               state.v)
            bar.update(len(visits))
            bar.set_postfix(fooled="{:.1%}".format(fooled / max(1, shown)),
                            norm="{:.4f}".format(size_of_v), refresh=False)
            if not visits:
                fooled = shown = 0
                save_array(os.path.join(snapshots, "pass_{:03d}.npy".format(state.pass_number)),
                           state.v)
                bar.write("after pass {}: {:.1%} of the {} images fooled".format(
                    state.pass_number, state.rates[-1], int(np.sum(state.clean != BROKEN))))
    seconds = time.time() - began

    write_text(os.path.join(run, "images.csv"), "".join(
        '"{}",{}\n'.format(file.replace('"', '""'), "broken" if file in broken else "used")
        for file in files))
    uap_path = os.path.join(run, "uap.npy")
    save_array(uap_path, state.v)
    figures.uap_picture(os.path.join(run, "uap.png"), state.v,
                        "UAP for {} from {} images of {}".format(
                            name, len(files) - len(broken), args.source or folder))
    write_json(os.path.join(run, "run.json"), dict(
        environment(),
        arguments=vars(args),
        model={"name": name, "architecture": model_info["architecture"],
               "file": args.model_file, "sha256": model_info["weights"]["sha256"]},
        source=args.source or os.path.basename(os.path.abspath(args.source_dir)),
        attack=args.attack,
        target=args.target,
        norm={"p": args.norm, "bound": xi, "value": norm(state.v, p)},
        images={"used": len(files) - len(broken), "broken": len(broken),
                "sha256": sha256_of_lines(files)},
        passes=state.pass_number,
        visits=state.visits,
        updates=state.updates,
        fooling_rate_on_images=state.rates,
        uap={"file": "uap.npy", "sha256": sha256_of_file(uap_path)},
        seconds=round(seconds, 1),
        started=started,
        finished=now(),
    ))
    print("{} images, {} broken; {} visits, {} updates, {} passes; norm {:.4f} of {:.4f} allowed; "
          "wrote {}{}".format(len(files) - len(broken), len(broken), state.visits, state.updates,
                              state.pass_number, norm(state.v, p), xi, run, os.sep))


if __name__ == "__main__":
    run_script(main)
