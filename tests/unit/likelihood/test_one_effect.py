"""Groups with one random effect taken together: the same numbers as one after the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from nestwise.likelihood import quadrature
from nestwise.likelihood.grouped_rows import grouped_rows

NONE = np.empty(0)


@pytest.fixture
def rows(make_design):
    """150 groups, from one row to 90, so that the last tile is not full; some have equal rows."""

    def build(family, trials=False, slope=False):
        rng = np.random.default_rng(8)
        g = np.repeat(np.arange(150), np.append(rng.integers(1, 9, 149), 90))
        x = rng.normal(size=g.size)
        x = x.round(1) if trials or family == "poisson" else x
        eta = 0.4 + 0.6 * x + rng.normal(size=150)[g]
        m = rng.integers(1, 5, g.size) * 1.0 if trials else np.ones(g.size)
        y = rng.poisson(np.exp(eta)) if family == "poisson" else rng.binomial(m.astype(int), expit(eta))
        one = np.ones(g.size)
        varying = {"x": x} if slope else {"(Intercept)": one}
        design = make_design(y * 1.0, {"(Intercept)": one, "x": x}, ("g", g, varying, True), family=family)
        return grouped_rows(
            replace(design, link="log" if family == "poisson" else "logit", trials=m if trials else None)
        )

    return build


def one_by_one(monkeypatch, *args, **kwargs):
    with monkeypatch.context() as patch:
        patch.setattr(quadrature, "_alone", lambda *_: None)
        return quadrature.approximate(*args, **kwargs)


@pytest.mark.parametrize("L", [1.3, -0.6, 0.0])
@pytest.mark.parametrize("points", [1, 6, 9])
@pytest.mark.parametrize("slope", [False, True])
@pytest.mark.parametrize("case", [("binomial", False), ("binomial", True), ("poisson", False)])
def test_same_as_one_group_after_the_other(rows, case, slope, points, L, monkeypatch):
    """Values, gradients, scores, modes and the rows' derivatives there."""
    made = rows(*case, slope=slope)
    args = (made, np.array([0.2, -0.3]), np.array([[L]]), NONE, points)
    assert bool((made.given.trials == 1).all()) == (case == ("binomial", False))
    assert quadrature._alone(*args[:3], points, None) is not None
    ours = quadrature.approximate(*args, scores=True)
    theirs = one_by_one(monkeypatch, *args, scores=True)
    assert ours.value == pytest.approx(theirs.value, rel=1e-13)
    pairs = [(getattr(ours, name), getattr(theirs, name)) for name in ("beta", "L", "groups", "scores")]
    pairs += [(getattr(ours.modes, name), getattr(theirs.modes, name)) for name in ("u", "C", "g", "log_det")]
    pairs += [(getattr(ours.modes.at, name), getattr(theirs.modes.at, name)) for name in ("d1", "d2", "d3")]
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10 * np.abs(other).max(initial=1))


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_modes_are_found_from_far_away(rows, family):
    """Halley's steps alone leave for ever from here."""
    made = rows(family)
    beta, L = np.array([0.2, -0.3]), np.array([[5.0]])
    near = quadrature._alone(made, beta, L, 5, None)
    far = quadrature._alone(made, beta, L, 5, np.full((1, made.J), -6.0))
    np.testing.assert_allclose(near[0].u, far[0].u, atol=1e-9)


def test_what_is_beyond_a_product_is_left_to_the_general_sums(rows, monkeypatch):
    """Outcomes of probability 1e-300 and below: no infinite logarithm, the same value."""
    made = rows("binomial")
    args = (made, np.array([900.0, 0.0]), np.array([[0.1]]), NONE, 5)
    assert quadrature._alone(*args[:3], 5, None) is None
    assert quadrature.approximate(*args).value == one_by_one(monkeypatch, *args).value


def test_parameters_that_are_no_numbers_are_refused(rows):
    from nestwise.likelihood.modes import ModesNotFound

    with pytest.raises(ModesNotFound):
        quadrature.approximate(rows("poisson"), np.array([np.nan, 0.0]), np.array([[1.0]]), NONE, 5)
