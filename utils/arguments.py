"""Argument types that refuse a value which cannot be meant, with a message that says why."""

import argparse


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
