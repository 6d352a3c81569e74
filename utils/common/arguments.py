"""Command lines: options that the scripts share, and types that refuse what cannot be meant."""

import argparse

from utils.common.names import fault_of_file_name
from utils.common.terminal import printable


def _number(convert, test, expected):
    def parse(text):
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not test(value):
            raise argparse.ArgumentTypeError("expected {}, found {!r}".format(expected, text))
        return value
    return parse


count = _number(int, lambda n: n >= 1, "a whole number of 1 or more")
seed = _number(int, lambda n: 0 <= n < 2 ** 32, "a whole number from 0 to 4294967295")
positive = _number(float, lambda x: 0 < x < float("inf"), "a number above 0")
share = _number(float, lambda x: 0 < x <= 1, "a number above 0 and up to 1")
norm = _number(float, lambda p: p in (2, float("inf")), "2 or inf")


def folder_name(text: str) -> str:
    """A name that is one plain folder below another."""
    fault = fault_of_file_name(text)
    if fault:
        raise argparse.ArgumentTypeError(
            f"expected a plain name, found '{printable(text)}', which {fault}")
    return text


SHARED = {
    "data-dir": dict(default="data", help="folder of the data sets (default: %(default)s)"),
    "models-dir": dict(default="models", help="folder of the models (default: %(default)s)"),
    "results-dir": dict(default="results", help="folder of the runs (default: %(default)s)"),
    "batch-size": dict(type=count, default=32, help="images in a batch (default: %(default)s)"),
    "seed": dict(type=seed, default=0, help="of all that is drawn (default: %(default)s)"),
    "device": dict(choices=("auto", "cpu"), default="auto",
                   help="auto: a GPU, if TensorFlow sees one (default: %(default)s)"),
    "checkpoint-seconds": dict(type=positive, default=120,
                               help="time between two checkpoints (default: %(default)s)"),
    "restart": dict(action="store_true",
                    help="begin anew where the work would be continued or is finished"),
}


def script_parser(doc, *shared):
    """The parser of a script whose docstring is `doc`, with some options of SHARED."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in shared:
        parser.add_argument("--" + option, **SHARED[option])
    return parser


def as_json(args):
    """The arguments as a dict for a JSON file, which knows no infinity."""
    return {option: "{:g}".format(value) if option == "norm" else value
            for option, value in vars(args).items()}
