"""Verdicts on saved fits: tables in, Check records with limit and advice out.

In reading order:

- `saved`: every fit of a study.
- `checks`: every verdict on one fit.
- `rows`: the rows a model used, with the group of each.
- `optimum`: the criterion computed again.
- `residuals`, `random_effects`, `contextual`: what is judged.
"""
