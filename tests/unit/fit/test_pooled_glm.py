"""Complete pooling of outcomes that are not Gaussian: statsmodels' GLM, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm

from nestwise.errors import Refusal
from nestwise.fit.pooled import fit_pooled
from nestwise.results import Status


@pytest.fixture
def data(design_of):
    def build(family="binomial", link="logit", trials=False):
        rng = np.random.default_rng(8)
        g = rng.permutation(np.repeat(np.arange(25), 6))
        x = rng.integers(0, 3, g.size) * 1.0
        eta = -0.3 + 0.5 * x + 0.8 * rng.normal(size=25)[g]
        m = rng.integers(1, 5, g.size) * 1.0 if trials else None
        size = np.ones(g.size) if m is None else m
        y = (
            rng.poisson(np.exp(eta))
            if family == "poisson"
            else rng.binomial(size.astype(int), 1 / (1 + np.exp(-eta)))
        )
        offset = rng.normal(size=g.size) if family == "poisson" else None
        made = design_of(y * 1.0, g, family, link, {"x": x}, trials=m)
        return replace(made, offset=offset), g, x

    return build


FAMILY = {
    "logit": sm.families.Binomial(),
    "probit": sm.families.Binomial(sm.families.links.Probit()),
    "log": sm.families.Poisson(),
}


@pytest.mark.parametrize("trials", [False, True])
@pytest.mark.parametrize("link", FAMILY)
def test_same_as_statsmodels(data, link, trials):
    """Coefficients, log-likelihood, both standard errors; CR1 is CR0 times J / (J - 1).

    To 1e-5: both stop where the next step would gain less than 1e-10 of log-likelihood.
    """
    family = "poisson" if link == "log" else "binomial"
    if family == "poisson" and trials:
        trials = False
    design, g, x = data(family, link, trials)
    y = design.y if not trials else np.column_stack([design.y, design.trials - design.y])
    model = sm.GLM(y, np.column_stack([np.ones(x.size), x]), FAMILY[link], offset=design.offset)
    plain = model.fit(tol=1e-14)
    robust = model.fit(tol=1e-14, cov_type="cluster", cov_kwds={"groups": g, "use_correction": False})
    fit = fit_pooled(design)
    assert fit.status is Status.OK
    assert fit.log_likelihood == pytest.approx(plain.llf, rel=1e-9)
    estimates = [row.estimate for row in fit.estimates]
    np.testing.assert_allclose(estimates, plain.params, rtol=1e-5)
    errors = [row.std_error for row in fit.estimates]
    expected = robust.bse * np.sqrt(25 / 24)
    # statsmodels has the expected information in it, ours is observed: equal with logit and log
    np.testing.assert_allclose(errors, expected, rtol=2e-2 if link == "probit" else 1e-5)
    conventional = fit.record["standard_errors"]["conventional"]
    np.testing.assert_allclose(conventional, plain.bse, rtol=2e-2 if link == "probit" else 1e-5)
    assert {(row.target, row.scale, row.df) for row in fit.estimates} == {("marginal", "link", 24.0)}
    assert any("25 groups" in warning for warning in fit.warnings)


def test_refused_with_a_way_out(data):
    design, _, x = data()
    wrong = {
        "does not fit the family gamma": replace(design, family="gamma", link="log"),
        "no link log": replace(design, link="log"),
        "two groups": replace(design, random=()),
        "neither 0 nor 1": replace(design, y=design.y + 1),
        "separate": replace(design, y=(x > 0) * 1.0),
    }
    for said, made in wrong.items():
        with pytest.raises(Refusal, match=said) as refusal:
            fit_pooled(made)
        assert all(problem.way_out for problem in refusal.value.problems)
