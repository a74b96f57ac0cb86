"""Delimited text: everything that can be wrong with such a file is found before a value is used."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from nestwise.data.dataset import ROW, reserved_names
from nestwise.errors import DataError, Problem

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}
SEPARATOR_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
BLOCK = 1 << 22
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
LONGEST_FIELD = 1 << 20


@dataclass(frozen=True)
class _Bytes:
    """What one pass over the bytes of a file tells."""

    quoted: bool
    newlines: int
    returns: int


def scan_text(path: Path) -> pl.LazyFrame:
    """Scan delimited text as strings, lazily.

    Parameters
    ----------
    path : Path
        A file ending in .csv (commas) or .tsv, .tab, .txt (tabs), in UTF-8, with a header.

    Returns
    -------
    polars.LazyFrame
        `.row` (Int64, from 1 below the header; empty lines count) and every column as String.

    Raises
    ------
    DataError
        For a file that is not such text, with the line where it fails: other encodings, NUL bytes,
        duplicate or missing names, rows with more or fewer values than the header, broken quotes.
    """
    separator = SEPARATORS[path.suffix.lower()]
    content = _check_bytes(path)
    names = _check_header(path, separator)
    _check_rows(path, separator, names, quoted=content.quoted)
    return pl.scan_csv(
        path,
        separator=separator,
        infer_schema=False,
        row_index_name=ROW,
        row_index_offset=1,
        glob=False,
    ).with_columns(pl.col(ROW).cast(pl.Int64))


def _check_bytes(path: Path) -> _Bytes:
    decoder = codecs.getincrementaldecoder("utf-8")()
    quoted, newlines, returns, offset = False, 0, 0, 0
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            if offset == 0 and block[:2] in UTF16:
                raise _not_utf8(path, "line 1 starts with the mark of UTF-16")
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                start = max(error.start, 0)
                line = newlines + error.object[:start].count(b"\n") + 1
                shown = f"0x{error.object[error.start]:02x}"
                raise _not_utf8(path, f"line {line} holds the byte {shown}") from error
            if (nul := block.find(b"\0")) >= 0:
                line = newlines + block.count(b"\n", 0, nul) + 1
                raise DataError(
                    Problem(
                        f"line {line} holds a NUL byte: this is not text, or it is damaged",
                        str(path),
                        "export the table again as CSV in UTF-8",
                    )
                )
            quoted = quoted or b'"' in block
            newlines += block.count(b"\n")
            returns += block.count(b"\r")
            offset += len(block)
    if returns > 1 and newlines == 0:
        raise DataError(
            Problem(
                "the lines end in carriage returns only, as on old Macintoshes",
                str(path),
                "save it again with ordinary line ends",
            )
        )
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, f"line {newlines + 1} ends inside a character") from error
    return _Bytes(quoted, newlines, returns)


def _not_utf8(path: Path, what: str) -> DataError:
    return DataError(
        Problem(
            f"the file is not text in UTF-8: {what}",
            str(path),
            "save it again as UTF-8 (spreadsheets: 'CSV UTF-8'; R: fileEncoding = \"UTF-8\")",
        )
    )


def _records(path: Path, separator: str) -> Iterator[list[str]]:
    csv.field_size_limit(LONGEST_FIELD)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        yield from csv.reader(stream, delimiter=separator, strict=True)


def _broken_quotes(path: Path, error: csv.Error, row: int) -> DataError:
    place = f"in row {row}" if row else "in the header"
    return DataError(
        Problem(
            f"the values cannot be told apart {place} ({error})",
            str(path),
            'close every quotation mark, and double those inside a value ("")',
        )
    )


def _check_header(path: Path, separator: str) -> list[str]:
    try:
        names = next(_records(path, separator), [])
    except csv.Error as error:
        raise _broken_quotes(path, error, 0) from error
    problems = _header_problems(path, names, separator)
    if problems:
        raise DataError(problems)
    return names


def _header_problems(path: Path, names: list[str], separator: str) -> list[Problem]:
    where = f"{path}, header"
    if not any(name.strip() for name in names):
        return [Problem("the first line names no column", where, "write the names of the columns there")]
    problems = []
    if len(names) == 1:
        other = next((sign for sign in SEPARATOR_NAMES if sign != separator and sign in names[0]), None)
        if other:
            problems.append(
                Problem(
                    f"the columns seem to be separated by {SEPARATOR_NAMES[other]}, "
                    f"and a {path.suffix} file has {SEPARATOR_NAMES[separator]}",
                    where,
                    "save it with commas as .csv (and points as decimal marks) or with tabs as .tsv",
                )
            )
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        problems.append(
            Problem(
                f"more than one column is called {', '.join(map(repr, twice))}",
                where,
                "give every column a name of its own",
            )
        )
    # Programs that write row numbers leave the name of the first column empty.
    unnamed = [number for number, name in enumerate(names, start=1) if number > 1 and not name.strip()]
    if unnamed:
        shown = ", ".join(map(str, unnamed[:10]))
        problems.append(Problem(f"column {shown} has no name", where, "name it, or take it out"))
    return problems + reserved_names(names, where)


def _check_rows(path: Path, separator: str, names: list[str], *, quoted: bool) -> None:
    """Hold the number of values in every row against the header; Polars pads short rows silently."""
    ragged = (_ragged_quoted if quoted else _ragged_plain)(path, separator, len(names))
    if ragged is not None:
        row, count = ragged
        raise DataError(
            Problem(
                f"row {row} has {count} values where the header names {len(names)} columns",
                str(path),
                "mend that row (a missing value is an empty place between two separators); if every "
                "row has one value more, name the first column too",
            )
        )


def _ragged_plain(path: Path, separator: str, width: int) -> tuple[int, int] | None:
    lines = pl.scan_csv(
        path, separator="\x01", quote_char=None, has_header=False, infer_schema=False, glob=False,
        row_index_name=ROW, new_columns=["line"],
    )  # fmt: skip
    count = pl.col("line").str.count_matches(separator, literal=True) + 1
    blank = pl.col("line").is_null() | (pl.col("line").str.strip_chars(" \t\r") == "")
    found: Any = (
        lines.with_columns(count.alias("count"))
        .filter(~blank & (pl.col("count") != width))
        .head(1)
        .select(ROW, "count")
        .collect(engine="streaming")
    )
    return found.row(0) if found.height else None


def _ragged_quoted(path: Path, separator: str, width: int) -> tuple[int, int] | None:
    row = 0
    try:
        for row, record in enumerate(_records(path, separator)):
            if len(record) != width and record and any(map(str.strip, record)):
                return row, len(record)
    except csv.Error as error:
        raise _broken_quotes(path, error, row + 1) from error
    return None
