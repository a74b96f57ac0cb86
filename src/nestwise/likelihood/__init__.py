"""The one likelihood that `fit` maximises and `bayes` samples: a Design in, values and gradients out.

In reading order:

- `working`: the rows in a parametrisation that loses no digits.
- `crossproducts`: the rows of one grouping factor collapsed to each group's cross-products.
- `grouped`: the mixed-model equations of one factor, solved for all groups at once.
- `compression`: the same likelihood from fewer groups, and arrays laid out as they are read.
- `elimination`, `ordering`, `cholesky`, `factorisation`: in which order the groups of several factors are
  eliminated, and the blocked Cholesky factorisation that does it.
- `crossed`, `crossed_equations`: cross-products and equations of several factors, nested or crossed;
  `relation`: groups that are related; `products`: one factor or several.
- `gaussian`: the profiled deviance and its gradient, fixed effects and sigma at their best.
- `moments`: second moments of the random effects given the data.
- `correlation`, `residual`, `frames`, `whitening`: covariance of residuals inside subjects, its parameters,
  and how it is taken out of the rows; `marginal`: the likelihood with it.
- `conditional`: the log density given all parameters, random effects integrated out and drawn afterwards.
- `families`, `ordinal`: densities of outcomes that are not Gaussian, with three derivatives.
- `grouped_rows`, `segments`: rows of a generalised model by group, sums over groups; `convex`, `nodes`:
  families of one simple form, whose densities and sums over nodes are compiled; `newton`, `modes`: the modes
  of the random effects; `adjoint`, `quadrature`: the likelihood around them, and its derivatives;
  `one_effect`: all of it in one pass where one coefficient varies.
- `crossed_rows`, `laplace`: the same with several factors, by Laplace's approximation.
"""
