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
from utils import arguments
from utils.errors import UserError, run_script
from utils.files import hold_for_writing, publish
from utils.json_files import NATURAL, TEXT, fields, or_null, read_json, write_json
from utils.provenance import now

RECORD = "prepared.json"
PREPARED = fields(images=NATURAL, seed=or_null(NATURAL), entries={"type": "array", "items": TEXT})


def parse_arguments():
    parser = arguments.script_parser(__doc__)
    commands = parser.add_subparsers(dest="dataset", metavar="isic2018|open_images_v5|ilsvrc2012")
    commands.required = True
    lesions = commands.add_parser("isic2018", help="download, or take, the 10,015 images of Task 3")
    lesions.set_defaults(source=skin_lesions)
    lesions.add_argument(
        "--archive", action="append", default=[], metavar="FILE",
        help="one of the three files, downloaded by hand; may be given three times")
    photographs = commands.add_parser("open_images_v5", help="download, or take, test images")
    photographs.add_argument(
        "--archive", metavar="FILE|FOLDER",
        help="test.tar.gz, downloaded by hand, or a folder of test images (default: download each)")
    objects = commands.add_parser("ilsvrc2012", help="take images from an archive")
    objects.add_argument(
        "--archive", metavar="FILE|FOLDER",
        help="ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar, or a folder of unpacked images")
    objects.add_argument("--check-md5", action="store_true",
                         help="compare the MD5 of the archive first, which reads all of it")
    for command in (photographs, objects):
        command.set_defaults(source=natural_images)
        command.add_argument(
            "--num-images", type=arguments.count, default=natural_images.NUM_IMAGES,
            help="how many, drawn with the seed (default: %(default)s)")
        command.add_argument("--seed", **arguments.SHARED["seed"])
    for command in (lesions, photographs, objects):
        command.add_argument("--data-dir", **arguments.SHARED["data-dir"])
    return parser.parse_args()


def read_record(folder):
    """What prepared.json in `folder` says; None when there is none. Raises UserError."""
    path = os.path.join(folder, RECORD)
    return read_json(path, PREPARED, "delete it") if os.path.exists(path) else None


def finish(tree, folder):
    """Move a finished data set from `tree` to its place, prepared.json last.

    What an earlier command put there goes; what anybody else did stays. Goes on when it was killed.
    """
    here, earlier = read_record(tree)["entries"], read_record(folder) or {"entries": []}
    for name in os.listdir(folder) if os.path.exists(folder) else ():
        if name in earlier["entries"] and name not in here:
            os.rename(os.path.join(folder, name), os.path.join(tree, name + ".earlier"))
    for name in here + [RECORD]:
        publish(os.path.join(tree, name), os.path.join(folder, name))


def main():
    args = parse_arguments()
    folder = os.path.join(args.data_dir, args.dataset)
    work = os.path.join(args.data_dir, ".{}.partial".format(args.dataset))
    tree = os.path.join(work, args.dataset)
    if os.path.exists(work) or not args.source.ready(args, read_record(folder)):
        hold_for_writing(args.data_dir, args.dataset)
        if read_record(tree):  # killed while it moved
            finish(tree, folder)
        if not args.source.ready(args, read_record(folder)):
            record, replaced = args.source.make(args, work), read_record(folder) or {"entries": []}
            for name in os.listdir(tree):
                if os.path.exists(os.path.join(folder, name)) and name not in replaced["entries"]:
                    raise UserError("{}: is in the way; move it elsewhere, then the same command "
                                    "continues".format(os.path.join(folder, name)))
            write_json(os.path.join(tree, RECORD),
                       dict(record, entries=os.listdir(tree), finished=now()))
            finish(tree, folder)
        shutil.rmtree(work, ignore_errors=True)
    print("ready: {} images in {}".format(args.source.ready(args, read_record(folder)), folder))


if __name__ == "__main__":
    run_script(main)
