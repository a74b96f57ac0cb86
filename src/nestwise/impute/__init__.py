"""Multiple imputation in verbs.

In reading order:

- `draw`: a data set and an analysis model in, the values of its gaps out, m times.
- `impute`: completed data set k, its derived variables computed again.
"""
