"""What a simulated outcome changes in the cross-products, drawn without drawing its rows.

Given the design, the likelihood depends on an outcome through ``Z_j'y``, ``X'y`` and ``y'y`` only. With
``y = X beta + Z b + sigma e`` these follow from b and from ``Z_j'e``, ``X'e`` and ``e'e``, whose joint
distribution is known: ``Z_j'e ~ N(0, A_j)``; ``X'e`` given them is normal with mean
``sum_j B_jX'A_j^- Z_j'e`` and covariance ``G_XX - sum_j B_jX'A_j^- B_jX``; and what is left of ``e'e`` is
chi-squared with as many degrees of freedom as the columns of Z and X leave. A set of a million rows in ten
thousand groups costs as much as one of ten thousand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.likelihood.crossproducts import CrossProducts
from nestwise.seeds import seed_for

RANK = 1e-10
"""Eigenvalues below this share of the largest are zero."""


@dataclass(frozen=True)
class Sampler:
    """The distribution of an outcome's cross-products under a fit, working parametrisation.

    Attributes
    ----------
    products : CrossProducts
        The design, one entry a group.
    beta : ndarray (p,)
    root : ndarray (q, q)
        Factor of the random effects covariance.
    sigma : float
    A_root : ndarray (J, q, q)
        ``A_root A_root' = A_j``, columns of vanishing eigenvalues zero.
    projected : ndarray (J, q, p)
        ``A_root^+ B_jX``.
    kept : ndarray (J, q)
        1 where an eigenvalue of A_j does not vanish.
    rest_root : ndarray (p, r)
        Factor of the covariance of ``X'e`` given ``Z'e``.
    df : int
        Degrees of freedom of what is left of ``e'e``.
    """

    products: CrossProducts
    beta: FloatArray
    root: FloatArray
    sigma: float
    A_root: FloatArray
    projected: FloatArray
    kept: FloatArray
    rest_root: FloatArray
    df: int


def sampler(products: CrossProducts, beta: FloatArray, root: FloatArray, sigma: float) -> Sampler:
    """Prepare to draw outcomes of a fit.

    Parameters
    ----------
    products : CrossProducts
        Not compressed.
    beta : ndarray (p,)
    root : ndarray (q, q)
        Factor of the random effects covariance, in units of the working outcome.
    sigma : float
        Residual standard deviation; all in the working parametrisation.
    """
    p = products.p
    values, vectors = np.linalg.eigh(products.A)
    kept = values > RANK * np.maximum(values[:, -1:], 0.0)
    size = np.sqrt(np.where(kept, values, 0.0))
    inverse = np.where(kept, 1 / np.where(kept, size, 1.0), 0.0)
    B_X = products.B[:, :, :p]
    projected = np.einsum("jba,jbs->jas", vectors * inverse[:, None, :], B_X)
    rest = products.G[:p, :p] - np.einsum("jas,jat->st", projected, projected)
    over, directions = np.linalg.eigh(rest)
    free = over > RANK * products.n  # the columns of X have squared norm n
    return Sampler(
        products=products,
        beta=beta,
        root=root,
        sigma=sigma,
        A_root=vectors * size[:, None, :],
        projected=projected,
        kept=kept.astype(float),
        rest_root=directions[:, free] * np.sqrt(over[free]),
        df=products.n - int(kept.sum()) - int(free.sum()),
    )


def draw(of: Sampler, sets: IntArray, seed: int) -> tuple[FloatArray, FloatArray]:
    """Cross-products with the outcome for each set.

    Parameters
    ----------
    of : Sampler
        The distribution.
    sets : ndarray (S,)
        Numbers of the sets; set k comes from a stream keyed on (seed, k).
    seed : int
        Root of the streams.

    Returns
    -------
    B_y : ndarray (S, J, q)
        ``Z_j'y``.
    G_y : ndarray (S, p + 1)
        ``[X'y, y'y]``.
    """
    products, p, r = of.products, of.products.p, of.rest_root.shape[1]
    J, q = products.J, products.q
    normal = np.empty((sets.size, 2 * J * q + r))
    squares = np.empty(sets.size)
    for row, k in enumerate(sets.tolist()):
        generator = np.random.Generator(np.random.PCG64(seed_for(seed, "outcome", k)))
        generator.standard_normal(out=normal[row])
        squares[row] = generator.chisquare(of.df) if of.df > 0 else 0.0
    b = normal[:, : J * q].reshape(-1, J, q) @ of.root.T
    inside = normal[:, J * q : 2 * J * q].reshape(-1, J, q) * of.kept
    rest = normal[:, 2 * J * q :]
    Z_e = np.einsum("jab,sjb->sja", of.A_root, inside)
    X_e = np.einsum("jap,sja->sp", of.projected, inside, optimize=True) + rest @ of.rest_root.T
    e_e = np.einsum("sja,sja->s", inside, inside) + np.einsum("sr,sr->s", rest, rest) + squares
    B_X, G_X = products.B[:, :, :p], products.G[:p, :p]
    A_b = np.einsum("jab,sjb->sja", products.A, b)
    X_b = np.einsum("jap,sja->sp", B_X, b, optimize=True)
    B_y = (B_X @ of.beta)[None] + A_b + of.sigma * Z_e
    G_Xy = G_X @ of.beta + X_b + of.sigma * X_e
    expected = of.beta @ G_X @ of.beta + 2 * X_b @ of.beta + np.einsum("sja,sja->s", A_b, b)
    crossed = X_e @ of.beta + np.einsum("sja,sja->s", b, Z_e)
    y_y = expected + 2 * of.sigma * crossed + of.sigma**2 * e_e
    return B_y, np.column_stack([G_Xy, y_y])
