"""A formula and a Dataset in, the arrays that every engine takes out.

In reading order:

- `record`: the `Design` that comes out.
- `rows`, `grouping`: which rows are complete, and which group each belongs to.
- `covariance`, `grid`: the covariance of the residuals, and where marginal means are asked for.
- `columns`, `basis`, `matrix`: variables, splines and polynomials, and the model matrix as R names it.
- `random_terms`: the columns that vary, and their groups.
- `magnitude`, `rank`: numbers no arithmetic can carry, columns that follow from others.
- `build`: all of these at once.
- `group_level`: the part of the fixed effects that a group's coefficient is expected to have.
- `markup`, `mathml`, `description`: the model in mathematics, and what a report says of it.
"""
