"""Side by side: the stacked tables in, comparisons and sentences out.

In reading order:

- `saved`: the comparison table of a study.
- `engines`, `verdict`: likelihood beside posterior, and why they differ.
- `poolings`, `models`: the three poolings of one model; models that may be compared;
  `nesting`, `structures`: likelihood-ratio tests between them; residual covariances inside each other.
- `summaries`: summaries with known standard errors under two rules of shrinkage.
- `reconciliation`: conditional beside marginal effects; `effects`: the two answers; `marginalised`,
  `integrated`: the one averaged over its random effects; `attenuation`: by how much that shrinks it.
- `settings`, `standardised`: times and arms, and means in which everybody has the same.
- `posterior`: the conditional answer and its average by draws of a posterior.
- `disagreement`, `reasons`, `dropout`: what is left between the two, in standard errors, and why.
- `strategies`: one question under every strategy for missing data.
- `reading`, `context`: what the numbers say; within and between effects.
"""
