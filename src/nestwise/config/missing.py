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
    gaps: Literal["refuse", "cut"] = Field(
        "refuse", description="what to do with those who came back after a gap"
    )


class Missing(Section):
    """How missing data are treated; each strategy becomes rows of its own."""

    strategies: tuple[Strategy, ...] = ("observed",)
    imputations: Literal["auto"] | Annotated[int, Field(ge=1, le=10_000)] = Field(
        "auto", description="auto: as many as the missing information asks for"
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
    delta: tuple[float, ...] = Field((), description="shifts of imputed outcomes, on the outcome's scale")
    delta_arms: Literal["all", "active"] = Field(
        "active", description="who is shifted: every arm, or all but the reference"
    )
    inference: Literal["rubin", "jackknife"] = Field(
        "rubin", description="variance of reference-based strategies: draws and Rubin, or conditional means"
    )
    weights: Weights = Weights()

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        for key in ("strategies", "auxiliary", "delta"):
            values = getattr(self, key) or ()
            if len(set(values)) != len(values):
                raise ValueError(f"{key} lists one twice")
        return self
