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
from types import ModuleType
from typing import Dict, NamedTuple, Optional

from data import natural_images, skin_lesions
from data.archives import link
from data.preparation_settings import PreparationSettings, Prepared, read_prepared
from utils.common import arguments
from utils.common.errors import UserError, run_script
from utils.common.json_files import write_json
from utils.common.provenance import now
from utils.common.stage import Stage
from utils.common.terminal import printable

RECORD = "prepared.json"


class Source(NamedTuple):
    """Where a data set comes from. module: that makes it. archive_help: what --archive takes."""

    module: ModuleType
    archive_help: str


SOURCES: Dict[str, Source] = {
    "isic2018": Source(
        skin_lesions, "one of the three files, downloaded by hand; may be given thrice"),
    "open_images_v5": Source(
        natural_images, "test.tar.gz, downloaded by hand, or a folder of test images (default: "
                        "download each)"),
    "ilsvrc2012": Source(
        natural_images, "ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar, or a folder of unpacked "
                        "images")}


def parse_arguments() -> PreparationSettings:
    """Read the command line."""
    parser = arguments.script_parser(__doc__)
    commands = parser.add_subparsers(dest="dataset", metavar="|".join(SOURCES))
    commands.required = True
    for dataset, source in SOURCES.items():
        command = commands.add_parser(dataset)
        add_options(command, dataset, source)
    args = vars(parser.parse_args())
    archive = args.pop("archive")  # a list of isic2018's three, or the one of a natural source
    if archive is None:
        archive = []
    elif isinstance(archive, str):
        archive = [archive]
    return PreparationSettings(archives=tuple(archive), **args)


def add_options(command: argparse.ArgumentParser, dataset: str, source: Source) -> None:
    """Add the options of one data set's command."""
    add = command.add_argument
    add("--data-dir", **arguments.SHARED["data-dir"])
    if source.module is skin_lesions:
        add("--archive", action="append", help=source.archive_help)
        return
    add("--archive", help=source.archive_help)
    add("--num-images", type=arguments.count, default=natural_images.NUM_IMAGES,
        help="how many, drawn with the seed (default: %(default)s)")
    add("--seed", **arguments.SHARED["seed"])
    if dataset == "ilsvrc2012":
        add("--check-md5", action="store_true",
            help="compare the archive's MD5 first, which reads all of it")


def prepared_in(folder: str) -> Optional[Prepared]:
    """Read what prepared.json in `folder` says; None when there is none. Raises UserError."""
    path = os.path.join(folder, RECORD)
    return read_prepared(path) if os.path.exists(path) else None


class Preparation(Stage):
    """The preparation of one data set, which continues with the files that are in its work folder.

    tree: the data set in the work folder.
    """

    def __init__(self, settings: PreparationSettings) -> None:
        super().__init__(os.path.join(settings.data_dir, settings.dataset))
        self.tree = os.path.join(self.work, settings.dataset)
        self._settings = settings
        self._source = SOURCES[settings.dataset].module

    def images(self) -> int:
        """Count the prepared images, 0 when they are to be prepared. Raises UserError."""
        return self._source.count_ready(self._settings, prepared_in(self.place))

    def is_finished(self) -> bool:
        """Return whether the images are ready, and nothing of an interrupted command is left."""
        return not os.path.exists(self.work) and self.images() > 0

    def make(self) -> None:
        """Bring the images into the work folder, to those that are prepared. Raises UserError."""
        if prepared_in(self.place) and not os.path.exists(self.tree):
            shutil.copytree(self.place, self.tree, ignore=shutil.ignore_patterns(RECORD),
                            copy_function=link)
        record = self._source.make(self._settings, self.work)
        write_json(os.path.join(self.tree, RECORD),
                   dict(record, entries=os.listdir(self.tree), finished=now()))

    def publish(self, finished: str) -> None:
        """Put `finished` in the place of the data set that an earlier command left.

        Raises UserError when something else is there.
        """
        earlier = prepared_in(self.place)
        prepared = (earlier.entries if earlier else []) + [RECORD]
        names = os.listdir(self.place) if os.path.exists(self.place) else []
        others = [name for name in names if name not in prepared]
        if others:
            raise UserError(f"{os.path.join(self.place, others[0])}: is in the way; move it "
                            "elsewhere, then the same command continues")
        super().publish(finished)


def main() -> None:
    stage = Preparation(parse_arguments())
    if stage.lock_unless_finished():
        if prepared_in(stage.tree):  # a command was killed before it published this
            stage.publish(stage.tree)
        if not stage.images():
            stage.make()
            stage.publish(stage.tree)
        shutil.rmtree(stage.work, ignore_errors=True)
    print(f"ready: {stage.images()} images in {printable(stage.place)}")


if __name__ == "__main__":
    run_script(main)
