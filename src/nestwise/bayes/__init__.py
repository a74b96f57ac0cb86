"""The same model by its posterior: a Design and priors in, a Fit with draws out.

In reading order:

- `engine`: all of the below at once.
- `units`, `priors`: standard units, and weakly informative priors or what a study says instead.
- `collapsed`, `model`: the likelihood as one operation of PyTensor, the model around it.
- `compile`, `sample`: compiled, and sampled by nutpie.
- `check`: the verdict on the run.
- `estimates`, `effects`: draws as tables, and the groups' coefficients drawn afterwards.
- `predictive`, `sensitivity`, `loo`: what priors and posterior expect, what the priors decide, a new group.
"""
