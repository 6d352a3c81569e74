"""Command lines: options that the scripts share, and types that refuse what cannot be meant."""

import argparse
from typing import Any, Callable, Dict, NoReturn, TypeVar

from utils.common.names import fault_of_file_name
from utils.common.precision import FLOAT32, PRECISIONS
from utils.common.terminal import printable

Number = TypeVar("Number", int, float)


def _number(convert: Callable[[str], Number], is_meant: Callable[[Number], bool],
            expected: str) -> Callable[[str], Number]:
    """Make the type of an option: a function from its text to a number.

    expected: what the text has to be, for the message.
    """
    def parse(text: str) -> Number:
        try:
            value = convert(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected {expected}, found {text!r}")
        if not is_meant(value):
            raise argparse.ArgumentTypeError(f"expected {expected}, found {text!r}")
        return value
    return parse


count = _number(int, lambda number: number >= 1, "a whole number of 1 or more")
seed = _number(int, lambda number: 0 <= number < 2 ** 32, "a whole number from 0 to 4294967295")
positive = _number(float, lambda number: 0 < number < float("inf"), "a number above 0")
share = _number(float, lambda number: 0 < number <= 1, "a number above 0 and up to 1")
norm = _number(float, lambda p: p in (2, float("inf")), "2 or inf")


def folder_name(text: str) -> str:
    """Take a name that is one plain folder below another; the type of an option."""
    fault = fault_of_file_name(text)
    if fault:
        raise argparse.ArgumentTypeError(
            f"expected a plain name, found '{printable(text)}', which {fault}")
    return text


SHARED: Dict[str, Dict[str, Any]] = {
    "data-dir": dict(default="data", help="folder of the data sets (default: %(default)s)"),
    "models-dir": dict(default="models", help="folder of the models (default: %(default)s)"),
    "results-dir": dict(default="results", help="folder of the runs (default: %(default)s)"),
    "batch-size": dict(type=count, default=32,
                       help="how many images a batch has (default: %(default)s)"),
    "seed": dict(type=seed, default=0,
                 help="the seed of everything that is drawn (default: %(default)s)"),
    "device": dict(choices=("auto", "cpu", "gpu"), default="auto",
                   help="auto: a GPU, if TensorFlow sees one; gpu: an error without one (default: "
                        "%(default)s)"),
    "precision": dict(choices=PRECISIONS, default=FLOAT32,
                      help="bfloat16: convolutions in 16 bits, for a CPU with AMX or AVX512_BF16: "
                           "about half the time; with today's TensorFlow only (default: "
                           "%(default)s)"),
    "checkpoint-seconds": dict(type=positive, default=120,
                               help="time between two checkpoints (default: %(default)s)"),
    "restart": dict(action="store_true",
                    help="begin anew where the work would be continued or is finished"),
}


class ScriptParser(argparse.ArgumentParser):
    """A parser whose messages never hold what commands the terminal."""

    def error(self, message: str) -> NoReturn:
        """End with a message in characters that every terminal can print."""
        super().error(printable(message))


def script_parser(description: str, *shared: str) -> ScriptParser:
    """Make the parser of a script.

    description: the script's docstring. shared: the options of SHARED that it has.
    """
    parser = ScriptParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in shared:
        parser.add_argument("--" + option, **SHARED[option])
    return parser


def as_json(args: argparse.Namespace) -> Dict[str, Any]:
    """Return the arguments as a dict for a JSON file, which knows no infinity."""
    values = dict(vars(args))
    if "norm" in values:
        values["norm"] = f"{values['norm']:g}"
    return values
