"""How many images a UAP needs for a rate, read off the rates that were measured on its way."""

import collections

# images: a float; None when the rate was never reached. at_most: it was reached at the first
# measurement already, so fewer may do.
Needed = collections.namedtuple("Needed", "images at_most")


def images_needed(shown, rates, rate):
    """The number of images at which a curve first reaches `rate`.

    shown: numbers of images, ascending. rates: the rate measured at each. Between two measurements
    the curve is straight over the logarithm of the number of images. Returns a Needed.
    """
    for i, measured in enumerate(rates):
        if measured >= rate:
            if i == 0:
                return Needed(float(shown[0]), True)
            step = (rate - rates[i - 1]) / (measured - rates[i - 1])
            return Needed(shown[i - 1] * (shown[i] / shown[i - 1]) ** step, False)
    return Needed(None, False)
