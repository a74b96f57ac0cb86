"""Weakly informative priors scaled to the outcome, and what a study file may say instead.

Defaults, with sd(.) over the analysis rows: the intercept, for the outcome at the means of the predictors,
normal(mean(y), 2.5 sd(y)); a coefficient normal(0, 2.5 sd(y) / sd(x)); the standard deviation of a varying
coefficient half-t(3, 2.5 sd(y) / sd(x)), that of the residuals half-t(3, 2.5 sd(y)); correlations LKJ(2).
Where there is no intercept to centre about, root mean squares take the place of the standard deviations.
Of an outcome that is not Gaussian the link takes the place of the outcome: mean(y) is the link of the average
outcome and sd(y) a unit of the link (`generalised_model.UNIT`); a size or shape has half-t(3, 10). Thresholds
of an ordinal outcome are ordered draws of t(3, 0, 2.5 sd(y)), as in brms.
Sources: Gelman (2006), Bayesian Analysis 1(3), for half-t; Lewandowski, Kurowicka & Joe (2009) for LKJ; the
factor 2.5 is that of rstanarm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nestwise.bayes.units import Units
from nestwise.config.study import Prior
from nestwise.design.record import Design
from nestwise.errors import Problem, Refusal
from nestwise.likelihood.families import DISPERSION

FACTOR = 2.5
DEGREES = 3.0
ETA = 2.0
DISPERSION_SCALE = 10.0
"""Of the size of a negative binomial and the shape of a gamma: both far from the limit and near it."""
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "fixed": ("normal", "student_t"),
    "threshold": ("normal", "student_t"),
    "sd": ("half_normal", "half_student_t", "exponential"),
    "residual": ("half_normal", "half_student_t", "exponential"),
    "cor": ("lkj",),
}


@dataclass(frozen=True)
class PriorRow:
    """The prior of one parameter, in the units of the data.

    Attributes
    ----------
    component, group, term : str
        Which parameter, as in the table of estimates; `term` of correlations names the term.
    distribution : str
        normal | student_t | half_normal | half_student_t | exponential | lkj.
    location, scale, df, eta : float or None
        Its parameters; `scale` of an exponential is its mean.
    source : str
        default | declared.
    note : str
        What a reader should know.
    """

    component: str
    group: str | None
    term: str
    distribution: str
    location: float | None = None
    scale: float | None = None
    df: float | None = None
    eta: float | None = None
    source: str = "default"
    note: str = ""


def prior_table(design: Design, units: Units, declared: Mapping[str, Prior]) -> tuple[PriorRow, ...]:
    """The prior of every parameter, defaults overridden by what the study declares.

    Parameters
    ----------
    design : Design
        The model.
    units : Units
        Locations and scales of its columns.
    declared : mapping of str to Prior
        Keys: name of a fixed effect, `sd:TERM`, `sd:GROUP:TERM`, `cor`, `sigma` (or `size`,
        `shape`, `thresholds`).

    Returns
    -------
    tuple of PriorRow
        Fixed effects, SDs, correlations (one row a correlated term), residual SD or thresholds, in this
        order.

    Raises
    ------
    Refusal
        Naming every unknown key and every distribution that does not fit its parameter.
    """
    rows = _defaults(design, units)
    keys = [_keys(row) for row in rows]
    problems = [
        Problem(
            f"there is no parameter {key}",
            f"models.{design.model}.priors",
            f"priors can be given for {', '.join(dict.fromkeys(name for names in keys for name in names))}",
        )
        for key in declared
        if not any(key in names for names in keys)
    ]
    result: list[PriorRow] = []
    for row, names in zip(rows, keys, strict=True):
        given = [(name, declared[name]) for name in names if name in declared]
        if not given:
            result.append(row)
            continue
        key, prior = given[-1]  # the most exact key, sd:GROUP:TERM, comes last
        problem = _misfit(row, prior, f"models.{design.model}.priors.{key}")
        if problem is not None:
            problems.append(problem)
        else:
            result.append(_declared(row, prior))
    if problems:
        raise Refusal(list(dict.fromkeys(problems)))
    return tuple(result)


def prior_records(rows: tuple[PriorRow, ...]) -> list[dict[str, Any]]:
    """The table as JSON-able dictionaries."""
    return [asdict(row) for row in rows]


def _defaults(design: Design, units: Units) -> list[PriorRow]:
    rows: list[PriorRow] = []
    for index, name in enumerate(design.names):
        centred = index == units.intercept
        location = units.y_center if centred else 0.0
        note = "for the outcome at the means of the predictors" if centred else ""
        scale = FACTOR * units.y_scale / units.X_scale[index]
        rows.append(PriorRow("fixed", None, name, "normal", float(location), float(scale), note=note))
    at = 0
    for term in design.random:
        for name in term.names:
            scale = FACTOR * units.y_scale / units.Z_scale[at]
            rows.append(PriorRow("sd", term.group, name, "half_student_t", 0.0, float(scale), DEGREES))
            at += 1
    for term in design.random:
        if term.correlated and len(term.names) > 1:
            rows.append(PriorRow("cor", term.group, ":".join(term.names), "lkj", eta=ETA))
    if design.family == "gaussian":
        scale = FACTOR * units.y_scale
        rows.append(PriorRow("residual", None, "sigma", "half_student_t", 0.0, scale, DEGREES))
    elif design.family == "ordinal":
        note = "each, before they are put in order, for rows at the means of the predictors"
        scale = FACTOR * units.y_scale
        rows.append(PriorRow("threshold", None, "thresholds", "student_t", 0.0, scale, DEGREES, note=note))
    elif design.family in DISPERSION:
        name = DISPERSION[design.family]
        rows.append(PriorRow("residual", None, name, "half_student_t", 0.0, DISPERSION_SCALE, DEGREES))
    return rows


def _keys(row: PriorRow) -> tuple[str, ...]:
    if row.component == "fixed":
        return (row.term,)
    if row.component == "sd":
        return (f"sd:{row.term}", f"sd:{row.group}:{row.term}")
    return ("cor",) if row.component == "cor" else (row.term,)


def _misfit(row: PriorRow, prior: Prior, where: str) -> Problem | None:
    allowed = ALLOWED[row.component]
    if prior.distribution not in allowed:
        return Problem(f"{prior.distribution} does not fit", where, f"choose {' or '.join(allowed)}")
    if row.component == "cor":
        if prior.eta is None:
            return Problem("lkj needs eta", where, "2 is a mild choice, 1 is uniform")
        return None
    if prior.scale is None:
        return Problem(f"{prior.distribution} needs a scale", where, "give it in the units of the data")
    if row.component not in ("fixed", "threshold") and prior.location != 0:
        return Problem(f"{prior.distribution} starts at 0", where, "leave location out")
    return None


def _declared(row: PriorRow, prior: Prior) -> PriorRow:
    if row.component == "cor":
        return PriorRow("cor", row.group, row.term, "lkj", eta=prior.eta, source="declared")
    df = (prior.df or DEGREES) if prior.distribution.endswith("student_t") else None
    location = prior.location if row.component in ("fixed", "threshold") else 0.0
    return PriorRow(
        row.component, row.group, row.term, prior.distribution, location, prior.scale, df,
        source="declared", note=row.note,
    )  # fmt: skip
