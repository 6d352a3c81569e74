"""In how many bits TensorFlow computes what a script asks of it."""

from typing import Any, Dict

FLOAT32, BFLOAT16 = PRECISIONS = "float32", "bfloat16"


def without_float32(choices: Dict[str, Any]) -> Dict[str, Any]:
    """Return the choices of a run for its identity, where float32 goes without saying.

    So it did before there was a choice: files of earlier versions are of the same runs.
    """
    return {name: value for name, value in choices.items()
            if (name, value) != ("precision", FLOAT32)}


def precision_of(identity: Dict[str, Any]) -> str:
    """Return the precision of the run that has such an identity."""
    return identity.get("precision", FLOAT32)
