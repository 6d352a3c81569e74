"""Step 3: how often does each UAP change a diagnosis? Rows, then the table.

    python evaluate.py                                                  every UAP under results/
    python evaluate.py --uap FILE --model-file models/VGG16.h5          one, from anywhere

reads   results/<model>/<run>/{uap.npy,run.json}, models/, data/isic2018/
writes  results/<model>/<run>/predictions.csv   one row for each test image: its label, and the
                                                predictions clean, under the UAP, under the UAP as
                                                an 8-bit image, and under two random controls
                              predictions.json  what these rows were computed from
                              examples.png      the first test image of each class, before and after
        results/table.csv, results/table.md     our fooling rates beside the published ones
"""

import argparse
import collections
import glob
import os

from utils import arguments
from utils.errors import UserError, run_script


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--uap", metavar="FILE", help="evaluate this .npy file only; needs --model-file")
    add("--model-file", metavar="FILE", help="the model to attack with --uap")
    add("--norm", choices=("2", "inf"), default="inf",
        help="of a --uap without a run.json beside it (default: %(default)s)")
    add("--data-dir", default="data", help="(default: %(default)s)")
    add("--models-dir", default="models", help="(default: %(default)s)")
    add("--results-dir", default="results", help="(default: %(default)s)")
    add("--limit", type=arguments.count, help="use at most this many test images")
    add("--batch-size", type=arguments.count, default=32, help="(default: %(default)s)")
    add("--seed", type=arguments.seed, default=0,
        help="of the random controls (default: %(default)s)")
    add("--again", action="store_true", help="predict again even where the rows are up to date")
    add("--note", help="a sentence to print above the table")
    args = parser.parse_args()
    if bool(args.uap) != bool(args.model_file):
        parser.error("--uap and --model-file belong together")
    return args


RUN_KEYS = ("model", "uap", "source", "attack", "norm", "target", "images", "passes")


def find_runs(args):
    """The runs to evaluate: a list of (folder, path of the UAP, run.json as dict, model file)."""
    from utils.classifier import model_name
    from utils.files import read_json

    mend = "make_uap.py writes it"
    if args.uap:
        target = model_name(args.model_file)
        folder = os.path.dirname(os.path.abspath(args.uap))
        beside = os.path.join(folder, "run.json")
        if os.path.exists(beside):
            run = read_json(beside, mend, RUN_KEYS)
            if run["model"]["name"] == target:
                return [(folder, args.uap, run, args.model_file)]
            name = "{}-of-{}".format(os.path.basename(folder), run["model"]["name"])
            run["model"]["sha256"] = None  # on purpose: does the UAP transfer?
        else:
            name = os.path.splitext(os.path.basename(args.uap))[0]
            run = {"model": {"name": None, "sha256": None}, "source": name, "attack": "unknown",
                   "target": None, "norm": {"p": args.norm, "bound": None},
                   "images": {"used": None}, "passes": None, "uap": {"sha256": None}}
        return [(os.path.join(args.results_dir, target, name), args.uap, run, args.model_file)]
    runs = []
    pattern = os.path.join(glob.escape(args.results_dir), "*", "*", "run.json")
    for path in sorted(glob.glob(pattern)):
        run = read_json(path, mend, RUN_KEYS)
        folder = os.path.dirname(path)
        runs.append((folder, os.path.join(folder, "uap.npy"), run,
                     os.path.join(args.models_dir, run["model"]["name"] + ".h5")))
    if not runs:
        raise UserError("{}: no run found (looked for <model>/<run>/run.json); make a UAP with "
                        "make_uap.py".format(args.results_dir))
    return runs


def main():
    args = parse_arguments()
    from utils import splits, table
    from utils.classifier import model_name, read_description, read_split_side
    from utils.files import sha256_of_file, sha256_of_lines, write_json, write_text
    from utils.perturbation_file import load_perturbation

    published = table.read_published(
        os.path.join(os.path.dirname(os.path.abspath(__file__)), "results", "published.csv"))

    by_model = collections.OrderedDict()
    for folder, uap_path, run, model_file in find_runs(args):
        by_model.setdefault(model_file, []).append((folder, uap_path, run))
    todo = []
    for model_file, runs in by_model.items():
        model_info = read_description(model_file)
        rows = splits.limit_rows(read_split_side(model_file, model_info, "test"), args.limit, 0)
        pending = []
        for folder, uap_path, run in runs:
            if run["model"]["sha256"] not in (None, model_info["weights"]["sha256"]):
                raise UserError("{}: made for other weights than those in {}; make it again with "
                                "make_uap.py".format(uap_path, model_file))
            v = load_perturbation(uap_path, model_info["image_size"], run["uap"]["sha256"],
                                  float(run["norm"]["p"]), run["norm"]["bound"])
            info = {
                "model": model_name(model_file), "made_for": run["model"]["name"],
                "model_sha256": model_info["weights"]["sha256"],
                "uap_sha256": sha256_of_file(uap_path), "source": run["source"],
                "attack": run["attack"], "norm": run["norm"]["p"], "target": run["target"],
                "run": os.path.basename(folder), "images": run["images"]["used"],
                "passes": run["passes"], "norm_bound": run["norm"]["bound"],
                "test_sha256": sha256_of_lines(",".join(row) for row in rows), "seed": args.seed}
            if args.again or not up_to_date(folder, info):
                pending.append((folder, v, info))
        if pending:
            todo.append((model_file, model_info, rows, pending))

    for model_file, model_info, rows, pending in todo:
        for folder, info, table_rows in predict(args, model_file, model_info, rows, pending):
            rows_path = os.path.join(folder, "predictions.csv")
            table.write_rows(rows_path, table_rows)
            write_json(os.path.join(folder, "predictions.json"),
                       dict(info, rows_sha256=sha256_of_file(rows_path)))

    rows = table.arrange(read_summaries(args.results_dir), published)
    markdown = table.to_markdown(rows, args.note)
    write_text(os.path.join(args.results_dir, "table.csv"), table.to_csv(rows))
    write_text(os.path.join(args.results_dir, "table.md"), markdown)
    print(markdown)


def up_to_date(folder, info):
    """Whether the rows in `folder` were computed from exactly this."""
    from utils.files import read_json, sha256_of_file

    path = os.path.join(folder, "predictions.json")
    rows_path = os.path.join(folder, "predictions.csv")
    if not (os.path.exists(path) and os.path.exists(rows_path)):
        return False
    return read_json(path, "delete it") == dict(info, rows_sha256=sha256_of_file(rows_path))


def read_summaries(results_dir):
    """The numbers of every evaluated run below `results_dir`."""
    from utils import table
    from utils.files import read_json

    return [table.summarise(table.read_rows(os.path.join(os.path.dirname(path), "predictions.csv")),
                            read_json(path, "run evaluate.py --again"))
            for path in sorted(glob.glob(
                os.path.join(glob.escape(results_dir), "*", "*", "predictions.json")))]


def predict(args, model_file, model_info, rows, runs):
    """Yield (folder, info, rows of predictions.csv) for each run; draw its examples.png.

    rows: (file, class name) of the test images. runs: list of (folder, v, info). The model is
    loaded, and the clean images are predicted, once.
    """
    import numpy as np
    from tqdm import tqdm

    from utils import classifier, figures
    from utils.attack_graph import AttackGraph
    from utils.images import read_images, to_model_input, to_pixels
    from utils.norms import norm, permuted, random_of_norm
    from utils.table import ROW_COLUMNS

    classifier.start_session(args.seed, inference=True)
    graph = AttackGraph(classifier.load_classifier(model_file, model_info))
    image_folder = os.path.join(args.data_dir, model_info["image_folder"])
    images = read_images([os.path.join(image_folder, file) for file, _ in rows],
                         model_info["image_size"], "reading test images")
    labels = [label for _, label in rows]
    firsts = [labels.index(name) for name in model_info["class_names"] if name in labels]

    def classes(change):
        """Predicted class names of all test images after `change`, a function of model inputs."""
        predicted = classifier.predict_in_batches(
            lambda batch: graph.logits(change(to_model_input(batch))).argmax(axis=1), images,
            args.batch_size)
        return [model_info["class_names"][k] for k in predicted]

    clean = classes(lambda x: x)
    name = classifier.model_name(model_file)
    for folder, v, info in tqdm(runs, desc="evaluating " + name, unit="UAP"):
        p = float(info["norm"])
        r = random_of_norm(v.shape, p, norm(v, p), args.seed)
        shuffled = permuted(v, args.seed)
        attacked = classes(lambda x: x + v)
        columns = ([file for file, _ in rows], labels, clean, attacked,
                   classes(lambda x: to_model_input(to_pixels(x + v))),
                   classes(lambda x: x + r), classes(lambda x: x + shuffled))
        figures.examples(
            os.path.join(folder, "examples.png"), v, images[firsts],
            *(np.array(column)[firsts] for column in (labels, clean, attacked)),
            title="{}, UAP {}: the first test image of each class".format(name, info["run"]))
        yield folder, info, [dict(zip(ROW_COLUMNS, cells)) for cells in zip(*columns)]


if __name__ == "__main__":
    run_script(main)
