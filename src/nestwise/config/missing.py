"""The section `missing`: which strategies treat missing data, and how each is set."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from nestwise.config.words import ColumnName, Section

Strategy = Literal[
    "observed", "complete_case", "locf", "mi", "wgee", "bayes", "delta", "j2r", "cir", "cr", "lmcf"
]  # fmt: skip
ImputationMethod = Literal[
    "normal", "heterogeneous", "matching", "binary", "count", "ordinal", "nominal", "substantive"
]  # fmt: skip

EventStrategy = Literal["treatment_policy", "hypothetical", "composite", "j2r", "cir", "cr", "lmcf"]

REFERENCE_BASED: tuple[Strategy, ...] = ("j2r", "cir", "cr", "lmcf")
"""Strategies that borrow the course of the reference arm, or of the last visit, after drop-out."""
TREATMENTS: tuple[Strategy, ...] = ("complete_case", "locf", "mi", "wgee", "bayes", "delta", *REFERENCE_BASED)
"""Every strategy but `observed`, in the order of the tables."""


class Arm(Section):
    """The randomised arm."""

    column: ColumnName
    reference: str | int | float | bool


class Weights(Section):
    """How the weights of `wgee` are made."""

    level: Literal["visit", "subject"] = Field("visit", description="a weight a visit, or one a subject")
    predictors: tuple[ColumnName, ...] | None = Field(
        None, description="what staying is predicted from; default: the arm and the covariates of the model"
    )
    previous: bool = Field(True, description="whether the previous outcome predicts staying")
    stabilised: bool = Field(True, description="divide by the probability given arm and visit alone")
    largest: float | None = Field(
        10.0, gt=1, description="weights are cut at so many times the mean of their visit; null: never"
    )
    doubly_robust: bool = Field(
        False, description="regressions of later outcomes beside the weights: one of the two must be right"
    )
    gaps: Literal["refuse", "cut", "impute"] = Field(
        "refuse",
        description="those who came back after a gap: refused, cut there, or the gap imputed as by `mi`",
    )


class Events(Section):
    """What happened to whom after randomisation, and what becomes of the outcomes after it."""

    column: ColumnName = Field(
        description="column that names what happened, from the visit on at which it did; empty before"
    )
    strategies: dict[ColumnName, EventStrategy] = Field(
        default_factory=dict,
        description="strategy after each kind of event; others, and leaving, take that of the row (j2r, ...)",
    )
    failure: float | None = Field(
        None, allow_inf_nan=False, description="the outcome after an event that is dealt with as `composite`"
    )

    @model_validator(mode="after")
    def _failure_goes_with_composite(self) -> Self:
        composite = "composite" in self.strategies.values()
        if composite and self.failure is None:
            raise ValueError("composite needs a value that stands for failure: give it under failure")
        if self.failure is not None and not composite and self.strategies:
            raise ValueError("failure is the value of composite, and no event has this strategy")
        return self


class Missing(Section):
    """How missing data are treated; each strategy becomes rows of its own."""

    strategies: tuple[Strategy, ...] = ("observed",)
    imputations: Literal["auto"] | Annotated[int, Field(ge=1, le=10_000)] = Field(
        "auto", description="auto: as many as the missing information asks for"
    )
    posteriors: int = Field(
        0, ge=0, le=1000, description="imputations that `pymc` fits, its draws mixed; 0: none, 2 at least"
    )
    iterations: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="sweeps of the chained equations; default: 10, and 20 for slopes and interactions",
    )
    imputation: Literal["chained", "joint"] = Field(
        "chained", description="one model a variable, or one model for all of them"
    )
    methods: dict[ColumnName, ImputationMethod] = Field(
        default_factory=dict, description="imputation model of a variable; default: by its type"
    )
    auxiliary: tuple[ColumnName, ...] = Field(
        (), description="variables that help to impute and are in no model"
    )
    arm: Arm | None = None
    visit: ColumnName | None = Field(
        None, description="column that counts the planned visits; default: the time, or a column that does"
    )
    baseline: ColumnName | None = Field(
        None, description="column that holds the outcome before the first visit"
    )
    delta: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = Field(
        (),
        description="shifts of imputed outcomes: numbers in the outcome's unit, categories in log-odds",
    )
    delta_arms: Literal["all", "active"] = Field(
        "active", description="who is shifted: every arm, or all but the reference"
    )
    inference: Literal["rubin", "jackknife"] = Field(
        "rubin", description="variance of reference-based strategies: draws and Rubin, or conditional means"
    )
    events: Events | None = Field(None, description="intercurrent events, for the reference-based strategies")
    weights: Weights = Weights()

    @model_validator(mode="after")
    def _two_posteriors_to_mix(self) -> Self:
        most = self.imputations
        if self.posteriors == 1 or (most != "auto" and self.posteriors > most):
            raise ValueError(f"posteriors is {self.posteriors}: give 0, or 2 up to the imputations")
        return self

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        for key in ("strategies", "auxiliary", "delta"):
            values = getattr(self, key) or ()
            if len(set(values)) != len(values):
                raise ValueError(f"{key} lists one twice")
        return self

    @model_validator(mode="after")
    def _events_have_a_column_of_their_own(self) -> Self:
        taken = {"arm": self.arm and self.arm.column, "visit": self.visit, "baseline": self.baseline}
        for key, column in taken.items():
            if self.events is not None and column == self.events.column:
                raise ValueError(f"{column} is the column of `{key}` and of `events`: name two columns")
        return self
