"""Each data set with one command: from its publisher's files to the folders that the scripts read.

    python -m data.prepare isic2018
    python -m data.prepare open_images_v5
    python -m data.prepare ilsvrc2012 --archive ILSVRC2012_img_train.tar

Each ends with "ready: N images" or says what is wrong. A command that was interrupted continues
when it is given again, and does nothing once the images are ready. While it works, everything is in
a hidden folder, data/.isic2018.partial; only what is whole and checked takes its place.
"""

import argparse
import os
import shutil

from data import natural_images, skin_lesions
from data.archives import link
from utils.common import arguments
from utils.common.errors import UserError, run_script
from utils.common.json_files import NATURAL, TEXT, fields, or_null, read_json, write_json
from utils.common.provenance import now
from utils.common.step_run import Step

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


class Preparation(Step):
    """The preparation of one data set, which continues with the files that are in its work folder.

    args: of the command line. tree: the data set in the work folder.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(os.path.join(args.data_dir, args.dataset))
        self._args = args
        self.tree = os.path.join(self.work, args.dataset)

    def images(self) -> int:
        """Count the prepared images, 0 when they are to be prepared. Raises UserError."""
        return self._args.source.ready(self._args, read_record(self.place))

    def is_finished(self) -> bool:
        """Return whether the images are ready, and nothing of an interrupted command is left."""
        return not os.path.exists(self.work) and self.images() > 0

    def make(self) -> None:
        """Bring the images into the work folder, to those that are prepared. Raises UserError."""
        if read_record(self.place) and not os.path.exists(self.tree):
            shutil.copytree(self.place, self.tree, ignore=shutil.ignore_patterns(RECORD),
                            copy_function=link)
        record = self._args.source.make(self._args, self.work)
        write_json(os.path.join(self.tree, RECORD),
                   dict(record, entries=os.listdir(self.tree), finished=now()))

    def publish(self, finished: str) -> None:
        """Put `finished` in the place of the data set that an earlier command left.

        Raises UserError when something else is there.
        """
        prepared = (read_record(self.place) or {"entries": []})["entries"] + [RECORD]
        there = os.listdir(self.place) if os.path.exists(self.place) else []
        others = [name for name in there if name not in prepared]
        if others:
            raise UserError(f"{os.path.join(self.place, others[0])}: is in the way; move it "
                            "elsewhere, then the same command continues")
        super().publish(finished)


def main() -> None:
    step = Preparation(parse_arguments())
    if step.begins():
        if read_record(step.tree):  # a command was killed before it published this
            step.publish(step.tree)
        if not step.images():
            step.make()
            step.publish(step.tree)
        shutil.rmtree(step.work, ignore_errors=True)
    print(f"ready: {step.images()} images in {step.place}")


if __name__ == "__main__":
    run_script(main)
