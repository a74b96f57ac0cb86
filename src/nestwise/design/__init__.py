"""A formula and a Dataset in, the arrays that every engine takes out.

In reading order:

- `record`: the `Design` that comes out.
- `rows`, `grouping`: which rows are complete, and which group each belongs to.
- `analysis_set`: the rows a model is fitted to, with the columns it reads.
- `covariance`, `occasions`, `grid`: the covariance of the residuals, when rows were observed, and where
  marginal means are asked for.
- `columns`, `basis`, `matrix`: variables, splines and polynomials, and the model matrix as R names it.
- `outcome`, `precision`: the outcome, the weights and standard errors of its rows; `cumulative`: an ordinal
  outcome as indicators of lying above its thresholds.
- `random_terms`, `membership`, `relation`: the columns that vary, and their groups: several a row, or akin.
- `residual`, `identification`: subjects and visits of a residual covariance, and what cannot be estimated.
- `means`: reference grids of marginal means; `contextual`: the levels of one covariate compared;
  `standard`: rows that are given other values.
- `magnitude`, `rank`: numbers no arithmetic can carry, columns that follow from others.
- `build`: all of these at once.
- `group_level`: the part of the fixed effects that a group's coefficient is expected to have.
- `markup`, `distributions`, `mathml`, `marginal_equations`, `description`: the model in mathematics, with
  random effects and averaged over groups, and what a report says of it.
"""
