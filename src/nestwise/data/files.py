"""One lazy table out of any kind of file, with row numbers and without missing codes."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from nestwise.config.study import Data, Wide
from nestwise.data.dataset import ROW, reserved_names
from nestwise.data.text_files import SEPARATORS, scan_text
from nestwise.errors import DataError, Problem

TEXT_MISSING = frozenset({"", "NA", "NaN"})
"""Always missing in text and spreadsheets, as in R's read.csv; more are declared in the study file."""
EMPTY_MISSING = frozenset({""})
"""Always missing in files of statistics programs, which have no other missing text."""
EXTRA = "pip install 'nestwise[readers]'"


def scan_table(path: Path) -> pl.LazyFrame:
    """Scan a file lazily.

    Returns
    -------
    polars.LazyFrame
        `.row` (Int64, from 1) and the columns as the file has them; text columns of .csv, .tsv,
        .tab, .txt files are all String.

    Raises
    ------
    DataError
        If the file cannot be read, or needs a reader that is not installed.
    """
    suffix = path.suffix.lower()
    if suffix in SEPARATORS:
        return scan_text(path)
    try:
        frame = _scan_binary(path, suffix)
        names = frame.collect_schema().names()
    except (PolarsError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            Problem(
                f"the file is damaged, incomplete or not a {suffix} file ({reason})",
                str(path),
                "write it again, and wait until writing has finished",
            )
        ) from error
    problems = reserved_names(names, str(path))
    if problems:
        raise DataError(problems)
    return frame.with_row_index(ROW, offset=1).with_columns(pl.col(ROW).cast(pl.Int64))


def _scan_binary(path: Path, suffix: str) -> pl.LazyFrame:
    if suffix == ".parquet":
        return pl.scan_parquet(path, glob=False, hive_partitioning=False)
    if suffix in (".arrow", ".feather", ".ipc"):
        return _scan_arrow(path)
    if suffix == ".xlsx":
        return _read_spreadsheet(path)
    return _read_statistics(path, suffix)


def _scan_arrow(path: Path) -> pl.LazyFrame:
    with path.open("rb") as stream:
        is_file = stream.read(6) == b"ARROW1"
    if is_file:
        return pl.scan_ipc(path, glob=False)
    table: pl.DataFrame = pl.read_ipc_stream(path)
    return table.lazy()


def _read_spreadsheet(path: Path) -> pl.LazyFrame:
    try:
        import fastexcel
    except ImportError as error:
        raise _needs_reader(path, "fastexcel") from error
    try:
        book = fastexcel.read_excel(path)
        header = book.load_sheet(0, header_row=None, n_rows=1, dtypes="string").to_polars()
        # All rows are sampled: a text below the sample of a numeric column would silently be null.
        table: pl.DataFrame = book.load_sheet(0, header_row=0, schema_sample_rows=None).to_polars()
    except fastexcel.FastExcelError as error:
        raise ValueError(str(error)) from error
    given = [name for name in (header.row(0) if header.height else ()) if name is not None]
    twice = sorted({name for name in given if given.count(name) > 1})
    if twice:
        raise DataError(
            Problem(
                f"more than one column is called {', '.join(map(repr, twice))}",
                f"{path}, first sheet",
                "give every column a name of its own",
            )
        )
    return table.lazy()


def _read_statistics(path: Path, suffix: str) -> pl.LazyFrame:
    try:
        import pyreadstat
    except ImportError as error:
        raise _needs_reader(path, "pyreadstat") from error
    reader = {".sav": pyreadstat.read_sav, ".dta": pyreadstat.read_dta, ".sas7bdat": pyreadstat.read_sas7bdat}
    try:
        columns, _ = reader[suffix](str(path), output_format="dict")
    except pyreadstat.ReadstatError as error:
        raise ValueError(str(error)) from error
    return pl.DataFrame(columns, strict=False).lazy()


def _needs_reader(path: Path, package: str) -> DataError:
    return DataError(
        Problem(
            f"reading {path.suffix} files needs the package {package}, which is not installed",
            str(path),
            f"install the optional readers ({EXTRA}), or save the table as .csv",
        )
    )


def always_missing(path: Path) -> frozenset[str]:
    """Texts that are missing in a kind of file without being declared."""
    suffix = path.suffix.lower()
    if suffix in SEPARATORS or suffix == ".xlsx":
        return TEXT_MISSING
    return EMPTY_MISSING if suffix in (".sav", ".dta", ".sas7bdat") else frozenset()


def without_missing_codes(frame: pl.LazyFrame, data: Data, always: frozenset[str]) -> pl.LazyFrame:
    """Make missing values null.

    Empty text, `NA` and `NaN` are missing in text files and spreadsheets. NaN is missing
    everywhere. A declared code is missing wherever it stands: -99 in a numeric column, and as the
    text ``-99`` or ``-99.0``; ``"unknown"`` in text.

    Parameters
    ----------
    frame : polars.LazyFrame
        As the file has it.
    data : Data
        The section of the study file.
    always : frozenset of str
        Texts that are missing anyway.
    """
    numbers = sorted({number for code in data.missing_values if (number := _number(code)) is not None})
    texts = {str(code) for code in data.missing_values} | always
    expressions = []
    for name, dtype in frame.collect_schema().items():
        column = pl.col(name)
        if name == ROW:
            continue
        if dtype == pl.String:
            expressions.append(_text_without(column, texts, numbers))
        elif isinstance(dtype, pl.Categorical | pl.Enum) and texts:
            as_text = column.cast(pl.String)
            expressions.append(_text_without(as_text, texts, numbers).cast(dtype, strict=False).alias(name))
        elif dtype.is_numeric():
            valued = column.fill_nan(None) if dtype.is_float() else column
            missing = valued.cast(pl.Float64).is_in(numbers)
            expressions.append(pl.when(~missing).then(valued).alias(name) if numbers else valued)
    return frame.with_columns(expressions)


def _text_without(column: pl.Expr, texts: set[str] | frozenset[str], numbers: list[float]) -> pl.Expr:
    stripped = column.str.strip_chars()
    missing = stripped.is_in(sorted(texts))
    if numbers:
        missing = missing | stripped.cast(pl.Float64, strict=False).is_in(numbers).fill_null(value=False)
    return pl.when(~missing).then(column)


def _number(code: str | int | float) -> float | None:
    try:
        number = float(code)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def stacked(frame: pl.LazyFrame, wide: Wide) -> pl.LazyFrame:
    """Turn one column an occasion into one row an occasion, in the order of rows, then occasions.

    `.row` is counted anew in the stacked table: with k occasions, source row r becomes the rows
    (r - 1) k + 1 .. r k, so that it stays unique and gives the source row back.
    """
    schema = frame.collect_schema()
    occasions = len(wide.columns)
    kinds = {schema[name] for name in wide.columns}
    common = pl.String if pl.String in kinds and len(kinds) > 1 else None
    columns = [pl.col(name).cast(common) if common else pl.col(name) for name in wide.columns]
    times = list(wide.times) if wide.times is not None else [float(k) for k in range(occasions)]
    first = (pl.col(ROW) - 1) * occasions + 1
    return (
        frame.with_columns(
            pl.concat_list(columns).alias(wide.value),
            pl.lit(times, dtype=pl.List(pl.Float64)).alias(wide.time),
            pl.int_ranges(first, first + occasions).alias(ROW),
        )
        .drop(name for name in wide.columns if name != wide.value)
        .explode(ROW, wide.value, wide.time)
    )


def collect(frame: pl.LazyFrame) -> pl.DataFrame:
    """Run a query in the streaming engine, which holds a few batches of rows at a time."""
    collected = frame.collect(engine="streaming")
    assert isinstance(collected, pl.DataFrame)
    return collected
