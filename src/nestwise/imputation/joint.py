"""The joint model: all incomplete variables at once, as one multivariate mixed model.

Rows i of group j have r variables, ``y_i = B'x_i + (I_r kron z_i') b_j + e_i``, ``e_i ~ N(0, Sigma)``; groups
have s variables of their own, ``y2_j = B2'x2_j + u_j``, and ``(b_j, u_j) ~ N(0, Psi)`` ties the levels
together. Categories are seen through latent normal variables (`joint_latent`): a binary variable is 1 where
its latent variable is positive, an ordinal one falls between thresholds, a nominal one with K categories has
K - 1 of them and is the largest that is positive, else the last category. Priors: flat for B and B2, inverse
Wishart for Psi and for Sigma (its continuous part given the latent one, whose variances are 1).

Sources: Schafer & Yucel (2002), Journal of Computational and Graphical Statistics 11 (pan); Carpenter &
Kenward (2013), Multiple Imputation and its Application, chapters 4, 5 and 9 (jomo).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from nestwise.arrays import BoolArray, FloatArray, IntArray
from nestwise.errors import Problem, Refusal

if TYPE_CHECKING:
    from nestwise.imputation.joint_steps import Sampler

Kind = Literal["continuous", "binary", "ordinal", "nominal"]
LOOK = 50
"""Iterations from one look at the imputed values to the next."""


@dataclass(frozen=True)
class JointData:
    """Incomplete variables and what they are predicted from.

    Attributes
    ----------
    Y : ndarray (n, r)
        Variables, NaN where missing; categories as 0 .. K-1.
    kinds : tuple of str, length r
        continuous | binary | ordinal | nominal.
    X, Z : ndarray (n, p), (n, q)
        Complete predictors; those whose effects vary by group.
    codes : ndarray (n,)
        Group of each row, 0 .. J-1; every group has rows.
    Y2 : ndarray (J, s)
        Continuous variables of the groups, NaN where missing; s may be 0.
    X2 : ndarray (J, p2)
        Their complete predictors.
    names : tuple of str
        Of the r variables and the s of the groups, for refusals.
    """

    Y: FloatArray
    kinds: tuple[Kind, ...]
    X: FloatArray
    Z: FloatArray
    codes: IntArray
    Y2: FloatArray
    X2: FloatArray
    names: tuple[str, ...]


@dataclass(frozen=True)
class JointPrior:
    """Inverse Wishart priors, by degrees of freedom and scale matrix (the sum of squares they stand for).

    Attributes
    ----------
    df, scale : float, ndarray (r, r)
        Of Sigma; with categorical variables, of the continuous part given the latent one.
    df_random, scale_random : float, ndarray (r q + s, r q + s)
        Of Psi, random effects variable by variable.
    """

    df: float
    scale: FloatArray
    df_random: float
    scale_random: FloatArray


@dataclass(frozen=True)
class JointDraws:
    """m imputations and the traces of the parameters.

    Attributes
    ----------
    cells : ndarray (c, 2)
        Row and column of each missing value of Y; `values` (m, c) are its draws.
    cells2, values2 : ndarray (c2, 2), (m, c2)
        The same of Y2.
    B, Sigma, Psi : ndarray (iterations, ...)
        Parameters after each iteration, those before the first imputation included; latent columns in place
        of categories.
    means, sds : ndarray (looks, r + s)
        Of the imputed values of each variable, every `LOOK` iterations; 0 where it has no gaps.
    """

    cells: IntArray
    values: FloatArray
    cells2: IntArray
    values2: FloatArray
    B: FloatArray
    Sigma: FloatArray
    Psi: FloatArray
    means: FloatArray
    sds: FloatArray


def weak_prior(Y: FloatArray, q: int, Y2: FloatArray) -> JointPrior:
    """The flattest proper prior: as many degrees of freedom as variables, a tenth of their variances.

    Parameters
    ----------
    Y : ndarray (n, r)
        Variables, or the latent ones in their places.
    q : int
        Random effects of each.
    Y2 : ndarray (J, s)
        Variables of the groups.
    """
    variance, of_groups = np.nanvar(Y, axis=0), np.nanvar(Y2, axis=0)
    random = np.concatenate([np.repeat(variance, q), of_groups])
    return JointPrior(float(variance.size), np.diag(variance) / 10, float(random.size), np.diag(random) / 10)


def impute_joint(
    data: JointData,
    m: int,
    seed: int,
    *,
    burn: int = 1000,
    between: int = 100,
    prior: JointPrior | None = None,
) -> JointDraws:
    """Draw m imputations from the joint model.

    One chain: the first k imputations are the same however many are drawn.

    Parameters
    ----------
    data : JointData
        What is incomplete.
    m : int
        Imputations.
    seed : int
        Of the stream, from `seeds.seed_for`.
    burn, between : int
        Iterations before the first imputation and from one to the next.
    prior : JointPrior, optional
        Default: `weak_prior`.

    Raises
    ------
    Refusal
        Variables without any value or without variation, predictors that are incomplete or follow from each
        other, groups without rows.
    """
    from nestwise.imputation.joint_steps import gibbs  # compiled code: slow to import

    refuse_joint(data)
    rng = np.random.default_rng(seed)
    order = np.argsort(data.codes, kind="stable")
    at = _sampler(data, order, prior, rng)
    gaps, gaps2 = np.isnan(data.Y), np.isnan(data.Y2)
    cells, cells2 = np.argwhere(gaps), np.argwhere(gaps2)
    total = burn + (m - 1) * between
    traces = tuple(np.empty((total, *each.shape)) for each in (at.B, at.Sigma, at.Psi))
    values, values2 = np.empty((m, len(cells))), np.empty((m, len(cells2)))
    back, done, looks = np.argsort(order, kind="stable"), 0, []
    for k in range(m):
        until = burn + k * between
        while done < until:
            steps = min(LOOK, until - done)
            gibbs(steps, at, tuple(trace[done : done + steps] for trace in traces), rng)
            done += steps
            Y = at.Y.T if at.latent is None else at.latent.categories(at.Y.T)
            looks.append(_look(Y, gaps[order], at.Y2, gaps2))
        values[k], values2[k] = Y[back][gaps], at.Y2[gaps2]
    (B, Sigma, Psi), seen = traces, np.array(looks)
    return JointDraws(cells, values, cells2, values2, B, Sigma, Psi, seen[:, 0], seen[:, 1])


def _look(Y: FloatArray, gaps: BoolArray, Y2: FloatArray, gaps2: BoolArray) -> list[list[float]]:
    """Mean and standard deviation of the imputed values of each variable."""
    columns = [*zip(Y.T, gaps.T, strict=True), *zip(Y2.T, gaps2.T, strict=True)]
    imputed = [column[gone] for column, gone in columns]
    return [
        [float(each.mean()) if each.size else 0.0 for each in imputed],
        [float(each.std()) if each.size else 0.0 for each in imputed],
    ]


def refuse_joint(data: JointData) -> None:
    """Refuse data the joint model cannot be fitted to, all problems at once."""
    problems = []
    r = data.Y.shape[1]
    for at, name in enumerate(data.names):
        column = data.Y[:, at] if at < r else data.Y2[:, at - r]
        seen = column[~np.isnan(column)]
        if not seen.size:
            problems.append(
                Problem(f"{name} has no value at all", name, "leave it out of the imputation model")
            )
        elif np.ptp(seen) == 0:
            problems.append(Problem(f"{name} is the same wherever it is known", name, "leave it out"))
    for what, matrix in (
        ("predictors", data.X),
        ("varying predictors", data.Z),
        ("predictors of groups", data.X2),
    ):
        if not np.isfinite(matrix).all():
            problems.append(
                Problem(f"{what} of the imputation model are incomplete", what, "impute them too")
            )
        elif matrix.size and np.linalg.matrix_rank(matrix) < matrix.shape[1]:
            way_out = "leave out what follows from the others"
            problems.append(Problem(f"{what} of the imputation model follow from each other", what, way_out))
    for name, kind, column in zip(data.names, data.kinds, data.Y.T, strict=False):
        found = np.unique(column[~np.isnan(column)])
        if kind != "continuous" and found.size and not np.array_equal(found, np.arange(found.size)):
            what = f"the categories of {name} are not numbered 0, 1, ... with none left out"
            problems.append(Problem(what, name, "leave out categories that never occur"))
        elif kind == "binary" and found.size > 2:
            problems.append(
                Problem(f"{name} has {found.size} categories", name, "call it ordinal or nominal")
            )
    if data.codes.size and (np.bincount(data.codes) == 0).any():
        problems.append(Problem("a group has no rows", "groups", "number the groups that have rows"))
    if problems:
        raise Refusal(problems)


def _sampler(data: JointData, order: IntArray, prior: JointPrior | None, rng: np.random.Generator) -> Sampler:
    """Starting values: gaps filled from each variable's own values, half of the variance to each level."""
    from nestwise.imputation.joint_latent import latent_start
    from nestwise.imputation.joint_steps import Sampler, gaps_of

    Y, X, Z = (np.ascontiguousarray(each[order], dtype=float) for each in (data.Y, data.X, data.Z))
    latent, missing = None, np.isnan(Y)
    if any(kind != "continuous" for kind in data.kinds):
        latent, Y, missing = latent_start(Y, data.kinds, rng)
    Y2, X2 = np.array(data.Y2, dtype=float, order="C"), np.ascontiguousarray(data.X2, dtype=float)
    prior = prior or weak_prior(Y, Z.shape[1], Y2)
    Y, missing2 = _filled(Y, rng), np.isnan(Y2)
    Y2 = _filled(Y2, rng)
    J, q, r, s = Y2.shape[0], Z.shape[1], Y.shape[1], Y2.shape[1]
    starts = np.searchsorted(data.codes[order], np.arange(J + 1)).astype(np.int64)
    variance = Y.var(axis=0)
    Sigma = np.diag(variance / 2)
    B2 = np.linalg.lstsq(X2, Y2, rcond=None)[0] if s else np.zeros((X2.shape[1], 0))
    return Sampler(
        Y=np.ascontiguousarray(Y.T),
        X=np.ascontiguousarray(X.T),
        Z=np.ascontiguousarray(Z.T),
        starts=starts,
        ZZ=np.array([Z[a:b].T @ Z[a:b] for a, b in pairwise(starts)]),
        XX=X.T @ X,
        root=_inverse_root(X),
        Y2=Y2,
        X2=X2,
        root2=_inverse_root(X2) if s else np.zeros((0, 0)),
        gaps=gaps_of(missing),
        gaps2=gaps_of(missing2),
        B=np.linalg.lstsq(X, Y, rcond=None)[0],
        B2=B2,
        b=np.zeros((J, r * q)),
        u=Y2 - X2 @ B2 if s else np.zeros((J, 0)),
        Sigma=Sigma if latent is None else latent.start(Sigma),
        Psi=np.diag(np.concatenate([np.repeat(variance / 2, q), Y2.var(axis=0)])),
        df=float(prior.df),
        scale=prior.scale,
        df_random=float(prior.df_random),
        scale_random=prior.scale_random,
        latent=latent,
    )


def _filled(Y: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Gaps filled with values of the same column."""
    found = Y.copy()
    for column in found.T:
        gone = np.isnan(column)
        if gone.any():
            column[gone] = rng.choice(column[~gone], gone.sum())
    return found


def _inverse_root(X: FloatArray) -> FloatArray:
    """R^-1 with ``R^-1 R^-1' = (X'X)^-1``."""
    return np.ascontiguousarray(np.linalg.inv(np.linalg.qr(X, mode="r")))
