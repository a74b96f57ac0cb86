"""The same model by its posterior: a Design and priors in, a Fit with draws out.

In reading order:

- `engine`: all of the below at once.
- `units`, `priors`: standard units, and weakly informative priors or what a study says instead.
- `operation`, `collapsed`, `model`: the likelihood as one operation of PyTensor, the model around it.
- `compile`, `sample`: compiled, and sampled by nutpie.
- `check`, `attempts`: the verdict on the run, and runs until it is good.
- `estimates`, `effects`: draws as tables, and the groups' coefficients drawn afterwards.
- `predictive`, `sensitivity`, `loo`: what priors and posterior expect, what the priors decide, a new group.
- `generalised`: outcomes that are not Gaussian, whose random effects are sampled, all at once.
- `row_densities`, `given_effects`: their likelihood given the effects.
- `layout`, `generalised_model`: in which form the effects are sampled, and the model around it.
- `generalised_table`, `generalised_predictive`: their draws as tables, replicates and rows left out;
  `new_groups`: whole groups left out.
- `unknowns`: missing covariates and outcomes as unknowns of the model, all at once.
- `unknown_cells`, `unknowns_joint`, `unknowns_model`: which they are, how the columns depend on them, and the
  model around them; `integrated_effects`: normal laws whose columns change at every draw.
- `unknowns_table`: what the draws say of the unknowns.
"""
