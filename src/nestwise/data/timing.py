"""Time: duplicates of (ids, time), order, spacing and gaps inside the units that are followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import polars as pl

from nestwise.config.study import Time
from nestwise.data.dataset import ROW
from nestwise.data.typed import TypedData
from nestwise.data.validation import DataCheck, failed, passed, place
from nestwise.errors import Problem

MOST_OCCASIONS = 100
"""Up to so many different times are occasions, which a unit may miss."""
TIME = ".time"


def check_time(
    typed: TypedData, time: Time, ids: Sequence[str], source: str
) -> tuple[list[DataCheck], dict[str, Any]]:
    """Judge the time column inside each combination of ids.

    Duplicates of (ids, time) are errors: a study that names a time says that a unit is observed
    once at a time. Order, unequal spacing and missed occasions are reported; no engine needs sorted rows.

    Returns
    -------
    checks : list of DataCheck
    summary : dict
        column, unit, first, last, n_times, equally_spaced, missing.
    """
    column = time.column
    info = typed.variables[column]
    if info.type not in ("continuous", "count", "date", "ordinal", "binary") and column not in ids:
        problem = Problem(
            f"the time column {column} is {info.type}",
            place(source, column),
            "give it numbers, dates written as 2024-01-31, or an ordinal type with its levels in order",
        )
        return [failed("time.type", "error", problem, [column])], {"column": column, "unit": time.unit}
    keys = [name for name in ids if name != column]
    frame = typed.frame.select(ROW, *keys, _as_number(typed, column).alias(TIME))
    valued = frame.filter(pl.col(TIME).is_not_null())
    occasions = _occasions(valued)
    summary = _summary(typed, time, occasions)
    checks = [_missing_times(frame, typed, column, source)]
    if keys:
        checks.append(_duplicates(valued, typed, keys, column, source))
        checks += _intervals(valued, typed, keys, column, source, summary, occasions)
    return checks, summary


def _as_number(typed: TypedData, column: str) -> pl.Expr:
    dtype = typed.frame.collect_schema()[column]
    if isinstance(dtype, pl.Enum):
        text = pl.col(column).cast(pl.String).cast(pl.Float64, strict=False)
        return pl.coalesce(text, pl.col(column).to_physical().cast(pl.Float64))
    if isinstance(dtype, pl.Date | pl.Datetime):
        return pl.col(column).cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / 86_400e6
    return pl.col(column).cast(pl.Float64)


def _occasions(valued: pl.LazyFrame) -> list[float] | None:
    """The different times, in order, when there are few enough to be occasions."""
    n_times: Any = valued.select(pl.col(TIME).approx_n_unique()).collect(engine="streaming")
    if n_times.item() > 2 * MOST_OCCASIONS:
        return None
    times: Any = valued.select(pl.col(TIME).unique()).collect(engine="streaming")
    return sorted(times[TIME].to_list()) if times.height <= MOST_OCCASIONS else None


def _summary(typed: TypedData, time: Time, occasions: list[float] | None) -> dict[str, Any]:
    ends: Any = typed.frame.select(
        pl.col(time.column).min().cast(pl.String).alias("first"),
        pl.col(time.column).max().cast(pl.String).alias("last"),
    ).collect(engine="streaming")
    steps = [later - earlier for earlier, later in pairwise(occasions)] if occasions else []
    equal = bool(steps) and max(steps) - min(steps) <= 1e-9 * max(abs(step) for step in steps)
    return {
        "column": time.column,
        "unit": time.unit,
        "first": ends["first"].item(),
        "last": ends["last"].item(),
        "n_times": len(occasions) if occasions is not None else None,
        "occasions": occasions,
        "equally_spaced": equal if occasions is not None else None,
    }


def _source_rows(rows: Sequence[int], typed: TypedData) -> list[int]:
    return [(row - 1) // typed.occasions + 1 for row in rows]


def _missing_times(frame: pl.LazyFrame, typed: TypedData, column: str, source: str) -> DataCheck:
    absent: Any = (
        frame.filter(pl.col(TIME).is_null())
        .select(pl.len().alias("n"), pl.col(ROW).head(10).implode().alias("rows"))
        .collect(engine="streaming")
    )
    count = int(absent["n"].item())
    if count == 0:
        return passed("time.present", "warning", "Every row has a time.", [column])
    rows = _source_rows(absent["rows"].item().to_list(), typed)
    noun = "1 row has" if count == 1 else f"{count:,} rows have"
    problem = Problem(
        f"{noun} no time", place(source, column, rows, count), "models with time leave them out; fill it in"
    )
    return failed("time.present", "warning", problem, [column], count, rows)


def _duplicates(
    valued: pl.LazyFrame, typed: TypedData, keys: Sequence[str], column: str, source: str
) -> DataCheck:
    by = [*keys, TIME]
    counted = valued.group_by(by).agg(pl.len().alias(".n")).filter(pl.col(".n") > 1)
    repeated: Any = counted.collect(engine="streaming")
    what = ", ".join([*keys, column])
    if repeated.height == 0:
        return passed("time.duplicates", "error", f"No two rows share ({what}).", [*keys, column])
    listed: Any = (
        valued.join(repeated.head(100).lazy(), on=by, how="semi", nulls_equal=True)
        .select(ROW)
        .head(10)
        .collect(engine="streaming")
    )
    rows = _source_rows(sorted(listed[ROW].to_list()), typed)
    count = int(repeated[".n"].sum())
    problem = Problem(
        f"{count:,} rows share ({what}) with another row ({repeated.height:,} combinations)",
        place(source, column, rows, count),
        "remove copies, declare the grouping factor that tells these rows apart, or leave `time` out of the "
        "study file",
    )
    return failed("time.duplicates", "error", problem, [*keys, column], count, rows)


def _intervals(
    valued: pl.LazyFrame,
    typed: TypedData,
    keys: Sequence[str],
    column: str,
    source: str,
    summary: Mapping[str, Any],
    occasions: list[float] | None,
) -> list[DataCheck]:
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in keys)
    step = pl.when(same).then(pl.col(TIME) - pl.col(TIME).shift(1))
    in_file: Any = (
        valued.sort([*keys, ROW])
        .with_columns(step.alias(".step"))
        .filter(pl.col(".step") < 0)
        .select(pl.len().alias("n"), pl.col(ROW).head(10).implode().alias("rows"))
        .collect(engine="streaming")
    )
    checks = [_order(in_file, typed, column, source)]
    rank = pl.col(TIME).replace_strict(
        {value: float(position) for position, value in enumerate(occasions or [])}, return_dtype=pl.Float64
    )
    ordered = valued.with_columns((rank if occasions else pl.col(TIME)).alias(".rank")).sort([*keys, TIME])
    jump = pl.when(same).then(pl.col(".rank") - pl.col(".rank").shift(1))
    steps: Any = (
        ordered.with_columns(step.alias(".step"), jump.alias(".jump"))
        .filter(pl.col(".step") > 0)
        .select(
            pl.col(".step").min().alias("least"),
            pl.col(".step").max().alias("most"),
            (pl.col(".jump") > 1.5).sum().alias("gaps"),
        )
        .collect(engine="streaming")
    )
    return [*checks, *_spacing(steps.row(0, named=True), column, source, summary, occasions)]


def _order(found: pl.DataFrame, typed: TypedData, column: str, source: str) -> DataCheck:
    count = int(found["n"].item())
    if count == 0:
        return passed("time.order", "info", "Inside every unit the rows are in order of time.", [column])
    rows = _source_rows(found["rows"].item().to_list(), typed)
    noun = "1 row stands" if count == 1 else f"{count:,} rows stand"
    problem = Problem(
        f"{noun} after a later one of the same unit",
        place(source, column, rows, count),
        "nothing is to be done: no model here needs sorted rows",
    )
    return failed("time.order", "info", problem, [column], count, rows)


def _spacing(
    steps: Mapping[str, Any],
    column: str,
    source: str,
    summary: Mapping[str, Any],
    occasions: list[float] | None,
) -> list[DataCheck]:
    least, most, where = steps["least"], steps["most"], place(source, column)
    checks = []
    unequal = occasions is None or not summary["equally_spaced"]
    if least is not None and most - least > 1e-9 * abs(most) and unequal:
        problem = Problem(
            f"the steps of time are unequal, from {least:g} to {most:g}",
            where,
            "random slopes use the times as they are; choose residual structures that do so too (ar1)",
        )
        checks.append(failed("time.spacing", "info", problem, [column]))
    else:
        checks.append(passed("time.spacing", "info", "The occasions are equally spaced.", [column]))
    if occasions is not None and steps["gaps"]:
        problem = Problem(
            f"{steps['gaps']:,} times a unit misses one or more occasions between two that it has",
            where,
            "nothing is to be done for mixed models; methods for monotone drop-out need them filled first",
        )
        checks.append(failed("time.gaps", "info", problem, [column], int(steps["gaps"])))
    else:
        checks.append(passed("time.gaps", "info", "No unit misses an occasion in between.", [column]))
    return checks
