"""How the random effects of an outcome that is not Gaussian are sampled: in which order and in which form.

A term is sampled centred where the rows of its groups say much of its coefficients, and standardised where
they say little; which, follows from the data alone. The centred term with the most groups is sampled around
the lines of the fixed effects: ``u_j = b_j + L_j beta`` with L_j the regression of the group's X on its Z, so
that effects of covariates between groups need not drag all groups along (hierarchical centring, Gelfand,
Sahu & Carlin 1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.bayes.units import Draws, Units
from nestwise.design.record import Design, RandomTerm

CENTRED_INFORMATION = 20.0
"""Information of the median group on a coefficient (per squared unit) from which its term is centred."""
DEPENDENT = 1e-10
"""Share of the largest eigenvalue below which a group's columns of Z are one another's combination."""


@dataclass(frozen=True)
class Layout:
    """Where each random effect stands in the vector that is sampled, and what stands there.

    Attributes
    ----------
    blocks : ndarray (T, 4)
        Of each term its first coefficient, number of coefficients, first place in u, and groups.
    places : ndarray (n, T)
        Place in u of the first effect of each row's group.
    centred : ndarray (q,)
        Which coefficients are sampled as they are (1) and which standardised (0).
    lines : ndarray (U, p), or (0, p) without any
        Part of u that the fixed effects make; zero but for one centred term.
    """

    blocks: IntArray
    places: IntArray
    centred: IntArray
    lines: FloatArray

    @property
    def size(self) -> int:
        """U, the number of random effects."""
        return int((self.blocks[:, 1] * self.blocks[:, 3]).sum())


def layout_of(
    design: Design, X: FloatArray, starts: tuple[int, ...], units: Units, information: FloatArray
) -> Layout:
    """Settle the layout.

    Parameters
    ----------
    design : Design
        The model.
    X : ndarray (n, p)
        Fixed columns in standard units.
    starts : tuple of int, length q
        See `Structure`.
    units : Units
        Standard units.
    information : ndarray (n,)
        Of each row on its linear predictor, in those units.
    """
    Z = design.Z / units.Z_scale
    blocks, places, held, at, first = [], [], [], 0, 0
    for term in design.random:
        width, J = len(term.names), term.n_groups
        blocks.append((first, width, at, J))
        places.append(at + width * term.codes.astype(np.int64))
        for column in Z[:, first : first + width].T:
            held.append(float(np.median(np.bincount(term.codes, information * column**2, minlength=J))))
        at, first = at + J * width, first + width
    block = np.array(starts)
    centred = np.array([min(np.array(held)[block == start]) >= CENTRED_INFORMATION for start in starts])
    found = Layout(
        np.array(blocks, dtype=np.int64),
        np.column_stack(places),
        centred.astype(np.int64),
        np.empty((0, X.shape[1])),
    )
    return Layout(found.blocks, found.places, found.centred, _lines(design, found, X, Z, information))


def _lines(design: Design, layout: Layout, X: FloatArray, Z: FloatArray, weights: FloatArray) -> FloatArray:
    centred = layout.centred.astype(bool)
    able = [
        (term.n_groups, term, first, at)
        for term, (first, width, at, _) in zip(design.random, layout.blocks, strict=True)
        if centred[first : first + width].any()
    ]
    if not able:
        return np.empty((0, X.shape[1]))
    J, term, first, at = max(able, key=lambda each: each[0])
    columns = first + np.flatnonzero(centred[first : first + len(term.names)])
    found = np.zeros((layout.size, X.shape[1]))
    slopes = _regressions(term, Z[:, columns], X, weights)
    for k, column in enumerate(columns):
        found[at + (column - first) + len(term.names) * np.arange(J)] = slopes[:, k]
    return found


def _regressions(term: RandomTerm, Z: FloatArray, X: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted least squares (J, k, p) of X on Z inside every group."""
    J, (k, p) = term.n_groups, (Z.shape[1], X.shape[1])

    def sums(values: FloatArray) -> FloatArray:
        return np.bincount(term.codes, weights * values, minlength=J)

    A = np.array([[sums(Z[:, r] * Z[:, s]) for s in range(k)] for r in range(k)]).reshape(k, k, J)
    B = np.array([[sums(Z[:, r] * X[:, c]) for c in range(p)] for r in range(k)]).reshape(k, p, J)
    inverse = np.linalg.pinv(np.moveaxis(A, -1, 0), rcond=DEPENDENT, hermitian=True)
    return np.asarray(inverse @ np.moveaxis(B, -1, 0))


def effects_of_factors(draws: Draws, layout: Layout, design: Design, units: Units) -> list[FloatArray]:
    """Random effects (..., J, q) of each grouping factor in the units of the formula.

    Parameters
    ----------
    draws : Draws
        Standard units, with `u`.
    layout : Layout
        What u holds.
    design : Design
        The model.
    units : Units
        Those of the draws.
    """
    assert draws.u is not None
    u = draws.u - draws.beta @ layout.lines.T if layout.lines.size else draws.u
    root = draws.sd[..., :, None] * draws.correlation
    of_terms: dict[str, list[FloatArray]] = {}
    for term, (first, width, at, J) in zip(design.random, layout.blocks, strict=True):
        own = slice(first, first + width)
        b = u[..., at : at + J * width].reshape(*u.shape[:-1], J, width)
        drawn = np.einsum("...jc,...rc->...jr", b, root[..., own, own])
        b = np.where(layout.centred[own].astype(bool), b, drawn)
        of_terms.setdefault(term.group, []).append(b * units.y_scale / units.Z_scale[own])
    return [np.concatenate(parts, axis=-1) for parts in of_terms.values()]
