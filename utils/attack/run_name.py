"""The choices that make one run of make_uap.py another, and the folder name that tells them."""

# Option, default, and how the name of the run's folder tells another value.
CHOICES = (("attack", "deepfool", "{}"), ("norm", float("inf"), "l{:g}"),
           ("norm_ratio", 0.04, "ratio-{:g}"), ("num_images", None, "images-{}"),
           ("passes", 1, "passes-{}"), ("target_fooling_rate", None, "until-{:g}"),
           ("target", None, "target-{}"), ("step_size", None, "step-{:g}"),
           ("batch_size", 16, "batch-{}"), ("seed", 0, "seed-{}"))
DEFAULTS = {option: default for option, default, _ in CHOICES}


def run_name(source, **choices):
    """The folder of a run: its source, and every choice that is not the default.

    choices: those of CHOICES that are known; a missing one has its default.
    """
    name = "-".join([source] + [text.format(choices[option]) for option, default, text in CHOICES
                                if choices.get(option, default) != default])
    return name.replace("/", "-")  # of a target: a class name may be anything
