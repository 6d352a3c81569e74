"""Mistakes a user can mend: one message on stderr and exit code 2, never a traceback."""

import io
import sys
from typing import Any, Callable

from utils.common.terminal import printable


class UserError(Exception):
    """Its message names the file, what was found, what was expected, and what to do."""


def run_script(main: Callable[[], Any]) -> Any:
    """Run the entry point of a script; a UserError or a refused file ends it with exit code 2.

    Names of files that are not UTF-8 can be printed: their bytes appear as escapes.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return main()
    except UserError as error:
        message = str(error)
    except OSError as error:
        message = f"{error.filename or 'input/output'}: {error.strerror or error}"
    except KeyboardInterrupt:
        print("\ninterrupted; the same command continues from the last checkpoint, if there is one",
              file=sys.stderr)
        sys.exit(130)
    print("error: " + printable(message), file=sys.stderr)
    sys.exit(2)
