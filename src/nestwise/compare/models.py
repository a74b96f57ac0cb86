"""Models of a study side by side: what may be compared, what may not, and the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from nestwise.compare.nesting import Nesting, likelihood_ratio, model_parts
from nestwise.compare.structures import Structure

LIKELIHOOD_ENGINES = ("lmm", "glmm", "pooled")


@dataclass(frozen=True)
class ModelRow:
    """One model as its likelihood fit has it."""

    model: str
    formula: str
    engine: str
    method: str
    status: str
    n_obs: int
    n_groups: int
    n_parameters: int | None
    log_likelihood: float | None
    aic: float | None
    bic: float | None
    caic: float | None
    """Conditional AIC: of new rows in the same groups, where the others are of new groups."""
    comparable: bool
    """Whether this row's log-likelihood, AIC and BIC may be held against the other comparable rows."""
    note: str


@dataclass(frozen=True)
class ModelTable:
    """Models in the order of the study, with what the reader may and may not conclude."""

    rows: tuple[ModelRow, ...]
    sentences: tuple[str, ...]
    tests: tuple[Nesting, ...] = ()
    """Likelihood-ratio tests between models of which one holds the other."""


def _own(estimates: pl.DataFrame, fit: dict[str, Any]) -> pl.DataFrame:
    return estimates.filter((pl.col("model") == fit["model"]) & (pl.col("engine") == fit["engine"]))


def _likelihood_fit(fits: pl.DataFrame, model: str) -> dict[str, Any] | None:
    own = {row["engine"]: row for row in fits.filter(pl.col("model") == model).to_dicts()}
    return next((own[engine] for engine in LIKELIHOOD_ENGINES if engine in own), None)


def _kind(fit: dict[str, Any], fixed: tuple[str, ...]) -> tuple[str, str, tuple[str, ...] | None]:
    """What must be equal for two log-likelihoods to be comparable."""
    return fit["analysis_hash"], _criterion(fit), fixed if _criterion(fit) == "REML" else None


def _criterion(fit: dict[str, Any]) -> str:
    """The likelihood maximised: `REML` of `REML (Kenward-Roger)`, whose tests do not change it."""
    return str(fit["method"] or "").partition(" (")[0]


def _refusals(fits: Sequence[dict[str, Any]], fixed: Sequence[tuple[str, ...]]) -> list[str]:
    """A sentence for each reason why some of the models cannot be compared."""
    found = []
    answered = [
        (fit, terms)
        for fit, terms in zip(fits, fixed, strict=True)
        if fit["status"] not in ("failed", "refused")
    ]
    if len({fit["analysis_hash"] for fit, _ in answered}) > 1:
        counts = " and ".join(sorted({f"{fit['n_obs']:,}" for fit, _ in answered}))
        found.append(
            "Some models were fitted to different rows"
            + (f" ({counts})" if " and " in counts else "")
            + "; their log-likelihoods, AIC and BIC are not comparable. The way out: fit them to the rows "
            "complete for all of them."
        )
    restricted = [terms for fit, terms in answered if _criterion(fit) == "REML"]
    if len(set(restricted)) > 1:
        found.append(
            "Fits by REML with different fixed effects are not compared by likelihood, AIC or BIC: the "
            "restricted likelihood changes its data with the fixed part. The way out: fit the models with "
            "`reml: false` to compare fixed effects, and return to REML for the final estimates."
        )
    if len({_criterion(fit) for fit, _ in answered}) > 1:
        found.append(
            "Likelihoods of different methods ("
            + ", ".join(sorted({_criterion(fit) for fit, _ in answered}))
            + ") are not held against each other."
        )
    return found


def compare_models(
    fits: pl.DataFrame,
    estimates: pl.DataFrame,
    models: Sequence[str] | None = None,
    structures: Mapping[str, Structure | None] | None = None,
) -> ModelTable:
    """Set the models of a study side by side by their likelihood fits.

    Parameters
    ----------
    fits, estimates : polars.DataFrame
        Whole tables of the study.
    models : sequence of str, optional
        Which models, in which order.
    structures : mapping of str to Structure, optional
        Residual covariance of each model, where it is known: without it only models with the same residual
        parameters are tested against each other.

    Returns
    -------
    ModelTable
        A row is `comparable` when at least one other model has the same rows, the same method and, under
        REML, the same fixed part (rules 2 and 3); the sentences say what is refused and what to do.
    """
    names = list(models) if models is not None else list(fits["model"].unique(maintain_order=True))
    found = [fit for fit in (_likelihood_fit(fits, name) for name in names) if fit is not None]
    known = structures or {}
    parts = [model_parts(_own(estimates, fit), known.get(fit["model"])) for fit in found]
    fixed = [tuple(sorted(part.fixed)) for part in parts]
    kinds = [_kind(fit, terms) for fit, terms in zip(found, fixed, strict=True)]
    rows = []
    for fit, kind, part in zip(found, kinds, parts, strict=True):
        answered = fit["status"] not in ("failed", "refused")
        alone = sum(other == kind for other in kinds) < 2
        rows.append(
            ModelRow(
                fit["model"],
                fit["formula"],
                fit["engine"],
                fit["method"],
                fit["status"],
                fit["n_obs"],
                fit["n_groups"],
                fit["n_parameters"],
                fit["log_likelihood"],
                fit["aic"],
                fit["bic"],
                part.caic,
                answered and not alone,
                (fit["reason"] or "") if not answered else "",
            )
        )
    tests = likelihood_ratio(
        [fit for fit, row in zip(found, rows, strict=True) if row.comparable],
        [part for part, row in zip(parts, rows, strict=True) if row.comparable],
        [kind for kind, row in zip(kinds, rows, strict=True) if row.comparable],
    )
    sentences = (*_differences(rows, kinds), *(test.sentence for test in tests), *_refusals(found, fixed))
    return ModelTable(tuple(rows), sentences, tests)


def _differences(rows: Sequence[ModelRow], kinds: Sequence[Any]) -> list[str]:
    """Among comparable models, which one the AIC favours and by how much."""
    sentences = []
    for kind in dict.fromkeys(kinds):
        pool = [
            row
            for row, own in zip(rows, kinds, strict=True)
            if own == kind and row.comparable and row.aic is not None
        ]
        if len(pool) < 2:
            continue
        pool.sort(key=lambda row: row.aic if row.aic is not None else 0.0)
        best, next_one = pool[0], pool[1]
        gap = (next_one.aic or 0.0) - (best.aic or 0.0)
        names = ", ".join(row.model for row in pool)
        sentences.append(
            f"Among {names}, which may be compared, {best.model} has the lowest AIC, {gap:.1f} below "
            f"{next_one.model}" + ("; a gap under 2 decides nothing." if gap < 2 else ".")
        )
    return sentences
