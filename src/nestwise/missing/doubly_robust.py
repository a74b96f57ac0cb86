"""The engine of the doubly robust equations: a Dataset in, a Fit out (see `augmented`)."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray
from nestwise.config.study import Model
from nestwise.data.dataset import Dataset
from nestwise.design.build import build_design
from nestwise.design.record import Design
from nestwise.errors import NestwiseError, Problem, Refusal
from nestwise.fit.gee_table import ratio_rows
from nestwise.fit.gee_variance import FEW_CLUSTERS
from nestwise.fit.inference import t_rows
from nestwise.formula.record import parse
from nestwise.missing.augmented import AugmentedFit, AugmentedRows, constant_columns, scaled, solve_augmented
from nestwise.missing.hazard import steps_at_risk
from nestwise.missing.locf import locf
from nestwise.missing.patterns import attendance
from nestwise.missing.plan import Plan
from nestwise.missing.schedule import schedule
from nestwise.missing.weighted_rows import WeightedRows, cells, predictors_of, weighted_rows
from nestwise.missing.weights import WHERE, WeightSettings
from nestwise.missing.wgee import fit_wgee
from nestwise.names import plural, several
from nestwise.results import Fit, Status

MOST_VISITS = 8
"""The regressions of every visit on every history before it grow with the square of their number."""
LINKS = {"gaussian": "identity", "binomial": "logit"}


def fit_doubly_robust(
    dataset: Dataset,
    name: str,
    model: Model,
    plan: Plan = Plan(),  # noqa: B008 - frozen
    settings: WeightSettings = WeightSettings(),  # noqa: B008 - frozen
    *,
    level: float = 0.95,
) -> Fit:
    """Fit a population-averaged model that is right if one of two models of the drop-outs is.

    Parameters
    ----------
    dataset, name, model, plan, level
        See `fit_wgee`. Gaussian with identity link or binomial with logit; covariates constant inside a
        subject, but for time.
    settings : WeightSettings
        `predictors`, `previous`, `by_arm` and `gaps`; weights are by visit, plain and uncut. The
        regressions of later outcomes know the predictors and all earlier outcomes, of a binary one the last.

    Returns
    -------
    Fit
        Engine `gee`, strategy `wgee`; where nobody left, that of `fit_wgee`.

    Raises
    ------
    Refusal
        As `fit_wgee`; for other families, trials, prior weights and offsets; with covariates that change
        over the visits; with more than `MOST_VISITS` visits.
    """
    began = perf_counter()
    independent = model.model_copy(update={"correlation": "independence"})
    plain = replace(settings, level="visit", stabilised=False, largest=np.inf)
    rows = weighted_rows(dataset, name, independent, plan, plain)
    if rows.weights.denominator is None:
        return fit_wgee(dataset, name, independent, plan, settings, level=level)
    _refuse_unsuited(rows, model)
    design, X = _every_visit(dataset, name, independent, plan, rows)
    augmented, back = scaled(_augmented_rows(rows, X, plan, plain, independent))
    solved = solve_augmented(augmented)
    found = replace(solved, beta=solved.beta * back, covariance=solved.covariance * np.outer(back, back))
    return replace(_as_fit(rows, design, found, level), seconds=perf_counter() - began)


def _refuse_unsuited(rows: WeightedRows, model: Model) -> None:
    design, T = rows.design, rows.planned.T
    problems = []
    if LINKS.get(design.family) != design.link or design.trials is not None:
        what = f"doubly robust equations are of gaussian and binary outcomes, not of {design.family}"
        problems.append(Problem(what, WHERE, "use the usual link, or weights without augmentation"))
    if model.weights is not None or design.offset is not None:
        what = "doubly robust equations take no prior weights and no offset"
        problems.append(Problem(what, WHERE, "use weights without augmentation"))
    if T > MOST_VISITS:
        what = f"doubly robust equations take {MOST_VISITS} visits, and there are {T}"
        problems.append(Problem(what, WHERE, "use weights without augmentation"))
    if problems:
        raise Refusal(problems)


def _every_visit(
    dataset: Dataset, name: str, model: Model, plan: Plan, rows: WeightedRows
) -> tuple[Design, FloatArray]:
    """The model at every scheduled visit, seen or not: its design, and its columns (N, T, p)."""
    formula = parse(model.formula)
    planned = rows.planned
    changing = []
    for variable in predictors_of(formula, planned, plan, WeightSettings()):
        try:
            planned.constant(variable)
        except NestwiseError:
            changing.append(variable)
    if changing:
        what = f"{several(changing)} changes over the visits and is not known at those that were missed"
        raise Refusal(Problem(what, WHERE, "use weights without augmentation"))
    outcomes = formula.outcome.columns
    full = locf(dataset, outcomes, planned.visit)
    # the outcome is not used: any known value keeps its row
    known = [pl.col(column).fill_null(pl.col(column).drop_nulls().first()) for column in outcomes]
    full = replace(full, frame=full.frame.with_columns(known))
    design = build_design(full, name, model)
    whole = schedule(full, visit=planned.visit)
    if design.n != planned.N * planned.T or whole.places.shape != planned.places.shape:
        what = "some covariate is missing at visits that were missed"
        raise Refusal(Problem(what, WHERE, "impute it first, or use weights without augmentation"))
    who, when = cells(whole, design)
    X = np.empty((planned.N, planned.T, design.X.shape[1]))
    X[who, when] = design.X
    return design, X


def _augmented_rows(
    rows: WeightedRows, X: FloatArray, plan: Plan, settings: WeightSettings, model: Model
) -> AugmentedRows:
    planned, hazard = rows.planned, rows.weights.denominator
    assert hazard is not None
    y = np.zeros(rows.seen.shape)
    y[rows.who, rows.when] = rows.design.y
    named = predictors_of(parse(model.formula), planned, plan, settings)
    history = constant_columns(pl.DataFrame({name: planned.constant(name) for name in named}), planned.N)
    last = attendance(rows.seen).last
    steps = steps_at_risk(last, planned.T, from_start=bool((last < 0).any()))
    _, cluster = np.unique(rows.cluster, return_inverse=True)
    return AugmentedRows(X, y, rows.seen, rows.design.family, history, steps, hazard, cluster)


def _as_fit(rows: WeightedRows, design: Design, found: AugmentedFit, level: float) -> Fit:
    J, p = found.J, found.beta.size
    if p >= J:
        what = f"{J} clusters cannot judge {p} coefficients: no degrees of freedom are left"
        raise Refusal(Problem(what, design.formula, "use fewer predictors"))
    few = J < FEW_CLUSTERS
    covariance = found.covariance * (J / (J - p) if few else 1.0)
    error = np.sqrt(np.diag(covariance))
    scale = "response" if design.link == "identity" else "link"
    df = float(J - p) if few else None
    fixed = tuple(
        replace(row, scale=scale)
        for row in t_rows(design.names, found.beta, error, df, level, target="marginal")
    )
    notes = [
        "Doubly robust: right if the drop-out model or the regressions of later on earlier outcomes are."
    ]
    if few:
        notes.append(
            f"With {J} {plural(rows.planned.subject)} the covariance is multiplied by J / (J - p) "
            "and tests are t on J - p degrees of freedom: the other small-sample corrections know no "
            "regressions."
        )
    return Fit(
        **rows.design.identity | {"n_groups": J},
        engine="gee",
        strategy="wgee",
        method="independence, doubly robust, LZ",
        status=Status.OK,
        converged=True,
        warnings=(*rows.notes, *notes),
        n_parameters=p,
        estimates=(*fixed, *ratio_rows(design, fixed)),
        record={
            "terms": list(design.names),
            "covariance": covariance.tolist(),
            "variance": {"kind": "LZ", "df": df, "weights": "estimated, stacked with the regressions"},
        },
    )
