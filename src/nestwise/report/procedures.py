"""What the likelihood engine did, in sentences generated from the fits, and the works that describe it."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from nestwise.names import several
from nestwise.numbers import count
from nestwise.report.covariance import is_plain, residual_words
from nestwise.report.record import ReportRecord
from nestwise.report.sections.models import column_names
from nestwise.report.trial import df_method

DF_WORDS: Mapping[str, str] = {
    "Satterthwaite": "t and F tests with Satterthwaite's degrees of freedom, which allow for the variances "
    "having been estimated",
    "Kenward-Roger": "t and F tests with the degrees of freedom and the enlarged standard errors of Kenward "
    "and Roger, for few groups",
    "Kenward-Roger, linear": "t and F tests by the first-order method of Kenward and Roger, which enlarges "
    "standard errors and adjusts degrees of freedom for few groups",
    "between-within": "t and F tests with between-within degrees of freedom, which count groups for what "
    "differs between them and rows for what differs within",
    "normal": "z and chi-squared tests, without degrees of freedom: right for many groups only",
}
ROBUST_WORDS: Mapping[str, str] = {
    "CR0": "CR0, the plain sandwich",
    "CR1": "CR1, the sandwich scaled by J/(J − 1) for J clusters",
    "CR2": "CR2, the bias-reduced sandwich",
    "CR3": "CR3, which approximates the jackknife over clusters",
}
CITATIONS: Mapping[str, str] = {
    "Satterthwaite": "Kuznetsova, A., Brockhoff, P. B. & Christensen, R. H. B. (2017). lmerTest package: "
    "tests in linear mixed effects models. Journal of Statistical Software 82(13). Satterthwaite degrees "
    "of freedom.",
    "Kenward-Roger": "Kenward, M. G. & Roger, J. H. (1997). Small sample inference for fixed effects from "
    "restricted maximum likelihood. Biometrics 53, 983-997.",
    "between-within": "Schluchter, M. D. & Elashoff, J. T. (1990). Small-sample adjustments to tests with "
    "unbalanced repeated measures assuming several covariance structures. Journal of Statistical "
    "Computation and Simulation 37, 69-87. Between-within degrees of freedom.",
    "mmrm": "Mallinckrodt, C. H., Lane, P. W., Schnell, D., Peng, Y. & Mancuso, J. P. (2008). "
    "Recommendations for the primary analysis of continuous endpoints in longitudinal clinical trials. Drug "
    "Information Journal 42, 303-319. The mixed model for repeated measures.",
    "CR2": "Pustejovsky, J. E. & Tipton, E. (2018). Small-sample methods for cluster-robust variance "
    "estimation and hypothesis testing in fixed effects models. Journal of Business & Economic Statistics "
    "36, 672-683. CR2 and its degrees of freedom.",
    "CR": "Cameron, A. C. & Miller, D. L. (2015). A practitioner's guide to cluster-robust inference. "
    "Journal of Human Resources 50, 317-372.",
    "variance": "Stram, D. O. & Lee, J. W. (1994). Variance components testing in the longitudinal mixed "
    "effects model. Biometrics 50, 1171-1177. Mixtures of chi-squared distributions.",
    "means": "Searle, S. R., Speed, F. M. & Milliken, G. A. (1980). Population marginal means in the linear "
    "model: an alternative to least squares means. The American Statistician 34, 216-221.",
    "bootstrap": "Davison, A. C. & Hinkley, D. V. (1997). Bootstrap Methods and their Application. Cambridge "
    "University Press.",
}


def likelihood_fits(record: ReportRecord) -> dict[str, str]:
    """The models that `lmm` answered, each with the method of its fit."""
    rows = record.fits.filter(
        (pl.col("engine") == "lmm") & ~pl.col("status").is_in(["failed", "refused"])
    ).select("model", "method")
    return {model: method or "" for model, method in rows.iter_rows()}


def likelihood_sentences(record: ReportRecord) -> tuple[str, ...]:
    """What was done by likelihood: estimation, covariance, degrees of freedom, robust errors, bootstrap.

    Parameters
    ----------
    record : ReportRecord
        The study.
    """
    fits = likelihood_fits(record)
    if not fits:
        return ()
    marginal = [model for model in fits if record.designs.get(model, {}).get("residual")]
    mixed = [model for model in fits if model not in marginal]
    criteria = list(dict.fromkeys(method.partition(" ")[0] for method in fits.values() if method))
    by = several(criteria) or "likelihood"
    said = []
    if mixed:
        said.append(
            f"Mixed models were fitted by {by}: the Gaussian likelihood was reduced to cross-products, fixed "
            "effects and residual variance were profiled out, and the relative Cholesky factor of the random "
            "effects was found with the exact gradient, from several starts. Intervals of standard "
            "deviations and correlations are profile-likelihood intervals."
        )
    said += _covariances(record, marginal, by)
    said += _degrees_of_freedom(fits)
    said += _tests_and_means(record)
    said += _robust(record, fits)
    said += _bootstrap(record, fits)
    return tuple(said)


def _covariances(record: ReportRecord, marginal: list[str], by: str) -> list[str]:
    """Which residual covariance each model has, and the variances of rows known beforehand."""
    said = []
    if marginal:
        said.append(
            f"Models with a residual covariance were fitted by {by} to the joint density of all rows of a "
            "subject; fixed effects were profiled out, and standard deviations and correlations were found "
            "with the exact gradient."
        )
    for model in likelihood_fits(record):
        design = record.designs.get(model, {})
        if not is_plain(design):
            said.append(f"`{model}`: {_lower(residual_words(design, column_names(record, model)))}")
    return said


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _degrees_of_freedom(fits: Mapping[str, str]) -> list[str]:
    methods: dict[str, list[str]] = {}
    for model, method in fits.items():
        methods.setdefault(df_method(method), []).append(model)
    if len(methods) == 1:
        return [f"Fixed effects are tested by {DF_WORDS[next(iter(methods))]}."]
    return [
        f"Fixed effects of {several([f'`{model}`' for model in models])} are tested by {DF_WORDS[name]}."
        for name, models in methods.items()
    ]


def _tests_and_means(record: ReportRecord) -> list[str]:
    said = []
    variances = record.tests.filter(pl.col("test") == "variance")["reference"].drop_nulls().unique().to_list()
    if variances:
        simulated = any("simul" in reference for reference in variances)
        said.append(
            "Variances are tested by restricted likelihood ratios against "
            + ("simulated null distributions." if simulated else "mixtures of chi-squared distributions.")
        )
    if not record.means.is_empty():
        said.append(
            "Marginal means average the fixed part with equal weights over factors that are left out, other "
            "covariates at their means; differences are not adjusted for their number."
        )
    return said


def _robust(record: ReportRecord, fits: Mapping[str, str]) -> list[str]:
    asked = {record.study.models[model].robust for model in fits if model in record.study.models} - {None}
    return [
        f"Cluster-robust standard errors are {ROBUST_WORDS[kind]}, with Satterthwaite degrees of freedom for "
        "each coefficient."
        for kind in sorted(map(str, asked))
    ]


def _bootstrap(record: ReportRecord, fits: Mapping[str, str]) -> list[str]:
    drawn = {
        model: own["bootstrap"]
        for model in fits
        if (own := record.records.get((model, "lmm")) or {}).get("bootstrap")
    }
    return [
        f"A parametric bootstrap of `{model}` refitted {count(found['refits'] + found['failures'])} data "
        "sets drawn from it."
        for model, found in drawn.items()
    ]


def likelihood_citations(record: ReportRecord) -> tuple[str, ...]:
    """Works that describe what was done by likelihood, in the order of the sentences.

    Parameters
    ----------
    record : ReportRecord
        The study.
    """
    fits = likelihood_fits(record)
    if not fits:
        return ()
    keys = ["mmrm"] if any(record.designs.get(model, {}).get("residual") for model in fits) else []
    keys += [df_method(method).partition(",")[0] for method in fits.values()]
    keys += ["variance"] if "variance" in record.tests["test"] else []
    keys += ["means"] if not record.means.is_empty() else []
    robust = [str(record.study.models[model].robust) for model in fits if record.study.models[model].robust]
    keys += ["CR2" if kind == "CR2" else "CR" for kind in robust]
    keys += ["bootstrap"] if _bootstrap(record, fits) else []
    return tuple(CITATIONS[key] for key in dict.fromkeys(keys) if key in CITATIONS)
