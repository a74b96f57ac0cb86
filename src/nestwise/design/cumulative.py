"""An ordinal outcome as the indicators of lying above each of its thresholds.

With C categories every row becomes C - 1 rows, one for each threshold c, of the binary outcome ``y > c`` with
``P(y > c) = F(eta - tau_c)``: what a model of means needs, which knows no densities (Lipsitz, Kim & Zhao
1994, Statistics in Medicine 13).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from nestwise.design.record import Design
from nestwise.vocabulary import INTERCEPT


def threshold_names(design: Design) -> tuple[str, ...]:
    """Names (C - 1,) of the thresholds, `low|medium`, lowest first."""
    last = int(design.y.max(initial=0))
    labels = design.categories or tuple(str(c) for c in range(last + 1))
    return tuple(f"{low}|{high}" for low, high in pairwise(labels[: last + 1]))


def above_threshold(design: Design, c: int) -> Design:
    """The rows of an ordinal design with the coefficients of `cumulative_design`, at threshold c alone."""
    names = threshold_names(design)
    kept = [place for place, name in enumerate(design.names) if name != INTERCEPT]
    thresholds = np.zeros((design.n, len(names)))
    thresholds[:, c] = -1.0
    return replace(
        design,
        y=(design.y > c).astype(np.float64),
        X=np.hstack([thresholds, design.X[:, kept]]),
        names=(*names, *(design.names[place] for place in kept)),
        term_of=(*[INTERCEPT] * len(names), *(design.term_of[place] for place in kept))
        if design.term_of
        else (),
        family="binomial",
        trials=None,
    )


def cumulative_design(design: Design) -> Design:
    """The indicators of an ordinal outcome as a binomial design.

    Parameters
    ----------
    design : Design
        Ordinal, n rows.

    Returns
    -------
    Design
        Of n (C - 1) rows, those of one row together, lowest threshold first. Its coefficients are the
        thresholds, in place of the intercept, and the other fixed effects. It has no times.
    """
    cuts = len(threshold_names(design))
    rows = np.repeat(np.arange(design.n), cuts)
    at = np.tile(np.arange(cuts), design.n)
    one = above_threshold(design, 0)
    X = one.X[rows]
    X[:, :cuts] = -np.eye(cuts)[at]
    return replace(
        one,
        y=(design.y[rows] > at).astype(np.float64),
        X=X,
        random=tuple(replace(term, Z=term.Z[rows], codes=term.codes[rows]) for term in design.random),
        rows=design.rows[rows],
        offset=None if design.offset is None else design.offset[rows],
        weights=None if design.weights is None else design.weights[rows],
        occasions=None,
        means=(),
        contextual=(),
    )
