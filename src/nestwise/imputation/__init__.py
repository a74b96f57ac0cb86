"""The models that gaps are drawn from and the rules that put analyses together: functions on arrays.

In reading order:

- `joint`: the joint model, all incomplete variables as one multivariate mixed model; `joint_steps`: its Gibbs
  sampler, `joint_kernels`: the compiled passes over rows, `joint_latent`: categories as latent variables.
- `repeated`: outcomes at scheduled visits as one normal variable a subject, fitted or drawn from.
- `reference`: what follows an event as in a reference arm, with `intercurrent` (what is done with outcomes
  after it) and `arm_contrasts` (arms compared, by Rubin's rules or conditional means and the jackknife).
- `rubin`: estimates and standard errors of m analyses made one; `joint_tests`: tests of several parameters,
  D1, D3 and D4; `model_comparison`: nested mixed models by their likelihoods.
- `pooled_scales`, `pooled_rows`: the scale on which a quantity is pooled, and its row.
"""
