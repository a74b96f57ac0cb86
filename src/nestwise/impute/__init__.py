"""Multiple imputation as four verbs: draw, impute, analyse, pool.

In reading order:

- `analyse`: each completed data set analysed by the study's model.
- `pool`: the fits of the completed data sets made one.
"""
