"""What is refused, with a sentence and a way out each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestwise.errors import Refusal
from nestwise.fit.lmm import fit_lmm
from nestwise.fit.mixedlm import fit_mixedlm
from nestwise.fit.pooled import fit_pooled
from nestwise.fit.unpooled import fit_unpooled

ONE = {"(Intercept)": np.ones(12)}
CODES = np.repeat([0, 1, 2], 4)
Y = np.array([1.0, 2, 4, 3, 7, 5, 6, 9, 2, 1, 3, 2])


def term(codes=CODES, columns=ONE, correlated=True, group="g"):
    return group, codes, columns, correlated


CASES = {
    "family": (
        lambda make: make(Y, ONE, term(), family="binomial"),
        "Gaussian outcome",
        "use the engine `glmm`",
    ),
    "no random term": (lambda make: make(Y, ONE), "no random effects", "pooled"),
    "one group": (lambda make: make(Y, ONE, term(codes=np.zeros(12))), "has one group", "leave the random"),
    "constant outcome": (lambda make: make(np.ones(12), ONE, term()), "same in every row", "coded"),
    "singletons": (lambda make: make(Y, ONE, term(codes=np.arange(12))), "12 rows hold 12 random", "fewer"),
    "as many effects as rows": (
        lambda make: make(
            Y, ONE, term(codes=np.arange(12) // 2, columns=ONE | {"x": np.arange(12) % 2})
        ),
        "12 rows hold 12 random effects (2 for each of 6 groups)",
        "let fewer coefficients vary",
    ),
    "the same effect twice": (lambda make: make(Y, ONE, term(), term()), "more than one term", "one pair"),
    "outcome constant inside groups": (
        lambda make: make(np.array([1.0, 5, 2])[CODES], ONE, term()),
        "inside each g the model reproduces y exactly",
        "copied within groups",
    ),
    "perfect fit": (
        lambda make: make(2 * np.arange(12.0), ONE | {"x": np.arange(12.0)}, term()),
        "reproduce y exactly",
        "another name",
    ),
    "more predictors than rows": (
        lambda make: make(
            Y[:4], {f"x{i}": np.eye(4)[i % 4] + i for i in range(4)}, term(codes=np.array([0, 0, 1, 1]),
            columns={"(Intercept)": np.ones(4)})
        ),
        "4 rows cannot determine 4 fixed effects",
        "fewer predictors",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("engine", [fit_lmm, fit_mixedlm])
def test_refused(make_design, case, engine):
    """Rule 33."""
    build, what, way_out = CASES[case]
    with pytest.raises(Refusal) as caught:
        engine(build(make_design))
    sentence = str(caught.value)
    assert what in sentence
    assert way_out in sentence
    assert engine.__name__.removeprefix("fit_") in sentence or "`" not in sentence or "pooled" in sentence


def test_all_reasons_are_given_at_once(make_design):
    design = make_design(np.ones(12), ONE, family="poisson")
    with pytest.raises(Refusal) as caught:
        fit_lmm(design)
    assert len(caught.value.problems) == 3


def test_least_squares_engines_refuse_too(make_design):
    constant = make_design(np.ones(12), ONE, term())
    exact = make_design(2 * np.arange(12.0), ONE | {"x": np.arange(12.0)}, term())
    for engine in (fit_pooled, fit_unpooled):
        with pytest.raises(Refusal, match="same in every row"):
            engine(constant)
        with pytest.raises(Refusal, match="exactly"):
            engine(exact)
    with pytest.raises(Refusal, match="no random effects"):
        fit_unpooled(make_design(Y, ONE))
    with pytest.raises(Refusal, match="coefficients of their own for 12 groups"):
        fit_unpooled(make_design(Y, ONE, term(codes=np.arange(12))))


def test_nearly_perfect_is_not_perfect(make_design):
    """A residual of a thousandth of the between-group SD is a fit, not a refusal."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(10), 5)
    y = 1e3 * rng.normal(size=10)[codes] + rng.normal(size=50)
    one = {"(Intercept)": np.ones(50)}
    fit = fit_lmm(make_design(y, one, term(codes=codes, columns=one)))
    sigma = next(row.estimate for row in fit.estimates if row.component == "residual")
    within = np.concatenate([y[codes == j] - y[codes == j].mean() for j in range(10)])
    assert sigma == pytest.approx(np.sqrt(within @ within / 40), rel=1e-6)


def test_names_reach_the_sentence(make_design):
    design = replace(make_design(np.ones(12), ONE, term()), outcome="weight <b>", formula="w ~ 1 + (1 | g)")
    with pytest.raises(Refusal, match=r"w ~ 1 \+ \(1 \| g\): the outcome weight <b> is the same"):
        fit_lmm(design)


RELATIONS = {
    "of another shape": (np.eye(2), "shape (2, 2), and g has 3 groups"),
    "not finite": (np.diag([1.0, np.inf, 1.0]), "no finite numbers"),
    "not symmetric": (np.eye(3) + np.triu(np.ones((3, 3)), 1), "not symmetric"),
    "no correlation": (np.ones((3, 3)) - 2 * np.eye(3), "not positive semi-definite"),
    "nothing": (np.zeros((3, 3)), "not positive semi-definite"),
}


def related(design, relation):
    return replace(design, random=(replace(design.random[0], relation=relation),))


@pytest.mark.parametrize("case", RELATIONS)
def test_a_relation_that_is_none(make_design, case):
    relation, what = RELATIONS[case]
    with pytest.raises(Refusal, match="the relation of g") as caught:
        fit_lmm(related(make_design(Y, ONE, term()), relation))
    assert what in str(caught.value)
    assert "no negative eigenvalue" in str(caught.value)


def test_a_relation_that_is_too_large(make_design, monkeypatch):
    from nestwise.fit import refusals

    monkeypatch.setattr(refusals, "MOST_RELATED", 2)
    with pytest.raises(Refusal, match="3 related groups have 3 random effects"):
        fit_lmm(related(make_design(Y, ONE, term()), np.eye(3)))


def test_one_row_a_group_is_enough_where_groups_are_related(make_design):
    """An animal with one record: its relatives tell its effect from the residual; strangers do not."""
    alone = make_design(Y, ONE, term(codes=np.arange(12)))
    families = np.kron(np.eye(4), np.full((3, 3), 0.5) + 0.5 * np.eye(3))
    assert fit_lmm(related(alone, families)).estimates
    with pytest.raises(Refusal, match="cannot be told from the residuals"):
        fit_lmm(related(alone, np.diag(np.arange(1.0, 13))))


ACROSS = np.tile([0, 1, 2, 3], 3)
DUMMIES = ONE | {f"g{j}": (j == CODES).astype(float) for j in (1, 2)}
BY_X = ONE | {"x": np.array([0.3, 1, -2, 1, 0, 2, 1, 5, -1, 0, 1, 3])}
CROSSED = {
    "additive": (
        lambda make: make(np.array([1.0, 5, 2])[CODES] + ACROSS, ONE, term(), term(ACROSS, group="h")),
        ["effects of all groups of g and h the model reproduces y exactly", "copied within groups"],
    ),
    "a function of one factor": (
        lambda make: make(np.array([1.0, 5, 2])[CODES], ONE, term(), term(ACROSS, group="h")),
        ["reproduces y exactly"],
    ),
    "groups in the fixed part": (
        lambda make: make(Y, DUMMIES, term(), term(ACROSS, group="h")),
        ["already tell every g apart, so nothing is left to vary by g", "out of the fixed part"],
    ),
    "both in the fixed part": (
        lambda make: make(
            Y,
            DUMMIES | {f"h{j}": (j == ACROSS).astype(float) for j in (1, 2, 3)},
            term(),
            term(ACROSS, group="h"),
        ),
        ["every g apart", "every h apart"],
    ),
    "intercepts in the fixed part, slopes not": (
        lambda make: make(Y, DUMMIES | BY_X, term(columns=BY_X, correlated=False)),
        ["already tell every g apart, so nothing is left to vary by g"],
    ),
}


@pytest.mark.parametrize("case", CROSSED)
def test_several_factors_are_refused_too(make_design, case):
    """What one factor is refused for, before the search finds a likelihood that is flat or endless."""
    build, sentences = CROSSED[case]
    with pytest.raises(Refusal) as caught:
        fit_lmm(build(make_design))
    for sentence in sentences:
        assert sentence in str(caught.value)


def test_as_many_crossed_effects_as_rows_are_no_reason(make_design):
    """Each factor holds fewer effects than rows, both together more: the variances can still be told."""
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 40, 60), rng.integers(0, 40, 60)
    one = {"(Intercept)": np.ones(60)}
    (a, b), y = (np.unique(codes, return_inverse=True)[1] for codes in (a, b)), rng.normal(size=60)
    assert a.max() + b.max() + 2 > 50
    fit = fit_lmm(make_design(y, one, term(a, one), term(b, one, group="h")))
    assert fit.estimates
