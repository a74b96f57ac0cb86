"""Likelihood and least squares: a Design in, a Fit out.

In reading order:

- `lmm`: the engine of linear mixed models; `brief`: as much of it as pooling over imputations uses;
  `mixedlm`: statsmodels on the same design, its referee;
  `components`: a design as it takes one.
- `mmrm`: residual covariances inside the subject, alone or beside random effects; `residual_refusals`,
  `residual_starts`, `search`, `marginal_solution`: from what cannot be asked to the optimum;
  `residual_covariance`, `residual_table`: its derivatives for inference, its rows and matrices.
- `gee`: the engine of population-averaged models; `cluster_layout`, `marginal_families`,
  `working_correlation`, `autoregression`: their clusters, means, variances and correlations;
  `gee_search`, `gee_solution`, `gee_variance`: scoring, estimating equations, covariances of their solution;
  `ordinal_gee`, `ordinal_association`: cumulative models of ordinal outcomes, how their rows go together;
  `gee_refusals`, `gee_diagnostics`, `gee_table`: what has no answer, checks and influence, tidy rows of a
  solved `marginal_model`.
- `pooled`, `pooled_glm`, `unpooled`: complete and no pooling.
- `state`, `ladder`, `quantities`: a maximised likelihood and its verdict, simpler models of a singular fit,
  the tidy rows.
- `refusals`: what cannot be answered, said before any work is done.
- `sweep`, `optimise`, `solution`: the groups' own regressions, the search, the estimates at the optimum.
- `fixed_effects`: t and F tests of contrasts by any method; `satterthwaite`, `kenward_roger` and
  `between_within` are the methods, `clusters` and `covariance_information` what they need of a model.
- `tests`, `variance_tests`, `chi_bar`: F tests of the terms of the formula, boundary tests of what varies;
  `sandwich`: cluster-robust standard errors; `conditional_aic`: how well known groups are predicted.
- `inference`, `profile`, `limits`: degrees of freedom and tests, profile intervals and their root finding.
- `levels`: several grouping factors: shares of the variance, effects of every level.
- `empirical_bayes`: summaries with known standard errors, James-Stein beside empirical Bayes.
- `pooling`, `partition`, `predictions`: the three poolings of each group, shares of variance, expected rows.
- `simulation`: outcomes drawn from a fit; `bootstrap`: the parametric bootstrap, with `replicates` (drawn
  cross-products), `refit`, `descent` and `refit_crossed` (thousands of refits a minute);
  `likelihood_ratio`: likelihood-ratio tests by simulation.
- `prediction`: known, new and typical groups, with confidence and prediction intervals.
- `influence`, `influence_crossed`, `means`, `r2`, `profile_curves`: groups left out, marginal means and
  contrasts, variance explained, profiles as curves.
- `glmm`: the engine of generalised linear mixed models; `glm`: the same without groups; `approximation`,
  `points`: its deviance, and how many quadrature points it takes; `generalised`: estimates in the formula's
  units; `glmm_profile`, `glmm_table`, `latent`, `observed`, `dispersion`: intervals, tidy rows, ICC,
  verdicts; `glmm_refusals`, `separation`: what has no answer.
"""
