"""What is missing, and the strategies that need no imputation: a Dataset in, tables, Datasets and Fits out.

In reading order:

- `plan`: what a study says of its visits, arms and baseline; `schedule`: subjects by scheduled visits.
- `patterns`, `levels`: who was seen when, monotone or not; at which level each variable is missing.
- `dropout`: drop-out by visit and arm, means by drop-out cohort; `missing_map`: all of it at one glance.
- `hazard`, `leaving`: the discrete-time model of leaving, and what predicts it; `little`: Little's test.
- `visits`: absent visits as rows.
- `complete`, `locf`: complete cases and the last observation carried forward, for comparison only;
  `anova`, `sphericity`: the classical analysis of completers; `comparators`: all of these by name.
- `weights`: inverse probabilities of being observed; `weighted_rows`, `weighted_solution`,
  `stacked_variance`, `wgee`: the estimating equations weighted by them, and their sandwich.
- `augmented`, `doubly_robust`: the same with regressions of what was not seen.
- `record`, `description`, `reading`, `saved`: all that is described, as one record, in sentences, as files.
"""
