"""The one likelihood that `fit` maximises and `bayes` samples: a Design in, values and gradients out.

In reading order:

- `crossproducts`: the rows collapsed to each group's cross-products, in a working parametrisation.
- `compression`: the same likelihood from fewer groups, and arrays laid out as they are read.
- `gaussian`: the profiled deviance and its gradient, fixed effects and sigma at their best.
- `conditional`: the log density given all parameters, random effects integrated out and drawn afterwards.
"""
