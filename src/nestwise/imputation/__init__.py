"""The models that gaps are drawn from and the rules that put analyses together: functions on arrays.

In reading order:

- `rubin`: estimates and standard errors of m analyses made one; `joint_tests`: tests of several parameters,
  D1, D3 and D4; `model_comparison`: nested mixed models by their likelihoods.
- `pooled_scales`, `pooled_rows`: the scale on which a quantity is pooled, and its row.
- `shift`: imputed outcomes moved by a stated amount.
"""
