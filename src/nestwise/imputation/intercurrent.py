"""What is done with the outcomes of a subject once an intercurrent event, such as dropping out, has happened.

The strategies of ICH E9(R1) as data handling, subject by subject:

- `treatment_policy`: outcomes after the event count like any other; those missing are missing at random;
- `hypothetical`: outcomes after the event are set aside, and drawn as if it had not happened;
- `composite`: a value that stands for failure takes the place of all outcomes after the event;
- `j2r`, `cir`, `cr`, `lmcf`: outcomes after the event are set aside, and drawn as `reference` says.

What is set aside takes no part in the model either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from nestwise.arrays import FloatArray, IntArray
from nestwise.errors import Problem, Refusal
from nestwise.imputation.reference import ASSUMPTIONS, Plan
from nestwise.imputation.repeated import RepeatedData

STRATEGIES = ("treatment_policy", "hypothetical", "composite", *ASSUMPTIONS[1:])


def last_seen(Y: FloatArray) -> IntArray:
    """Visits (n,) up to the last outcome of each subject: dropping out as the event; T without one."""
    seen = ~np.isnan(Y)
    T = Y.shape[1]
    return np.where(seen.any(axis=1), T - np.argmax(seen[:, ::-1], axis=1), 0).astype(np.int64)


def handle_events(
    data: RepeatedData,
    before: IntArray,
    events: Sequence[str],
    strategies: Mapping[str, str],
    *,
    reference: int,
    failure: float | None = None,
) -> tuple[RepeatedData, Plan]:
    """Data and plan in which each event is dealt with by its strategy.

    Parameters
    ----------
    data : RepeatedData
        Outcomes as observed.
    before : ndarray (n,)
        Visits before each subject's event; T without one.
    events : sequence of str, length n
        Kind of event, e.g. `dropout`, `rescue`; of no consequence without one.
    strategies : mapping of str to str
        Strategy after each kind of event, of `STRATEGIES`.
    reference : int
        Reference arm.
    failure : float, optional
        Value of `composite`.

    Raises
    ------
    Refusal
        Unknown strategies, events without one, or `composite` without a value.
    """
    T = data.Y.shape[1]
    kinds = [event if k < T else "" for event, k in zip(events, before, strict=True)]
    _refuse(kinds, strategies, failure)
    chosen = [strategies[kind] if kind else "treatment_policy" for kind in kinds]
    after = np.arange(T) >= before[:, None]
    aside = after & np.array([name != "treatment_policy" for name in chosen])[:, None]
    composite = after & np.array([name == "composite" for name in chosen])[:, None]
    fixed = None if failure is None else np.where(composite, failure, np.nan)
    assumed = tuple(name if name in ASSUMPTIONS else "mar" for name in chosen)
    handled = replace(data, Y=np.where(aside, np.nan, data.Y))
    return handled, Plan(before.astype(np.int64), assumed, reference, fixed=fixed)


def _refuse(kinds: Sequence[str], strategies: Mapping[str, str], failure: float | None) -> None:
    where = "missing"
    problems = [
        Problem(f"nothing is said of what follows {kind}", where, f"give it one of {', '.join(STRATEGIES)}")
        for kind in dict.fromkeys(kinds)
        if kind and kind not in strategies
    ]
    problems += [
        Problem(f"{name} is no strategy after {kind}", where, f"use one of {', '.join(STRATEGIES)}")
        for kind, name in strategies.items()
        if name not in STRATEGIES
    ]
    if "composite" in strategies.values() and (failure is None or not np.isfinite(failure)):
        problems.append(
            Problem("a composite strategy needs a value that stands for failure", where, "name it")
        )
    if problems:
        raise Refusal(problems)
