"""The sections of a report, a function each: the record in, blocks out, or None without content.

In the order of the page: `summary`, `data`, `validation`, `models`, `pooling`, `variance`, `shrinkage`,
`inference`, `reconciliation`,
`residuals`, `profiles`, `engines`, `diagnostics`, `sensitivity`, `fits`, `methods`, `glossary`.
"""
