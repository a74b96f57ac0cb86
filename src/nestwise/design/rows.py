"""Which rows a model can use: those without missing values, and the account of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from nestwise.arrays import BoolArray, IntArray
from nestwise.config.study import Derivation
from nestwise.data.dataset import ROW, Dataset
from nestwise.design.grouping import Factor, Keys, factor_keys, group_codes, read_factor, read_keys
from nestwise.design.record import RowFlow
from nestwise.errors import FormulaError, Problem, Refusal
from nestwise.formula.record import Formula
from nestwise.formula.tokens import formula_place, shortened
from nestwise.names import nearest


def needed_derivations(variables: Sequence[str], derivations: Sequence[Derivation]) -> tuple[Derivation, ...]:
    """The derivations behind some variables, those behind their sources included, in declared order."""
    made = {derivation.as_: derivation for derivation in derivations}
    needed: dict[str, Derivation] = {}
    waiting = [name for name in variables if name in made]
    while waiting:
        derivation = made[waiting.pop()]
        if derivation.as_ not in needed:
            needed[derivation.as_] = derivation
            waiting += [name for name in (derivation.source, derivation.group) if name in made]
    return tuple(derivation for derivation in derivations if derivation.as_ in needed)


def needed_columns(
    variables: Sequence[str], parents: Sequence[str], derivations: Sequence[Derivation]
) -> tuple[str, ...]:
    """Columns in the order in which a missing value is blamed: sources before what is derived of them."""
    made = {derivation.as_: derivation for derivation in derivations}
    ordered: dict[str, None] = {}

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in made and name not in above:
            for source in (made[name].source, made[name].group):
                if source is not None:
                    add(source, (*above, name))
        ordered.setdefault(name)

    for name in (*variables, *parents):
        add(name, ())
    return tuple(ordered)


def read_source(
    dataset: Dataset, formula: Formula, columns: Sequence[str], keys: Mapping[str, str] | None = None
) -> pl.DataFrame:
    """Collect the columns a model needs; NaN counts as missing.

    Parameters
    ----------
    dataset : Dataset
        The data.
    formula : Formula
        For messages.
    columns : sequence of str
        What is needed.
    keys : mapping of str to str, optional
        Key of the model that names a column which the formula does not.

    Returns
    -------
    polars.DataFrame
        `.row` and the columns.

    Raises
    ------
    FormulaError
        Naming every unknown column.
    """
    known = [name for name in dataset.frame.collect_schema().names() if name != ROW]
    unknown = [name for name in columns if name not in known]
    if unknown:
        text = formula_place(formula.text)
        places = {name: f"the key {key}" for name, key in (keys or {}).items()}
        places |= dict.fromkeys(formula.variables, text)
        raise FormulaError([_unknown_column(name, known, places.get(name, text)) for name in unknown])
    frame = dataset.frame.select(pl.col(ROW).cast(pl.Int64), *(pl.col(name) for name in columns)).collect()
    return frame.with_columns(pl.selectors.float().fill_nan(None))


def _unknown_column(name: str, known: Sequence[str], where: str) -> Problem:
    near = nearest(name, known)
    listed = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    way_out = f"did you mean {near}" if near else f"the columns are {listed}"
    return Problem(f"there is no column {shortened(name, 80)}", where, way_out)


def complete_rows(
    frame: pl.DataFrame, columns: Sequence[str], gaps: Sequence[tuple[str, BoolArray]] = ()
) -> tuple[IntArray, tuple[str, ...]]:
    """The first variable missing in each row.

    Parameters
    ----------
    frame : polars.DataFrame
        The columns of a model.
    columns : sequence of str
        In the order in which they are blamed.
    gaps : sequence of (str, ndarray (n,) of bool)
        What else is missing, and in which rows.

    Returns
    -------
    blame : ndarray (n,)
        -1 for a complete row, else the index of a reason.
    reasons : tuple of str
        ``"x is missing"``.
    """
    blame = np.full(frame.height, -1, dtype=np.int64)
    reasons: list[str] = []
    empty = [(name, frame[name].is_null().to_numpy()) for name in columns if frame[name].null_count()]
    for name, everywhere in (*empty, *gaps):
        missing = everywhere & (blame < 0)
        if missing.any():
            blame[missing] = len(reasons)
            reasons.append(f"{name} is missing")
    return blame, tuple(reasons)


def row_flow(blame: IntArray, reasons: Sequence[str], codes: IntArray | None, n_groups: int) -> RowFlow:
    """Account for the rows and groups left out.

    Parameters
    ----------
    blame, reasons
        From `complete_rows`.
    codes : ndarray (n,) or None
        Group of every source row, -1 if unknown.
    n_groups : int
        Groups in the source.

    Returns
    -------
    RowFlow
        A group without any row left counts under the reason that took most of its rows.
    """
    used = blame < 0
    lost = np.zeros(len(reasons), dtype=np.int64)
    groups_used = n_groups
    if codes is not None and reasons:
        known = codes >= 0
        alive = np.bincount(codes[known & used], minlength=n_groups) > 0
        groups_used = int(alive.sum())
        if groups_used < n_groups:
            gone = known & ~used
            cells = np.bincount(codes[gone] * len(reasons) + blame[gone], minlength=n_groups * len(reasons))
            worst = cells.reshape(n_groups, len(reasons)).argmax(axis=1)
            lost = np.bincount(worst[~alive], minlength=len(reasons))
    counts = np.bincount(blame[~used], minlength=len(reasons))
    excluded = tuple(
        (reason, int(rows), int(groups)) for reason, rows, groups in zip(reasons, counts, lost, strict=True)
    )
    return RowFlow(len(blame), int(used.sum()), n_groups, groups_used, excluded)


def refuse_if_empty(flow: RowFlow, formula: Formula) -> None:
    """Refuse a model without rows.

    Raises
    ------
    Refusal
        Saying which missing values are to blame.
    """
    if flow.n_used == 0:
        blamed = ", ".join(f"{reason} in {rows}" for reason, rows, _ in flow.excluded)
        raise Refusal(
            Problem(
                f"no row of {flow.n_source} has all variables of the model"
                + (f": {blamed}" if blamed else ""),
                formula_place(formula.text),
                "leave out the variable that is missing most, or treat its missing values",
            )
        )


def source_groups(factors: Mapping[str, Factor], keys: Mapping[str, Keys]) -> tuple[IntArray | None, int]:
    """Groups of every source row, of the factor with most groups: codes (-1 if unknown) and their number."""
    best: tuple[IntArray | None, int] = (None, 0)
    for factor in factors.values():
        known = np.all([keys[column].codes >= 0 for column in factor.keys], axis=0)
        present = {name: Keys(keys[name].codes[known], keys[name].labels) for name in factor.keys}
        codes, labels = group_codes(factor, present)
        if len(labels) > best[1]:
            everywhere = np.full(len(known), -1, dtype=np.int64)
            everywhere[known] = codes
            best = (everywhere, len(labels))
    return best


def read_factors(
    frame: pl.DataFrame, paths: Mapping[str, Sequence[str]], within: Mapping[str, str | None]
) -> tuple[dict[str, Factor], dict[str, Keys]]:
    """The grouping factors of a model by name as written, and the keys of all source rows."""
    columns = dict.fromkeys(name for path in paths.values() for name in factor_keys(path, within))
    keys = {name: read_keys(frame[name]) for name in columns}
    return {group: read_factor(path, keys, within) for group, path in paths.items()}, keys
