"""A planned run in a table: which jobs, what they ask for, and what jobs like them took in earlier runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from nestwise.names import counted
from nestwise.progress import read_cost

MEASURED = Path(__file__).with_name("measured.tsv")
"""What the steps took in the runs that `benchmarks/` describes: step, MB of data, seconds, MB of memory."""

REACH = 10.0
"""Costs are told up to so many times the largest data that were measured: small data show only starting."""


@dataclass(frozen=True)
class Planned:
    """One job that is to run.

    Attributes
    ----------
    step : str
        Its rule; for fits with the engine or the strategy: see `step_name`.
    study : str
    size : float
        MB of data as text.
    benchmark : str
        File in which an earlier run has left seconds and memory of the same job, if it has run.
    minutes, memory : int
        What the job asks for: the limit of its time, and MB.
    """

    step: str
    study: str
    size: float
    benchmark: str
    minutes: int
    memory: int


@dataclass(frozen=True)
class Measured:
    """What one job took.

    Attributes
    ----------
    size : float
        MB of data as text.
    seconds : float
        By the clock.
    memory : float
        MB at the peak.
    """

    size: float
    seconds: float
    memory: float


@dataclass(frozen=True)
class Row:
    """All planned jobs of one step of one study.

    Attributes
    ----------
    study, step : str
    jobs : int
    seconds : float or None
        Expected, all jobs together; `None` if no such job was ever measured.
    memory : float or None
        Expected, MB of the largest.
    asked_minutes, asked_memory : int
        Limits of the longest and the largest job.
    basis : str
        What the expectation rests on.
    """

    study: str
    step: str
    jobs: int
    seconds: float | None
    memory: float | None
    asked_minutes: int
    asked_memory: int
    basis: str


def step_name(rule: str, engine: str | None = None, treatment: str | None = None) -> str:
    """What a job is called in a plan: its rule, `fit.lmm` for a fit, `treat.delta` for one under a strategy.

    Parameters
    ----------
    rule : str
        Name of the rule.
    engine : str, optional
        Of a fit.
    treatment : str, optional
        Strategy for missing data as it stands in a path, as `delta-2`: all shifts cost the same.
    """
    if treatment:
        return f"treat.{treatment.partition('-')[0]}"
    return f"fit.{engine}" if engine else rule


def read_measured(path: Path = MEASURED) -> dict[str, list[Measured]]:
    """Measurements that come with the package, by step."""
    found: dict[str, list[Measured]] = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        step, *numbers = line.split("\t")
        found.setdefault(step, []).append(Measured(*map(float, numbers)))
    return found


def read_benchmark(file: str, size: float) -> Measured | None:
    """What an earlier run of the very job took, or `None`: the median where it was repeated.

    Memory is what Snakemake saw at some moments, or the peak in the log of the step (`logs/` beside
    `benchmarks/`, by the same name) where that is more.
    """
    path = Path(file)
    if not file or not path.is_file():
        return None
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line]
    try:
        head, rows = lines[0], lines[1:]
        seconds = median(float(row[head.index("s")]) for row in rows)
        memory = max(float(row[head.index("max_rss")]) for row in rows)
    except (ValueError, IndexError):  # a run too short to be measured leaves NA or -
        return None
    told = read_cost(log_of(path))
    return Measured(size, seconds, max(memory, told[1] if told else 0.0))


def log_of(benchmark: Path) -> Path:
    """The log of the job that left a benchmark file."""
    return benchmark.parent.parent / "logs" / f"{benchmark.stem}.log"


def expected(size: float, known: Sequence[Measured]) -> Measured:
    """Cost at a size: straight lines on log-log axes between what was measured, in proportion beyond.

    Parameters
    ----------
    size : float
        MB of data as text.
    known : sequence of Measured
        At least one. Below the smallest size its cost is taken: it is the cost of starting.
    """
    ordered = sorted(known, key=lambda one: one.size)
    below = [one for one in ordered if one.size <= size]
    above = [one for one in ordered if one.size > size]
    if not below:
        return Measured(size, ordered[0].seconds, ordered[0].memory)
    low = below[-1]
    if not above:
        factor = size / low.size
        return Measured(size, low.seconds * factor, low.memory * factor)
    share = math.log(size / low.size) / math.log(above[0].size / low.size)
    return Measured(
        size,
        low.seconds ** (1 - share) * above[0].seconds ** share,
        low.memory ** (1 - share) * above[0].memory ** share,
    )


def rows(jobs: Sequence[Planned], shipped: Mapping[str, Sequence[Measured]]) -> list[Row]:
    """One row a study and step, study after study, in the order in which the jobs are named.

    Parameters
    ----------
    jobs : sequence of Planned
    shipped : mapping
        Measurements by step, as `read_measured` gives them; used where the job itself has not run before.
    """
    steps: dict[tuple[str, str], list[Planned]] = {}
    for job in jobs:
        steps.setdefault((job.study, job.step), []).append(job)
    first = {study: at for at, (study, _) in reversed(list(enumerate(steps)))}
    ordered = sorted(steps.items(), key=lambda entry: first[entry[0][0]])
    return [_row(*names, members, shipped) for names, members in ordered]


def _within_reach(size: float, known: Sequence[Measured]) -> bool:
    return size <= REACH * max((one.size for one in known), default=0.0)


def _row(study: str, step: str, jobs: Sequence[Planned], shipped: Mapping[str, Sequence[Measured]]) -> Row:
    earlier = [read_benchmark(job.benchmark, job.size) for job in jobs]
    known = shipped.get(step, ())
    costs = [
        own or (expected(job.size, known) if _within_reach(job.size, known) else None)
        for job, own in zip(jobs, earlier, strict=True)
    ]
    told = [cost for cost in costs if cost is not None]
    complete = len(told) == len(jobs)
    own = sum(cost is not None for cost in earlier)
    basis = "earlier run" if own == len(jobs) else "benchmarks" if complete else "limits only"
    return Row(
        study=study,
        step=step,
        jobs=len(jobs),
        seconds=sum(cost.seconds for cost in told) if complete else None,
        memory=max(cost.memory for cost in told) if complete else None,
        asked_minutes=max(job.minutes for job in jobs),
        asked_memory=max(job.memory for job in jobs),
        basis=basis,
    )


def table(planned: Sequence[Row]) -> str:
    """The rows as text for a terminal, with a sentence on the whole below."""
    if not planned:
        return "Nothing to be done: all results are there and up to date."
    head = ("study", "step", "jobs", "time", "memory", "limit", "asks for", "known from")
    body = [
        (
            row.study, row.step, str(row.jobs), duration(row.seconds), _megabytes(row.memory),
            f"{row.asked_minutes} min", _megabytes(row.asked_memory), row.basis,
        )
        for row in planned
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if at in (0, 1, 7) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (head, *body)
    ]
    return "\n".join([*lines, "", summary(planned)])


def summary(planned: Sequence[Row]) -> str:
    """The whole run in two sentences."""
    told = [row.seconds for row in planned if row.seconds is not None]
    unknown = sum(row.jobs for row in planned if row.seconds is None)
    largest = max(row.memory or 0.0 for row in planned)
    text = (
        f"{counted(sum(row.jobs for row in planned), 'job')} of "
        f"{counted(len({row.study for row in planned}), 'study')} take some "
        f"{duration(sum(told))} of one core, and at most {_megabytes(largest)} of memory each."
    )
    return text + (
        f" What {unknown} of them {'takes' if unknown == 1 else 'take'} is not known." if unknown else ""
    )


def duration(seconds: float | None) -> str:
    """Seconds in the unit a person would use; a dash for what is not known."""
    if seconds is None:
        return "–"
    for limit, divisor, unit in ((100, 1, "s"), (100 * 60, 60, "min")):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 3600:.1f} h"


def _megabytes(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f} MB" if value < 10_000 else f"{value / 1000:.0f} GB"
