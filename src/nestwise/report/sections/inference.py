"""Tests of terms and of variances, marginal means and their differences, and the groups that matter most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from nestwise.compare.reading import noun
from nestwise.names import plural, several
from nestwise.numbers import NOTHING, count, fixed, interval, p_value, say, with_error
from nestwise.report.blocks import Block, Cell, Section, Table, cells, figures, main_first
from nestwise.report.record import ReportRecord
from nestwise.report.trial import minus, read_trial
from nestwise.report.words import engine_name, null_distribution
from nestwise.vocabulary import INTERCEPT

MOST_ROWS = 60
MOST_INFLUENTIAL = 8
MEAN_FIGURES = ("marginal_means", "differences_by_visit", "mean_contrasts")
METHODS = {
    "kenward": "Kenward-Roger widens the standard errors and sets the degrees of freedom for few groups.",
    "satterthwaite": "Satterthwaite's degrees of freedom allow for the variances having been estimated.",
    "between": "Between-within degrees of freedom count subjects for what differs between them, and rows for "
    "what differs within.",
}


def tests_section(record: ReportRecord) -> Section | None:
    """Show the tests of terms and of variances."""
    if record.tests.is_empty():
        return None
    parts: dict[str, list[Block]] = {}
    for (model, engine), part in record.tests.group_by("model", "engine", maintain_order=True):
        where = f"`{model}`, by {engine_name(str(engine))}"
        blocks = parts.setdefault(str(model), [])
        fixed_rows = part.filter(pl.col("test") != "variance")
        variances = part.filter(pl.col("test") == "variance")
        if fixed_rows.height:
            blocks.append(_terms(fixed_rows, where))
        if variances.height:
            blocks.append(_variances(record, variances, where))
    words = " ".join(record.tests["reference"].drop_nulls().unique().to_list()).lower()
    meanings = [meaning for word, meaning in METHODS.items() if word in words]
    lead = (
        "Does a term matter at all, with all its columns together, and does a coefficient vary between "
        f"groups at all? {' '.join(meanings)}"
    )
    return Section("tests", "Tests of terms and variances", lead.strip(), main_first(record, parts))


def _terms(part: pl.DataFrame, where: str) -> Table:
    return Table(
        caption=f"All columns of a term at once, {where}",
        head=("Term", "Statistic", "Numerator df", "Denominator df", "p", "Reference"),
        rows=tuple(
            cells(
                row["term"],
                say(row["statistic"]),
                NOTHING if row["df_num"] is None else f"{row['df_num']:g}",
                NOTHING if row["df_den"] is None else fixed(row["df_den"], 1),
                p_value(row["p_value"]),
                _reference(row),
            )
            for row in part.iter_rows(named=True)
        ),
        align="lrrrrl",
        note="A small p says that the data would be rare if the whole term did nothing; it is no size.",
    )


def _reference(row: Mapping[str, Any]) -> str:
    """The distribution of a test of a term, and whose standard errors it rests on."""
    shown = null_distribution(row["reference"])
    if row["engine"] == "gee":
        return f"{shown.partition(' / ')[0]}, robust Wald"
    return shown or NOTHING


def _variances(record: ReportRecord, part: pl.DataFrame, where: str) -> Table:
    return Table(
        caption=f"Is there variance between groups? {where}",
        head=("Varying coefficient", "Likelihood ratio", "p", "Null distribution"),
        rows=tuple(
            cells(
                Cell(
                    "intercept" if row["term"] == INTERCEPT else row["term"],
                    "",
                    f"between {plural(noun(record.study, row['group']))}" if row["group"] else "",
                ),
                say(row["statistic"]),
                p_value(row["p_value"]),
                null_distribution(row["reference"]) or NOTHING,
            )
            for row in part.iter_rows(named=True)
        ),
        align="lrrl",
        note="A variance cannot be negative: under no variance the statistic follows the mixture named, and "
        "an ordinary chi-squared would make p too large.",
    )


def robust_section(record: ReportRecord) -> Section | None:
    """Set cluster-robust standard errors beside the model's own."""
    robust = record.estimates.filter(pl.col("component") == "robust")
    if robust.is_empty():
        return None
    keys = ("model", "engine", "term")
    own = record.estimates.filter(pl.col("component") == "fixed").select(*keys, model_se="std_error")
    both = robust.join(own, on=keys, how="left", maintain_order="left")
    parts: dict[str, list[Block]] = {}
    for (model, engine), part in both.group_by("model", "engine", maintain_order=True):
        table = _robust(part, f"`{model}`, by {engine_name(str(engine))}")
        parts.setdefault(str(model), []).append(table)
    lead = (
        "Cluster-robust standard errors take the spread between groups as it is found, whatever the model "
        "assumes of it. Where they are far from the model's own, its covariance does not fit the data, or "
        "the groups are too few to tell."
    )
    return Section("robust", "Robust standard errors", lead, main_first(record, parts))


def _robust(part: pl.DataFrame, where: str) -> Table:
    rows = []
    for row in part.iter_rows(named=True):
        value, error = with_error(row["estimate"], row["std_error"])
        ratio = row["std_error"] / row["model_se"] if row["std_error"] and row["model_se"] else None
        covered = interval(row["lower"], row["upper"], row["std_error"])
        df = NOTHING if row["df"] is None else fixed(row["df"], 1)
        rows.append(
            cells(
                row["term"],
                value,
                with_error(value=row["estimate"], error=row["model_se"])[1],
                error,
                say(ratio, 2),
                df,
                covered,
                p_value(row["p_value"]),
            )
        )
    return Table(
        caption=f"The model's standard errors and robust ones, {where}",
        head=("Term", "Estimate", "SE, model", "SE, robust", "Ratio", "df", "Robust interval", "p"),
        rows=tuple(rows),
        align="lrrrrrrr",
    )


def means_section(record: ReportRecord) -> Section | None:
    """Show marginal means and their differences."""
    if record.means.is_empty():
        return None
    parts: dict[str, list[Block]] = {
        str(model): figures(record.pictures_of(*MEAN_FIGURES, model=str(model)))
        for model in record.means["model"].unique(maintain_order=True)
    }
    keys = ("model", "engine", "grid", "kind")
    for (model, engine, _, kind), part in record.means.group_by(keys, maintain_order=True):
        table = _means(record, part, f"`{model}`, by {engine_name(str(engine))}", str(kind))
        parts[str(model)].append(table)
    result = read_trial(record, record.main_model)[:1]
    lead = (
        "What the model expects at chosen values, averaged over the rest, and how far two such values lie "
        f"apart. {' '.join(result)}"
    )
    return Section("means", "Marginal means and differences", lead.strip(), main_first(record, parts))


def _means(record: ReportRecord, part: pl.DataFrame, where: str, kind: str) -> Table:
    difference = kind == "contrast"
    rows = []
    for row in part.head(MOST_ROWS).iter_rows(named=True):
        value, error = with_error(row["estimate"], row["std_error"])
        shown = [
            minus(row["term"]) if difference else row["term"],
            value,
            error,
            interval(row["lower"], row["upper"], row["std_error"]),
        ]
        shown.append(NOTHING if row["df"] is None else fixed(row["df"], 1))
        rows.append(cells(*shown, *([p_value(row["p_value"])] if difference else [])))
    note = "Each interval by itself, not adjusted for their number." if difference else ""
    if part.height > MOST_ROWS:
        note += f" The first {MOST_ROWS} of {count(part.height)}; all in `{record.folder}/means.parquet`."
    level = part["level"].drop_nulls()
    covered = f"{level[0]:.0%} interval" if level.len() else "Interval"
    over = several((part["grid"][0] or "").split(", "))
    return Table(
        caption=f"{'Differences of marginal means' if difference else 'Marginal means'} by {over}, {where}",
        head=("Difference" if difference else "Where", "Estimate", "SE", covered, "df")
        + (("p",) if difference else ()),
        rows=tuple(rows),
        align="lrrrrr" if difference else "lrrrr",
        note=note.strip(),
    )


def influence_section(record: ReportRecord) -> Section | None:
    """Show which groups move the fixed effects most."""
    rows = record.influence.filter(pl.col("cook").is_not_null())
    if rows.is_empty():
        return None
    parts: dict[str, list[Block]] = {}
    for (model, engine, group), part in rows.group_by("model", "engine", "group", maintain_order=True):
        own = parts.setdefault(str(model), figures(record.pictures_of("influence", model=str(model))))
        own.append(_influential(record, part, f"`{model}`, by {engine_name(str(engine))}", str(group)))
    lead = "Leaving out one group at a time shows whether the conclusions rest on a few of them."
    return Section("influence", "Groups that matter most", lead, main_first(record, parts))


def _influential(record: ReportRecord, part: pl.DataFrame, where: str, group: str) -> Table:
    limit = 4 / part.height
    name = noun(record.study, group)
    top = part.sort("cook", "label", descending=[True, False]).head(MOST_INFLUENTIAL)
    return Table(
        caption=f"The most influential {plural(name)}, {where}",
        head=(name, "Rows", "Cook's distance", "MDFFITS", "COVRATIO", "Leverage"),
        rows=tuple(
            cells(
                row["label"],
                count(row["n"]),
                Cell(say(row["cook"]), "attention" if row["cook"] > limit else ""),
                say(row["mdffits"]),
                say(row["covratio"]),
                say(row["leverage"]),
            )
            for row in top.iter_rows(named=True)
        ),
        align="lrrrrr",
        note=f"Marked above 4/J = {say(limit)}. COVRATIO below 1: the estimates are more precise without the "
        f"group. All groups are in `{record.folder}/influence.parquet`.",
    )
