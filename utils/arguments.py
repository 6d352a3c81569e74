"""Argument types that refuse a value which cannot be meant, with a message that says why."""

import argparse
import os


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


def folder_name(text):
    """A name that is one plain folder below another."""
    if os.path.basename(text) != text or text.startswith(".") or text.strip() != text or not text:
        raise argparse.ArgumentTypeError("expected a plain name, found {!r}".format(text))
    return text


def as_json(args):
    """The arguments as a dict for a JSON file, which knows no infinity."""
    return {option: "{:g}".format(value) if option == "norm" else value
            for option, value in vars(args).items()}
