"""How far likelihood and posterior are apart on one quantity, and why."""

from __future__ import annotations

from dataclasses import dataclass

MONTE_CARLO_ERRORS = 3.0
SMALL_IN_SD = 0.25
"""A difference below a quarter of a posterior SD changes no reading of the estimate."""
SKEWED = 1.15
"""Ratio of the upper to the lower half of the interval above which a posterior is called skewed."""
CLOSE_TO_ZERO = 1e-3


@dataclass(frozen=True)
class Quantity:
    """One quantity as the three engines give it."""

    component: str
    group: str | None
    term: str
    likelihood: float | None
    referee: float | None
    posterior: float | None
    posterior_sd: float | None
    lower: float | None
    upper: float | None
    mcse: float | None
    n_groups: int
    singular: bool


@dataclass(frozen=True)
class Verdict:
    """How far apart the two schools are, and why."""

    difference: float | None
    in_sd: float | None
    in_mcse: float | None
    flagged: bool | None
    verdict: str
    reason: str


def _explain_spread(quantity: Quantity, difference: float) -> str:
    groups = f"{quantity.n_groups} {'group' if quantity.n_groups == 1 else 'groups'}"
    if quantity.singular and abs(quantity.likelihood or 0.0) < CLOSE_TO_ZERO:
        return (
            "The likelihood puts this SD on its boundary, zero; a posterior has no mass at exactly zero, "
            "and its median shows how large an SD the data still allow."
        )
    if difference > 0 and _skew(quantity) > SKEWED:
        return (
            f"The posterior of an SD estimated from {groups} is skewed to the right, so that its median lies "
            "above the most likely value."
        )
    if difference < 0:
        return (
            "The prior holds large SDs in check and the likelihood does not, which shows where "
            f"{groups} say little."
        )
    return "The posterior averages over the other parameters instead of fixing them at their best values."


def _skew(quantity: Quantity) -> float:
    low, middle, high = quantity.lower, quantity.posterior, quantity.upper
    if low is None or middle is None or high is None or middle <= low:
        return 1.0
    return (high - middle) / (middle - low)


def explain(quantity: Quantity, difference: float) -> str:
    """Say in plain words why a posterior median and a likelihood estimate differ.

    Parameters
    ----------
    quantity : Quantity
        Both answers.
    difference : float
        Posterior minus likelihood, on the scale of the quantity.
    """
    if quantity.component == "sd":
        return _explain_spread(quantity, difference)
    if quantity.component == "cor":
        if abs(quantity.posterior or 0.0) < abs(quantity.likelihood or 0.0):
            return (
                "The prior on correlations favours moderate values and pulls this one toward zero; with "
                f"{quantity.n_groups} groups the data leave it room to."
            )
        return "The correlation is uncertain and its posterior not symmetric around the most likely value."
    if quantity.component == "fixed":
        return (
            "The posterior averages over the variances' uncertainty, where the likelihood takes their best "
            "values as known; the prior adds a little."
        )
    return "The posterior averages over all parameters where the likelihood fixes them at their best values."


def judge(quantity: Quantity) -> Verdict:
    """Hold the posterior median against the likelihood estimate.

    A difference within three Monte Carlo errors could be chance of the sampling and `agrees`; beyond it
    is real: `small` below a quarter of a posterior SD, `differs` above.
    """
    a, b, sd = quantity.likelihood, quantity.posterior, quantity.posterior_sd
    if a is None or b is None:
        missing = "likelihood" if a is None else "posterior"
        return Verdict(None, None, None, None, "one_sided", f"There is no {missing} value to compare with.")
    difference = b - a
    in_sd = difference / sd if sd else None
    if not quantity.mcse:
        far = in_sd is None or abs(in_sd) > SMALL_IN_SD
        reason = "No Monte Carlo error is recorded for it" + (
            f". {explain(quantity, difference)}"
            if far
            else "; the difference is small beside the posterior SD."
        )
        return Verdict(difference, in_sd, None, None, "differs" if far else "small", reason)
    in_mcse = difference / quantity.mcse
    if abs(in_mcse) <= MONTE_CARLO_ERRORS:
        return Verdict(difference, in_sd, in_mcse, False, "agrees", "Within Monte Carlo error.")
    verdict = "small" if in_sd is not None and abs(in_sd) <= SMALL_IN_SD else "differs"
    return Verdict(difference, in_sd, in_mcse, True, verdict, explain(quantity, difference))
