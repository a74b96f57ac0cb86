"""A model as statsmodels' MixedLM takes it: groups of independent rows, a covariance, variance components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.design.record import Design, Factor
from nestwise.errors import Problem, Refusal

DENSE_LIMIT = 2_000
"""Most rows of a crossed model: its one block of rows needs several dense n x n matrices, 32 MB each."""


@dataclass(frozen=True)
class Component:
    """One variance component: a coefficient that varies by the groups of an inner or crossed factor.

    Attributes
    ----------
    factor : int
        Place of its factor among the design's.
    coefficient : int
        Which of the factor's coefficients it is.
    column : int
        Its place among all varying coefficients.
    codes : tuple of ndarray
        Groups of the factor that occur in each block, in the order of the columns of `matrices`.
    matrices : tuple of ndarray (n_j, J_j)
        Columns of the component in each block of rows.
    """

    factor: int
    coefficient: int
    column: int
    codes: tuple[IntArray, ...]
    matrices: tuple[FloatArray, ...]


@dataclass(frozen=True)
class Layout:
    """Blocks of independent rows, and what varies inside them.

    Attributes
    ----------
    blocks : ndarray (n,)
        Block of each row: the groups of the outermost factor, or one block of a crossed model.
    outer : Factor or None
        The factor whose coefficients have a full covariance; `None` if factors are crossed.
    components : tuple of Component
        All others.
    """

    blocks: IntArray
    outer: Factor | None
    components: tuple[Component, ...]

    @property
    def columns(self) -> list[int]:
        """Places of the coefficients with a full covariance."""
        return [] if self.outer is None else list(self.outer.columns)

    @property
    def own(self) -> list[int]:
        """Places of the coefficients that are variance components."""
        return [component.column for component in self.components]

    def model(self, design: Design) -> Any:
        """The MixedLM of the design."""
        from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

        exog_vc = None
        if self.components:
            names = [str(v) for v in range(len(self.components))]
            columns = [[list(map(str, codes)) for codes in each.codes] for each in self.components]
            exog_vc = VCSpec(names, columns, [list(each.matrices) for each in self.components])
        exog_re = None if self.outer is None else self.outer.Z
        return MixedLM(design.y_less_offset, design.X, self.blocks, exog_re=exog_re, exog_vc=exog_vc)

    def parameters(self, beta: FloatArray, relative: FloatArray) -> Any:
        """`MixedLMParams` of beta (p,) and the relative covariance (q, q) of all varying coefficients."""
        from statsmodels.regression.mixed_linear_model import MixedLMParams

        return MixedLMParams.from_components(
            fe_params=beta,
            cov_re=relative[np.ix_(self.columns, self.columns)],
            vcomp=np.diag(relative)[self.own],
        )

    def covariance(self, cov_re: FloatArray, vcomp: FloatArray) -> FloatArray:
        """The covariance (q, q) of all varying coefficients from MixedLM's two parts."""
        q = len(self.columns) + len(self.own)
        Sigma = np.zeros((q, q))
        Sigma[np.ix_(self.columns, self.columns)] = cov_re
        Sigma[self.own, self.own] = vcomp
        return Sigma

    def effects(self, design: Design, found: Any) -> tuple[FloatArray, ...]:
        """Predicted effects (J, q) of every factor of the design from MixedLM's `random_effects`."""
        b = [np.zeros((factor.n_groups, len(factor.names))) for factor in design.factors]
        for block, values in found.items():
            rest = np.asarray(values, dtype=float)
            if self.outer is not None:
                place = [factor.group for factor in design.factors].index(self.outer.group)
                b[place][block] = rest[: len(self.columns)]
                rest = rest[len(self.columns) :]
            for component in self.components:
                codes = component.codes[block]
                b[component.factor][codes, component.coefficient] = rest[: codes.size]
                rest = rest[codes.size :]
        return tuple(b)


def layout(design: Design) -> Layout:
    """Say a design in the terms of MixedLM.

    Parameters
    ----------
    design : Design
        At least one random term.

    Returns
    -------
    Layout
        The outermost factor's groups are blocks of independent rows if the others are nested in it.

    Raises
    ------
    Refusal
        With crossed factors and more than 2,000 rows; with correlated coefficients on an inner or crossed
        factor. (What `lmm` alone takes into account is refused in `fit.refusals`.)
    """
    factors = design.factors
    outer = next((one for one in factors if all(_holds(one, other) for other in factors)), None)
    inner = [(place, one) for place, one in enumerate(factors) if outer is None or one.group != outer.group]
    problems = _correlated(design, inner)
    if outer is None and design.n > DENSE_LIMIT:
        names = " and ".join(factor.group for factor in factors)
        what = (
            f"{names} are crossed, for which MixedLM would need dense matrices of {design.n:,} x {design.n:,}"
        )
        problems.append(_problem(design, f"{what}; {DENSE_LIMIT:,} rows are its limit here"))
    if problems:
        raise Refusal(problems)
    blocks = np.zeros(design.n, dtype=np.int64) if outer is None else outer.codes
    rows = [np.flatnonzero(blocks == block) for block in range(int(blocks.max()) + 1)] if inner else []
    components = (_component(place, k, one, rows) for place, one in inner for k in range(len(one.names)))
    return Layout(blocks, outer, tuple(components))


def _holds(outer: Factor, inner: Factor) -> bool:
    """Whether every group of `inner` lies in one group of `outer`."""
    pairs = np.unique(np.column_stack([inner.codes, outer.codes]), axis=0)
    return int(pairs.shape[0]) == int(np.unique(inner.codes).size)


def _component(place: int, k: int, factor: Factor, rows: list[IntArray]) -> Component:
    column = factor.Z[:, k]
    codes, matrices = [], []
    for own in rows:
        groups, at = np.unique(factor.codes[own], return_inverse=True)
        matrix = np.zeros((own.size, groups.size))
        matrix[np.arange(own.size), at] = column[own]
        codes.append(groups)
        matrices.append(matrix)
    return Component(place, k, factor.columns[k], tuple(codes), tuple(matrices))


def _correlated(design: Design, inner: list[tuple[int, Factor]]) -> list[Problem]:
    return [
        _problem(
            design,
            f"MixedLM knows no correlation between the coefficients that vary by {factor.group}, which is "
            "nested in another factor or crossed with it",
            f"write || before {factor.group}, or leave the engine mixedlm out",
        )
        for _, factor in inner
        if any(term.correlated and len(term.names) > 1 for term in factor.terms)
    ]


def _problem(
    design: Design, what: str, way_out: str = "leave the engine mixedlm out; lmm fits the model"
) -> Problem:
    return Problem(what, design.formula, way_out)
