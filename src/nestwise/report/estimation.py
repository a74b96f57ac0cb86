"""What the engines `glmm` and `gee` did, in sentences generated from the fits, and the works that say how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from nestwise.names import counted, plural, several
from nestwise.numbers import count
from nestwise.report.record import ReportRecord
from nestwise.report.targets import ANSWERED, Row, group_noun, outcome_of

WORKING: Mapping[str, str] = {
    "independence": "rows taken for uncorrelated (independence)",
    "exchangeable": "all rows of a {one} equally correlated (exchangeable)",
    "ar1": "a correlation that falls with the time between two rows (first-order autoregression)",
    "unstructured": "a correlation for each pair of visits (unstructured)",
    "m_dependent": "a correlation for each number of visits apart, and none beyond (m-dependent)",
    "nested": "one correlation inside the inner groups and another inside the outer ones (nested)",
}
COVARIANCES: Mapping[str, str] = {
    "LZ": "the sandwich of Liang and Zeger",
    "KC": "the sandwich with the small-sample correction of Kauermann and Carroll",
    "MD": "the sandwich with the small-sample correction of Mancl and DeRouen",
    "FG": "the sandwich with the small-sample correction of Fay and Graubard",
    "MBN": "the sandwich with the small-sample correction of Morel, Bokossa and Neerchal",
    "model": "the covariance that follows from the working correlation, right only where that is",
}
OUTCOMES: Mapping[str, str] = {
    "binomial": "a binomial distribution",
    "poisson": "a Poisson distribution",
    "negative_binomial": "a negative binomial distribution",
    "gamma": "a gamma distribution",
    "ordinal": "a cumulative model of ordered categories",
    "gaussian": "a Gaussian distribution",
}
CITATIONS: Mapping[str, str] = {
    "glmm": "Pinheiro, J. C. & Chao, E. C. (2006). Efficient Laplacian and adaptive Gaussian quadrature "
    "algorithms for multilevel generalized linear mixed models. Journal of Computational and Graphical "
    "Statistics 15, 58-81.",
    "gee": "Liang, K.-Y. & Zeger, S. L. (1986). Longitudinal data analysis using generalized linear models. "
    "Biometrika 73, 13-22.",
    "KC": "Kauermann, G. & Carroll, R. J. (2001). A note on the efficiency of sandwich covariance matrix "
    "estimation. Journal of the American Statistical Association 96, 1387-1396.",
    "MD": "Mancl, L. A. & DeRouen, T. A. (2001). A covariance estimator for GEE with improved small-sample "
    "properties. Biometrics 57, 126-134.",
    "FG": "Fay, M. P. & Graubard, B. I. (2001). Small-sample adjustments for Wald-type tests using sandwich "
    "estimators. Biometrics 57, 1198-1206.",
    "MBN": "Morel, J. G., Bokossa, M. C. & Neerchal, N. K. (2003). Small sample correction for the variance "
    "of GEE estimators. Biometrical Journal 45, 395-409.",
    "qic": "Pan, W. (2001). Akaike's information criterion in generalized estimating equations. Biometrics "
    "57, 120-125; Hin, L.-Y. & Wang, Y.-G. (2009). Working-correlation-structure identification in "
    "generalized estimating equations. Statistics in Medicine 28, 642-658.",
    "two": "Neuhaus, J. M., Kalbfleisch, J. D. & Hauck, W. W. (1991). A comparison of cluster-specific and "
    "population-averaged approaches for analyzing correlated binary data. International Statistical Review "
    "59, 25-35.",
}


def answered(record: ReportRecord, engine: str) -> Sequence[Row]:
    """The fits of an engine that have an answer, in the order of the models."""
    rows = record.fits.filter((pl.col("engine") == engine) & pl.col("status").is_in(ANSWERED))
    return rows.to_dicts()


def glmm_sentences(record: ReportRecord) -> tuple[str, ...]:
    """Families and links, integration, standard errors, intervals and checks of the mixed models.

    Parameters
    ----------
    record : ReportRecord
        The study.
    """
    fits = answered(record, "glmm")
    if not fits:
        return ()
    kinds = [outcome_of(record, fit["model"]) for fit in fits]
    named = [f"{OUTCOMES.get(kind.family, kind.family)} with the {kind.link} link" for kind in kinds]
    said = [
        f"Generalised linear mixed models ({several(list(dict.fromkeys(named)))}) were fitted by maximum "
        "likelihood, with random effects that are normal on the scale of the link."
    ]
    said += [_integration(record, fit) for fit in fits]
    said.append(
        "Their standard errors come from the observed information and tests are z tests; intervals of "
        "standard deviations and correlations are profile-likelihood intervals."
    )
    checks = set(record.checks.filter(pl.col("engine") == "glmm")["check"])
    words = {
        "overdispersion": "overdispersion (Pearson's statistic at the conditional modes)",
        "zero_inflation": "excess zeros (against the zeros expected with the random effects integrated out)",
        "constant_groups": "groups with one value only",
    }
    made = [text for name, text in words.items() if name in checks]
    said += [f"Fits were checked for {several(made)}; separation is refused before the fit."] if made else []
    return tuple(dict.fromkeys(said))


def _integration(record: ReportRecord, fit: Row) -> str:
    """How the random effects of a model were integrated out."""
    table = (record.records.get((fit["model"], "glmm")) or {}).get("points") or ()
    if str(fit["method"]) == "Laplace":
        return (
            f"In `{fit['model']}` the random effects were integrated out by Laplace's approximation, since "
            "it has several grouping factors or more points change nothing."
        )
    tried = [count(int(row["points"])) for row in table]
    points = str(fit["method"]).removeprefix("AGQ(").removesuffix(")")
    raised = f", after trying {several(tried, 12)}" if len(tried) > 1 else ""
    return (
        f"In `{fit['model']}` the random effects were integrated out by adaptive Gauss-Hermite "
        f"quadrature with "
        f"{points} points a dimension{raised}: more do not change the estimates."
    )


def gee_sentences(record: ReportRecord) -> tuple[str, ...]:
    """Working correlation, covariance and its degrees of freedom, and criteria of the marginal models.

    Parameters
    ----------
    record : ReportRecord
        The study.
    """
    fits = answered(record, "gee")
    if not fits:
        return ()
    said = [
        "Population averages were estimated by generalised estimating equations, which model the mean of a "
        "row and no distribution."
    ]
    for fit in fits:
        own = record.records.get((fit["model"], "gee")) or {}
        one = group_noun(record, fit["model"], "gee")
        structure = str((own.get("working_correlation") or {}).get("structure", ""))
        working = WORKING.get(structure, structure).format(one=one)
        variance = own.get("variance") or {}
        kind, df = str(variance.get("kind", "")), variance.get("df")
        tests = (
            "z tests"
            if df is None
            else f"t tests on {df:.0f} degrees of freedom (clusters less coefficients)"
        )
        kind_of = outcome_of(record, fit["model"])
        said.append(
            f"In `{fit['model']}` ({kind_of.link} link, variances of "
            f"{OUTCOMES.get(kind_of.family, 'the family')} "
            f"times a dispersion, {counted(int(fit['n_groups']), one)} as clusters) the working "
            f"correlation has "
            f"{working}; standard errors are {COVARIANCES.get(kind, kind)}, with {tests}."
        )
    said.append(
        "Dispersion and correlations are moments of the residuals. QIC compares predictors, CIC working "
        "correlations; the working correlation was checked to be positive definite and, for binary outcomes, "
        "possible with their means. Unweighted equations need data missing completely at random."
    )
    return tuple(said)


def reconciled_sentence(record: ReportRecord) -> str:
    """How conditional effects were averaged over groups; "" where they were not."""
    rows = record.reconciliation.filter(pl.col("kind") == "coefficient")
    curved = [
        m for m in rows["model"].unique(maintain_order=True) if outcome_of(record, m).link != "identity"
    ]
    if not curved:
        return ""
    one = plural(group_noun(record, curved[0]))
    return (
        f"To compare the two, the mixed model's means were averaged over the distribution of {one}, and "
        "standardised over arms and times (g-computation), with intervals by the delta method."
    )


def generalised_citations(record: ReportRecord) -> tuple[str, ...]:
    """Works that describe what `glmm` and `gee` did, in the order of the sentences.

    Parameters
    ----------
    record : ReportRecord
        The study.
    """
    keys = ["glmm"] if answered(record, "glmm") else []
    fits = answered(record, "gee")
    kinds = [
        (record.records.get((fit["model"], "gee")) or {}).get("variance", {}).get("kind") for fit in fits
    ]
    keys += ["gee", *map(str, kinds), "qic"] if fits else []
    keys += ["two"] if reconciled_sentence(record) else []
    return tuple(CITATIONS[key] for key in dict.fromkeys(keys) if key in CITATIONS)
