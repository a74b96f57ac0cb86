"""What a residual covariance cannot be asked, and what a reader should know of one: a sentence each.

What the data say nothing of is refused where the design is made (`design.residual`); here stand the limits of
the engine.
"""

from __future__ import annotations

import numpy as np

from nestwise.design.covariance import ResidualDesign
from nestwise.design.record import Design
from nestwise.errors import Problem
from nestwise.fit.refusals import gaussian_problems
from nestwise.names import several

WORDS = {
    "independent": "independent",
    "unstructured": "unstructured",
    "compound_symmetry": "compound symmetry",
    "ar1": "AR(1)",
    "toeplitz": "Toeplitz",
    "antedependence": "ante-dependence",
}
"""The structures as sentences name them."""


def residual_problems(design: Design) -> list[Problem]:
    """Reasons why a model with a residual covariance cannot be fitted, empty if there are none."""
    residual = design.residual
    assert residual is not None
    problems = gaussian_problems(design, engine="lmm")
    problems += _variance_problems(design, residual)
    if design.sampling_error is not None:
        what = "with known sampling errors no residual variance is estimated, so residuals have no covariance"
        problems.append(Problem(what, design.formula, "leave `residual` or `sampling_error` out"))
    return problems + _random_problems(design, residual)


def residual_warnings(design: Design) -> tuple[str, ...]:
    """What a reader should know before believing the covariance."""
    residual = design.residual
    assert residual is not None
    if residual.structure != "unstructured":
        return ()
    T = len(residual.visit_labels)
    needed = T * (T + 1) // 2
    found = []
    for g, stratum in enumerate(residual.stratum_labels if residual.by else ("",)):
        inside = residual.strata == g if residual.by else np.ones(design.n, dtype=bool)
        S = np.unique(residual.subjects[inside]).size
        if needed > S:
            where = f" of {residual.by} {stratum}" if stratum else ""
            found.append(
                f"The {S} subjects{where} estimate {needed} variances and covariances of {T} visits: "
                "the unstructured covariance is uncertain, and a simpler structure may do better."
            )
    return tuple(found)


def _variance_problems(design: Design, residual: ResidualDesign) -> list[Problem]:
    function, where = residual.variance, design.formula
    if function is None:
        return []
    problems = []
    if residual.heterogeneous or residual.structure == "unstructured":
        what = "a variance for each visit and a variance function are two answers to one question"
        problems.append(Problem(what, where, "leave `heterogeneous` or `variance` out of `residual`"))
    if function.kind == "strata" and residual.by:
        cells = np.zeros((len(residual.stratum_labels), len(function.labels)))
        np.add.at(cells, (residual.strata, function.values.astype(np.int64)), 1)
        if cells.min() < 2:
            g, level = np.unravel_index(int(cells.argmin()), cells.shape)
            what = (
                f"{residual.by} {residual.stratum_labels[g]} has fewer than two rows of {function.name} "
                f"{function.labels[level]}, too few for a variance of their own"
            )
            problems.append(Problem(what, where, "leave `by` out, or join levels"))
    return problems


def _random_problems(design: Design, residual: ResidualDesign) -> list[Problem]:
    if not design.random:
        return []
    where, groups = design.formula, [factor.group for factor in design.factors]
    if len(groups) > 1:
        what = (
            f"a residual covariance goes with random effects of one factor so far, not of {several(groups)}"
        )
        return [Problem(what, where, "keep the random effects of one factor")]
    term, problems = design.random[0], []
    if term.membership is not None or term.relation is not None:
        what = f"a residual covariance does not go with multiple memberships or relations of {term.group}"
        return [Problem(what, where, "leave `residual` out")]
    if term.n_groups < 2:
        what = (
            f"the factor {term.group} has one group, so nothing can be said of the variation between groups"
        )
        problems.append(Problem(what, where, "leave the random effects out"))
    if residual.structure == "independent":
        return problems
    pairs = np.unique(np.column_stack([residual.subjects, term.codes]), axis=0)
    if pairs.shape[0] > np.unique(residual.subjects).size:
        what = (
            f"a {residual.subject} has rows in several {term.group}, which would tie its residuals together"
        )
        return [*problems, Problem(what, where, f"take a factor that contains {residual.subject}")]
    return problems
