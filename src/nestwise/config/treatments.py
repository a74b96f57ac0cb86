"""Which fits the strategies for missing data ask for: model, engine and strategy, a shift for each delta."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nestwise.config.missing import REFERENCE_BASED, TREATMENTS, Strategy
from nestwise.config.study import Engine, Model, Study

DrawsKind = Literal["mi"]

POOLED_ENGINES: tuple[Engine, ...] = ("lmm", "glmm", "gee")
"""Engines that take completed or altered data."""
STRATEGY_ENGINES: Mapping[Strategy, tuple[Engine, ...]] = {
    "complete_case": POOLED_ENGINES,
    "locf": POOLED_ENGINES,
    "mi": POOLED_ENGINES,
    "wgee": ("gee",),
    "bayes": ("pymc",),
    "delta": POOLED_ENGINES,
    **dict.fromkeys(REFERENCE_BASED, POOLED_ENGINES),
}
"""The engines of a model that a strategy goes with."""
_REFERENCE: frozenset[str] = frozenset(REFERENCE_BASED)


@dataclass(frozen=True)
class Treatment:
    """One model, one engine, one strategy.

    Attributes
    ----------
    model, engine, strategy : str
        As the study file has them.
    shift : int or None
        Place of the shift in `missing: delta`, where the strategy is `delta`.
    """

    model: str
    engine: Engine
    strategy: Strategy
    shift: int | None = None

    @property
    def label(self) -> str:
        """The strategy as it stands in a path: `mi`, `delta-2`."""
        return self.strategy if self.shift is None else f"{self.strategy}-{self.shift}"


def draws_kind(label: str) -> DrawsKind | None:
    """The imputations on disk that a treatment takes, by its label; None where it makes its own."""
    return "mi" if label.partition("-")[0] in ("mi", "delta") else None


def strategies_of(study: Study, model: str) -> tuple[Strategy, ...]:
    """The strategies of one model: its own, or those of the study, `observed` first."""
    own = study.models[model].strategies
    listed = study.missing.strategies if own is None else own
    return tuple(name for name in ("observed", *TREATMENTS) if name in listed)


def treatments(study: Study) -> tuple[Treatment, ...]:
    """Every fit beside those to all observed rows, in the order of models, engines and strategies."""
    return tuple(
        treatment
        for name, model in study.models.items()
        for strategy in strategies_of(study, name)
        if strategy != "observed" and why_not(study, name, strategy) is None
        for engine in engines_of(model, strategy)
        for treatment in _shifts(name, engine, strategy, len(study.missing.delta))
    )


def _shifts(model: str, engine: Engine, strategy: Strategy, n_shifts: int) -> list[Treatment]:
    if strategy != "delta":
        return [Treatment(model, engine, strategy)]
    return [Treatment(model, engine, strategy, k) for k in range(n_shifts)]


def engines_of(model: Model, strategy: Strategy) -> tuple[Engine, ...]:
    """The engines of a model that a strategy goes with, in the order of the study file."""
    return tuple(engine for engine in model.engines if engine in STRATEGY_ENGINES[strategy])


def why_not(study: Study, model: str, strategy: Strategy) -> str | None:
    """A sentence where a strategy of a model leads to no fit at all; None where it does."""
    fitting = STRATEGY_ENGINES[strategy]
    if not engines_of(study.models[model], strategy):
        names = " or ".join(fitting)
        return f"The strategy {strategy} goes with the engine {names}: add it to the engines of {model}."
    if strategy == "delta" and not study.missing.delta:
        return "The strategy delta has nothing to shift by: list shifts under missing.delta, 0 among them."
    if strategy in _REFERENCE and study.missing.arm is None:
        return f"The strategy {strategy} borrows from a reference arm: name it under missing.arm."
    return None
