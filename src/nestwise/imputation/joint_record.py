"""The variables of an analysis model laid out for the joint model, and its draws by variable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nestwise.arrays import FloatArray
from nestwise.errors import Problem, Refusal
from nestwise.imputation.columns import CompletedData, Source
from nestwise.imputation.joint import JointData, JointDraws, Kind
from nestwise.imputation.record import Incomplete, Variable
from nestwise.names import several

KINDS: dict[str, Kind] = {
    "continuous": "continuous",
    "count": "continuous",
    "binary": "binary",
    "ordinal": "ordinal",
    "nominal": "nominal",
}
OWN_METHODS = ("", "normal", "binary", "ordinal", "nominal")
"""Methods of a variable that the joint model is; the others belong to chained equations."""
_CHAINED = "set missing.imputation to chained"
_DEPENDENT = 1e-8


@dataclass(frozen=True)
class JointRecord:
    """What the joint model is given.

    Attributes
    ----------
    data : JointData
        Arrays; their first columns are `rows`, those of the groups `groups`.
    rows, groups : tuple of Variable
        Incomplete variables that vary from row to row, and once a group.
    """

    data: JointData
    rows: tuple[Variable, ...]
    groups: tuple[Variable, ...]


def joint_record(incomplete: Incomplete) -> JointRecord:
    """Lay out incomplete variables as those of one multivariate mixed model.

    Complete variables, their products in the analysis model and their group means are its predictors; those
    whose effect varies by group in the analysis model vary there too.

    Parameters
    ----------
    incomplete : Incomplete
        From `variables.incomplete_record`, with gaps.

    Raises
    ------
    Refusal
        Everything that the joint model does not take.
    """
    _refuse(incomplete)
    gaps = incomplete.gaps
    rows = tuple(each for each in gaps if each.level is None)
    groups = tuple(each for each in gaps if each.level is not None)
    factor = incomplete.factors[0]
    first = np.unique(factor.codes, return_index=True)[1]
    X, Z, X2 = _predictors(incomplete, first)
    n, J = incomplete.n, factor.n_groups
    data = JointData(
        np.column_stack([each.values for each in rows]) if rows else np.zeros((n, 0)),
        tuple(KINDS[each.kind] for each in rows),
        X,
        Z,
        factor.codes,
        np.column_stack([each.values[first] for each in groups]) if groups else np.zeros((J, 0)),
        X2,
        tuple(each.name for each in (*rows, *groups)),
    )
    return JointRecord(data, rows, groups)


def _refuse(incomplete: Incomplete) -> None:
    gaps, factors = incomplete.gaps, incomplete.factors
    problems = []
    if len(factors) != 1:
        count = "no grouping factor" if not factors else f"{len(factors)} grouping factors"
        what = f"the model has {count}, and the joint model takes one"
        problems.append(Problem(what, "missing.imputation", _CHAINED))
    if gaps and all(each.level is not None for each in gaps):
        names = several([each.name for each in gaps])
        what = f"only variables of groups are incomplete ({names}), and the joint model starts from the rows"
        problems.append(Problem(what, "missing.imputation", _CHAINED))
    bent = {name for product in incomplete.products for name in product.factors}
    bent |= {name for factor in factors for name in factor.slopes}
    for each in gaps:
        why = _why_not(each, incomplete, bent)
        if why:
            problems.append(Problem(f"{each.name} {why}", f"joint model of {incomplete.model}", _CHAINED))
    if problems:
        raise Refusal(problems)


def _why_not(variable: Variable, incomplete: Incomplete, bent: set[str]) -> str | None:
    """What the joint model does not take in a variable, to finish a sentence that begins with its name."""
    outcome = variable.name == incomplete.outcome
    if variable.name in bent and not outcome:
        return "has an interaction, a power or an effect that varies, and the joint model knows none of them"
    if variable.method not in OWN_METHODS:
        return f"is to be drawn by {variable.method}, which belongs to chained equations"
    if variable.kind == "count" and outcome and incomplete.family != "gaussian":
        return "is a count, and the joint model draws normal numbers"
    if variable.level is not None and KINDS[variable.kind] != "continuous":
        return f"is a {variable.kind} variable of {variable.level}, and the joint model draws numbers there"
    return None


def _predictors(incomplete: Incomplete, first: np.ndarray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Predictors of the rows (n, p), those that vary by group (n, q), and of the groups (J, p2)."""
    made, n = CompletedData(incomplete), incomplete.n
    whole = [each for each in incomplete.variables if not each.missing.any()]
    names = {each.name for each in whole}
    products = [each.factors for each in incomplete.products if set(each.factors) <= names]
    own = [Source((each.name,)) for each in whole] + [Source(factors) for factors in products]
    of_groups = [Source((each.name,)) for each in whole if each.level is not None]
    means = [Source((each.name,), 0) for each in whole if each.level is None]
    bent = {each.name: each.factors for each in incomplete.products}
    slopes = [bent.get(name, (name,)) for name in incomplete.factors[0].slopes]
    varying = [Source(factors) for factors in slopes if set(factors) <= names]

    def table(sources: Sequence[Source]) -> FloatArray:
        return _independent(np.column_stack([np.ones(n), *(made.columns(source) for source in sources)]))

    full = [np.ones(n), *(made.columns(source) for source in (*of_groups, *means))]
    return table([*own, *means]), table(varying), _independent(np.column_stack(full)[first])


def _independent(X: FloatArray) -> FloatArray:
    """Columns that do not follow from those before them: the others predict nothing more."""
    sizes = np.linalg.norm(X, axis=0)
    scaled = X / np.where(sizes > 0, sizes, 1.0)
    kept: list[int] = []
    for place in range(X.shape[1]):
        basis = np.linalg.qr(scaled[:, kept])[0] if kept else np.zeros((len(X), 0))
        rest = scaled[:, place] - basis @ (basis.T @ scaled[:, place])
        if len(kept) < len(X) and np.linalg.norm(rest) > _DEPENDENT:
            kept.append(place)
    return np.ascontiguousarray(X[:, kept])


def values_by_variable(record: JointRecord, draws: JointDraws) -> dict[str, FloatArray]:
    """Drawn values (m, u) of each variable, its missing rows or groups in increasing order."""
    found = {each.name: draws.values[:, draws.cells[:, 1] == place] for place, each in enumerate(record.rows)}
    return found | {
        each.name: draws.values2[:, draws.cells2[:, 1] == place] for place, each in enumerate(record.groups)
    }
