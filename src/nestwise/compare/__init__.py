"""Side by side: the stacked tables in, comparisons and sentences out.

In reading order:

- `saved`: the comparison table of a study.
- `engines`, `verdict`: likelihood beside posterior, and why they differ.
- `poolings`, `models`: the three poolings of one model; models that may be compared;
  `nesting`, `structures`: likelihood-ratio tests between them; residual covariances inside each other.
- `reading`, `context`: what the numbers say; within and between effects.
"""
