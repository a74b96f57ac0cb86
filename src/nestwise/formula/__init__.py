"""The language of model formulas, as lme4 writes it: text in, a record out; nothing in it is ever run.

It knows no data, so that the study file can be checked for it before any are read. In reading order:

- `tokens`: text cut into names, numbers and operators.
- `functions`: what a formula may call, and with which arguments.
- `syntax`: the tree of an expression.
- `parser`: tokens in, the trees of both sides out.
- `terms`: `+`, `*`, `:` and `^` multiplied out into terms.
- `record`: the `Formula`, its outcome, fixed part and random parts.
- `nesting`: whether one formula is another one without some terms.
"""
