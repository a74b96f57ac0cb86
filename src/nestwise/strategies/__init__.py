"""Strategies for missing data carried out: a Dataset, a model and a strategy in, a Fit out.

In reading order:

- `treatment`: one model by one engine under one strategy.
- `gaps`: the gaps of a model drawn, as many times as its answers need.
- `convergence`: how each variable was drawn and whether the chains agree, beside the fit.
- `borrowed`: outcomes after drop-out borrowed from a reference arm, or from the last visit.
"""
