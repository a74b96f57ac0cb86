"""The words of the report, explained once."""

from __future__ import annotations

from nestwise.report.blocks import Facts, Section
from nestwise.report.record import ReportRecord
from nestwise.report.targets import generalised_models

TERMS = (
    (
        "Group, grouping factor",
        "What rows are collected in: homes in counties, days in persons, pupils in schools.",
    ),
    (
        "Fixed effects",
        "Coefficients that are the same in every group, or the average of those that vary.",
    ),
    (
        "Random effects",
        "How far each group's coefficients lie from what is expected of it; drawn from one distribution.",
    ),
    ("Complete pooling", "One regression for all rows, as if there were no groups."),
    ("No pooling", "Each group by its own data alone."),
    (
        "Partial pooling",
        "Group coefficients as draws from a common distribution, whose spread is estimated.",
    ),
    (
        "Pooling factor",
        "The weight on a group's own data, n/(n + σ²/τ²) for an intercept: 1 is no pooling, 0 complete "
        "pooling.",
    ),
    (
        "Shrinkage",
        "How far partial pooling moves a group from its own estimate toward what is expected of it.",
    ),
    ("τ (tau)", "Standard deviation of a coefficient between groups."),
    ("σ (sigma)", "Standard deviation of rows within a group, around the group's line."),
    (
        "ICC",
        "Intraclass correlation: the share of the variance that lies between groups, and the correlation "
        "of two rows of one group.",
    ),
    ("Design effect", "How many times more rows are needed than if they were independent."),
    (
        "Contextual effect",
        "Between effect minus within effect of a covariate: what the group's mean says beyond the row's "
        "own value.",
    ),
    (
        "REML, ML",
        "Restricted maximum likelihood and maximum likelihood. REML allows for the fixed effects having "
        "been estimated; only ML compares models with different fixed effects.",
    ),
    (
        "Singular",
        "A variance estimated as zero, or a correlation as ±1: a result about the data, not an error.",
    ),
    (
        "MMRM",
        "Mixed model for repeated measures: no random effects, but residuals of one subject that are "
        "correlated between its visits, in the end with every variance and correlation free (unstructured).",
    ),
    (
        "Degrees of freedom",
        "How much the data say of the uncertainty itself; with few groups the t distribution has few of them "
        "and intervals are wider. Satterthwaite, Kenward-Roger and between-within are ways to count them.",
    ),
    (
        "Marginal mean",
        "What the model expects at given levels of some variables, averaged evenly over other factors.",
    ),
    (
        "AIC, BIC, conditional AIC",
        "Fit paid for by parameters, lower is better; the conditional one counts what the groups' own "
        "effects cost, and judges predictions for the groups at hand.",
    ),
    (
        "Profile, bootstrap interval",
        "Read off the likelihood with all other parameters following, or off refits of data drawn from the "
        "model: both may be lopsided, as the uncertainty of a variance is.",
    ),
    ("Posterior median, SD", "Centre and spread of what Bayes leaves possible after seeing the data."),
    (
        "MCSE",
        "Monte Carlo standard error: how much a posterior summary would change with other random numbers.",
    ),
    ("R-hat", "Compares the chains of the sampler with each other; near 1 they agree."),
    ("Effective sample size", "How many independent draws the sampler's draws are worth."),
    ("Satterthwaite df", "Degrees of freedom that allow for the variances having been estimated."),
)


GENERALISED = (
    (
        "Link",
        "The scale on which predictors add up: the log odds of a probability (logit), the logarithm of a "
        "rate.",
    ),
    (
        "Odds, odds ratio",
        "Probability over its complement; by which factor a predictor multiplies it. A rate ratio does "
        "so with "
        "an expected count.",
    ),
    (
        "Conditional, typical group",
        "About one and the same group: what changes while its own level stays as it is. A typical group has "
        "random effects of zero.",
    ),
    (
        "Marginal, population average",
        "About the average of groups: everybody with one value of a predictor against everybody with "
        "another.",
    ),
    (
        "Attenuation",
        "Average effect over conditional effect on the scale of the link: below 1 where the link is "
        "curved and "
        "groups differ.",
    ),
    (
        "Estimating equations (GEE)",
        "Estimates of population averages that model the mean of a row, and no distribution of groups.",
    ),
    (
        "Working correlation",
        "What estimating equations take for the correlation of rows of one cluster, to weigh them well.",
    ),
    (
        "Robust (sandwich) standard error",
        "Taken from the spread between clusters as it is found, right even where the working correlation "
        "is not.",
    ),
    (
        "QIC, CIC",
        "Criteria for estimating equations, smaller is better: for predictors, and for working correlations.",
    ),
    (
        "Quadrature, Laplace",
        "Ways to average the likelihood over random effects: at several points, or at the highest one only.",
    ),
    (
        "Latent scale",
        "That of a hidden outcome of which the observed one is a cut; its ICC is not the correlation of "
        "the data.",
    ),
    ("Overdispersion", "Rows vary more than their distribution allows, and standard errors are too small."),
    (
        "Standardisation",
        "Every row is given the same value of a predictor, and predictions are averaged.",
    ),
)


def glossary_section(record: ReportRecord) -> Section:
    """Explain each word once, those of outcomes that are not Gaussian where there are any."""
    more = GENERALISED if generalised_models(record) or "gee" in record.fits["engine"] else ()
    return Section("glossary", "Words", "What the words of this report mean.", (Facts((*TERMS, *more)),))
