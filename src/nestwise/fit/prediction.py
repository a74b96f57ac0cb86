"""Predictions with intervals: for a known group, a new group and the typical group.

The three are different questions:

- a *known* group of the data: its predicted random effects are used, with their uncertainty;
- a *new* group: its random effects are drawn from the estimated distribution;
- the *typical* group: its random effects are 0. That is a reference, not a population average.

A confidence interval is for the expected outcome of such a group, a prediction interval for one new row in
it. With (x, z) a row, C the covariance of beta and s^2 the residual variance, the variances of the error are

- typical: ``x'C x``; new: ``x'C x + z'Sigma z``;
- known: ``(x + D'z)'C (x + D'z) + z'cov(b | y, beta) z``, D the derivative of the predicted effects by beta;

and s^2 more for a row. That Sigma and sigma are estimated is minded by the degrees of freedom of the t
quantile: ``2 v^2 / (g'W g)`` with v the variance, g its gradient by (theta, sigma) and W their covariance
(Satterthwaite), which for a new group among few is far from the normal.
Sources: Henderson (1975), Biometrics 31; Satterthwaite (1946); McLean, Sanders & Stroup (1991), The American
Statistician 45.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.record import Design
from nestwise.fit.satterthwaite import theta_moments
from nestwise.fit.state import LmmState
from nestwise.likelihood.crossed import CrossedProducts
from nestwise.likelihood.crossed_equations import CrossedReduced
from nestwise.likelihood.factorisation import solve
from nestwise.likelihood.gaussian import Equations, criterion, reduce
from nestwise.likelihood.products import Products

ENDLESS = 1e10
"""So many degrees of freedom that t is z to the last digit."""
STEP = 1e-5
"""Relative step of central differences of exact values: errors of 1e-10, rounding and curvature alike."""
AT_ONCE = 10_000_000
"""Numbers of the right-hand sides of known rows held in memory together."""

Whom = Literal["known", "new", "typical"]
"""The group that a prediction is for."""


@dataclass(frozen=True)
class NewRows:
    """Rows to predict, with the columns of the design.

    Attributes
    ----------
    X : ndarray (m, p)
        Fixed part.
    Z : ndarray (m, q)
        Columns of all varying coefficients, in the order of `Design.varying`.
    codes : mapping of str to ndarray (m,)
        Group of each row by the name of the factor; -1 stands for a group that is not in the data, whose
        effects of this factor are drawn. Needed for known groups only; a factor left out is new.
    offset : ndarray (m,) or None
        Known part of the outcome.
    residual_scale : ndarray (m,) or None
        Residual standard deviation of each row as a multiple of sigma: ``1 / sqrt(w)`` under prior weights.
        Under known sampling errors it is the error itself. 1 by default.
    """

    X: FloatArray
    Z: FloatArray
    codes: Mapping[str, IntArray] | None = None
    offset: FloatArray | None = None
    residual_scale: FloatArray | None = None


@dataclass(frozen=True)
class Prediction:
    """Predictions of m rows, on the scale of the outcome.

    Attributes
    ----------
    whom : str
        `known`, `new` or `typical` group.
    estimate : ndarray (m,)
    std_error : ndarray (m,)
        Of the expected outcome of the group.
    df : ndarray (m,)
        Degrees of freedom of its interval.
    lower, upper : ndarray (m,)
        Confidence interval: where the expected outcome of the group lies.
    row_error, row_df : ndarray (m,)
        The same for one new row.
    row_lower, row_upper : ndarray (m,)
        Prediction interval: where a new row in the group lies.
    level : float
        Coverage.
    """

    whom: Whom
    estimate: FloatArray
    std_error: FloatArray
    df: FloatArray
    lower: FloatArray
    upper: FloatArray
    row_error: FloatArray
    row_df: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    level: float

    @property
    def frame(self) -> pl.DataFrame:
        """One row a prediction; infinite degrees of freedom are null."""
        names = ("estimate", "std_error", "df", "lower", "upper")
        rows = ("row_error", "row_df", "row_lower", "row_upper")
        columns = {name: getattr(self, name) for name in (*names, *rows)}
        frame = pl.DataFrame({"whom": [self.whom] * self.estimate.size} | columns)
        finite = [
            pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in ("df", "row_df")
        ]
        return frame.with_columns(*finite, pl.lit(self.level).alias("level"))


def design_rows(design: Design, rows: Sequence[int] | IntArray | None = None) -> NewRows:
    """Rows of the data as rows to predict.

    Parameters
    ----------
    design : Design
        The model.
    rows : sequence of int, optional
        Places among the analysis rows; all by default.
    """
    at = np.arange(design.n) if rows is None else np.asarray(rows, dtype=np.int64)
    scale = design.sampling_error
    if scale is None and design.weights is not None:
        scale = 1 / np.sqrt(design.weights)
    return NewRows(
        X=design.X[at],
        Z=design.Z[at],
        codes={factor.group: factor.codes[at] for factor in design.factors},
        offset=None if design.offset is None else design.offset[at],
        residual_scale=None if scale is None else scale[at],
    )


def predict(
    design: Design, state: LmmState, rows: NewRows, whom: Whom = "new", level: float = 0.95
) -> Prediction:
    """Predict rows of a known, a new or the typical group.

    Parameters
    ----------
    design : Design
        The model; one group of each factor a row, no residual covariance.
    state : LmmState
        Its fit.
    rows : NewRows
        Where to predict.
    whom : str
        For which group.
    level : float
        Coverage of both intervals.

    Raises
    ------
    ValueError
        For known groups without codes.
    """
    from scipy.special import stdtrit

    if whom == "known" and rows.codes is None:
        raise ValueError("a known group needs its code")
    m, solution = rows.X.shape[0], state.solution
    codes = np.full((m, len(design.factors)), -1)
    for f, factor in enumerate(design.factors):
        if whom == "known" and factor.group in (rows.codes or {}):
            codes[:, f] = (rows.codes or {})[factor.group]
    estimate = rows.X @ solution.beta if rows.offset is None else rows.X @ solution.beta + rows.offset
    for f, effects in enumerate(solution.effects):
        known = codes[:, f] >= 0
        Z = rows.Z[np.ix_(known, effects.columns)]
        estimate[known] += np.einsum("iq,iq->i", Z, effects.b[codes[known, f]])
    v, df = _variances(design, state, rows, codes, drawn=whom != "typical")
    error = np.sqrt(v)
    half = stdtrit(np.minimum(df, ENDLESS), (1 + level) / 2) * error
    return Prediction(
        whom=whom,
        estimate=estimate,
        std_error=error[0],
        df=df[0],
        lower=estimate - half[0],
        upper=estimate + half[0],
        row_error=error[1],
        row_df=df[1],
        row_lower=estimate - half[1],
        row_upper=estimate + half[1],
        level=level,
    )


def _variances(
    design: Design, state: LmmState, rows: NewRows, codes: IntArray, *, drawn: bool
) -> tuple[FloatArray, FloatArray]:
    """Variances and degrees of freedom (2, m) of the group's expected outcome and of one row."""
    products, theta, reml = state.products, state.optimum.theta, design.reml
    known = bool((codes >= 0).any())
    lighter = products if known else state.compressed
    residual = 1.0 if rows.residual_scale is None else rows.residual_scale**2

    def at(point: FloatArray) -> FloatArray:
        of_group = _group_variance(lighter, point[:-1], rows, codes, drawn=drawn) * point[-1] ** 2
        return np.stack([of_group, of_group + (point[-1] * products.scale) ** 2 * residual])

    sigma = criterion(state.compressed, products.pattern.matrix(theta), reml=reml).sigma
    W, _ = theta_moments(state.compressed, state.optimum, reml=reml)
    point = np.append(theta, sigma)
    v = at(point)
    gradient = np.empty((W.shape[0], *v.shape))
    for i in range(W.shape[0]):
        step = np.zeros_like(point)
        step[i] = STEP * max(abs(point[i]), 0.1)
        gradient[i] = (at(point + step) - at(point - step)) / (2 * step[i])
    spread = np.einsum("ram,rs,sam->am", gradient, W, gradient)
    df = np.full(v.shape, np.inf)
    np.divide(2 * v**2, spread, out=df, where=spread > 2 * v**2 / ENDLESS)
    return v, df


def _group_variance(
    products: Products, theta: FloatArray, rows: NewRows, codes: IntArray, *, drawn: bool
) -> FloatArray:
    """Variance of the error of the group's expected outcome (m,), over the working sigma^2."""
    reduced = reduce(products, products.pattern.matrix(theta))
    X = rows.X @ products.T_X
    U = rows.Z @ products.T_Z @ reduced.Lambda  # coefficients of effects of unit variance
    inside = np.zeros(X.shape[0])
    if isinstance(reduced, CrossedReduced):
        assert isinstance(products, CrossedProducts)
        columns = [columns for _, columns, _ in products.factors]
    else:
        columns = [tuple(range(products.q))]
    if drawn:
        for f, mine in enumerate(columns):
            inside += np.where(codes[:, f] < 0, (U[:, mine] ** 2).sum(axis=1), 0.0)
    known = np.flatnonzero((codes >= 0).any(axis=1))
    for part in np.array_split(known, max(1, known.size * products.B.shape[0] // AT_ONCE)):
        through, conditional = _conditional(reduced, U[part], codes[part])
        X[part] -= through
        inside[part] += conditional
    spread = np.einsum("ia,ab,ib->i", X, reduced.XX_inverse, X, optimize=True)
    total: FloatArray = products.scale**2 * (spread + inside)
    return total


def _conditional(reduced: Equations, U: FloatArray, codes: IntArray) -> tuple[FloatArray, FloatArray]:
    """How rows follow beta through their groups' predicted effects (m, p), and the effects' variance (m,)."""
    if isinstance(reduced, CrossedReduced):
        products = reduced.products
        Y = np.zeros((reduced.K.shape[0], U.shape[0]))
        for f, (_, columns, _) in enumerate(products.factors):
            known = np.flatnonzero(codes[:, f] >= 0)
            at, root = products.spans[f], products.relation(f)
            for a, column in enumerate(columns):
                places = slice(at.start + a, at.stop, len(columns))  # of coefficient a, group by group
                own = Y[places]
                own[codes[known, f], known] = U[known, column]
                if root is not None:
                    own[:, known] = root.T @ own[:, known]
        conditional = np.einsum("ui,ui->i", Y, solve(products.elimination, reduced.root, Y.copy()))
        return Y.T @ reduced.K[:, :-1], conditional
    group = codes[:, 0]
    conditional = np.einsum("ia,iab,ib->i", U, reduced.M_inverse[group], U)
    return np.einsum("ia,iap->ip", U, reduced.K[group][:, :, :-1]), conditional
