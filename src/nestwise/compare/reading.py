"""What the numbers of a study say, in sentences computed from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import polars as pl

from nestwise.config.study import Study
from nestwise.names import plural, several
from nestwise.numbers import count, decimals_for, fixed, percent, say
from nestwise.vocabulary import INTERCEPT

PARTIAL_ENGINES = ("lmm", "glmm", "pymc", "mixedlm")
Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Reading:
    """One thing the numbers say: about `topic` (variance, weight, shrinkage, slopes, level2, context)."""

    topic: str
    model: str
    sentence: str


@dataclass(frozen=True)
class Answer:
    """What one engine says of one model, ready to look things up."""

    study: Study
    model: str
    engine: str
    estimates: tuple[Mapping[str, Any], ...]
    groups: pl.DataFrame
    n_obs: int

    def value(self, component: str, term: str, group: str | None = None) -> float | None:
        """The estimate of one quantity, if the engine gave it."""
        row = self.row(component, term, group)
        return None if row is None or row["estimate"] is None else float(row["estimate"])

    def row(self, component: str, term: str, group: str | None = None) -> Mapping[str, Any] | None:
        """The row of one quantity, if the engine gave it."""
        for row in self.estimates:
            if (row["component"], row["term"], row["group"]) == (component, term, group):
                return row
        return None

    def varying(self) -> dict[str, tuple[str, ...]]:
        """Each grouping factor and its coefficients."""
        found: dict[str, tuple[str, ...]] = {}
        for row in self.estimates:
            if row["component"] == "sd":
                found[row["group"]] = (*found.get(row["group"], ()), row["term"])
        return found

    def fixed_terms(self) -> tuple[str, ...]:
        """Names of the fixed effects."""
        return tuple(row["term"] for row in self.estimates if row["component"] == "fixed")


def noun(study: Study, group: str) -> str:
    """How the report calls one group of a factor: its label in the study file, or its name."""
    declared = study.groups.get(group)
    return declared.label if declared is not None and declared.label else group


def answer(
    study: Study, model: str, estimates: pl.DataFrame, fits: pl.DataFrame, groups: pl.DataFrame
) -> Answer | None:
    """Take the answer of the first engine that pools partially and has one."""
    good = fits.filter((pl.col("model") == model) & pl.col("status").is_in(["ok", "singular"]))
    usable = fits.filter((pl.col("model") == model) & (pl.col("status") == "not_converged"))
    for part in (good, usable):
        for engine in PARTIAL_ENGINES:
            if engine in set(part["engine"]):
                own = (pl.col("model") == model) & (pl.col("engine") == engine)
                n_obs = part.filter(pl.col("engine") == engine)["n_obs"][0]
                rows = tuple(estimates.filter(own).to_dicts())
                return Answer(study, model, engine, rows, groups.filter(own), int(n_obs))
    return None


def read_variance(found: Answer) -> list[Reading]:
    """Say where the variance lies, for models in which only intercepts vary."""
    varying = found.varying()
    sigma = found.value("residual", "sigma")
    if not varying or not sigma or any(terms != (INTERCEPT,) for terms in varying.values()):
        return []
    taus = {group: found.value("sd", INTERCEPT, group) or 0.0 for group in varying}
    total = sigma**2 + sum(tau**2 for tau in taus.values())
    parts = [
        f"{percent(tau**2 / total)} lies between {plural(noun(found.study, group))} (SD {say(tau)})"
        for group, tau in taus.items()
    ]
    left = "the variance" if found.fixed_terms() == (INTERCEPT,) else "the variance the predictors leave"
    sentences = [
        f"Of {left}, {several(parts)} and {percent(sigma**2 / total)} within them (SD {say(sigma)})."
    ]
    if len(taus) == 1:
        group, tau = next(iter(taus.items()))
        sentences += _design_effect(found, group, tau**2 / total)
    return [Reading("variance", found.model, sentence) for sentence in sentences]


def _design_effect(found: Answer, group: str, icc: float) -> list[str]:
    sizes = found.groups.filter((pl.col("group") == group) & (pl.col("term") == INTERCEPT))["n"].drop_nulls()
    effect = found.value("derived", "design_effect", group)
    if effect is None and len(sizes):
        rows = [float(size) for size in sizes]
        effect = 1 + (sum(size**2 for size in rows) / sum(rows) - 1) * icc
    if effect is None or effect < 1:
        return []
    worth = found.n_obs / effect
    return [
        f"Because rows of one {noun(found.study, group)} resemble each other, {count(found.n_obs)} rows "
        f"say as "
        f"much about the overall mean as about {count(round(worth))} independent ones would (design effect "
        f"{say(effect, 2)})."
    ]


def read_weight(found: Answer) -> list[Reading]:
    """Say after how many rows a group's own data outweigh the common mean: sigma^2/tau^2."""
    sigma = found.value("residual", "sigma")
    readings = []
    for group, terms in found.varying().items():
        tau = found.value("sd", INTERCEPT, group)
        if terms != (INTERCEPT,) or not sigma or len(found.varying()) > 1:
            continue
        name = noun(found.study, group)
        if not tau or tau / sigma < 1e-4:
            readings.append(
                f"The {plural(name)} do not differ by more than chance explains: no amount of data makes a "
                "group's own mean better than the common one."
            )
            continue
        rows = (sigma / tau) ** 2
        own = "common mean" if found.fixed_terms() == (INTERCEPT,) else "common regression line"
        about = say(rows, 2) if rows < 9.5 else count(round(rows))
        about = f"{rows:.0f}" if 1.5 <= rows < 9.5 else about
        noted = "one observation" if rows < 1.5 else f"about {about} observations"
        start = (
            f"A {name} with more than {noted} is"
            if rows >= 1
            else f"Already with one observation a {name} is"
        )
        readings.append(
            f"{start} better served by its own data than by the {own} "
            f"(σ²/τ² = {say(sigma)}²/{say(tau)}² = {say(rows, 2)})."
        )
    return [Reading("weight", found.model, sentence) for sentence in readings]


def read_shrinkage(found: Answer) -> list[Reading]:
    """Say which groups move most from their own estimate, and by what weight."""
    readings = []
    for group, terms in found.varying().items():
        for term in terms:
            part = found.groups.filter((pl.col("group") == group) & (pl.col("term") == term)).drop_nulls(
                ["no_pooling", "partial_pooling"]
            )
            if part.is_empty():
                continue
            moved = part.with_columns(moved=(pl.col("no_pooling") - pl.col("partial_pooling")).abs())
            top = moved.sort("moved", "label", descending=[True, False]).row(0, named=True)
            if not top["moved"]:
                continue
            readings.append(_farthest(found, group, term, top, moved))
    return [Reading("shrinkage", found.model, sentence) for sentence in readings]


def _farthest(found: Answer, group: str, term: str, top: Mapping[str, Any], moved: pl.DataFrame) -> str:
    decimals = decimals_for(top["partial_pooling_se"] or top["moved"])
    what = "intercept" if term == INTERCEPT else f"slope of {term}"
    weight = (
        f", its own data weighing {say(top['pooling_factor'], 2)}"
        if term == INTERCEPT and top["pooling_factor"] is not None
        else ""
    )
    factors = moved["pooling_factor"].drop_nulls()
    low: Any = factors.min() if len(factors) else None
    high: Any = factors.max() if len(factors) else None
    rows = "row" if top["n"] == 1 else "rows"
    sentence = (
        f"The {what} of {noun(found.study, group)} {top['label']} ({count(top['n'])} {rows}) moves farthest: "
        f"{fixed(top['no_pooling'], decimals)} by its own data alone, "
        f"{fixed(top['partial_pooling'], decimals)} "
        f"after partial pooling{weight}."
    )
    if term == INTERCEPT and low is not None and high is not None and high - low > 0.005:
        sentence += f" The weights run from {say(low, 2)} to {say(high, 2)}."
    return sentence


def read_slopes(found: Answer) -> list[Reading]:
    """Say how much each varying slope differs between groups, and how it goes with the intercept."""
    readings = []
    for group, terms in found.varying().items():
        for term in terms:
            tau, mean = found.value("sd", term, group), found.value("fixed", term)
            if term == INTERCEPT or tau is None or mean is None:
                continue
            digits = decimals_for(tau)
            pair = found.value("cor", f"{INTERCEPT}:{term}", group)
            groups = plural(noun(found.study, group))
            on_line = any(term in name.split(":") and name != term for name in found.fixed_terms())
            centre = "when the variables that explain it are zero, " if on_line else ""
            sentence = (
                f"The effect of {term} differs between {groups}: {centre}{fixed(mean, digits)} on average "
                f"with "
                f"an SD of {fixed(tau, digits)}, so that it lies between {fixed(mean - Z95 * tau, digits)} "
                f"and "
                f"{fixed(mean + Z95 * tau, digits)} in 95% of {groups}."
            )
            if pair is not None:
                sentence += f" Its correlation with the intercept is {fixed(pair, 2)}."
            readings.append(Reading("slopes", found.model, sentence))
    return readings


def read_level2(answers: Sequence[Answer], hashes: Mapping[str, str]) -> list[Reading]:
    """Say how much of the variance between groups predictors explain, between nested models."""
    readings = []
    for small, large in pairwise(answers):
        added = [term for term in large.fixed_terms() if term not in small.fixed_terms()]
        nested = set(small.fixed_terms()) < set(large.fixed_terms())
        same = small.varying() == large.varying() and hashes.get(small.model) == hashes.get(large.model)
        if not (nested and same and small.engine == large.engine):
            continue
        for group, terms in large.varying().items():
            for term in terms:
                before, after = small.value("sd", term, group), large.value("sd", term, group)
                if before is None or after is None or before <= 0:
                    continue
                what = "SD between" if term == INTERCEPT else f"SD of the slope of {term} between"
                change = 1 - (after / before) ** 2
                verb = "explain" if len(added) > 1 else "explains"
                moved = f"{verb} " + (
                    f"{percent(change)} of the variance" if change > 0.005 else "none of it"
                )
                groups = plural(noun(large.study, group))
                sentence = (
                    f"With {several(added, 4)} in the model (`{large.model}` after `{small.model}`) the "
                    f"{what} {groups} goes from {say(before)} to {say(after)}: {several(added, 4)} "
                    f"{moved}."
                )
                readings.append(Reading("level2", large.model, sentence))
    return readings


def read_model(found: Answer) -> tuple[Reading, ...]:
    """All that can be said of one model by itself."""
    parts = (read_variance, read_weight, read_slopes, read_shrinkage)
    return tuple(reading for part in parts for reading in part(found))


def by_likelihood_and_posterior(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of one model's reconciliation: those of the engine that leads, and those of draws beside it.

    Where only a posterior is reconciled it leads, and nothing stands beside it.

    Parameters
    ----------
    rows : DataFrame
        In the schema RECONCILIATION.
    """
    drawn = pl.col("conditional_engine").eq_missing("pymc")
    others, posterior = rows.filter(~drawn), rows.filter(drawn)
    return (posterior, others) if others.is_empty() else (others, posterior)
