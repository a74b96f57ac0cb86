"""Default priors, overrides, and what is refused (rule 25)."""

from __future__ import annotations

import numpy as np
import pytest

from nestwise.bayes.priors import prior_table
from nestwise.bayes.units import units_of
from nestwise.config.study import Prior
from nestwise.errors import Refusal


def table(design, priors=None):
    return {(row.component, row.term): row for row in prior_table(design, units_of(design), priors or {})}


def test_defaults_are_scaled_to_the_outcome(toy):
    design = toy("slopes")
    rows = table(design)
    spread, x = design.y.std(ddof=1), design.X[:, 1]
    intercept = rows["fixed", "(Intercept)"]
    assert (intercept.location, intercept.scale) == pytest.approx((design.y.mean(), 2.5 * spread))
    assert rows["fixed", "x"].scale == pytest.approx(2.5 * spread / x.std())
    assert rows["sd", "(Intercept)"].scale == pytest.approx(2.5 * spread)
    assert rows["sd", "x"].scale == pytest.approx(2.5 * spread / x.std())
    assert (rows["residual", "sigma"].distribution, rows["residual", "sigma"].df) == ("half_student_t", 3)
    assert rows["cor", "(Intercept):x"].eta == 2
    assert {row.source for row in rows.values()} == {"default"}


def test_units_of_the_outcome_and_predictor_only_rescale_them(toy):
    design = toy()
    other = toy()
    other.y[:] = 1000 * other.y
    other.X[:, 1] /= 10
    small, large = table(design), table(other)
    for key, factor in {("fixed", "x"): 1e4, ("sd", "(Intercept)"): 1e3, ("residual", "sigma"): 1e3}.items():
        assert large[key].scale == pytest.approx(factor * small[key].scale)


@pytest.mark.parametrize("key", ["sd:x", "sd:g:x"])
def test_a_declared_prior_replaces_the_default(toy, key):
    rows = table(toy("slopes"), {key: Prior(distribution="exponential", scale=0.3)})
    assert (rows["sd", "x"].distribution, rows["sd", "x"].scale) == ("exponential", 0.3)
    assert rows["sd", "x"].source == "declared"
    assert rows["sd", "(Intercept)"].source == "default"


def test_the_exact_key_wins(toy):
    priors = {
        "sd:g:x": Prior(distribution="exponential", scale=0.3),
        "sd:x": Prior(distribution="half_normal", scale=9),
    }
    assert table(toy("slopes"), priors)["sd", "x"].scale == 0.3


@pytest.mark.parametrize(
    ("key", "prior", "says"),
    [
        ("z", {"distribution": "normal", "scale": 1}, "no parameter z"),
        ("cor", {"distribution": "lkj", "eta": 2}, "no parameter cor"),
        ("x", {"distribution": "half_normal", "scale": 1}, "does not fit"),
        ("x", {"distribution": "normal"}, "needs a scale"),
        ("sigma", {"distribution": "normal", "scale": 1}, "does not fit"),
        ("sigma", {"distribution": "half_normal", "scale": 1, "location": 2}, "starts at 0"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_way_out(toy, key, prior, says):
    with pytest.raises(Refusal, match=says) as caught:
        table(toy(), {key: Prior(**prior)})
    assert all(problem.way_out for problem in caught.value.problems)


def test_all_problems_are_listed_at_once(toy):
    priors = {name: Prior(distribution="normal", scale=1) for name in ("a", "b", "sigma")}
    with pytest.raises(Refusal) as caught:
        table(toy(), priors)
    assert len(caught.value.problems) == 3
    assert "sd:g:(Intercept)" in str(caught.value)


def test_without_an_intercept_root_mean_squares_take_over(make_design):
    rng = np.random.default_rng(0)
    g, x = np.repeat(np.arange(5), 6), rng.normal(100, 1, 30)
    y = 3 * x + rng.normal(size=30)
    design = make_design(y, {"x": x}, ("g", g, {"x": x}, True))
    rows = table(design)
    assert rows["fixed", "x"].location == 0
    assert rows["fixed", "x"].scale == pytest.approx(2.5 * np.sqrt((y**2).mean() / (x**2).mean()))
