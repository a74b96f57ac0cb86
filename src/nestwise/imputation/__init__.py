"""The models that gaps are drawn from and the rules that put analyses together: functions on arrays.

In reading order:

- `record`: the incomplete variables of one analysis model, with their groups and products.
- `terms`, `level`, `variables`: what a formula asks for; where a variable lives; the record of a data set.
- `normal`: compiled Gibbs steps of the normal mixed model, on which all else rests.
- `latent`: the latent normal responses behind binary, ordinal and count variables.
- `matching`: observed values of rows with a similar prediction.
- `columns`: the completed data as predictors, computed again when a variable changes.
- `target`: one variable made ready, at whatever level it lives.
- `conditional`: draws of one variable given all others.
- `substantive`: draws of covariates that are compatible with the analysis model.
- `chained`: all variables in turn, over and over: one chain, one imputation.
- `draws`: the drawn values, as a record and as a file.
- `traces`: whether chains agree.
- `shift`: imputed outcomes moved by a stated amount.
- `joint`: the joint model, all incomplete variables as one multivariate mixed model; `joint_steps`: its Gibbs
  sampler, `joint_kernels`: the compiled passes over rows, `joint_latent`: categories as latent variables,
  `joint_record`: the variables of an analysis model laid out for it.
- `repeated`: outcomes at scheduled visits as one normal variable a subject, fitted or drawn from.
- `reference`: what follows an event as in a reference arm, with `intercurrent` (what is done with outcomes
  after it) and `arm_contrasts` (arms compared, by Rubin's rules or conditional means and the jackknife).
- `rubin`: estimates and standard errors of m analyses made one; `joint_tests`: tests of several parameters,
  D1, D3 and D4; `model_comparison`: nested mixed models by their likelihoods.
- `pooled_scales`, `pooled_rows`: the scale on which a quantity is pooled, and its row.
"""
