"""The sections of a report, a function each: the record in, blocks out, or None without content.

In the order of the page: `summary`, `data`, `validation`, `models`, `coefficients`, `pooling`, `variance`
(`latent` where there is no residual variance), `shrinkage`, `inference`, `reconciliation`, `marginal`,
`missing` (`imputation`: how gaps were drawn), `residuals`, `profiles`, `engines`, `diagnostics`,
`sensitivity`, `fits`, `methods`, `glossary`.
"""
