"""Arms compared with the reference at chosen visits, by analysis of covariance of completed outcomes.

Two ways to an answer with a standard error (rule 22):

- `contrast_fits`: one `Fit` a drawn completion, to be pooled by Rubin's rules: information-anchored, the
  variance that missing information costs under MAR is kept under the other assumptions;
- `jackknife_contrasts`: completions at conditional means, the standard error by leaving out each subject in
  turn: the variance of the estimator over repeated trials (Wolbers et al. 2022).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.errors import NestwiseError, Problem, Refusal
from nestwise.fit.inference import t_rows
from nestwise.imputation.reference import Plan, complete
from nestwise.imputation.repeated import RepeatedData, draw_repeated, fit_repeated, without
from nestwise.results import Fit, Status

COARSE = 1e-7
"""Change at which the EM algorithm ends where one subject is left out: it begins next to the solution."""


@dataclass(frozen=True)
class Trial:
    """Names for what the arrays hold.

    Attributes
    ----------
    study, model, outcome : str
        Names.
    arms, visits : tuple of str
        Of length A and T.
    at : tuple of int
        Visits at which arms are compared.
    """

    study: str
    model: str
    outcome: str
    arms: tuple[str, ...]
    visits: tuple[str, ...]
    at: tuple[int, ...]

    def terms(self, reference: int) -> tuple[str, ...]:
        """Names of the contrasts, visit by visit."""
        others = [name for a, name in enumerate(self.arms) if a != reference]
        return tuple(
            f"{name} - {self.arms[reference]} at {self.visits[t]}" for t in self.at for name in others
        )


def ancova(Y: FloatArray, data: RepeatedData, reference: int) -> tuple[FloatArray, FloatArray, int]:
    """Arms less the reference given baseline covariates, by least squares.

    Parameters
    ----------
    Y : ndarray (n, V)
        Completed outcomes at some visits.
    data : RepeatedData
        Arms and covariates.
    reference : int
        Reference arm.

    Returns
    -------
    estimate, std_error : ndarray (V (A - 1),)
        Visit by visit.
    df : int
        Residual degrees of freedom.
    """
    D = data.D()
    inverse = np.linalg.inv(D.T @ D)
    B = inverse @ D.T @ Y
    df = D.shape[0] - D.shape[1]
    variance = ((Y - D @ B) ** 2).sum(axis=0) / df
    L = np.array(
        [np.eye(D.shape[1])[a] - np.eye(D.shape[1])[reference] for a in range(data.arms) if a != reference]
    )
    unit = np.einsum("ka,ab,kb->k", L, inverse, L)
    return (L @ B).T.ravel(), np.sqrt(np.outer(variance, unit)).ravel(), df


def contrast_fits(
    trial: Trial, data: RepeatedData, plan: Plan, m: int, seed: int, *, level: float = 0.95
) -> tuple[Fit, ...]:
    """Analyses of m completions under a plan, each from a posterior draw of its own.

    Parameters
    ----------
    trial : Trial
        Names.
    data : RepeatedData
        Outcomes; what is set aside is missing.
    plan : Plan
        What is assumed.
    m : int
        Imputations.
    seed : int
        Of the stream, from `seeds.seed_for`.
    level : float
        Coverage of the intervals.

    Raises
    ------
    Refusal
        See `repeated.refuse_repeated` and `reference.refuse_plan`.
    """
    fits = []
    for k, at in enumerate(draw_repeated(data, m, seed)):
        rng = np.random.default_rng([seed, k])
        estimate, error, df = ancova(complete(data, plan, at, rng)[:, trial.at], data, plan.reference)
        fits.append(_fit(trial, data, plan, (estimate, error, float(df)), level))
    return tuple(fits)


def _fit(  # noqa: PLR0917
    trial: Trial,
    data: RepeatedData,
    plan: Plan,
    numbers: tuple[FloatArray, FloatArray, float | None],
    level: float,
    method: str = "ANCOVA",
) -> Fit:
    return Fit(
        study=trial.study,
        model=trial.model,
        engine="pooled",
        method=method,
        status=Status.OK,
        formula=f"{trial.outcome} ~ arm + baseline covariates, visit by visit",
        analysis_hash=sha256(np.ascontiguousarray(np.nan_to_num(data.Y, nan=1e300)).tobytes()).hexdigest(),
        n_obs=int((~np.isnan(data.Y)).sum()),
        n_groups=data.Y.shape[0],
        converged=True,
        singular=False,
        estimates=t_rows(trial.terms(plan.reference), *numbers, level, target="marginal"),
    )


def jackknife_contrasts(
    trial: Trial, data: RepeatedData, plan: Plan, *, reml: bool = True, level: float = 0.95
) -> Fit:
    """Contrasts at conditional means, standard errors by the jackknife.

    Parameters
    ----------
    trial, data, plan, level
        As in `contrast_fits`.
    reml : bool
        Criterion of the model of the outcomes.

    Returns
    -------
    Fit
        Normal intervals; ``record["jackknife"]`` has the contrasts with each subject left out.

    Raises
    ------
    Refusal
        As `contrast_fits`; or where the model cannot be fitted without one of the subjects.
    """
    at = fit_repeated(data, reml=reml)
    estimate, _, _ = ancova(complete(data, plan, at, None)[:, trial.at], data, plan.reference)
    left = []
    for i in range(data.Y.shape[0]):
        fewer, assumed = without(data, i), _plan_without(plan, i)
        try:
            again = fit_repeated(fewer, reml=reml, start=at, tolerance=COARSE)
        except NestwiseError as said:
            what = f"the model cannot be fitted without subject {i + 1} ({said.problems[0].what})"
            raise Refusal(Problem(what, "jackknife", "use Rubin's rules")) from said
        filled = complete(fewer, assumed, again, None)[:, trial.at]
        left.append(ancova(filled, fewer, plan.reference)[0])
    each = np.array(left)
    n = len(each)
    error = np.sqrt((n - 1) / n * ((each - each.mean(axis=0)) ** 2).sum(axis=0))
    method = f"ANCOVA, conditional mean ({'REML' if reml else 'ML'}), jackknife"
    fit = _fit(trial, data, plan, (estimate, error, None), level, method)
    strategy = _strategy(plan, data.Y.shape[1])
    return replace(fit, strategy=strategy, record={"jackknife": each.tolist()})


def _plan_without(plan: Plan, i: int) -> Plan:
    return replace(
        plan,
        before=np.delete(plan.before, i),
        assumption=(*plan.assumption[:i], *plan.assumption[i + 1 :]),
        delta=None if plan.delta is None else np.delete(plan.delta, i, axis=0),
        fixed=None if plan.fixed is None else np.delete(plan.fixed, i, axis=0),
    )


def _strategy(plan: Plan, T: int) -> str:
    """Name of the assumption, those of several events joined."""
    names = [name for name, k in zip(plan.assumption, plan.before, strict=True) if k < T]
    return "+".join(dict.fromkeys(names)) or "mar"
