"""What the numbers on missing values say, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from nestwise.missing.leaving import LeavingModel
from nestwise.missing.little import LittleTest
from nestwise.missing.patterns import Attendance
from nestwise.missing.schedule import Schedule
from nestwise.names import counted, plural, several
from nestwise.numbers import p_value, percent, say


def rows_sentence(frame: pl.DataFrame, names: Sequence[str]) -> str:
    """How many rows are complete, and what the others lack."""
    holed = [name for name in names if frame[name].null_count()]
    if not holed:
        return f"All {counted(frame.height, 'row')} are complete."
    whole = frame.select(pl.all_horizontal(pl.col(names).is_not_null()).sum()).item()
    return (
        f"{whole:,} of {counted(frame.height, 'row')} are complete; values are missing of {several(holed)}."
    )


def pattern_sentence(planned: Schedule, found: Attendance) -> str:
    """Who was seen at all visits, who left, who came back, who was never seen."""
    total, who = planned.N, plural(planned.subject)
    complete, gaps = found.count("complete"), found.count("intermittent")
    absent = int((planned.places < 0).sum())
    said = (
        f"{complete:,} of {total:,} {who} ({percent(complete / total)}) were seen at all {planned.T} visits, "
        f"{found.count('monotone'):,} left before the last one without a gap, {gaps:,} missed a visit and "
        f"came back, {found.count('never'):,} never had an outcome."
    )
    if absent:
        said += f" {counted(absent, 'visit')} without any row in the file count as missing."
    if found.monotone:
        return said
    return said + " Weights for drop-out need those gaps imputed, or cut, first."


def leaving_sentences(found: LeavingModel | str) -> list[str]:
    """What predicts leaving."""
    if isinstance(found, str):
        return [found]
    known = found.table.filter((pl.col("p_value") < 0.05) & pl.col("odds_ratio").is_not_null())
    told = [
        f"{row['term']} (odds ratio {say(row['odds_ratio'])} for {row['unit']}, p {p_value(row['p_value'])})"
        for row in known.iter_rows(named=True)
    ]
    if not told:
        return ["Nothing that was observed predicts leaving clearly.", *found.notes]
    return [f"Leaving is predicted by {several(told)}.", *found.notes]


def little_sentence(found: LittleTest | str, kind: str) -> str:
    """Little's test and what it does not say; `kind` is the type of the outcome."""
    if isinstance(found, str):
        return found
    said = (
        f"Little's test of missing completely at random: chi-square {say(found.statistic)} on {found.df} "
        f"degrees of freedom, p {p_value(found.p_value)}."
    )
    if kind not in {"continuous", "count"}:
        said += f" It takes the outcome for normal, which is {kind}: a rough guide."
    if found.p_value < 0.05:
        return (
            said
            + " Missing values depend on something: complete cases and unweighted GEE are not to be trusted."
        )
    return said + " This does not show that nothing depends on anything: the test sees means only."
