"""The record every engine is given: arrays, names and the account of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class RandomTerm:
    """One term in brackets, e.g. ``(1 + Days | Subject)``.

    Attributes
    ----------
    group : str
        Name of the grouping factor as the tables show it; nested ones outermost first, `batch:cask`.
    names : tuple of str, length q
        Coefficients that vary, as lme4 names them.
    Z : ndarray (n, q)
        Their columns.
    codes : ndarray (n,)
        Group of each row, 0 .. J-1.
    labels : tuple of str, length J
        Name of each group.
    correlated : bool
        Whether the q effects have a full covariance (`|`) or independent ones (`||`).
    """

    group: str
    names: tuple[str, ...]
    Z: FloatArray
    codes: IntArray
    labels: tuple[str, ...]
    correlated: bool = True

    @property
    def n_groups(self) -> int:
        """J."""
        return len(self.labels)


@dataclass(frozen=True)
class RowFlow:
    """Where the rows went: `n_source` rows were read, `n_used` are analysed.

    `excluded` has one (reason, rows, groups) for each reason, where groups counts the groups that
    lost all their rows to it.
    """

    n_source: int
    n_used: int
    groups_source: int
    groups_used: int
    excluded: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True)
class Design:
    """A model made ready for any engine.

    Attributes
    ----------
    study, model : str
        Names.
    formula : str
        As the study file has it.
    outcome : str
        Name of the outcome.
    y : ndarray (n,)
        Outcome.
    X : ndarray (n, p)
        Fixed part, full column rank.
    names : tuple of str, length p
        Fixed effects as lme4 names them, in the formula's order.
    random : tuple of RandomTerm
        In the formula's order; empty without brackets.
    rows : ndarray (n,)
        Row number of each analysis row in the source.
    row_flow : RowFlow
        Which rows were left out and why.
    analysis_hash : str
        Hash of the outcome and its rows; equal for models on the same rows and outcome.
    family, link : str
        Family of the outcome and link.
    reml : bool
        Whether REML (else ML) is asked for.
    offset : ndarray (n,) or None
        Known part of the linear predictor.
    trials : ndarray (n,) or None
        With `cbind(success, failure)`, the number of trials; `y` is the number of successes.
    dropped : tuple of str
        Columns of X left out because they are linear combinations of those before them.
    notes : tuple of str
        What the reader should know of how the design was made, a sentence each.
    """

    study: str
    model: str
    formula: str
    outcome: str
    y: FloatArray
    X: FloatArray
    names: tuple[str, ...]
    random: tuple[RandomTerm, ...]
    rows: IntArray
    row_flow: RowFlow
    analysis_hash: str
    family: str = "gaussian"
    link: str = "identity"
    reml: bool = True
    offset: FloatArray | None = None
    trials: FloatArray | None = None
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Number of analysis rows."""
        return int(self.y.shape[0])

    @property
    def n_groups(self) -> int:
        """Groups of the factor with the most groups; 0 without random terms."""
        return max((term.n_groups for term in self.random), default=0)

    @property
    def identity(self) -> dict[str, Any]:
        """The fields of a `Fit` that say what was fitted, whatever the engine."""
        return {
            "study": self.study,
            "model": self.model,
            "formula": self.formula,
            "analysis_hash": self.analysis_hash,
            "n_obs": self.n,
            "n_groups": self.n_groups,
        }

    @property
    def y_less_offset(self) -> FloatArray:
        """What fixed and random effects are to explain (n,)."""
        return self.y if self.offset is None else self.y - self.offset

    @property
    def varying(self) -> tuple[str, ...]:
        """Coefficients that vary (q,), over all random terms."""
        return tuple(name for term in self.random for name in term.names)

    @property
    def Z(self) -> FloatArray:  # noqa: N802
        """Columns of the varying coefficients (n, q), over all random terms."""
        return np.column_stack([term.Z for term in self.random])
