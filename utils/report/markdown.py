"""Tables and numbers as Markdown text."""


def table(header, rows):
    """A table as lines, an empty one behind it. header, rows: lists of cells."""
    return (["| {} |".format(" | ".join(map(_cell, header))), "|---" * len(header) + "|"]
            + ["| {} |".format(" | ".join(map(_cell, row))) for row in rows] + [""])


def _cell(value):
    return "?" if value is None else str(value).replace("|", "\\|")


def percent(rate):
    """A metrics.Rate in % with its interval: 63.1 [52.4, 72.6]; - when it is of no image."""
    if not rate.total:
        return "-"
    return "{:.1f} [{:.1f}, {:.1f}]".format(100 * rate.value, 100 * rate.low, 100 * rate.high)


def p_value(p):
    """A p-value with one digit: 7e-05."""
    return "{:.1g}".format(p)


def bound(info):
    """The norm that bounds a UAP: Linf 0.187."""
    if info["norm_bound"] is None:
        return None
    return "L{} {:.4g}".format(info["norm"], info["norm_bound"])
