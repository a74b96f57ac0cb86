"""Coefficients of models that are not linear: what each is of, and whom it is about.

A coefficient of a mixed model is about one and the same group, one of estimating equations about the average
of groups. Both carry one name, and stand in one table only where this is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, sqrt
from statistics import NormalDist
from typing import Any

import polars as pl

from nestwise.compare.reading import noun
from nestwise.config.families import ratio_name, scale_name
from nestwise.config.study import Study
from nestwise.names import plural
from nestwise.numbers import decimals_for, fixed, interval, say
from nestwise.report.record import ReportRecord
from nestwise.vocabulary import INTERCEPT

Row = Mapping[str, Any]

CONDITIONAL_ENGINES = ("glmm", "pymc")
MARGINAL_ENGINES = ("gee",)
ANSWERED = ("ok", "singular", "not_converged")
LARGEST_EXPONENT = 300.0
SCALES_OF_ICC = {
    "latent": "latent",
    "response": "data",
    "observed": "data",
    "data": "data",
}
"""How the report calls the scale of an intraclass correlation."""


@dataclass(frozen=True)
class Outcome:
    """Family and link of a model, and what they are called.

    Attributes
    ----------
    family, link : str
        As the design has them.
    ratio : str or None
        What the exponential of a coefficient is: `odds ratio`.
    scale : str
        What the linear predictor is: `log odds`.
    """

    family: str
    link: str
    ratio: str | None
    scale: str

    @property
    def linear(self) -> bool:
        """Whether typical groups and their average are one: a Gaussian outcome as it is."""
        return self.family == "gaussian" and self.link == "identity"


def outcome_of(record: ReportRecord, model: str) -> Outcome:
    """Family and link of a model, Gaussian where there is no design.

    Parameters
    ----------
    record : ReportRecord
        The study.
    model : str
        One of its models.
    """
    design = record.designs.get(model, {})
    config = record.study.models.get(model)
    family = str(design.get("family") or (config.family if config else "gaussian"))
    link = str(design.get("link") or ("identity" if family == "gaussian" else "logit"))
    return Outcome(family, link, ratio_name(family, link), scale_name(family, link))


def generalised_models(record: ReportRecord) -> tuple[str, ...]:
    """The models whose outcome is not Gaussian, in the order of the study file."""
    return tuple(model for model in record.models if not outcome_of(record, model).linear)


def fit_of(record: ReportRecord, model: str, engines: Sequence[str]) -> Row | None:
    """The fit of the first of some engines that has an answer for a model."""
    own = record.of_model(record.fits, model).filter(pl.col("status").is_in(ANSWERED)).to_dicts()
    return next((fit for engine in engines for fit in own if fit["engine"] == engine), None)


def coefficients(record: ReportRecord, model: str, engine: str) -> Sequence[Row]:
    """Rows `fixed` of a fit that have an estimate."""
    rows = record.of_model(record.estimates, model)
    own = (pl.col("engine") == engine) & (pl.col("component") == "fixed") & pl.col("estimate").is_not_null()
    return rows.filter(own).to_dicts()


def group_noun(record: ReportRecord, model: str, engine: str = "") -> str:
    """What one group of a model is called: of the clusters for `gee`, of the innermost factor otherwise."""
    clusters = (record.records.get((model, engine)) or {}).get("clusters")
    if clusters:
        return noun(record.study, str(clusters["group"]))
    random = record.designs.get(model, {}).get("random") or ()
    return noun(record.study, str(random[-1]["group"]).split(":")[-1]) if random else "group"


def whom(record: ReportRecord, model: str, engine: str) -> str:
    """Whom the coefficients of a fit are about."""
    one = group_noun(record, model, engine)
    if engine in MARGINAL_ENGINES:
        return f"the average of {plural(one)}"
    return f"one and the same {one}"


def ratio_of(row: Row) -> tuple[str, str]:
    """The exponential of a coefficient, and of the ends of its interval."""
    value, low, high = (_exponential(row[name]) for name in ("estimate", "lower", "upper"))
    if value is None or low is None or high is None:
        return say(value), ""
    decimals = min(decimals_for((high - low) / 4), decimals_for(value, 3))
    decimals = max(decimals, decimals_for(low) if low < 1 else 0)
    return fixed(value, decimals), f"{fixed(low, decimals)} to {fixed(high, decimals)}"


def _exponential(value: float | None) -> float | None:
    return None if value is None else exp(min(max(value, -LARGEST_EXPONENT), LARGEST_EXPONENT))


def telling(rows: Sequence[Row], study: Study) -> Row | None:
    """The term, of the arm where one is declared, that stands out most from its error."""
    beside = [row for row in rows if row["term"] != INTERCEPT and row["std_error"]]
    arm = study.missing.arm.column if study.missing.arm is not None else None
    beside = [row for row in beside if arm is not None and arm in row["term"]] or beside
    return max(beside, key=lambda row: abs(row["estimate"]) / row["std_error"], default=None)


def effect_words(row: Row, outcome: Outcome) -> str:
    """A coefficient in words: `odds ratio 0.87 (0.76 to 1.00)`, or on its scale where it is no ratio."""
    if outcome.ratio is not None:
        value, ends = ratio_of(row)
        return f"{outcome.ratio} {value}" + (f" ({ends})" if ends else "")
    decimals = decimals_for(row["std_error"] or 0.1)
    ends = interval(row["lower"], row["upper"], row["std_error"])
    return f"coefficient {fixed(row['estimate'], decimals)} ({ends})"


def median_ratio(sd: float) -> float:
    """By how much two groups drawn at random differ in the median, higher over lower, under a log scale.

    ``exp(sqrt(2) Phi^-1(3/4) tau)``: Larsen & Merlo (2005), American Journal of Epidemiology 161.

    Parameters
    ----------
    sd : float
        Standard deviation between groups on the scale of the link.
    """
    return exp(min(sqrt(2) * NormalDist().inv_cdf(0.75) * sd, LARGEST_EXPONENT))


def intraclass(record: ReportRecord, model: str, engine: str) -> Iterator[tuple[str, Row]]:
    """Intraclass correlations of a fit, each with the name of its scale, `latent` or `data`."""
    rows = record.of_model(record.estimates, model).filter(
        (pl.col("engine") == engine) & (pl.col("component") == "derived") & pl.col("estimate").is_not_null()
    )
    for row in rows.to_dicts():
        if str(row["term"]).startswith("icc"):
            yield SCALES_OF_ICC.get(str(row["scale"]), str(row["scale"])), row
