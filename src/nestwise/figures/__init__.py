"""Figures: tidy frames in, a drawing with caption, alt text and data out; never a file.

In reading order:

- `gallery`, `plan`, `inputs`: all figures of a study written; which apply; what they are drawn from.
- `drawing`, `colours`, `theme`: the record of a figure and its words; colours; fonts and SVG.
- `raw`, `proportions`, `missing`, `within_between`: the data before any model; `missing_map`, `dropout`: who
  lacks what, who left when, and how they did.
- `pooling`, `shrinkage`, `dumbbells`, `caterpillar`, `league`, `predictors`: the groups.
- `varying_lines`, `lines`: the regression line of each group, computed and drawn.
- `partition`, `forest`: variance components, and engines side by side.
- `inference`, `means`, `arms`, `influence`, `profiles`: means with intervals, groups left out, deviances.
- `reconciliation`, `effects`, `trajectories`: conditional beside marginal effects, and their curves.
- `strategies`, `imputed`: one estimand under every strategy for missing data; imputed values, their chains.
- `correlations`: residuals of one subject over its visits.
- `posterior`, `replicates`: draws, chains and replicated data.
- `residuals`: what the model assumes; `generalised`, `calibration`: which figures outcomes that are not
  Gaussian have, and their residuals.
"""
