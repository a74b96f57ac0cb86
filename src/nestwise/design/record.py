"""The record every engine is given: arrays, names and the account of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.covariance import ResidualDesign
from nestwise.design.grid import MeansGrid
from nestwise.design.occasions import Occasions


@dataclass(frozen=True)
class Membership:
    """Several memberships of each row in one grouping factor, as pupils who changed school.

    Attributes
    ----------
    codes : ndarray (n, M)
        Groups of each row, 0 .. J-1; a group may be named twice.
    weights : ndarray (n, M)
        Share of each membership; the random effect of a row is the weighted sum of those of its groups.
    """

    codes: IntArray
    weights: FloatArray


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
    membership : Membership or None
        With several memberships a row; `codes` then holds the first of them.
    relation : ndarray (J, J) or None
        Known correlation between the groups (a pedigree, a neighbourhood); `None`: independent groups.
    """

    group: str
    names: tuple[str, ...]
    Z: FloatArray
    codes: IntArray
    labels: tuple[str, ...]
    correlated: bool = True
    membership: Membership | None = None
    relation: FloatArray | None = None

    @property
    def n_groups(self) -> int:
        """J."""
        return len(self.labels)


@dataclass(frozen=True)
class Factor:
    """A grouping factor of a design, over all random terms on it.

    Attributes
    ----------
    group : str
        Name.
    names : tuple of str, length q
        Coefficients that vary by it.
    columns : tuple of int, length q
        Their places among all varying coefficients (`Design.varying`).
    terms : tuple of RandomTerm
        The terms.
    """

    group: str
    names: tuple[str, ...]
    columns: tuple[int, ...]
    terms: tuple[RandomTerm, ...]

    @property
    def codes(self) -> IntArray:
        """Group of each row (n,)."""
        return self.terms[0].codes

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the groups."""
        return self.terms[0].labels

    @property
    def n_groups(self) -> int:
        """J."""
        return self.terms[0].n_groups

    @property
    def Z(self) -> FloatArray:  # noqa: N802
        """Columns of the coefficients that vary by it (n, q)."""
        return np.column_stack([term.Z for term in self.terms])


@dataclass(frozen=True)
class ContextualContrast:
    """What one unit of a covariate does between groups beyond what it does inside them.

    Attributes
    ----------
    covariate : str
        Its name.
    group : str
        The grouping factor whose means are meant.
    weights : ndarray (p,)
        The contrast of the fixed effects: the effect of the means less that of the next part further in.
    """

    covariate: str
    group: str
    weights: FloatArray


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
    term_of : tuple of str, length p
        Term of the formula each column of X belongs to, e.g. `age:Sex`; `(Intercept)` for the intercept.
        Empty where nobody asked.
    weights : ndarray (n,) or None
        Prior weights: the residual variance of row i is sigma^2 / w_i.
    sampling_error : ndarray (n,) or None
        Known standard error of each outcome; then no residual variance is estimated.
    residual : ResidualDesign or None
        Covariance of the residuals; `None`: independent with one variance.
    means : tuple of MeansGrid
        Marginal means that were asked for.
    contextual : tuple of ContextualContrast
        Comparisons of the levels of covariates that stand in the fixed part at several.
    occasions : Occasions or None
        Visit of each row, where a working correlation goes by time.
    categories : tuple of str
        Values of an ordinal outcome, lowest first; `y` holds their places.
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
    term_of: tuple[str, ...] = ()
    weights: FloatArray | None = None
    sampling_error: FloatArray | None = None
    residual: ResidualDesign | None = None
    means: tuple[MeansGrid, ...] = ()
    contextual: tuple[ContextualContrast, ...] = ()
    occasions: Occasions | None = None
    categories: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Number of analysis rows."""
        return int(self.y.shape[0])

    @property
    def n_groups(self) -> int:
        """Groups of the factor with the most groups, subjects of the residuals included; 0 without any."""
        subjects = 0 if self.residual is None else int(self.residual.subjects.max(initial=-1)) + 1
        return max((term.n_groups for term in self.random), default=subjects)

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
    def factors(self) -> tuple[Factor, ...]:
        """The grouping factors, in order of first appearance."""
        found: dict[str, list[tuple[RandomTerm, range]]] = {}
        start = 0
        for term in self.random:
            stop = start + len(term.names)
            found.setdefault(term.group, []).append((term, range(start, stop)))
            start = stop
        return tuple(
            Factor(
                group,
                tuple(name for term, _ in parts for name in term.names),
                tuple(column for _, columns in parts for column in columns),
                tuple(term for term, _ in parts),
            )
            for group, parts in found.items()
        )

    @property
    def varying(self) -> tuple[str, ...]:
        """Coefficients that vary (q,), over all random terms."""
        return tuple(name for term in self.random for name in term.names)

    @property
    def Z(self) -> FloatArray:  # noqa: N802
        """Columns of the varying coefficients (n, q), over all random terms."""
        return np.column_stack([term.Z for term in self.random])
