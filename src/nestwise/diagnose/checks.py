"""Every verdict on a saved fit, from its tables alone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.diagnose.contextual import contextual_check, varying_both_ways
from nestwise.diagnose.optimum import optimum_checks
from nestwise.diagnose.random_effects import effect_checks, size_checks
from nestwise.diagnose.residuals import BY_GROUP, residual_checks
from nestwise.diagnose.rows import analysis_rows
from nestwise.results import Check
from nestwise.storage import read_json
from nestwise.vocabulary import INTERCEPT

MIXED = ("lmm", "mixedlm", "pymc")
GROUP_ENGINE = "lmm"
"""Engine whose fit carries the verdicts about groups and data, which are the same for all engines."""
INWARD_SHARE = 0.05


def diagnose(
    folder: str | os.PathLike[str],
    design: Mapping[str, Any],
    dataset: Dataset | None = None,
    model: Model | None = None,
) -> tuple[Check, ...]:
    """Judge a saved fit.

    Parameters
    ----------
    folder : path-like
        As `results.save_fit` left it.
    design : mapping
        `design.json` of its model; may be empty.
    dataset : Dataset, optional
        The prepared data: without it, verdicts that need the group of each row are left out.
    model : Model, optional
        The model as the study file has it: without it, the optimum is not computed again.

    Returns
    -------
    tuple of Check
        Empty for a fit that was refused or failed.
    """
    root = Path(folder)
    fit = pl.read_parquet(root / "fits.parquet")
    estimates = pl.read_parquet(root / "estimates.parquet")
    if fit.height == 0 or estimates.height == 0:
        return ()
    groups = pl.read_parquet(root / "groups.parquet")
    predictions = pl.read_parquet(root / "predictions.parquet")
    engine = str(fit["engine"][0])
    found = _factors(design, groups)
    checks = [*singular_checks(fit.row(0, named=True))]
    if engine == "lmm" and dataset is not None and model is not None:
        record = read_json(root / "record.json")
        checks += optimum_checks(dataset, str(fit["model"][0]), model, record)
    for place, group in enumerate(found):
        own = groups.filter(pl.col("group") == group)
        rows = pl.DataFrame()
        if dataset is not None and engine in MIXED:
            rows = analysis_rows(dataset, predictions, group, own["label"].to_list())
        judged: list[Check] = []
        if engine in MIXED:
            known = rows.height == predictions.height > 0 and not rows[".label"].null_count()
            # Counts and proportions have neither normal residuals nor one variance.
            normal = str(design.get("family") or "gaussian") == "gaussian"
            of_rows = residual_checks(predictions, rows[".label"] if known else None) if normal else ()
            # What concerns no group is said once.
            checks += [] if place else [check for check in of_rows if check.check != BY_GROUP]
            judged += [check for check in of_rows if check.check == BY_GROUP]
            judged += effect_checks(own, _sds(estimates, group))
            judged += inward_checks(own)
        if engine == GROUP_ENGINE:
            judged += size_checks(own.unique("label", maintain_order=True).select("label", "n"), group)
            # Its SE is that of one grouping factor: beside another the means share more than tau.
            judged += contextual_checks(rows, design, estimates, group, dataset) if len(found) == 1 else ()
        checks += _marked(judged, group) if len(found) > 1 else judged
    return tuple(checks)


def _marked(checks: Sequence[Check], group: str) -> list[Check]:
    """The same verdicts, told apart from those on another grouping factor."""
    return [replace(check, check=f"{check.check} ({group})") for check in checks]


def _factors(design: Mapping[str, Any], groups: pl.DataFrame) -> tuple[str, ...]:
    """Grouping factors in the order of the formula; one without a name where there is none."""
    found = [str(term["group"]) for term in design.get("random") or []]
    return tuple(dict.fromkeys(found or groups["group"].head(1).to_list())) or ("",)


def _sds(estimates: pl.DataFrame, group: str) -> dict[str, float | None]:
    rows = estimates.filter((pl.col("component") == "sd") & (pl.col("group") == group))
    return {str(row["term"]): row["estimate"] for row in rows.iter_rows(named=True)}


def singular_checks(fit: Mapping[str, Any]) -> tuple[Check, ...]:
    """Say what a fit on the boundary means (rule 5); nothing for engines without random effects.

    Parameters
    ----------
    fit : mapping
        A row of the `FITS` table.
    """
    if fit["singular"] is None or fit["engine"] not in MIXED:
        return ()
    if not fit["singular"]:
        advice = "Every variance component is inside its range."
        return (Check("singular", 0.0, 0.0, ok=True, advice=advice),)
    advice = (
        "A variance component is estimated at its boundary (an SD of zero or a correlation of one): the "
        "data do not "
        "show this difference between groups, which is not the same as showing there is none; drop the "
        "correlation "
        "(`||`), then the slope, or read the posterior, which keeps the SD away from zero."
    )
    return (Check("singular", 1.0, 0.0, ok=False, advice=advice),)


def inward_checks(groups: pl.DataFrame) -> tuple[Check, ...]:
    """Check that partial pooling lies between a group's own estimate and what is expected of it.

    Only with one varying coefficient: with more, a coefficient may be moved outward by its
    correlation with another. A few exceptions are normal where common slopes differ between the
    poolings.

    Parameters
    ----------
    groups : DataFrame
        Rows of one fit and one grouping factor in the `GROUPS` schema.
    """
    rows = groups.drop_nulls(["no_pooling", "partial_pooling", "random_effect"])
    if rows["term"].n_unique() != 1 or rows.height < 5:
        return ()
    own = (pl.col("no_pooling") - (pl.col("partial_pooling") - pl.col("random_effect"))).alias("own")
    table = rows.select(own, "random_effect")
    slack = 1e-6 * float(table["own"].abs().max() or 0.0)  # type: ignore[arg-type]
    outward = (pl.col("random_effect") * pl.col("own") < -(slack**2)) | (
        pl.col("random_effect").abs() > pl.col("own").abs() + slack
    )
    share = float(table.select(outward.mean()).item() or 0.0)
    ok = share <= INWARD_SHARE
    advice = (
        "Partially pooled estimates lie between each group's own estimate and the common line, as they "
        "should."
        if ok
        else f"{share:.0%} of the partially pooled estimates lie outside the range from the group's own "
        "estimate to "
        "the common line: the slopes common to all groups differ between the poolings, which points to "
        "within- and "
        "between-group effects that are not the same."
    )
    return (Check("shrinks_inward", share, INWARD_SHARE, ok=ok, advice=advice),)


def contextual_checks(
    rows: pl.DataFrame,
    design: Mapping[str, Any],
    estimates: pl.DataFrame,
    group: str,
    dataset: Dataset | None,
) -> tuple[Check, ...]:
    """Test each numeric covariate with one coefficient and no group mean beside it (rule 11).

    Parameters
    ----------
    rows : DataFrame
        See `diagnose.rows.analysis_rows`; without rows there are no checks.
    design : mapping
        `design.json`.
    estimates : DataFrame
        Of the fit.
    group : str
        Grouping factor.
    dataset : Dataset or None
        For its time column: change over time is not a between-group question.
    """
    sds, sigma = _sds(estimates, group), _estimate(estimates, "residual", "sigma")
    names = [name for name in design.get("names") or [] if name in rows.columns]
    if rows.height == 0 or rows[".label"].null_count() or sigma is None or set(sds) != {INTERCEPT}:
        return ()
    all_names = list(design.get("names") or [])
    checks = []
    for name in names:
        beta = _estimate(estimates, "fixed", name)
        interacts = any(":" in other and name in other.split(":") for other in all_names)
        of_time = dataset is not None and name == dataset.time
        if beta is None or interacts or of_time or not rows.schema[name].is_numeric():
            continue
        if not varying_both_ways(rows, name, ".label") or _has_mean(rows, name, names):
            continue
        x = rows[name].to_numpy().astype(np.float64)
        y = (rows[".observed"] - rows[".fixed"]).to_numpy().astype(np.float64) + beta * x
        codes = rows[".label"].rank("dense").to_numpy().astype(np.float64)
        checks.append(contextual_check(x, codes, y, tau=sds[INTERCEPT] or 0.0, sigma=sigma, name=name))
    return tuple(check for check in checks if check is not None)


def _estimate(estimates: pl.DataFrame, component: str, term: str) -> float | None:
    found = estimates.filter((pl.col("component") == component) & (pl.col("term") == term))["estimate"]
    return None if found.len() == 0 or found[0] is None else float(found[0])


def _has_mean(rows: pl.DataFrame, name: str, names: Sequence[str]) -> bool:
    """Tell whether another fixed effect is the group mean of this one."""
    mean = pl.col(name).mean().over(".label")
    others = [other for other in names if other != name and rows.schema[other].is_numeric()]
    return any(abs(rows.select(pl.corr(mean, pl.col(other))).item() or 0.0) > 0.9999 for other in others)
