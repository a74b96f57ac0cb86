"""Outcomes after drop-out borrowed from a reference arm or the last visit, then analysed as the study asks.

The outcomes of a trial at its visits are one normal variable a subject, with means by arm, visit and baseline
covariates (`imputation.repeated`). What a subject who left would have shown follows from it and the strategy
(`imputation.reference`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray, IntArray
from nestwise.config.missing import Arm, Missing
from nestwise.config.study import Model
from nestwise.data.dataset import ROW, Dataset
from nestwise.data.derive import derive
from nestwise.errors import NestwiseError, Problem, Refusal
from nestwise.formula.record import parse
from nestwise.formula.syntax import names_in
from nestwise.imputation.arm_contrasts import Trial, jackknife_contrasts
from nestwise.imputation.draws import Draws, Filling
from nestwise.imputation.intercurrent import last_seen
from nestwise.imputation.reference import Plan, complete
from nestwise.imputation.repeated import RepeatedData, draw_repeated
from nestwise.missing.schedule import Schedule, schedule
from nestwise.missing.visits import all_visits
from nestwise.names import plural
from nestwise.results import Fit, conform
from nestwise.seeds import seed_for
from nestwise.vocabulary import MEANS

IMPUTATIONS = 50
"""Imputations where their number is left open."""
_NUMBERS = ("continuous", "count")


@dataclass(frozen=True)
class Borrowing:
    """A trial laid out by subject and visit, with what is assumed of those who left.

    Attributes
    ----------
    dataset : Dataset
        With a row for every planned visit.
    table : Schedule
        Its subjects by visits.
    outcome : str
        Column of the outcome.
    data : RepeatedData
        Outcomes, arms and baseline covariates of the subjects.
    plan : Plan
        Visits before each subject left, and the strategy.
    arms : tuple of str
        Labels, the reference at `plan.reference`.
    """

    dataset: Dataset
    table: Schedule
    outcome: str
    data: RepeatedData
    plan: Plan
    arms: tuple[str, ...]


def borrowing(dataset: Dataset, model: Model, missing: Missing, strategy: str) -> Borrowing:
    """Lay a trial out for a reference-based strategy.

    Parameters
    ----------
    dataset : Dataset
        Prepared data.
    model : Model
        Its outcome is imputed; covariates of its fixed part that are constant in a subject stand in the
        imputation model, by visit. The covariance of the visits is that of the model: one, or one an arm
        where its residuals have strata.
    missing : Missing
        Arm and visits; without an arm all subjects have one mean and covariance.
    strategy : str
        j2r, cir, cr, lmcf, or mar (missing at random).

    Raises
    ------
    Refusal
        Without visits, an arm or numbers as outcomes; where a covariate is missing.
    """
    formula, where = parse(model.formula), f"strategy {strategy}"
    outcome, arm = formula.outcome.columns[0], missing.arm
    info = dataset.variables.get(outcome)
    if info is None or info.type not in _NUMBERS or len(formula.outcome.columns) > 1:
        what = (
            f"{outcome} is {info.type if info else 'no variable'}, and outcomes are imputed as normal numbers"
        )
        raise Refusal(Problem(what, where, "use mi for this outcome"))
    planned = all_visits(dataset, missing.visit)
    table = schedule(planned, visit=missing.visit)
    arms, codes = _arms(table, arm, where)
    terms = {name for term in formula.fixed for factor in term for name in names_in(factor)}
    apart = {outcome, arm.column if arm else None, dataset.time, *table.by_visit, *dataset.within}
    covariates = [name for name in formula.variables if name in terms - apart]
    Y = table.values(outcome)
    common = model.residual is None or model.residual.by is None
    data = RepeatedData(Y, codes, _columns(table, covariates, where), common)
    plan = Plan(last_seen(Y), (strategy,) * table.N, 0)
    return Borrowing(planned, table, outcome, data, plan, arms)


def _arms(table: Schedule, arm: Arm | None, where: str) -> tuple[tuple[str, ...], IntArray]:
    """Labels of the arms, the reference first, and the arm (N,) of each subject; one arm if none is named."""
    if arm is None:
        return ("all",), np.zeros(table.N, dtype=np.int64)
    series, first = table.constant(arm.column).cast(pl.String), str(arm.reference)
    labels = sorted(series.drop_nulls().unique().to_list(), key=lambda label: (label != first, label))
    if series.null_count() or first not in labels:
        nobody = f"nobody is in {first}"
        why = f"{series.null_count()} {plural(table.subject)} have none" if series.null_count() else nobody
        what = f"{arm.column} does not say every {table.subject}'s arm: {why}"
        raise Refusal(Problem(what, where, "mend the column, or name another under missing.arm"))
    codes = series.replace_strict({label: k for k, label in enumerate(labels)}, return_dtype=pl.Int64)
    return tuple(labels), codes.to_numpy().astype(np.int64)


def _columns(table: Schedule, covariates: list[str], where: str) -> FloatArray:
    """Baseline covariates (N, c) as numbers, levels as indicators; all problems at once."""
    columns, problems = [], []
    for name in covariates:
        try:
            series = table.constant(name)
        except NestwiseError:
            what = (
                f"{name} changes inside a {table.subject}, and the imputation model takes baseline covariates"
            )
            problems.append(Problem(what, where, "leave it out of this model, or use mi"))
            continue
        if series.null_count():
            problems.append(Problem(f"{name} is missing for {series.null_count()} subjects", where, "use mi"))
        elif series.dtype.is_numeric() or series.dtype == pl.Boolean:
            columns.append(series.cast(pl.Float64).to_numpy())
        else:
            text = series.cast(pl.String)
            levels = text.unique().sort().to_list()
            columns += [(text == level).cast(pl.Float64).to_numpy() for level in levels[1:]]
    if problems:
        raise Refusal(problems)
    return np.column_stack(columns) if columns else np.zeros((table.N, 0))


def borrowed(found: Borrowing, m: int, seed: int) -> Iterator[Dataset]:
    """The completed data sets, each from a posterior draw of its own.

    Parameters
    ----------
    found : Borrowing
        From `borrowing`.
    m : int
        How many; the first k are the same however many there are.
    seed : int
        Of the stream.
    """
    for k, at in enumerate(draw_repeated(found.data, m, seed)):
        yield _completed(found, complete(found.data, found.plan, at, np.random.default_rng([seed, k])))


def drawn_at_random(found: Borrowing, name: str, numbers: Sequence[int], root: int) -> Draws:
    """The gaps of the outcome drawn under missing at random, as `impute` takes them.

    Parameters
    ----------
    found : Borrowing
        Laid out with the strategy `mar`.
    name : str
        Name of the model.
    numbers : sequence of int
        Imputations 1 .. m, or some of them: imputation k is the same whichever are drawn.
    root : int
        The seed of the configuration.
    """
    table, dataset = found.table, found.dataset
    seed = seed_for(root, dataset.study, name, "imputation")
    last = max(numbers)
    tables = [
        complete(found.data, found.plan, at, np.random.default_rng([seed, k]))
        for k, at in enumerate(draw_repeated(found.data, last, seed), start=1)
        if k in numbers
    ]
    who, when = np.nonzero((table.places >= 0) & np.isnan(found.data.Y))
    rows: IntArray = table.frame[ROW].to_numpy()[table.places[who, when]].astype(np.int64)
    values = np.array([each[who, when] for each in tables]).reshape(len(tables), -1)
    gaps = Filling(found.outcome, "continuous", "repeated", None, rows, np.arange(rows.size), values)
    nothing = np.zeros((len(tables), 0, 0, 0))
    fillings = (gaps,) if rows.size else ()
    return Draws(dataset.study, name, tuple(numbers), (seed,) * len(tables), fillings, (), nothing, ())


def _completed(found: Borrowing, Y: FloatArray) -> Dataset:
    """The data set with the outcomes of a table (N, T) in their rows."""
    dataset, table, name = found.dataset, found.table, found.outcome
    who, when = np.nonzero(table.places >= 0)
    rows: IntArray = table.frame[ROW].to_numpy()[table.places[who, when]]
    new = pl.LazyFrame({ROW: rows, ".new": Y[who, when]}).with_columns(
        pl.col(ROW).cast(dataset.frame.collect_schema()[ROW])
    )
    order = dataset.frame.collect_schema().names()
    made = [each.as_ for each in dataset.derivations]
    value = pl.coalesce(".new", pl.col(name).cast(pl.Float64)).alias(name)
    frame = dataset.frame.drop(made).join(new, on=ROW, how="left", maintain_order="left").with_columns(value)
    frame = derive(frame.drop(".new"), dataset.derivations, dataset.within).select(order)
    info = replace(dataset.variables[name], type="continuous")
    return replace(dataset, frame=frame, variables=dict(dataset.variables) | {name: info})


def by_jackknife(found: Borrowing, name: str, grid: str, level: float) -> Fit:
    """Differences of the arms at every visit at conditional means, errors by the jackknife.

    Parameters
    ----------
    found : Borrowing
        From `borrowing`.
    name : str
        Name of the model.
    grid : str
        Grid of marginal means that the differences stand in.
    level : float
        Coverage of the intervals.
    """
    table = found.table
    trial = Trial(table.study, name, found.outcome, found.arms, table.labels, tuple(range(table.T)))
    fit = jackknife_contrasts(trial, found.data, found.plan, level=level)
    fields = ("term", "estimate", "std_error", "df", "statistic", "p_value", "lower", "upper", "level")
    rows = [
        {field: getattr(row, field) for field in fields}
        | {"grid": grid, "kind": "contrast", "x": row.term.rpartition(" at ")[2]}
        | {"by": row.term.rpartition(" at ")[0]}
        for row in fit.estimates
    ]
    return replace(fit, estimates=(), means=conform(pl.DataFrame(rows), MEANS))
