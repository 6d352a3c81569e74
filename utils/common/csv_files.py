"""Csv files: read with a message where they are wrong, and written whole as UTF-8."""

import codecs
import csv
import io
from typing import Any, Dict, Iterable, List, Optional, Sequence, Union, overload

from utils.common.errors import UserError
from utils.common.terminal import printable
from utils.common.whole_files import replacing

CsvRows = Union[List[Dict[str, str]], List[List[str]]]


@overload
def read_csv(path: str, header: None, mend: str) -> List[List[str]]: ...


@overload
def read_csv(path: str, header: Sequence[str], mend: str) -> List[Dict[str, str]]: ...


def read_csv(path: str, header: Optional[Sequence[str]], mend: str) -> CsvRows:
    """Read a csv file that somebody made: UTF-8, with or without a byte-order mark.

    Blanks around cells are no part of them; rows without any text are left out.
    header: the column names that must be there, or None for a file without a header.
    mend: what to do when the file is wrong, for the message.
    Returns a list of dicts (with a header) or of lists (without). Raises UserError.
    """
    content = _read_bytes(path, mend)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"{path}: the text is UTF-16, expected UTF-8; save it as UTF-8; {mend}")
    try:
        text = content.decode("utf-8").lstrip("\ufeff")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        row = content.split(b"\n")[number - 1].rstrip(b"\r").decode("utf-8", "surrogateescape")
        raise UserError(f"{path}: row {number} is not UTF-8, {printable(row[:80])}; save the file "
                        f"as UTF-8; {mend}")
    # A quotation mark may stand behind blanks.
    cells = _parse(path, text, mend, skipinitialspace=True)
    rows = [[cell.strip() for cell in row] for row in cells]
    return _with_header(path, [row for row in rows if any(row)], header, mend=mend)


@overload
def read_written_csv(path: str, header: None, mend: str) -> List[List[str]]: ...


@overload
def read_written_csv(path: str, header: Sequence[str], mend: str) -> List[Dict[str, str]]: ...


def read_written_csv(path: str, header: Optional[Sequence[str]], mend: str) -> CsvRows:
    """Read a csv file that write_csv() wrote: every cell is as it was written.

    Arguments, value and errors are those of read_csv(). Names of files that are not UTF-8 come back
    as Python has them, and so do blanks around a name.
    """
    text = _read_bytes(path, mend).decode("utf-8", "surrogateescape")
    rows = _parse(path, text, mend, skipinitialspace=False)
    return _with_header(path, [row for row in rows if row], header, mend=mend)


def _read_bytes(path: str, mend: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise UserError(f"{path}: not found; {mend}")


def _parse(path: str, text: str, mend: str, skipinitialspace: bool) -> List[List[str]]:
    if "\0" in text:
        raise UserError(f"{path}: not a csv file (it holds bytes of value 0); {mend}")
    try:
        return list(csv.reader(io.StringIO(text, newline=""), skipinitialspace=skipinitialspace))
    except csv.Error as error:
        raise UserError(f"{path}: not a csv file ({error}); {mend}")


def _with_header(path: str, rows: List[List[str]], header: Optional[Sequence[str]],
                 mend: str) -> CsvRows:
    """Turn rows into dicts where their first one is a header."""
    if header is None:
        return rows
    names = rows[0] if rows else []
    missing = [name for name in header if name not in names]
    if missing:
        raise UserError(f"{path}: column {', '.join(missing)} is missing, found "
                        f"{', '.join(names) or 'nothing'}; {mend}")
    for row in rows[1:]:
        if len(row) < len(names) or any(row[len(names):]):
            raise UserError(f"{path}: row {','.join(row)[:80]} has {len(row)} cells, the header "
                            f"{len(names)}; {mend}")
    return [dict(zip(names, row)) for row in rows[1:]]


def write_csv(path: str, header: Optional[Iterable[str]], rows: Iterable[Sequence[Any]]) -> None:
    """Write a csv file as UTF-8; names of files that are not UTF-8 are written with their bytes.

    header: the column names, or None. rows: of as many cells.
    """
    with replacing(path) as temporary:
        with open(temporary, "w", encoding="utf-8", errors="surrogateescape",
                  newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([header] if header else [])
            writer.writerows(rows)
