"""What remains of a singular fit when it is made simpler, one step after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nestwise.design.record import Design, RandomTerm
from nestwise.errors import Refusal
from nestwise.fit.state import LmmState, solve_lmm
from nestwise.vocabulary import INTERCEPT

STEPS = 6
"""Longest ladder."""


def ladder(design: Design, state: LmmState) -> list[dict[str, Any]]:
    """Simpler models, until one is not singular (rule 5): for information, the model itself stays.

    Each step drops the correlations of the worst term that has any, or else the coefficient whose random
    effects contribute least.

    Parameters
    ----------
    design : Design
        The model.
    state : LmmState
        Its singular fit.

    Returns
    -------
    list of dict
        `formula` (its random part), `step` in words, `status`, `singular`, `log_likelihood`, `aic`; first the
        model itself.
    """
    rows = [_row(design, state, "as asked for")]
    while state.optimum.singular and len(rows) <= STEPS:
        simpler = _simpler(design, state)
        if simpler is None:
            break
        design, words = simpler
        try:
            state = solve_lmm(design)
        except Refusal:
            break
        rows.append(_row(design, state, words))
    return rows


def _simpler(design: Design, state: LmmState) -> tuple[Design, str] | None:
    """The next model down, and what was left out; `None` if nothing is left to drop."""
    reach = np.sqrt(
        np.diag(state.solution.Sigma) * np.concatenate([(t.Z**2).mean(axis=0) for t in design.random])
    )
    start, worst = 0, []
    for place, term in enumerate(design.random):
        part = reach[start : start + len(term.names)]
        worst.append(
            (not (term.correlated and len(term.names) > 1), float(part.min()), place, int(part.argmin()))
        )
        start += len(term.names)
    simple, _, place, column = min(worst)
    terms = list(design.random)
    term = terms[place]
    if not simple:
        terms[place] = replace(term, correlated=False)
        return replace(design, random=tuple(terms)), f"without correlations by {term.group}"
    words = f"without {term.names[column]} by {term.group}"
    if len(term.names) > 1:
        kept = [i for i in range(len(term.names)) if i != column]
        names = tuple(term.names[i] for i in kept)
        terms[place] = replace(term, names=names, Z=term.Z[:, kept], correlated=len(kept) == 1)
    else:
        del terms[place]
    return (replace(design, random=tuple(terms)), words) if terms else None


def _row(design: Design, state: LmmState, words: str) -> dict[str, Any]:
    solution = state.solution
    return {
        "formula": " + ".join(map(_bracket, design.random)),
        "step": words,
        "status": "singular" if state.optimum.singular else "ok",
        "singular": state.optimum.singular,
        "log_likelihood": solution.log_likelihood,
        "aic": -2 * solution.log_likelihood + 2 * solution.n_parameters,
    }


def _bracket(term: RandomTerm) -> str:
    names = " + ".join("1" if name == INTERCEPT else name for name in term.names)
    bar = "|" if term.correlated or len(term.names) == 1 else "||"
    return f"({names} {bar} {term.group})"
