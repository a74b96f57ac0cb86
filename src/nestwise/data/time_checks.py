"""Time: duplicates of (ids, time), order, spacing and gaps inside the units that are followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class _Followed:
    """Units followed in time: rows with a time, the ids of a unit, where sentences point."""

    valued: pl.LazyFrame
    keys: list[str]
    column: str
    source: str
    occasions: list[float] | None
    rows_each: int


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
        followed = _Followed(valued, keys, column, source, occasions, typed.occasions)
        checks.append(_duplicates(followed))
        checks += _intervals(followed, equal=bool(summary["equally_spaced"]))
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


def _source_rows(rows: Sequence[int], rows_each: int) -> list[int]:
    return [(row - 1) // rows_each + 1 for row in rows]


def _missing_times(frame: pl.LazyFrame, typed: TypedData, column: str, source: str) -> DataCheck:
    absent: Any = (
        frame.filter(pl.col(TIME).is_null())
        .select(pl.len().alias("n"), pl.col(ROW).head(10).implode().alias("rows"))
        .collect(engine="streaming")
    )
    count = int(absent["n"].item())
    if count == 0:
        return passed("time.present", "warning", "Every row has a time.", [column])
    rows = _source_rows(absent["rows"].item().to_list(), typed.occasions)
    noun = "1 row has" if count == 1 else f"{count:,} rows have"
    problem = Problem(
        f"{noun} no time", place(source, column, rows, count), "models with time leave them out; fill it in"
    )
    return failed("time.present", "warning", problem, [column], count=count, rows=rows)


def _duplicates(of: _Followed) -> DataCheck:
    by = [*of.keys, TIME]
    counted = of.valued.group_by(by).agg(pl.len().alias(".n")).filter(pl.col(".n") > 1)
    repeated: Any = counted.collect(engine="streaming")
    names = [*of.keys, of.column]
    what = ", ".join(names)
    if repeated.height == 0:
        return passed("time.duplicates", "error", f"No two rows share ({what}).", names)
    listed: Any = (
        of.valued.join(repeated.head(100).lazy(), on=by, how="semi", nulls_equal=True)
        .select(ROW)
        .head(10)
        .collect(engine="streaming")
    )
    rows = _source_rows(sorted(listed[ROW].to_list()), of.rows_each)
    count = int(repeated[".n"].sum())
    problem = Problem(
        f"{count:,} rows share ({what}) with another row ({repeated.height:,} combinations)",
        place(of.source, of.column, rows, count),
        "remove copies, declare the grouping factor that tells these rows apart, or leave `time` out of the "
        "study file",
    )
    return failed("time.duplicates", "error", problem, names, count=count, rows=rows)


def _intervals(of: _Followed, *, equal: bool) -> list[DataCheck]:
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in of.keys)
    step = pl.when(same).then(pl.col(TIME) - pl.col(TIME).shift(1))
    in_file: Any = (
        of.valued.sort([*of.keys, ROW])
        .with_columns(step.alias(".step"))
        .filter(pl.col(".step") < 0)
        .select(pl.len().alias("n"), pl.col(ROW).head(10).implode().alias("rows"))
        .collect(engine="streaming")
    )
    positions = {value: float(position) for position, value in enumerate(of.occasions or [])}
    rank = pl.col(TIME).replace_strict(positions, return_dtype=pl.Float64) if positions else pl.col(TIME)
    jump = pl.when(same).then(pl.col(".rank") - pl.col(".rank").shift(1))
    steps: Any = (
        of.valued.with_columns(rank.alias(".rank"))
        .sort([*of.keys, TIME])
        .with_columns(step.alias(".step"), jump.alias(".jump"))
        .filter(pl.col(".step") > 0)
        .select(
            pl.col(".step").min().alias("least"),
            pl.col(".step").max().alias("most"),
            (pl.col(".jump") > 1.5).sum().alias("gaps"),
        )
        .collect(engine="streaming")
    )
    return [_order(in_file, of), *_spacing(steps.row(0, named=True), of, equal=equal)]


def _order(found: pl.DataFrame, of: _Followed) -> DataCheck:
    count = int(found["n"].item())
    if count == 0:
        return passed("time.order", "info", "Inside every unit the rows are in order of time.", [of.column])
    rows = _source_rows(found["rows"].item().to_list(), of.rows_each)
    noun = "1 row stands" if count == 1 else f"{count:,} rows stand"
    problem = Problem(
        f"{noun} after a later one of the same unit",
        place(of.source, of.column, rows, count),
        "nothing is to be done: no model here needs sorted rows",
    )
    return failed("time.order", "info", problem, [of.column], count=count, rows=rows)


def _spacing(steps: Mapping[str, Any], of: _Followed, *, equal: bool) -> list[DataCheck]:
    least, most, where = steps["least"], steps["most"], place(of.source, of.column)
    checks = []
    if least is not None and most - least > 1e-9 * abs(most) and not equal:
        problem = Problem(
            f"the steps of time are unequal, from {least:g} to {most:g}",
            where,
            "random slopes use the times as they are; choose residual structures that do so too (ar1)",
        )
        checks.append(failed("time.spacing", "info", problem, [of.column]))
    else:
        checks.append(passed("time.spacing", "info", "The times are equally spaced.", [of.column]))
    if of.occasions is not None and steps["gaps"]:
        problem = Problem(
            f"{steps['gaps']:,} times a unit misses one or more occasions between two that it has",
            where,
            "nothing is to be done for mixed models; methods for monotone drop-out need them filled first",
        )
        checks.append(failed("time.gaps", "info", problem, [of.column], count=int(steps["gaps"])))
    else:
        checks.append(passed("time.gaps", "info", "No unit misses an occasion in between.", [of.column]))
    return checks
