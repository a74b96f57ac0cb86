"""The Gaussian likelihood with a residual covariance inside subjects, with or without random effects.

``V = blockdiag(Z_j Lambda Lambda' Z_j') + R(phi)``, where each group j of the one grouping factor holds
whole subjects. Parameters are ``(phi, lambda)``: those of `residual`, then the free elements of Lambda
(absolute, not relative to a residual variance, of which there may be several). Rows and columns are those of
`working`.

With the columns whitened by R (``A_j = Z_j'R^-1 Z_j``, ``B_j = Z_j'R^-1 [X_j, y_j]``), the algebra is that of
`gaussian`: ``M_j = I + Lambda'A_j Lambda``, ``K_j = M_j^-1 Lambda'B_j``, ``S = G - sum B_j'Lambda K_j``, and

    deviance = log|R| + sum_j log|M_j| + r2 + m log 2 pi + [REML] log|S_XX|.

Its derivative by phi is that of ``log|R| + tr(Y'R^-1 Y)`` with the columns

    Y = (e, [REML] (X - Z Lambda K_X) S_XX^(-1/2), Z Lambda M^(-1/2)),  e = (y - X beta) - Z b,

held fixed, because ``tr(V^-1 dR) = tr(R^-1 dR) - tr(M^-1 Lambda'Z'R^-1 dR R^-1 Z Lambda)``. Sources:
Harville (1977), Journal of the American Statistical Association 72; Pinheiro & Bates (2000), chapters 2
and 5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.record import Design
from nestwise.likelihood.frames import Frames, frames, pooled_subjects
from nestwise.likelihood.residual import ResidualModel, residual_model
from nestwise.likelihood.whitening import Whitening
from nestwise.likelihood.working import Working, working_rows


@dataclass(frozen=True)
class MarginalData:
    """The data of a model with a residual covariance, sorted; see `working` for the way back.

    Attributes
    ----------
    model : ResidualModel
        The residual covariance.
    layout : Frames
        Subjects and frames.
    W : ndarray (n', p + 1)
        [X, y], sorted; made-up subjects without random effects.
    Z : ndarray (n', q)
        Columns of the random effects, sorted.
    group_starts : ndarray (J,)
        First row of each group.
    codes : ndarray (J,)
        Group of the design that each is.
    n, p : int
        Rows and fixed effects.
    working : Working
        The way back.
    """

    model: ResidualModel
    layout: Frames
    W: FloatArray
    Z: FloatArray
    group_starts: IntArray
    codes: IntArray
    n: int
    p: int
    working: Working

    @property
    def k(self) -> int:
        """Number of covariance parameters."""
        return self.model.k + self.working.pattern.k

    @property
    def q(self) -> int:
        """Random effects per group."""
        return int(self.Z.shape[1])

    @property
    def group_of_row(self) -> IntArray:
        """Group of each row, in order of `group_starts`."""
        sizes = np.diff(np.append(self.group_starts, self.Z.shape[0]))
        return np.repeat(np.arange(self.group_starts.shape[0]), sizes)


@dataclass(frozen=True)
class Marginal:
    """The likelihood at given parameters, working scale.

    Attributes
    ----------
    value : float
        Deviance (minus twice the log-likelihood, restricted or not) of the working data.
    gradient : ndarray (k,)
        Its derivatives.
    beta : ndarray (p,)
        Generalised least squares.
    XX_inverse : ndarray (p, p)
        Covariance of beta.
    Lambda : ndarray (q, q)
        Factor of the covariance of the random effects.
    M_inverse, K : ndarray (J, q, q) and (J, q, p + 1)
        As in the module.
    E : ndarray (J, q, p + 1)
        ``B_j - A_j Lambda K_j``: Z_j'V_j^-1 [X_j, y_j].
    """

    value: float
    gradient: FloatArray
    beta: FloatArray
    XX_inverse: FloatArray
    Lambda: FloatArray
    M_inverse: FloatArray
    K: FloatArray
    E: FloatArray


@dataclass(frozen=True)
class _Reduced:
    """The equations solved, and the sorted columns divided by the scale of each row."""

    whitening: Whitening
    W: FloatArray
    Z: FloatArray
    S: FloatArray
    Lambda: FloatArray
    M_inverse: FloatArray
    K: FloatArray
    E: FloatArray
    AL: FloatArray
    log_det: float


def marginal_data(design: Design) -> MarginalData:
    """Sort a design with a residual covariance into the form the likelihood wants.

    Parameters
    ----------
    design : Design
        With `residual`; random terms on no or one grouping factor whose groups hold whole subjects.

    Raises
    ------
    Refusal
        See `working_rows`.
    """
    residual = design.residual
    assert residual is not None
    model = residual_model(residual, design.weights)
    working = working_rows(replace(design, weights=None))  # weights scale the residuals here, not the rows
    clusters = design.random[0].codes if design.random else None
    subjects = residual.subjects if model.structure != "independent" else np.arange(design.n)
    scaling = np.column_stack([model.columns, model.offset])
    layout = frames(subjects, residual.visits, residual.strata, scaling, clusters)
    W = working.W[layout.order]
    if clusters is None:
        layout, W = pooled_subjects(layout, W)
        Z, starts, codes = np.zeros((W.shape[0], 0)), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    else:
        Z = np.column_stack(working.Z)[layout.order]
        sorted_codes = clusters[layout.order]
        starts = np.flatnonzero(np.append(True, np.diff(sorted_codes) != 0))
        codes = sorted_codes[starts]
    return MarginalData(model, layout, W, Z, starts, codes, design.n, W.shape[1] - 1, working)


def marginal(data: MarginalData, parameters: FloatArray, *, reml: bool) -> Marginal:
    """Deviance and its exact gradient at parameters (k,).

    Raises
    ------
    numpy.linalg.LinAlgError
        If a covariance is not positive definite in rounding.
    """
    p = data.p
    reduced = _reduce(data, parameters)
    S = reduced.S
    root = np.linalg.cholesky(S[:p, :p])
    half = np.linalg.inv(root)
    XX_inverse = half.T @ half
    beta = XX_inverse @ S[:p, p]
    r2 = float(S[p, p] - S[:p, p] @ beta)
    m = data.n - p if reml else data.n
    value = reduced.log_det + r2 + m * np.log(2 * np.pi)
    v = np.append(-beta, 1.0)
    directions = v[:, None]
    if reml:
        value += 2 * np.log(np.diag(root)).sum()
        directions = np.column_stack([v, np.vstack([half.T, np.zeros((1, p))])])
    by_phi = _by_phi(data, reduced, directions)
    return Marginal(
        value=float(value),
        gradient=np.append(by_phi, _by_lambda(data, reduced, directions)),
        beta=beta,
        XX_inverse=XX_inverse,
        Lambda=reduced.Lambda,
        M_inverse=reduced.M_inverse,
        K=reduced.K,
        E=reduced.E,
    )


def variance_gradient(
    data: MarginalData, parameters: FloatArray, at: Marginal, contrasts: FloatArray
) -> FloatArray:
    """Derivative (c, k) of the variance of contrasts of the fixed effects by all parameters.

    Parameters
    ----------
    data, parameters, at
        The likelihood and where it was evaluated.
    contrasts : ndarray (p, c)
        Of the working fixed effects, one a column.
    """
    reduced = _reduce(data, parameters)
    directions = np.vstack([at.XX_inverse @ contrasts, np.zeros((1, contrasts.shape[1]))])
    Y = _columns(data, reduced, directions)
    by_phi = -_quadratic(data, reduced, Y)
    pattern = data.working.pattern
    along = at.E @ directions  # (J, q, c)
    by_Lambda = 2 * np.einsum("jac,jbc->cab", along, along) @ at.Lambda
    return np.column_stack([by_phi.T, by_Lambda[:, pattern.rows, pattern.cols]])


def constant(data: MarginalData, *, reml: bool) -> float:
    """What to add to `Marginal.value` to have it for the outcome and the columns of the formula."""
    m = data.n - data.p if reml else data.n
    value = 2 * m * np.log(data.working.scale)
    if reml and data.p:
        value -= 2 * np.linalg.slogdet(data.working.T_X)[1]
    return float(value)


def _reduce(data: MarginalData, parameters: FloatArray) -> _Reduced:
    model, layout, p = data.model, data.layout, data.p
    phi = parameters[: model.k]
    scale = model.scale(phi, layout.first)
    repeats = layout.counts[layout.frame_of_row]
    whitening = model.whitening(phi, layout)
    log_det = 2 * float(repeats @ np.log(scale)) + whitening.log_det
    each = scale[layout.rows][:, None]
    W, Z = data.W / each, data.Z / each
    white = whitening.whiten(np.concatenate([Z, W], axis=1) if data.q else W)
    white_Z, white_W = white[:, : data.q], white[:, data.q :]
    S = white_W.T @ white_W
    J, q = data.group_starts.shape[0], data.q
    if not q:
        nothing = np.zeros((0, 0, p + 1))
        return _Reduced(
            whitening,
            W,
            Z,
            S,
            np.zeros((0, 0)),
            np.zeros((0, 0, 0)),
            nothing,
            nothing,
            np.zeros((0, 0, 0)),
            log_det,
        )
    Lambda = data.working.pattern.matrix(parameters[model.k :])
    A, B = np.empty((J, q, q)), np.empty((J, q, p + 1))
    for a in range(q):
        products = np.add.reduceat(white_Z[:, a, None] * white, data.group_starts, axis=0)
        A[:, a], B[:, a] = products[:, :q], products[:, q:]
    AL = A @ Lambda
    factor = np.linalg.cholesky(np.eye(q) + Lambda.T @ AL)
    inverse = np.linalg.inv(factor)
    M_inverse = np.swapaxes(inverse, 1, 2) @ inverse
    LB = Lambda.T @ B
    K = M_inverse @ LB
    S = S - np.tensordot(LB, K, axes=((0, 1), (0, 1)))
    log_det += 2 * float(np.log(np.diagonal(factor, axis1=1, axis2=2)).sum())
    return _Reduced(whitening, W, Z, S, Lambda, M_inverse, K, B - AL @ K, AL, log_det)


def _columns(data: MarginalData, reduced: _Reduced, directions: FloatArray) -> FloatArray:
    """``(W - Z Lambda K) directions`` (n', c), divided by the scale."""
    Y = reduced.W @ directions
    if data.q:
        effects = reduced.Lambda @ (reduced.K @ directions)
        Y = Y - np.einsum("ia,iac->ic", reduced.Z, effects[data.group_of_row])
    return Y


def _quadratic(data: MarginalData, reduced: _Reduced, Y: FloatArray) -> FloatArray:
    """Derivatives (k_phi, c) of ``diag(Y'R^-1 Y)``; Y is divided by the scale already."""
    whitened = reduced.whitening.whiten(Y)
    solved = reduced.whitening.back(whitened)
    by_row = Y * solved
    columns = data.model.columns[data.layout.first]
    rows = data.layout.rows
    if rows.shape[0] > 2 * columns.shape[0]:
        gathered = [np.bincount(rows, column, columns.shape[0]) for column in by_row.T]
        by_scale = -2 * columns.T @ np.column_stack(gathered)
    else:
        by_scale = -2 * columns[rows].T @ by_row
    return np.concatenate([by_scale, reduced.whitening.gradient(Y, whitened, solved)])


def _by_phi(data: MarginalData, reduced: _Reduced, directions: FloatArray) -> FloatArray:
    """Derivative of the deviance by phi."""
    layout = data.layout
    Y = _columns(data, reduced, directions)
    if data.q:
        roots = np.linalg.cholesky(reduced.M_inverse)
        Y = np.column_stack(
            [Y, np.einsum("ia,iab->ib", reduced.Z, (reduced.Lambda @ roots)[data.group_of_row])]
        )
    repeats = layout.counts[layout.frame_of_row]
    log_det = np.concatenate([2 * repeats @ data.model.columns[layout.first], reduced.whitening.d_log_det])
    return log_det + _quadratic(data, reduced, Y).sum(axis=1)


def _by_lambda(data: MarginalData, reduced: _Reduced, directions: FloatArray) -> FloatArray:
    """Derivative of the deviance by the free elements of Lambda."""
    pattern = data.working.pattern
    if not data.q:
        return np.zeros(0)
    along_E, along_K = reduced.E @ directions, reduced.K @ directions
    by_Lambda = 2 * (reduced.AL @ reduced.M_inverse).sum(axis=0)
    by_Lambda -= 2 * np.einsum("jac,jbc->ab", along_E, along_K)
    return pattern.elements(by_Lambda)
