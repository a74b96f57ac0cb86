"""The engine glmm with several grouping factors: Laplace, named and warned of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestwise.fit.glmm import fit_glmm
from nestwise.results import Status, groups_frame


@pytest.fixture(scope="module")
def crossed(make_design):
    """20 persons by 15 items, one answer each."""
    rng = np.random.default_rng(7)
    person, item = np.repeat(np.arange(20), 15), np.tile(np.arange(15), 20)
    x = rng.normal(size=300)
    y = rng.poisson(
        np.exp(0.4 + 0.3 * x + 0.6 * rng.normal(size=20)[person] + 0.4 * rng.normal(size=15)[item])
    )
    one = np.ones(300)
    terms = (("person", person, {"(Intercept)": one}, True), ("item", item, {"(Intercept)": one}, True))
    made = make_design(y, {"(Intercept)": one, "x": x}, *terms, family="poisson")
    return replace(made, link="log", term_of=("(Intercept)", "x"))


def test_crossed_factors_by_laplace(crossed):
    """Named in the method; its unknown error is a check that fails, not a status."""
    fit = fit_glmm(crossed)
    assert fit.status is Status.OK
    assert fit.method == "Laplace"
    check = next(check for check in fit.checks if check.check == "quadrature_points")
    assert not check.ok
    assert any("Laplace" in warning for warning in fit.warnings)
    sds = {row.group: row for row in fit.estimates if row.component == "sd"}
    assert sds["person"].lower < 0.6 < sds["person"].upper
    assert sds["item"].lower < 0.4 < sds["item"].upper
    assert {test.group for test in fit.tests if test.test == "variance"} == {"person", "item"}
    assert groups_frame(fit).height == 35
    iccs = [row.estimate for row in fit.estimates if row.term == "icc"]
    assert sum(iccs) < 1


def test_nested_factor_without_variance_is_singular(crossed, make_design):
    """A third factor that groups the persons at random."""
    house = crossed.random[0].codes // 2
    extra = replace(crossed.random[0], group="house", codes=house, labels=tuple(str(j) for j in range(10)))
    fit = fit_glmm(replace(crossed, random=(*crossed.random, extra)))
    assert fit.status in (Status.OK, Status.SINGULAR)
    assert fit.log_likelihood >= fit_glmm(crossed).log_likelihood - 1e-7
