"""What a marginal model has no answer to is a sentence with a way out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestwise.design.occasions import Occasions
from nestwise.errors import Refusal
from nestwise.fit.gee import fit_gee


def separated(design):
    return replace(design, y=design.trials * (design.X[:, 1] > 0))


REFUSED = [
    (
        {"family": "ordinal", "link": "cloglog"},
        {},
        "has no link cloglog in `gee`; use logit and",
    ),
    ({"family": "ordinal"}, {"correlation": "ar1"}, "ordinal outcomes have no working correlation ar1"),
    ({}, {"correlation": "global_odds_ratio"}, "global_odds_ratio is for ordinal outcomes"),
    ({"family": "negative_binomial"}, {}, "negative_binomial has no link logit"),
    ({"link": "inverse"}, {}, "has no link inverse in `gee`; use logit, probit"),
    ({"sampling_error": np.ones(1)}, {}, "known standard errors"),
    ({"random": ()}, {}, "add \\(1 \\| cluster\\)"),
    (lambda design: {"y": design.trials + 1}, {}, "fewer trials than successes"),
    (lambda design: {"y": design.y + 0.5}, {}, "not made of whole numbers"),
    (lambda design: {"y": 0 * design.y}, {}, "the same in every row"),
    (lambda design: {"y": separated(design).y}, {}, "x.* separate"),
    ({}, {"correlation": "nested"}, "one inside the other"),
]


@pytest.mark.parametrize(("changes", "keys", "said"), REFUSED)
def test_what_has_no_answer_is_refused_with_a_way_out(marginal_study, changes, keys, said):
    """Rule 33."""
    design = marginal_study()
    changes = changes(design) if callable(changes) else changes
    with pytest.raises(Refusal, match=said) as caught:
        fit_gee(replace(design, **changes), **keys)
    assert all(problem.way_out for problem in caught.value.problems)


def test_clusters_that_are_none_are_refused(marginal_study, make_design):
    design = marginal_study()
    term = design.random[0]
    crossed = replace(term, group="h", codes=np.arange(design.n) % 7, labels=tuple("1234567"))
    alone = replace(term, codes=np.arange(design.n), labels=tuple(map(str, range(design.n))))
    one = replace(term, codes=np.zeros(design.n, dtype=int), labels=("only",))
    three = replace(term, codes=np.arange(design.n) % 3, labels=tuple("123"))
    for terms, said in (
        ((term, crossed), "crossed"),
        ((alone,), "each g has one row"),
        ((one,), "all rows belong to one g"),
        ((three,), "3 clusters of g cannot judge 3 coefficients"),
    ):
        with pytest.raises(Refusal, match=said):
            fit_gee(replace(design, random=terms))
    assert fit_gee(replace(design, random=(three,)), variance="model").converged


def test_two_rows_at_one_visit_and_visits_never_seen_together_are_refused(marginal_study):
    design = marginal_study(structure="ar1")
    twice = replace(design.occasions, visits=np.zeros(design.n, dtype=np.int64))
    with pytest.raises(Refusal, match="g 0 has several rows at t 0"):
        fit_gee(replace(design, occasions=twice), "ar1")
    first = design.occasions.visits == 0
    apart = replace(
        design.random[0], codes=np.where(first, 40, design.random[0].codes), labels=tuple(map(str, range(41)))
    )
    kept = np.flatnonzero(~first | (np.cumsum(first) == 1))
    lonely = replace(
        design,
        y=design.y[kept],
        X=design.X[kept],
        trials=design.trials[kept],
        random=(replace(apart, codes=apart.codes[kept], Z=apart.Z[kept]),),
        occasions=replace(design.occasions, visits=design.occasions.visits[kept]),
    )
    with pytest.raises(Refusal, match="no g has two rows that speak of alpha:0,1"):
        fit_gee(lonely, "unstructured")


@pytest.mark.parametrize(
    ("weights", "structure", "said"),
    [
        (lambda n: np.ones(n - 1), "independence", "140 of them for 141 rows"),
        (lambda n: np.arange(n) - 1.0, "independence", "positive numbers in 2 rows"),
        (
            lambda n: np.where(np.arange(n) == 5, np.nan, 1),
            "independence",
            "positive numbers in row 6",
        ),
        (lambda n: 1.0 + np.arange(n), "exchangeable", "differ inside g, and exchangeable"),
    ],
)
def test_weights_of_selection_that_are_none_are_refused(marginal_study, weights, structure, said):
    design = marginal_study()
    with pytest.raises(Refusal, match=said) as caught:
        fit_gee(design, structure, selection=weights(design.n))
    assert all(problem.way_out for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("structure", "n", "visits", "said"),
    [
        ("unstructured", 300, 300, "300 different values, each a visit of its own"),
        ("m_dependent", 300, 300, "300 different values, each a visit of its own"),
        ("ar1", 4001, 4001, "compares all pairs of rows of a cluster, and one has 4,001 rows"),
    ],
)
def test_what_would_take_too_long_is_refused_at_once(make_design, structure, n, visits, said):
    one, at = np.ones(2 * n), np.tile(np.arange(n), 2)
    y = np.random.default_rng(1).normal(size=2 * n)
    design = make_design(y, {"(Intercept)": one}, ("g", np.repeat([0, 1], n), {"(Intercept)": one}, True))
    occasions = Occasions("t", at, tuple(map(str, range(visits))), np.arange(visits, dtype=float))
    with pytest.raises(Refusal, match=said):
        fit_gee(replace(design, occasions=occasions), structure)
