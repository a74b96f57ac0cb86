"""Multiple imputation as four verbs: draw, impute, analyse, pool.

In reading order:

- `draw`: a data set and an analysis model in, the values of its gaps out, m times.
- `impute`: completed data set k, its derived variables computed again.
- `analyse`: each completed data set analysed by the study's model.
- `pool`: the fits of the completed data sets made one.
"""
