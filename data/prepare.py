"""Each data set with one command: from its publisher's files to the folders that the scripts read.

    python -m data.prepare isic2018
    python -m data.prepare open_images_v5
    python -m data.prepare ilsvrc2012 --archive ILSVRC2012_img_train.tar

Each ends with "ready: N images" or says what is wrong. A command that was interrupted continues
when it is given again, and does nothing once the images are ready. While it works, everything is in
a hidden folder, data/.isic2018.partial; only what is whole and checked takes its place.
"""

import os
import shutil

from data import natural_images, skin_lesions
from data.archives import link
from utils.common import arguments
from utils.common.errors import UserError, run_script
from utils.common.files import hold_for_writing, publish
from utils.common.json_files import NATURAL, TEXT, fields, or_null, read_json, write_json
from utils.common.provenance import now

RECORD = "prepared.json"
PREPARED = fields(images=NATURAL, seed=or_null(NATURAL), entries={"type": "array", "items": TEXT})

# For each data set: the module that makes it, what --archive takes.
SOURCES = {
    "isic2018": (skin_lesions, "one of the three files, downloaded by hand; may be given thrice"),
    "open_images_v5": (natural_images, "test.tar.gz, downloaded by hand, or a folder of test "
                                       "images (default: download each)"),
    "ilsvrc2012": (natural_images, "ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar, or a folder "
                                   "of unpacked images")}


def parse_arguments():
    parser = arguments.script_parser(__doc__)
    commands = parser.add_subparsers(dest="dataset", metavar="|".join(SOURCES))
    commands.required = True
    for dataset, (source, help_text) in SOURCES.items():
        command = commands.add_parser(dataset)
        command.set_defaults(source=source, check_md5=False)
        command.add_argument("--archive", default=[], help=help_text,
                             action="append" if source is skin_lesions else "store")
        command.add_argument("--data-dir", **arguments.SHARED["data-dir"])
        if source is natural_images:
            command.add_argument(
                "--num-images", type=arguments.count, default=natural_images.NUM_IMAGES,
                help="how many, drawn with the seed (default: %(default)s)")
            command.add_argument("--seed", **arguments.SHARED["seed"])
        if dataset == "ilsvrc2012":
            command.add_argument("--check-md5", action="store_true",
                                 help="compare the archive's MD5 first, which reads all of it")
    return parser.parse_args()


def read_record(folder):
    """What prepared.json in `folder` says; None when there is none. Raises UserError."""
    path = os.path.join(folder, RECORD)
    return read_json(path, PREPARED, "delete it") if os.path.exists(path) else None


def finish(tree, folder):
    """Put the finished data set `tree` in the place of the one that an earlier command left.

    Raises UserError when something else is there.
    """
    own = (read_record(folder) or {"entries": []})["entries"] + [RECORD]
    found = os.listdir(folder) if os.path.exists(folder) else []
    others = [name for name in found if name not in own]
    if others:
        raise UserError("{}: is in the way; move it elsewhere, then the same command continues"
                        .format(os.path.join(folder, others[0])))
    publish(tree, folder)


def main():
    args = parse_arguments()
    folder = os.path.join(args.data_dir, args.dataset)
    work = os.path.join(args.data_dir, ".{}.partial".format(args.dataset))
    tree = os.path.join(work, args.dataset)
    if os.path.exists(work) or not args.source.ready(args, read_record(folder)):
        hold_for_writing(args.data_dir, args.dataset)
        if read_record(tree):  # killed before it was moved
            finish(tree, folder)
        if not args.source.ready(args, read_record(folder)):
            if read_record(folder) and not os.path.exists(tree):  # those images are not made again
                shutil.copytree(folder, tree, ignore=shutil.ignore_patterns(RECORD),
                                copy_function=link)
            record = args.source.make(args, work)
            write_json(os.path.join(tree, RECORD),
                       dict(record, entries=os.listdir(tree), finished=now()))
            finish(tree, folder)
        shutil.rmtree(work, ignore_errors=True)
    print("ready: {} images in {}".format(args.source.ready(args, read_record(folder)), folder))


if __name__ == "__main__":
    run_script(main)
