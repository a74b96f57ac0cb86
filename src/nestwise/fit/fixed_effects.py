"""Tests of contrasts of the fixed effects, whatever the degrees of freedom: one record for every question.

A contrast ``L beta`` has variance ``L C L'``, which depends on covariance parameters that are estimated. The
methods differ in C and in how they allow for this:

- `satterthwaite`: the model's C; t and F with the moments of Satterthwaite (1946) and Fai & Cornelius (1996);
- `kenward_roger`, `kenward_roger_linear`: C adjusted, F scaled; see `kenward_roger`;
- `between_within`: the model's C; degrees of freedom counted; see `between_within`;
- `normal`: the model's C; z and chi-square.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.config.study import DegreesOfFreedom
from nestwise.design.record import Design
from nestwise.errors import Problem, Refusal
from nestwise.fit.between_within import between_within
from nestwise.fit.clusters import MarginalCovariance, lmm_covariance
from nestwise.fit.covariance_information import covariance_moments, parameter_covariance
from nestwise.fit.kenward_roger import adjusted_covariance, scaled_f
from nestwise.fit.satterthwaite import theta_moments

if TYPE_CHECKING:
    from nestwise.fit.state import LmmState

METHOD_WORDS: dict[str, str] = {
    "satterthwaite": "Satterthwaite",
    "kenward_roger": "Kenward-Roger",
    "kenward_roger_linear": "Kenward-Roger, linear",
    "between_within": "between-within",
    "normal": "normal",
}
"""The methods as tables and sentences name them."""


class FTest(NamedTuple):
    """An F test; `df_den` is infinite where the reference is chi-square over `df_num`.

    With hardly any groups no F distribution may have the moments that Kenward and Roger match: `df_den` is
    then not positive, and there is no p value.
    """

    statistic: float
    df_num: float
    df_den: float

    @property
    def p_value(self) -> float | None:
        """Upper tail; `None` without a reference distribution."""
        from scipy.special import chdtrc, fdtrc

        if self.df_den <= 0:
            return None
        if np.isinf(self.df_den):
            return float(chdtrc(self.df_num, self.statistic * self.df_num))
        return float(fdtrc(self.df_num, self.df_den, self.statistic))


@dataclass(frozen=True)
class FixedInference:
    """All that tests of the fixed effects need.

    Attributes
    ----------
    method : str
        A key of `METHOD_WORDS`.
    beta : ndarray (p,)
        Estimates.
    cov_beta : ndarray (p, p)
        Covariance to make standard errors from (adjusted under Kenward-Roger).
    cov_model : ndarray (p, p)
        Covariance before the adjustment.
    gradient : ndarray (r, p, p)
        Derivative of `cov_model` by each covariance parameter; empty where no method needs it.
    W : ndarray (r, r)
        Covariance of the covariance parameters' estimates.
    df_columns : ndarray (p,) or None
        Degrees of freedom of each column, where they are counted.
    """

    method: DegreesOfFreedom
    beta: FloatArray
    cov_beta: FloatArray
    cov_model: FloatArray
    gradient: FloatArray
    W: FloatArray
    df_columns: FloatArray | None = None

    @property
    def std_error(self) -> FloatArray:
        """Standard errors of the fixed effects (p,)."""
        return np.sqrt(np.diag(self.cov_beta))

    def t(self, L: FloatArray) -> FloatArray:
        """Degrees of freedom (k,) of the t statistic of each row of L (k, p); infinite for z."""
        if self.method == "normal":
            return np.full(L.shape[0], np.inf)
        if self.df_columns is not None:
            used = np.abs(L) > 1e-12 * np.abs(L).max(axis=1, keepdims=True)
            return np.where(used, self.df_columns, np.inf).min(axis=1)
        v = np.einsum("ka,ab,kb->k", L, self.cov_model, L)
        g = np.einsum("ka,rab,kb->kr", L, self.gradient, L)
        spread = np.einsum("kr,rs,ks->k", g, self.W, g)
        with np.errstate(divide="ignore"):
            df: FloatArray = 2 * v**2 / spread
        return df

    def df(self, L: FloatArray) -> FloatArray | None:
        """As `t`; `None` where the reference is normal, as the rows of z tests have it."""
        return None if self.method == "normal" else self.t(L)

    def F(self, L: FloatArray) -> FTest:  # noqa: N802 - the statistic's name
        """Joint test of ``L beta = 0`` for L (k, p); rows that follow from others do not count."""
        L = _independent(L)
        rank = L.shape[0]
        estimate = L @ self.beta
        statistic = float(estimate @ np.linalg.solve(L @ self.cov_beta @ L.T, estimate)) / rank
        if self.method == "normal" or self.df_columns is not None:
            return FTest(statistic, rank, float(self.t(L).min()))
        if self.method == "satterthwaite":
            values, vectors = np.linalg.eigh(L @ self.cov_beta @ L.T)
            return FTest(statistic, rank, fai_cornelius(self.t((vectors / np.sqrt(values)).T @ L)))
        scale, df = scaled_f(L, self.cov_model, self.gradient, self.W)
        return FTest(scale * statistic, rank, df)


def fai_cornelius(df: FloatArray) -> float:
    """Denominator degrees of freedom of a mean of squared t statistics with `df` (k,) each.

    The F distribution with the same mean; 2 where that mean does not exist. Source: Fai & Cornelius (1996),
    Journal of Statistical Computation and Simulation 54, as in lmerTest.
    """
    if np.ptp(df) < 1e-8 or df.size == 1:
        return float(df.mean())
    if (df <= 2).any():
        return 2.0
    mean = float((df / (df - 2)).sum()) if np.isfinite(df).all() else float(np.sum(1 / (1 - 2 / df)))
    return 2 * mean / (mean - df.size)


def _independent(L: FloatArray) -> FloatArray:
    """Rows (l, p) that span those of L (k, p)."""
    size = np.linalg.norm(L, axis=1)
    kept = L[size > 0] / size[size > 0, None]
    if not kept.size:
        raise Refusal(
            Problem("a contrast without a coefficient tests nothing", "", "name the columns to test")
        )
    _, values, rows = np.linalg.svd(kept, full_matrices=False)
    rank = int((values > 1e-10 * values[0]).sum())
    return kept if rank == kept.shape[0] else rows[:rank]


def method_name(design: Design, df: DegreesOfFreedom) -> str:
    """Criterion, and the method of the degrees of freedom unless it is Satterthwaite's."""
    criterion = "REML" if design.reml else "ML"
    return criterion if df == "satterthwaite" else f"{criterion} ({METHOD_WORDS[df]})"


def fixed_effect_inference(design: Design, state: LmmState, method: DegreesOfFreedom) -> FixedInference:
    """Inference about the fixed effects of a linear mixed model.

    Parameters
    ----------
    design : Design
        The model, without a residual covariance.
    state : LmmState
        Its maximised likelihood: `compressed`, `optimum` and `solution` are read.
    method : str
        `satterthwaite`, `kenward_roger`, `kenward_roger_linear`, `between_within` or `normal`.

    Raises
    ------
    Refusal
        Kenward-Roger of a fit by ML, or with clusters too large for it; between-within for crossed factors.
    """
    solution = state.solution
    if method == "satterthwaite":  # by (theta, sigma): any number of rows, and no obstacle on the boundary
        W, gradient = theta_moments(state.compressed, state.optimum, reml=solution.reml)
        return FixedInference(method, solution.beta, solution.cov_beta, solution.cov_beta, gradient, W)
    marginal = None
    if method not in {"between_within", "normal"}:
        words = METHOD_WORDS[method]
        marginal = lmm_covariance(design, solution.Sigma, solution.sigma, what=f"The method of {words}")
    return marginal_inference(design, solution.beta, solution.cov_beta, marginal, method)


def marginal_inference(
    design: Design,
    beta: FloatArray,
    cov_beta: FloatArray,
    marginal: MarginalCovariance | None,
    method: DegreesOfFreedom,
) -> FixedInference:
    """Inference about the fixed effects of any Gaussian model with a marginal covariance.

    Under Kenward-Roger the covariance parameters' estimates have the inverse of the expected information as
    their covariance (as pbkrtest), with a residual covariance that of the observed one (as mmrm).

    Parameters
    ----------
    design : Design
        The model.
    beta : ndarray (p,)
        Fixed effects.
    cov_beta : ndarray (p, p)
        Their covariance with V known.
    marginal : MarginalCovariance or None
        V and its derivatives; not needed for `between_within` and `normal`.
    method : str
        As in `fixed_effect_inference`.

    Raises
    ------
    Refusal
        See `fixed_effect_inference`.
    """
    p = beta.size
    none = np.zeros((0, p, p)), np.zeros((0, 0))
    if method == "normal":
        return FixedInference(method, beta, cov_beta, cov_beta, *none)
    if method == "between_within":
        return FixedInference(method, beta, cov_beta, cov_beta, *none, between_within(design))
    if marginal is None:
        raise ValueError(f"{method} needs the marginal covariance")
    adjusted = method != "satterthwaite"
    if adjusted and not design.reml:
        problem = Problem(
            "Kenward and Roger's method is made for REML, and this model is fitted by maximum likelihood",
            design.formula,
            "set `reml: true`, or use `df: satterthwaite`",
        )
        raise Refusal(problem)
    moments = covariance_moments(marginal, design.X, design.y_less_offset - design.X @ beta, reml=design.reml)
    expected = adjusted and marginal.linear and design.residual is None
    W = parameter_covariance(moments.expected if expected else moments.observed)
    if adjusted:
        cov_beta = adjusted_covariance(moments, W, linear=method == "kenward_roger_linear")
    return FixedInference(method, beta, cov_beta, moments.Phi, moments.gradient, W)
