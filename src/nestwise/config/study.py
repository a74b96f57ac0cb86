"""The study file as frozen records: every key a person may write, and nothing else."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from nestwise.config.families import LINKS
from nestwise.config.missing import Missing, Strategy
from nestwise.config.words import ColumnName, Name, Section, Text

VariableType = Literal["continuous", "count", "binary", "categorical", "ordinal", "date"]
Engine = Literal["lmm", "glmm", "gee", "mixedlm", "pymc", "pooled", "unpooled"]
Family = Literal["gaussian", "binomial", "poisson", "negative_binomial", "ordinal", "gamma"]
Link = Literal["identity", "logit", "probit", "cloglog", "log", "inverse"]

DegreesOfFreedom = Literal[
    "satterthwaite", "kenward_roger", "kenward_roger_linear", "between_within", "normal"
]  # fmt: skip
Sandwich = Literal["CR0", "CR1", "CR2", "CR3"]
WorkingCorrelation = Literal[
    "independence", "exchangeable", "ar1", "unstructured", "m_dependent", "nested", "global_odds_ratio"
]  # fmt: skip
MarginalVariance = Literal["LZ", "KC", "MD", "FG", "MBN", "model"]

DEFAULT_ENGINES: dict[str, tuple[Engine, ...]] = {
    "gaussian": ("pooled", "unpooled", "lmm", "mixedlm", "pymc"),
}
GENERALISED_ENGINES: tuple[Engine, ...] = ("glmm", "gee", "pymc")


class Wide(Section):
    """Columns that are occasions, to be stacked: one row an occasion afterwards."""

    columns: tuple[ColumnName, ...] = Field(min_length=2, description="columns to stack, in order of time")
    time: ColumnName = Field(description="name of the new column that says which one a value came from")
    value: ColumnName = Field(description="name of the new column of values")
    times: tuple[float, ...] | None = Field(
        None, description="what the new time column holds; default 0, 1, 2, ..."
    )

    @model_validator(mode="after")
    def _one_time_a_column(self) -> Self:
        if self.times is not None and len(self.times) != len(self.columns):
            raise ValueError(f"times has {len(self.times)} values for {len(self.columns)} columns")
        return self


class Data(Section):
    """Where the data are and how missing values are written."""

    source: Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f]+$")] = (
        Field(description="`dataset:NAME` for a bundled set, or a path relative to the study file")
    )
    missing_values: tuple[str | int | float, ...] = Field((), description="codes that mean: missing")
    wide: Wide | None = Field(None, description="how to stack a table with one column an occasion")


class Group(Section):
    """A grouping factor."""

    within: ColumnName | None = Field(None, description="the grouping factor it is nested in")
    label: Text | None = Field(None, description="how the report calls it")
    relation: (
        Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f]+$")] | None
    ) = Field(None, description="csv of the known correlation between its groups, relative to the study file")


class Time(Section):
    """The time of an observation."""

    column: ColumnName = Field(description="column that holds it")
    unit: Text | None = Field(None, description="unit, e.g. day")


class Variable(Section):
    """What a variable is, and what its values may be."""

    type: VariableType | None = Field(None, description="inferred and reported when absent")
    unit: Text | None = Field(None, description="unit of measurement")
    label: Text | None = Field(None, description="how the report calls it")
    min: float | None = Field(None, description="smallest possible value")
    max: float | None = Field(None, description="largest possible value")
    levels: tuple[str | int | float | bool, ...] | None = Field(
        None, description="values it may take, in order"
    )
    reference: str | int | float | bool | None = Field(None, description="level the others are compared with")
    constant_within: ColumnName | None = Field(
        None, description="grouping factor inside which it may not vary"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is larger than max {self.max:g}")
        if self.levels is not None and len(set(map(str, self.levels))) != len(self.levels):
            raise ValueError("levels lists a value twice")
        if self.levels is not None and self.reference is not None and self.reference not in self.levels:
            raise ValueError(f"reference {self.reference!r} is not one of the levels")
        return self


DERIVATIONS = ("within", "between", "center", "scale")


class Derivation(Section):
    """A derived variable: exactly one of `within`, `between`, `center`, `scale` names its source."""

    within: ColumnName | None = Field(None, description="deviation from the mean of its group")
    between: ColumnName | None = Field(None, description="mean of its group")
    center: ColumnName | None = Field(None, description="deviation from the overall mean, or from `at`")
    scale: ColumnName | None = Field(
        None, description="deviation from the overall mean in standard deviations"
    )
    group: ColumnName | None = Field(None, description="grouping factor of `within` and `between`")
    at: float | None = Field(None, description="value to centre at instead of the mean")
    as_: ColumnName = Field(alias="as", description="name of the new column")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    @property
    def kind(self) -> str:
        """`within`, `between`, `center` or `scale`."""
        return next(name for name in DERIVATIONS if getattr(self, name) is not None)

    @property
    def source(self) -> str:
        """The variable it is computed from."""
        return str(getattr(self, self.kind))

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [name for name in DERIVATIONS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"needs exactly one of {', '.join(DERIVATIONS)}, and has {' and '.join(given) or 'none'}"
            )
        if given[0] in ("within", "between") and self.group is None:
            raise ValueError(f"{given[0]} needs `group`")
        if given[0] in ("center", "scale") and self.group is not None:
            raise ValueError(f"{given[0]} is about the overall mean: leave `group` out, or use `within`")
        if self.at is not None and given[0] != "center":
            raise ValueError("`at` goes with `center`")
        return self


class Variance(Section):
    """How the residual variance differs between rows: exactly one key."""

    power: ColumnName | None = Field(None, description="sd = sigma |x|^d of this covariate")
    exponential: ColumnName | None = Field(None, description="sd = sigma exp(d x) of this covariate")
    strata: ColumnName | None = Field(None, description="one residual sd for each level of this column")

    @model_validator(mode="after")
    def _one_function(self) -> Self:
        if sum(value is not None for value in (self.power, self.exponential, self.strata)) != 1:
            raise ValueError("needs exactly one of power, exponential, strata")
        return self


class Residual(Section):
    """Covariance of the residuals inside the lowest group."""

    structure: Literal[
        "independent",
        "unstructured",
        "compound_symmetry",
        "ar1",
        "toeplitz",
        "antedependence",
    ] = "independent"
    time: ColumnName | None = Field(None, description="column of the visits; default: the study's time")
    by: ColumnName | None = Field(None, description="strata (arms) with a covariance each")
    subject: ColumnName | None = Field(None, description="default: the lowest grouping factor")
    heterogeneous: bool = Field(False, description="a variance of its own for each visit")
    variance: Variance | None = Field(None, description="a variance that follows a covariate or strata")

    @model_validator(mode="after")
    def _one_account_of_the_variances(self) -> Self:
        if self.variance is not None and (self.heterogeneous or self.structure == "unstructured"):
            other = "unstructured" if self.structure == "unstructured" else "heterogeneous"
            raise ValueError(f"{other} gives each visit a variance of its own: leave `variance` out")
        return self


class Prior(Section):
    """Override of a default prior, on the scale of the data."""

    distribution: Literal["normal", "student_t", "half_normal", "half_student_t", "exponential", "lkj"]
    location: float = 0.0
    scale: float | None = Field(None, gt=0)
    df: float | None = Field(None, gt=0)
    eta: float | None = Field(None, gt=0, description="of lkj")


class Model(Section):
    """One model, fitted by every engine listed."""

    formula: Annotated[str, StringConstraints(min_length=3, max_length=2000)] = Field(
        description="as lme4 writes it"
    )
    family: Family = "gaussian"
    link: Link | None = None
    engines: tuple[Engine, ...] = Field((), description="default: all that fit the family")
    reml: bool = True
    residual: Residual | None = None
    weights: ColumnName | None = Field(None, description="column of prior weights: variance sigma^2 / weight")
    sampling_error: ColumnName | None = Field(None, description="column of known standard errors")
    df: DegreesOfFreedom = Field("satterthwaite", description="of the t and F tests of `lmm`")
    robust: Sandwich | None = Field(None, description="cluster-robust standard errors beside the model's")
    correlation: WorkingCorrelation = Field("exchangeable", description="working correlation of `gee`")
    lags: int = Field(1, ge=1, le=100, description="visits apart that are correlated under m_dependent")
    variance: MarginalVariance | None = Field(
        None, description="covariance of the estimates of `gee`; default: by the number of clusters"
    )
    bootstrap: int = Field(0, ge=0, le=100_000, description="refits of the parametric bootstrap")
    means: tuple[tuple[ColumnName, ...], ...] = Field(
        (), description="marginal means over the levels of these variables, e.g. [[visit, arm]]"
    )
    priors: dict[str, Prior] = Field(default_factory=dict, description="term, sd:TERM, cor or sigma -> prior")
    strategies: tuple[Strategy, ...] | None = Field(
        None, description="how missing data are treated; default: those of `missing`"
    )
    label: Text | None = Field(None, description="what the model is for, in a few words")
    draws: int = Field(1000, ge=100, le=100_000, description="posterior draws a chain")
    tune: int = Field(1000, ge=100, le=100_000, description="warm-up steps a chain")
    chains: int = Field(4, ge=2, le=64)

    @model_validator(mode="before")
    @classmethod
    def _default_engines(cls, given: Any) -> Any:
        if isinstance(given, dict) and not given.get("engines"):
            family = given.get("family", "gaussian")
            engines = DEFAULT_ENGINES.get(family, GENERALISED_ENGINES) if isinstance(family, str) else ()
            return given | {"engines": list(engines)}
        return given

    @model_validator(mode="after")
    def _no_engine_twice(self) -> Self:
        if len(set(self.engines)) != len(self.engines):
            raise ValueError("engines lists one twice")
        return self

    @model_validator(mode="after")
    def _keys_go_together(self) -> Self:
        problems = [problem for holds, problem in self._quarrels() if holds]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _quarrels(self) -> tuple[tuple[bool, str], ...]:
        """Pairs of keys that contradict each other, and what to do about it."""
        weighted, known = self.weights is not None, self.sampling_error is not None
        named = [key for key in ("residual", "sampling_error") if getattr(self, key) is not None]
        kenward = self.df in ("kenward_roger", "kenward_roger_linear")
        return (
            (weighted and known, "weights and sampling_error both say how exact a row is: keep one of them"),
            (
                known and self.residual is not None,
                "sampling_error leaves no residual variance to give a structure to: leave `residual` out",
            ),
            (
                self.family != "gaussian" and bool(named),
                f"a {self.family} outcome has no residual variance: leave {' and '.join(named)} out",
            ),
            (
                self.link is not None and self.link not in LINKS[self.family],
                f"{self.family} has no link {self.link}: use one of {', '.join(LINKS[self.family])}",
            ),
            (
                kenward and not self.reml,
                f"df: {self.df} corrects a REML fit: set reml: true, or choose satterthwaite",
            ),
            (
                any(not by or len(set(by)) != len(by) for by in self.means),
                "means lists an empty grid, or a variable twice in one grid",
            ),
            (len(set(self.means)) != len(self.means), "means lists a grid twice"),
        )


class Compare(Section):
    """What to compare."""

    models: tuple[Name, ...] | None = Field(None, description="models to set side by side; default: all")
    level: float = Field(0.95, gt=0.5, lt=1, description="coverage of every interval")


class Report(Section):
    """What the report says beside the numbers."""

    question: Text | None = Field(None, description="what the study is to answer")
    notes: Text | None = Field(None, description="what a reader should know")
    main_model: Name | None = Field(None, description="model the figures dwell on; default: the last")


class DataDescription(Section):
    """The sections that describe the data: what is read, and what it is held against."""

    data: Data
    groups: dict[ColumnName, Group] = Field(min_length=1)
    time: Time | None = None
    variables: dict[ColumnName, Variable] = Field(default_factory=dict)
    derive: tuple[Derivation, ...] = ()
    missing: Missing = Missing()


class Study(DataDescription):
    """A whole study file."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    models: dict[Name, Model] = Field(min_length=1)
    compare: Compare = Compare()
    report: Report = Report()
