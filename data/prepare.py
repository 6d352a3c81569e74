"""Each data set with one command: from its publisher's files to the folders that the scripts read.

    python -m data.prepare isic2018
    python -m data.prepare open_images_v5
    python -m data.prepare ilsvrc2012 --archive ILSVRC2012_img_train.tar

Each ends with "ready: N images" or says what is wrong. A command that was interrupted continues
when it is given again, and does nothing once the images are ready. While it works, everything is in
a hidden folder, data/.isic2018.partial; only what is whole and checked takes its place.
"""

import argparse

from data import natural_images, skin_lesions
from utils import arguments
from utils.errors import run_script


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="dataset", metavar="isic2018|open_images_v5|ilsvrc2012")
    commands.required = True

    lesions = commands.add_parser("isic2018", help="download, or take, the 10,015 images of Task 3")
    lesions.set_defaults(prepare=skin_lesions.prepare)
    lesions.add_argument(
        "--archive", action="append", default=[], metavar="FILE",
        help="one of the three files, downloaded by hand; may be given three times")

    photographs = commands.add_parser("open_images_v5", help="download, or take, test images")
    photographs.set_defaults(prepare=natural_images.prepare_open_images)
    photographs.add_argument(
        "--archive", metavar="FILE|FOLDER",
        help="test.tar.gz, downloaded by hand, or a folder of test images (default: download each)")

    objects = commands.add_parser("ilsvrc2012", help="take images from an archive")
    objects.set_defaults(prepare=natural_images.prepare_ilsvrc)
    objects.add_argument(
        "--archive", metavar="FILE|FOLDER",
        help="ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar, or a folder of unpacked images")
    objects.add_argument(
        "--check-md5", action="store_true",
        help="compare the MD5 of the archive first, which reads all of it")

    for command in (photographs, objects):
        command.add_argument(
            "--num-images", type=arguments.count, default=natural_images.NUM_IMAGES,
            help="how many, drawn with the seed (default: %(default)s)")
        command.add_argument("--seed", type=arguments.seed, default=0,
                             help="(default: %(default)s)")
    for command in (lesions, photographs, objects):
        command.add_argument("--data-dir", default="data",
                             help="where to put the data set (default: %(default)s)")
    return parser.parse_args()


def main():
    args = parse_arguments()
    args.prepare(args)


if __name__ == "__main__":
    run_script(main)
