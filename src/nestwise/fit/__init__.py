"""Likelihood and least squares: a Design in, a Fit out.

In reading order:

- `lmm`: the engine of linear mixed models; `mixedlm`: statsmodels on the same design, its referee;
  `components`: a design as it takes one.
- `pooled`, `unpooled`: complete and no pooling.
- `refusals`: what cannot be answered, said before any work is done.
- `sweep`, `optimise`, `solution`: the groups' own regressions, the search, the estimates at the optimum.
- `fixed_effects`: t and F tests of contrasts by any method; `satterthwaite`, `kenward_roger` and
  `between_within` are the methods, `clusters` and `covariance_information` what they need of a model.
- `tests`: F tests of the terms of the formula; `sandwich`: cluster-robust standard errors.
- `inference`, `profile`, `limits`: degrees of freedom and tests, profile intervals and their root finding.
- `levels`: several grouping factors: shares of the variance, effects of every level.
- `pooling`, `partition`, `predictions`: the three poolings of each group, shares of variance, expected rows.
"""
