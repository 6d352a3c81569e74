"""JSON files: written whole with sorted keys, and read only where they are what they should be."""

import json

from utils.common.errors import UserError
from utils.common.whole_files import write_text


def fields(**properties):
    """The schema of an object that has at least these fields."""
    return {"type": "object", "required": sorted(properties), "properties": properties}


TEXT = {"type": "string", "minLength": 1}
NUMBER = {"type": "number"}
POSITIVE = {"type": "number", "exclusiveMinimum": 0}
COUNT = {"type": "integer", "minimum": 1}
NATURAL = {"type": "integer", "minimum": 0}
SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
INSIDE = {"type": "string", "pattern": r"^(?!/|(.*/)?\.\.(/|$))."}  # a path below a folder
OBJECT = {"type": "object"}


def or_null(schema):
    return {"anyOf": [schema, {"type": "null"}]}


SCALING = fields(offset=NUMBER, scale=POSITIVE)

# models/<name>.json, by train_model.py: all of it, and as much as tells one model from another
WEIGHTS = fields(weights=fields(sha256=SHA256))
MODEL = fields(
    architecture={"enum": ["VGG16", "ResNet50", "InceptionV3"]},
    class_names={"type": "array", "minItems": 2, "uniqueItems": True, "items": TEXT},
    image_folder=INSIDE, image_size=COUNT, scaling=SCALING, grey={"type": "boolean"},
    mean_norms=fields(**{"2": POSITIVE, "inf": POSITIVE}),
    split=fields(train=fields(images=COUNT, sha256=SHA256),
                 test=fields(images=COUNT, sha256=SHA256)),
    resize={"enum": ["bilinear", "nearest"]}, weights=fields(sha256=SHA256), weights_from={},
    epochs=COUNT, identity=OBJECT)


def read_json(path, schema, mend):
    """Read a JSON file and compare it with its schema.

    mend: what to do when it is missing or wrong, for the message. Raises UserError, naming the
    first field that is wrong.
    """
    import jsonschema

    def refuse(constant):
        raise ValueError("{} is no number of JSON".format(constant))

    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file, parse_constant=refuse)
    except FileNotFoundError:
        raise UserError("{}: not found; {}".format(path, mend))
    except (ValueError, OSError) as error:
        raise UserError("{}: not a JSON file ({}); {}".format(path, error, mend))
    error = jsonschema.exceptions.best_match(
        jsonschema.Draft7Validator(schema).iter_errors(values))
    if error is not None:
        where = ".".join(map(str, error.absolute_path))
        raise UserError("{}: {}{}; {}".format(path, where and where + ": ", error.message, mend))
    return values


def write_json(path, values):
    """Write `values` to `path` as JSON with sorted keys. Raises ValueError for NaN."""
    write_text(path, json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False,
                                allow_nan=False) + "\n")
