"""Csv files: read with a message where they are wrong, and written whole as UTF-8."""

import csv

from utils.common.errors import UserError
from utils.common.whole_files import replacing


def read_csv(path, header, mend):
    """Read a csv file; a byte order mark and CRLF line ends are accepted.

    header: the column names that must be there, or None for a file without a header.
    mend: what to do when the file is wrong, for the message.
    Returns a list of dicts (with a header) or of lists (without). Raises UserError.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            if header is None:
                return [row for row in csv.reader(file) if row]
            reader = csv.DictReader(file)
            missing = [name for name in header if name not in (reader.fieldnames or [])]
            if missing:
                raise UserError("{}: column {} is missing, found {}; {}".format(
                    path, ", ".join(missing), ", ".join(reader.fieldnames or ["nothing"]), mend))
            return list(reader)
    except FileNotFoundError:
        raise UserError("{}: not found; {}".format(path, mend))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError("{}: not a csv file ({}); {}".format(path, error, mend))


def write_csv(path, header, rows):
    """Write a csv file as UTF-8. header: the column names, or None. rows: of cells, as many."""
    with replacing(path) as temporary:
        with open(temporary, "w", encoding="utf-8", errors="surrogateescape",
                  newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([header] if header else [])
            writer.writerows(rows)
