"""What partial pooling does to every group."""

from __future__ import annotations

import polars as pl

from nestwise.compare.reading import answer, noun, read_shrinkage, read_weight
from nestwise.compare.summaries import shrunken_summaries
from nestwise.names import plural, several
from nestwise.numbers import NOTHING, count, decimals_for, fixed, say
from nestwise.report.blocks import Block, Bullets, Cell, Fold, Section, Table, cells, figures
from nestwise.report.record import ReportRecord
from nestwise.report.targets import outcome_of
from nestwise.report.words import engine_name
from nestwise.vocabulary import INTERCEPT

MOST_GROUPS = 60
"""Groups listed in the page; the file has them all."""
FIGURES = (
    "pooling_by_size",
    "pooling_lines",
    "shrinkage",
    "pooling_factor",
    "group_level_predictor",
    "caterpillar",
    "league",
)


def shrinkage_section(record: ReportRecord) -> Section | None:
    """Show what partial pooling does to every group of the main model."""
    found = answer(record.study, record.main_model, record.estimates, record.fits, record.groups)
    if found is None or found.groups.is_empty():
        return None
    readings = [reading.sentence for reading in (*read_weight(found), *read_shrinkage(found))]
    blocks: list[Block] = [Bullets(tuple(readings))] if readings else []
    blocks += figures(record.pictures_of(*FIGURES, model=record.main_model))
    tables = [
        _groups_table(record, str(group), str(term), part, found.engine)
        for (group, term), part in found.groups.group_by("group", "term", maintain_order=True)
    ]
    # Without an estimate of each group alone there is nothing to compare row by row.
    curved = not outcome_of(record, record.main_model).linear
    blocks += [Fold("Every group", tuple(tables), bulky=True)] if curved else tables
    if record.study.models[record.main_model].sampling_error is not None:
        blocks += _summaries_table(record, found.groups)
    return Section("shrinkage", "Shrinkage, group by group", _lead(record, found.groups), tuple(blocks))


def _lead(record: ReportRecord, groups: pl.DataFrame) -> str:
    sizes = groups.group_by("group", maintain_order=True).agg(pl.col("label").n_unique()).rows()
    named = several([f"{count(size)} {plural(noun(record.study, group))}" for group, size in sizes])
    lead = (
        f"Partial pooling moves each of the {named} of `{record.main_model}` from its own data toward what "
        "is expected of a group like it: far where its own data are few, hardly where they are many."
    )
    if not outcome_of(record, record.main_model).linear:
        lead += (
            " Estimates of each group alone are not shown: a group with one value only, such as all zeros, "
            "has none that is finite. The weight is what the group's own data add: one less the share of the "
            "variance that is left when they are known."
        )
    elif len(sizes) > 1 and groups["no_pooling"].null_count() == groups.height:
        lead += (
            " With several grouping factors no group is estimated from its own rows alone, because these "
            "rows belong to groups of the other factors too: there is no column of no pooling."
        )
    return lead


def _groups_table(record: ReportRecord, group: str, term: str, part: pl.DataFrame, engine: str) -> Table:
    part = part.sort("n", maintain_order=True)
    half = MOST_GROUPS // 2
    cut = part.height > MOST_GROUPS
    shown = pl.concat([part.head(half), part.tail(half)]) if cut else part
    note = "Sorted by group size; standard errors in brackets."
    if cut:
        note += (
            f" The {half} smallest and the {half} largest of {count(part.height)} groups; all of them are in "
            f"`{record.folder}/groups.parquet`."
        )
    what = "Intercept" if term == INTERCEPT else f"Slope of {term}"
    name = noun(record.study, group)
    alone = bool(part["no_pooling"].is_not_null().any()) or (
        record.n_factors(record.main_model) < 2 and outcome_of(record, record.main_model).linear
    )
    head = (name, "Rows", "No pooling", "Complete pooling", "Partial pooling", "Weight of own data")
    outcome = outcome_of(record, record.main_model)
    scale = "" if outcome.linear else f", on the scale of {outcome.scale}"
    return Table(
        caption=f"{what} of each {name} in `{record.main_model}`, by {engine_name(engine)}{scale}",
        head=head if alone else (*head[:2], *head[3:]),
        rows=tuple(
            row if alone else (*row[:2], *row[3:]) for row in map(_group, shown.iter_rows(named=True))
        ),
        align="lrrrrr" if alone else "lrrrr",
        note=note,
    )


def _summaries_table(record: ReportRecord, groups: pl.DataFrame) -> list[Block]:
    """James-Stein beside empirical Bayes, where every group is a summary with a known standard error."""
    table = shrunken_summaries(groups)
    if table is None:
        return []
    rows = []
    for row in table.head(MOST_GROUPS).iter_rows(named=True):
        decimals = decimals_for(row["no_pooling_se"])
        rows.append(
            cells(
                row["label"],
                _value(row["no_pooling"], row["no_pooling_se"], decimals),
                _value(row["james_stein"], None, decimals),
                say(1 - row["james_stein_pull"], 2),
                _value(row["partial_pooling"], row["partial_pooling_se"], decimals),
                say(row["pooling_factor"], 2),
            )
        )
    caption = f"James-Stein beside empirical Bayes, `{record.main_model}`"
    head = ("", "Summary", "James-Stein", "Weight", "Empirical Bayes", "Weight")
    note = (
        "Standard errors in brackets. James and Stein keep one and the same weight of every summary, without "
        "a model of the groups; empirical Bayes keeps less of what is known badly."
    )
    return [Table(caption=caption, head=head, rows=tuple(rows), align="lrrrrr", note=note)]


def _group(row: dict[str, object]) -> tuple[Cell, ...]:
    number = {key: value if isinstance(value, int | float) else None for key, value in row.items()}
    error = number["partial_pooling_se"] or number["random_effect_se"] or 0.01
    decimals = decimals_for(error)
    rows = number["n"]
    return cells(
        str(row["label"]),
        count(None if rows is None else int(rows)),
        _value(number["no_pooling"], number["no_pooling_se"], decimals),
        _value(number["complete_pooling"], None, decimals),
        _value(number["partial_pooling"], number["partial_pooling_se"], decimals),
        say(number["pooling_factor"], 2),
    )


def _value(value: float | None, error: float | None, decimals: int) -> Cell:
    if value is None:
        return Cell(NOTHING, "quiet")
    return Cell(fixed(value, decimals) + (f"\u00a0({fixed(error, decimals)})" if error else ""))
