"""Summaries with known standard errors under two rules of shrinkage: James-Stein's and the model's."""

from __future__ import annotations

import numpy as np
import polars as pl

from nestwise.errors import Refusal
from nestwise.fit.empirical_bayes import james_stein


def shrunken_summaries(groups: pl.DataFrame) -> pl.DataFrame | None:
    """James-Stein estimates beside the partial pooling of a model with known standard errors.

    Parameters
    ----------
    groups : DataFrame
        Rows of one fit in the `GROUPS` schema, each group one summary: `no_pooling` and its standard error.

    Returns
    -------
    DataFrame or None
        `label`, `no_pooling`, `no_pooling_se`, `james_stein`, `partial_pooling`, `partial_pooling_se`,
        `james_stein_pull`, `pooling_factor`: one row a group. `None` with fewer than four groups, where
        James-Stein does not beat the summaries.
    """
    known = groups.filter(pl.col("no_pooling").is_not_null() & (pl.col("no_pooling_se") > 0))
    if known.height < groups.height:
        return None
    y, s = (known[name].to_numpy().astype(np.float64) for name in ("no_pooling", "no_pooling_se"))
    try:
        stein = james_stein(y, s)
    except Refusal:
        return None
    return known.select(
        "label",
        "no_pooling",
        "no_pooling_se",
        pl.Series("james_stein", stein.estimates),
        "partial_pooling",
        "partial_pooling_se",
        pl.Series("james_stein_pull", stein.pull),
        "pooling_factor",
    )
