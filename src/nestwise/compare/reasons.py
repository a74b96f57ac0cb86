"""Why a population average and an integrated mixed model may disagree: every likely reason, tested.

- missingness: unweighted estimating equations need data missing completely at random. A logistic model of
  leaving after each visit, by the outcome seen last, tests this (Diggle & Kenward 1994; Ridout 1991).
- cluster_size: both models assume that the number of rows of a cluster says nothing of its outcomes; the size
  as a covariate tests this (Williamson, Datta & Satten 2003; Seaman, Pavlou & Copas 2014).
- working_correlation: a wrong one costs precision, not validity, with complete data; coefficients that move
  with it say that weights matter. CIC (Hin & Wang 2009) and the ratio of robust to model-based errors judge.
- quadrature: the conditional answer is none while it moves with the number of points.
- dispersion: rows that vary more around their group than the conditional distribution allows make its
  likelihood weigh them wrongly; estimating equations estimate that variance.
- summary: no set of coefficients describes integrated means exactly, and two ways to choose one differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.compare.dropout import Dropout
from nestwise.compare.effects import Effects
from nestwise.compare.integrated import Integrated
from nestwise.config.study import Model, WorkingCorrelation
from nestwise.design.record import Design
from nestwise.errors import Refusal
from nestwise.names import counted, plural, several
from nestwise.numbers import fixed, p_value
from nestwise.results import Fit

LIKELY, UNLIKELY, NOT_TESTED = "likely", "unlikely", "not_tested"
SIGNIFICANT = 0.05
NOTICEABLE = 0.5
"""Share of a standard error by which a coefficient moves noticeably."""
SIZE = "(cluster size)"
FAR = 1.4
"""Ratio of robust to model-based standard errors, or inverse, that a right correlation hardly has."""


@dataclass(frozen=True)
class Reason:
    """A possible reason and what its test says.

    Attributes
    ----------
    name : str
        missingness | cluster_size | working_correlation | quadrature | summary.
    verdict : str
        likely | unlikely | not_tested.
    sentence : str
        In plain words with the numbers.
    statistic, p_value : float or None
        Of the test, where it has them.
    """

    name: str
    verdict: str
    sentence: str
    statistic: float | None = None
    p_value: float | None = None


def missingness(dropout: Dropout | str) -> Reason:
    """Whether leaving the study depends on outcomes seen before.

    Parameters
    ----------
    dropout : Dropout or str
        The fitted model of leaving, or why there is none.
    """
    if isinstance(dropout, str):
        nobody = "nobody" in dropout
        return Reason("missingness", UNLIKELY if nobody else NOT_TESTED, dropout)
    who = f"{dropout.left:,} of {counted(dropout.clusters, dropout.group)} left before the last visit"
    odds = f"odds ratio {fixed(float(np.exp(dropout.estimate)), 2)}, p {_p(dropout.p_value)}"
    likely = dropout.p_value < SIGNIFICANT
    tail = (
        f"leaving depends on the outcome seen last ({odds} for one {dropout.step} more): the data are not "
        "missing completely at random, which unweighted estimating equations need and the mixed model does "
        "not."
        if likely
        else f"leaving does not visibly depend on the outcome seen last ({odds} for one {dropout.step} more)."
    )
    verdict = LIKELY if likely else UNLIKELY
    return Reason("missingness", verdict, f"{who}; {tail}", dropout.statistic, dropout.p_value)


def cluster_size(design: Design, group: str, level: float) -> Reason:
    """Whether the number of rows of a cluster, called `group`, goes with its outcomes, other terms kept."""
    codes = design.random[0].codes
    sizes = np.bincount(codes)[codes].astype(float)
    from nestwise.fit.gee import fit_gee  # compiled code: slow to import

    name = "cluster_size"
    if np.ptp(sizes) == 0:
        sentence = f"All {plural(group)} have {int(sizes[0])} rows: their number cannot be informative."
        return Reason(name, UNLIKELY, sentence)
    larger = replace(
        design,
        X=np.column_stack([design.X, sizes]),
        names=(*design.names, SIZE),
        term_of=(*design.term_of, SIZE),
    )
    try:
        fit = fit_gee(larger, "independence", level=level)
    except Refusal as refusal:
        return Reason(name, NOT_TESTED, f"The size of clusters could not be tested: {refusal}")
    row = next((row for row in fit.estimates if row.component == "fixed" and row.term == SIZE), None)
    if row is None or row.p_value is None:
        return Reason(name, NOT_TESTED, "The size of clusters has no robust standard error and no test.")
    likely = row.p_value < SIGNIFICANT
    says = "differ" if likely else "do not visibly differ"
    sentence = (
        f"Outcomes of {plural(group)} with more rows {says} from those with fewer "
        f"({fixed(row.estimate, 3)} on the scale of the link for one row more, p {_p(row.p_value)})"
    )
    sentence += ": rows and clusters then weigh differently in the two models." if likely else "."
    return Reason(name, LIKELY if likely else UNLIKELY, sentence, row.statistic, row.p_value)


def correlation(
    design: Design, model: Model, marginal: Effects, level: float, own: Mapping[str, Any]
) -> Reason:
    """Whether the coefficients move with the working correlation, and which one CIC prefers.

    Parameters
    ----------
    design, model : Design, Model
        What was fitted.
    marginal : Effects
        The fit with the working correlation of the model.
    level : float
        Coverage of its intervals.
    own : mapping
        JSON record of that fit, and its `cic`.
    """
    from nestwise.fit.gee import fit_gee  # compiled code: slow to import

    name = "working_correlation"
    errors = (own.get("variance") or {}).get("standard_errors") or {}
    if own.get("cic") is None or not {"LZ", "model"} <= set(errors):
        return Reason(name, NOT_TESTED, "The fit left nothing to compare other working correlations with.")
    candidates: list[WorkingCorrelation] = ["independence", "exchangeable"]
    candidates += ["ar1"] if design.occasions is not None else []
    candidates += ["global_odds_ratio"] if design.family == "ordinal" else []
    fits: dict[str, Fit] = {}
    for structure in (each for each in candidates if each != model.correlation):
        try:
            fits[structure] = fit_gee(design, structure, model.lags, model.variance, level)
        except Refusal:
            continue
    if not fits:
        return Reason(name, NOT_TESTED, "Other working correlations could not be fitted beside this one.")
    moved, other = max(
        (float(np.max(np.abs(_beta(fit, marginal) - marginal.beta) / marginal.std_error)), structure)
        for structure, fit in fits.items()
    )
    cic: dict[str, float] = {model.correlation: float(own["cic"])}
    cic |= {structure: _criterion(fit) for structure, fit in fits.items()}
    best = min(cic, key=lambda structure: cic[structure])
    low, high = _error_ratios(errors)
    wrong = high > FAR or low < 1 / FAR
    likely = moved > NOTICEABLE
    told = ", ".join(f"{structure} {fixed(value, 2)}" for structure, value in cic.items())
    sentence = (
        f"From {model.correlation} to {other} the coefficients move by up to {fixed(moved, 2)} standard "
        f"errors; CIC, smaller is better: {told}, best {best}. Robust standard errors are {fixed(low, 2)} to "
        f"{fixed(high, 2)} times the model-based ones, "
    )
    sentence += (
        "so that the working correlation is not the true one" if wrong else "as a right one would have it"
    )
    sentence += (
        "."
        if likely == wrong
        else "; the coefficients depend on it"
        if likely
        else "; it costs precision only"
    )
    return Reason(name, LIKELY if likely else UNLIKELY, sentence.rstrip(".") + ".", moved)


def quadrature(record: Mapping[str, Any], conditional: Effects) -> Reason:
    """Whether the conditional estimates still move with the number of quadrature points."""
    name = "quadrature"
    if conditional.engine != "glmm":
        return Reason(name, UNLIKELY, "A Gaussian likelihood needs no quadrature.")
    table = list(record.get("points") or ())
    if len(table) < 2:
        sentence = (
            "Laplace's approximation was not held against more points, and is biased for sparse outcomes."
        )
        return Reason(name, NOT_TESTED, sentence)
    first, before, last = table[0], table[-2], table[-1]
    moved = abs(last["log_likelihood"] - before["log_likelihood"])
    whole = abs(last["log_likelihood"] - first["log_likelihood"])
    stable = conditional.status != "not_converged"
    sentence = (
        f"From {before['points']} to {last['points']} quadrature points the log-likelihood moves by "
        f"{fixed(moved, 4)} (from {first['points']} by {fixed(whole, 2)})"
    )
    sentence += ", and the estimates are stable." if stable else ", and the estimates have not settled."
    return Reason(name, UNLIKELY if stable else LIKELY, sentence, moved)


def dispersion(check: Mapping[str, Any] | None) -> Reason | None:
    """Whether rows vary more around their group than the conditional model has it, by its own check.

    Parameters
    ----------
    check : mapping or None
        The row `overdispersion` of `checks.parquet`; `None` where the engine made none.
    """
    if check is None or check["value"] is None:
        return None
    verdict = UNLIKELY if check["ok"] else LIKELY
    return Reason("dispersion", verdict, str(check["advice"]), float(check["value"]))


def unexplained(terms: Sequence[str]) -> Reason:
    """What is left to say where answers differ and no reason that was tested is likely."""
    sentence = (
        f"None of these reasons explains the difference in {several([f'`{term}`' for term in terms])}: what "
        "remains is that random effects may not be normal, that their variance may differ between rows, or "
        "that few clusters decide; see those with the largest influence."
    )
    return Reason("model", NOT_TESTED, sentence)


def summary(found: Integrated, errors: FloatArray) -> Reason:
    """How much two ways to describe integrated means by coefficients differ, in standard errors."""
    gap = np.abs(found.projected - found.beta) / errors
    worst = int(np.argmax(gap))
    likely = bool(gap[worst] > 1)
    sentence = (
        "Coefficients can describe integrated means by least squares or as estimating equations would: the "
        f"two differ by up to {fixed(float(gap[worst]), 2)} standard errors (`{found.names[worst]}`)"
    )
    sentence += ", so that part of the gap is the description and not the data." if likely else "."
    return Reason("summary", LIKELY if likely else UNLIKELY, sentence, float(gap[worst]))


def _beta(fit: Fit, marginal: Effects) -> FloatArray:
    rows = {row.term: row.estimate for row in fit.estimates if row.component == "fixed"}
    return np.array([rows[name] for name in marginal.names], dtype=float)


def _criterion(fit: Fit) -> float:
    found = next(row.estimate for row in fit.estimates if row.component == "derived" and row.term == "cic")
    assert found is not None
    return found


def _error_ratios(errors: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """Smallest and largest ratio of robust to model-based standard errors."""
    ratios = np.array(errors["LZ"]) / np.array(errors["model"])
    return float(ratios.min()), float(ratios.max())


def _p(value: float) -> str:
    text = p_value(value)
    return text if text.startswith("<") else f"= {text}"
