"""The rows a model used, with the group of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from nestwise.data.dataset import ROW, Dataset
from nestwise.data.derive import derive, group_keys


def analysis_rows(
    dataset: Dataset, predictions: pl.DataFrame, group: str, labels: Sequence[str]
) -> pl.DataFrame:
    """Join the data set and the predictions of a fit; derived columns are those of this set of rows.

    Parameters
    ----------
    dataset : Dataset
        The prepared data.
    predictions : DataFrame
        Of a fit, in the `PREDICTIONS` schema.
    group : str
        Grouping factor as the tables name it, e.g. `batch:cask`.
    labels : sequence of str
        Labels of its groups in the table of groups.

    Returns
    -------
    DataFrame
        In the order of `predictions`: the columns of the data set, `.label` (null where the groups could
        not be told), `.observed`, `.fixed`, `.fitted`, `.residual`; no column of a person starts with a
        dot and one of these names. Empty without predictions.
    """
    if predictions.height == 0 or not group:
        return pl.DataFrame()
    derived = [derivation.as_ for derivation in dataset.derivations]
    kept = (
        dataset.frame.drop(derived, strict=False)
        .join(predictions.select(pl.col("row").alias(ROW)).lazy(), on=ROW, how="semi")
        .collect()
    )
    kept = derive(kept, dataset.derivations, dataset.within)
    fitted = predictions.rename({name: f".{name}" for name in predictions.columns if name != "row"})
    label = _label(kept, group.split(":"), dataset.within, set(labels))
    return kept.with_columns(label.alias(".label")).join(
        fitted, left_on=ROW, right_on="row", how="inner", maintain_order="right"
    )


def _label(
    frame: pl.DataFrame, path: list[str], within: Mapping[str, str | None], labels: set[str]
) -> pl.Expr:
    """Find the columns that make the labels of the groups table: ids may need their parents."""
    candidates = [path, path[-1:], [*group_keys(path[0], within), *path[1:]]]
    for separator in (":", " : "):
        for columns in candidates:
            if any(name not in frame.columns for name in columns):
                continue
            expression = pl.concat_str(
                [pl.col(name).cast(pl.String) for name in columns], separator=separator
            )
            found = set(frame.select(expression.unique().drop_nulls()).to_series().to_list())
            if found and found <= labels:
                return expression
    return pl.lit(None, dtype=pl.String)
