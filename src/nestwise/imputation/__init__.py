"""The models that gaps are drawn from: pure functions on arrays, most of them compiled.

In reading order:

- `record`: the incomplete variables of one analysis model, with their groups and products.
"""
