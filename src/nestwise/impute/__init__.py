"""Multiple imputation in four verbs.

In reading order:

"""
