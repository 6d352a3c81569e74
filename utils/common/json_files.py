"""JSON files: written whole with sorted keys, and read only where they are what they should be.

The schema of a file stands in the module that writes or reads that file.
"""

import functools
import json
import re
from typing import Any, Dict, Optional

from utils.common.errors import UserError
from utils.common.whole_files import write_text

Schema = Dict[str, Any]

MOST_LEVELS = 100  # of lists and objects in each other; no file of this project has ten
MOST_SHOWN = 300  # characters of a fault: the value that is wrong can be of any length


def fields(**properties: Schema) -> Schema:
    """Return the schema of an object that has at least these fields."""
    return {"type": "object", "required": sorted(properties), "properties": properties}


def with_optional(schema: Schema, **properties: Schema) -> Schema:
    """Return the schema of such an object that may have these fields as well."""
    return dict(schema, properties={**schema["properties"], **properties})


def or_null(schema: Schema) -> Schema:
    """Return the schema of what fits `schema` or is null."""
    return {"anyOf": [schema, {"type": "null"}]}


TEXT = {"type": "string", "minLength": 1}
NUMBER = {"type": "number"}
POSITIVE = {"type": "number", "exclusiveMinimum": 0}
COUNT = {"type": "integer", "minimum": 1}
NATURAL = {"type": "integer", "minimum": 0}
SHA256 = {"type": "string", "pattern": r"^[0-9a-f]{64}\Z"}
# A path below a folder, without control characters, which no path can hold or nobody wants.
INSIDE = {"type": "string", "pattern": r"^(?!/|(.*/)?\.\.(/|\Z))[^\x00-\x1f\x7f]+\Z"}
OBJECT = {"type": "object"}


def read_json(path: str, schema: Schema, mend: str) -> Any:
    """Read a JSON file and compare it with its schema.

    mend: what to do when it is missing or wrong, for the message. Raises UserError, naming the
    first field that is wrong.
    """
    try:
        with open(path, encoding="utf-8") as file:
            values = parse_json(file.read())
    except FileNotFoundError:
        raise UserError(f"{path}: not found; {mend}")
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: not a JSON file ({error}); {mend}")
    fault = fault_of(values, schema)
    if fault:
        raise UserError(f"{path}: {fault}; {mend}")
    return values


def parse_json(text: str) -> Any:
    """Return the values of a JSON text.

    Raises ValueError for what other parsers let through and what fails later: numbers that are not
    finite, integers beyond 64 bits, values nested so deep that nothing can walk through them, and
    halves of characters that no file can hold.
    """
    try:
        values = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite_float,
                            parse_int=_integer_of_64_bits)
    except RecursionError:
        raise ValueError(f"nested more than {MOST_LEVELS} deep")
    if _levels(values) > MOST_LEVELS:
        raise ValueError(f"nested more than {MOST_LEVELS} deep")
    try:
        json.dumps(values, ensure_ascii=False).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ValueError(f"{error.object[error.start]!r} is no character")
    return values


def _refuse_constant(constant):
    raise ValueError(f"{constant} is no number of JSON")


def _finite_float(text):
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _integer_of_64_bits(text):
    if len(text) > 20 or not -2 ** 63 <= int(text) < 2 ** 63:
        raise ValueError(f"{text[:20]} is too large an integer ({len(text)} digits)")
    return int(text)


def _levels(values):
    """Count how deep lists and objects are nested, without recursion."""
    count, level = 0, [values]
    while level:
        count += 1
        below = [value.values() if isinstance(value, dict) else value
                 for value in level if isinstance(value, (dict, list))]
        level = [value for group in below for value in group]
    return count - 1


def fault_of(values: Any, schema: Schema) -> Optional[str]:
    """Return what is wrong with values of a JSON file, or None where they fit the schema.

    An integer is written without a fraction: 32.0, which JSON Schema would take, is refused,
    because whatever wrote it counts in numbers that are not exact.
    """
    error = _best_match(_validator()(schema).iter_errors(values))
    if error is None:
        return None
    where = ".".join(map(str, error.absolute_path))
    message = error.message
    if len(message) > MOST_SHOWN:
        message = message[:MOST_SHOWN // 2] + " ... " + message[-MOST_SHOWN // 2:]
    return f"{where}: {message}" if where else message


def _best_match(errors):
    from jsonschema.exceptions import best_match  # imported here because it takes long

    return best_match(errors)


@functools.lru_cache(None)
def _validator():
    import jsonschema

    def is_integer(checker: Any, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    draft = jsonschema.Draft7Validator
    return jsonschema.validators.extend(
        draft, type_checker=draft.TYPE_CHECKER.redefine("integer", is_integer))


def write_json(path: str, values: Any) -> None:
    """Write `values` to `path` as JSON with sorted keys. Raises ValueError for NaN.

    Bytes of names that are not UTF-8 become escapes such as \\udce4, which come back when the file
    is read.
    """
    text = json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(path, re.sub("[\ud800-\udfff]", _json_escape, text) + "\n")


def _json_escape(match):
    return f"\\u{ord(match.group()):04x}"
