"""Many fits of one model to completed data sets made one `Fit` (rules 20 and 21).

Every row is pooled by Rubin's rules on a scale on which it is about normal (`imputation.pooled_scales`) with
the degrees of freedom of its own analysis; terms with several coefficients by D1; posterior draws are mixed,
their convergence having been judged inside each imputation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from nestwise.arrays import FloatArray
from nestwise.errors import Problem, Refusal
from nestwise.imputation.joint_tests import wald_test
from nestwise.imputation.pooled_rows import pooled_row
from nestwise.imputation.rubin import enough
from nestwise.results import Check, Estimate, Fit, Status, Test, conform, empty
from nestwise.vocabulary import GROUPS, INFLUENCE, MEANS, PREDICTIONS, PROFILES

FAILURES = 0.1
"""Share of the analyses that may fail; beyond it, those that did not are no fair sample of all."""
NOT_POOLED = ("deviance",)
"""Scales of rows that mean nothing when averaged."""
GIVEN_UP = (Status.FAILED, Status.REFUSED, Status.NOT_CONVERGED)
_MEAN_KEY = ("grid", "kind", "x", "by", "term")


class Key(NamedTuple):
    """What tells the rows of a fit apart."""

    component: str
    term: str
    group: str | None
    target: str
    scale: str


def pool(
    fits: Sequence[Fit], *, strategy: str = "mi", level: float = 0.95, failures: float = FAILURES
) -> Fit:
    """Pool the fits of one model, by one engine, to m completed data sets.

    Parameters
    ----------
    fits : sequence of Fit
        One an imputation, in the order of the imputations.
    strategy : str
        How the data were completed: `mi`, `j2r`, ...
    level : float
        Coverage of the intervals.
    failures : float
        Share of the analyses that may fail before the answer is refused.

    Returns
    -------
    Fit
        Estimates, marginal means and tests of terms; ``record["pooling"]`` has the fraction of missing
        information, the relative efficiency, the Monte Carlo error and the imputations needed of each row.
        Standard deviations and shares that are 0 in some imputation have no interval.

    Raises
    ------
    Refusal
        With fewer than two imputations, too many failed analyses, or fits of different models.
    """
    enough(len(fits))
    _same_model(fits)
    failed = {k: fit for k, fit in enumerate(fits) if fit.status in GIVEN_UP}
    used = [fit for k, fit in enumerate(fits) if k not in failed]
    _within_budget(fits, failed, failures)
    enough(len(used))
    mixed = all(fit.draws is not None for fit in used)
    estimates, terms = _pooled_rows(used, _mixed_rows(used, level) if mixed else {}, level)
    means, mean_terms = _means(used, level)
    fit = replace(
        _bare(used, len(used)),
        strategy=strategy,
        seconds=sum(fit.seconds for fit in fits),
        warnings=_warnings(used, failed, terms),
        estimates=estimates,
        checks=_worst_checks(used),
        tests=_tests(used),
        means=means,
        draws=_mixed_draws(used) if mixed else None,
    )
    told = {
        "imputations": len(fits),
        "used": len(used),
        "failed": [{"imputation": k, "reason": each.reason} for k, each in failed.items()],
        "singular": sum(bool(each.singular) for each in used),
        "terms": [*terms, *mean_terms],
    }
    return replace(fit, record={"pooling": told})


def _bare(used: Sequence[Fit], m: int) -> Fit:
    """What the pooled fit shares with those it is made of, its status, and nothing of any single one."""
    first = used[0]
    singular = [fit for fit in used if fit.singular]
    mostly = 2 * len(singular) > m
    return replace(
        first,
        method=f"{first.method}, {m} imputations",
        status=Status.SINGULAR if mostly else Status.OK,
        reason=singular[0].reason if mostly else None,
        analysis_hash=sha256("".join(fit.analysis_hash for fit in used).encode()).hexdigest(),
        converged=True,
        singular=mostly,
        log_likelihood=None,
        aic=None,
        bic=None,
        groups=empty(GROUPS),
        predictions=empty(PREDICTIONS),
        influence=empty(INFLUENCE),
        profiles=empty(PROFILES),
    )


def _same_model(fits: Sequence[Fit]) -> None:
    told = {(fit.model, fit.engine, fit.formula) for fit in fits}
    if len(told) > 1:
        what = "the analyses are of different models or engines, and only one can be pooled at a time"
        raise Refusal(Problem(what, fits[0].formula, "pool the fits of one model by one engine"))


def _within_budget(fits: Sequence[Fit], failed: Mapping[int, Fit], failures: float) -> None:
    if len(failed) <= failures * len(fits):
        return
    reasons = [fit.reason or "no reason given" for fit in failed.values()]
    common = max(set(reasons), key=reasons.count)
    what = f"{len(failed)} of {len(fits)} analyses of completed data sets failed, most often so: {common}"
    raise Refusal(Problem(what, fits[0].formula, "use a simpler model, or look at these imputations"))


def _key(row: Estimate) -> Key:
    return Key(row.component, row.term, row.group, row.target, row.scale)


def _pooled_rows(
    used: Sequence[Fit], mixed: Mapping[Key, Estimate], level: float
) -> tuple[tuple[Estimate, ...], list[dict[str, Any]]]:
    """Rows of the first fit, pooled, and what pooling says of each; `mixed` rows replace Rubin's."""
    tables = [{_key(row): row for row in fit.estimates} for fit in used]
    pooled: list[Estimate] = []
    terms: list[dict[str, Any]] = []
    for key in tables[0]:
        rows = [table[key] for table in tables if key in table]
        if len(rows) < len(tables) or key.scale in NOT_POOLED:
            continue
        row, told = pooled_row(rows, level)
        pooled.append(mixed.get(key, row))
        if told is not None:
            terms.append(
                {name: getattr(row, name) for name in ("component", "group", "term", "scale")} | told
            )
    return tuple(pooled), terms


def _mixed_draws(used: Sequence[Fit]) -> pl.DataFrame:
    """Draws of all imputations, chains numbered on; `imputation` says where each comes from."""
    parts, chains = [], 0
    for k, fit in enumerate(used):
        assert fit.draws is not None
        number = pl.col("chain") + chains
        parts.append(fit.draws.with_columns(number.alias("chain"), pl.lit(k).alias("imputation")))
        chains += fit.draws["chain"].n_unique()
    return pl.concat(parts, how="vertical_relaxed")


def _mixed_rows(used: Sequence[Fit], level: float) -> dict[Key, Estimate]:
    """Parameters summarised over the mixed draws: median, standard deviation, equal-tailed interval."""
    draws, tail, found = _mixed_draws(used), (1 - level) / 2, {}
    for row in used[0].estimates:
        column = "|".join(part for part in (row.component, row.group, row.term) if part is not None)
        if column in draws.columns:
            values = draws[column].to_numpy()
            lower, median, upper = np.quantile(values, [tail, 0.5, 1 - tail]).tolist()
            spread = float(values.std(ddof=1))
            found[_key(row)] = replace(
                row, estimate=median, std_error=spread, lower=lower, upper=upper, level=level
            )
    return found


def _worst_checks(used: Sequence[Fit]) -> tuple[Check, ...]:
    """Each check where it was worst: a failed one first, then the first of them."""
    worst: dict[str, Check] = {}
    for fit in used:
        for check in fit.checks:
            if check.check not in worst or (worst[check.check].ok and not check.ok):
                worst[check.check] = check
    return tuple(worst.values())


def coefficient_covariance(fit: Fit) -> tuple[list[str], FloatArray] | None:
    """Names and covariance of the fixed effects as an engine records them; `None` if it does not."""
    record = fit.record
    for kind in ("fixed_covariance", "covariance"):
        table = record.get(kind)
        if isinstance(table, Mapping):
            return list(table["names"]), np.array(table["values"], dtype=float)
        if table is not None:
            return list(record["terms"]), np.array(table, dtype=float)
    return None


def _tests(used: Sequence[Fit]) -> tuple[Test, ...]:
    """D1 of each term of the formula, with the denominator degrees of freedom of its own F tests."""
    covariances = [coefficient_covariance(fit) for fit in used]
    term_of: Mapping[str, str] = used[0].record.get("term_of", {})
    known = [each for each in covariances if each is not None]
    if len(known) < len(used) or not term_of or any(names != known[0][0] for names, _ in known):
        return ()
    names, made = known[0][0], []
    for term in dict.fromkeys(test.term for test in used[0].tests if test.test == "fixed"):
        at = [names.index(name) for name, of in term_of.items() if of == term and name in names]
        beta = [{row.term: row.estimate for row in fit.estimates if row.component == "fixed"} for fit in used]
        Q = np.array([[row[names[i]] for i in at] for row in beta], dtype=float)
        W = np.array([V[np.ix_(at, at)] for _, V in known])
        told = [test for fit in used for test in fit.tests if test.test == "fixed" and test.term == term]
        inverse = float(np.mean([0.0 if test.df_den is None else 1 / test.df_den for test in told]))
        try:
            found = wald_test(Q, W, 1 / inverse if inverse > 0 else np.inf)
        except Refusal:
            continue
        df_den = found.df_den if np.isfinite(found.df_den) else None
        made.append(
            Test(
                "fixed", term, found.statistic, found.p_value, df_num=float(found.df_num), df_den=df_den,
                reference="F, D1 of Li, Raghunathan and Rubin",
            )
        )  # fmt: skip
    return tuple(made)


def _means(used: Sequence[Fit], level: float) -> tuple[pl.DataFrame, list[dict[str, Any]]]:
    """Marginal means and contrasts by Rubin's rules, and what pooling says of each (`group`: its grid)."""
    terms: list[dict[str, Any]] = []
    if used[0].means.is_empty():
        return empty(MEANS), terms
    tables = [{tuple(row[name] for name in _MEAN_KEY): row for row in fit.means.to_dicts()} for fit in used]
    lines = []
    for key, own in tables[0].items():
        rows = [table[key] for table in tables if key in table]
        numbers = [
            Estimate("fixed", str(row["term"]), row["estimate"], std_error=row["std_error"], df=row["df"])
            for row in rows
        ]
        named = {name: own[name] for name in _MEAN_KEY}
        if len(rows) < len(tables) or any(each.std_error is None for each in numbers):
            lines.append(named)
            continue
        row, told = pooled_row(numbers, level)
        if told is not None:
            named_term = {"component": own["kind"], "group": own["grid"], "term": own["term"]}
            terms.append(named_term | {"scale": "response"} | told)
        fields = ("estimate", "std_error", "df", "statistic", "p_value", "lower", "upper", "level")
        lines.append(named | {name: getattr(row, name) for name in fields})
    return conform(pl.DataFrame(lines, infer_schema_length=None), MEANS), terms


def _warnings(
    used: Sequence[Fit], failed: Mapping[int, Fit], terms: Sequence[Mapping[str, Any]]
) -> tuple[str, ...]:
    found = list(dict.fromkeys(text for fit in used for text in fit.warnings if not fit.singular))
    if failed:
        reason = next(iter(failed.values())).reason or "no reason given"
        m = len(used) + len(failed)
        found.append(f"{len(failed)} of {m} analyses failed and were left out; the first because: {reason}")
    singular = sum(bool(fit.singular) for fit in used)
    if singular:
        found.append(
            f"In {singular} of {len(used)} completed data sets a variance between groups is estimated as 0 "
            "or a correlation as 1 or -1; such a quantity has no interval."
        )
    wanted = max((term["imputations_needed"] for term in terms if term["component"] == "fixed"), default=0)
    if wanted > len(used):
        found.append(
            f"Standard errors would change by more than 5% with other imputations: use {wanted} of them "
            f"(von Hippel 2020) instead of {len(used)}."
        )
    return tuple(found)
