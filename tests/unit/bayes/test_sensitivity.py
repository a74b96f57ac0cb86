"""Power scaling: against exact posteriors, against refits with powered priors, and what it flags."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nestwise.bayes.engine import fit_pymc
from nestwise.bayes.sensitivity import (
    CONFLICT,
    LIMIT,
    NONE,
    POWERS,
    STRONG,
    log_prior,
    power_sensitivity,
    sensitivity_checks,
    sensitivity_records,
)
from nestwise.config.study import Prior
from nestwise.results import Status

THETA = {"component": "fixed", "group": None, "term": "theta"}


def normal_posterior(mean, error, center, scale, a=1.0, b=1.0):
    """Mean and SD of theta given N(mean, error^2) data to the power b and a N(center, scale^2) prior to a."""
    precision = b / error**2 + a / scale**2
    return (b * mean / error**2 + a * center / scale**2) / precision, precision**-0.5


def exact_sensitivity(low, middle, high, grid):
    """Distance of posteriors at the two powers from the one at 1, per doubling, by quadrature."""

    def distance(other, sign):
        # The survival function takes the place of the distribution function where the axis is reversed.
        law = stats.norm.cdf if sign else stats.norm.sf
        P, Q = (np.clip(law(grid, *of), 1e-300, 1) for of in (middle, other))
        half = (P + Q) / 2
        step = np.gradient(grid)
        p_q = np.sum(step * P * np.log2(P / half)) + np.sum(step * (Q - P)) / (2 * np.log(2))
        q_p = np.sum(step * Q * np.log2(Q / half)) + np.sum(step * (P - Q)) / (2 * np.log(2))
        return np.sqrt(max(0, p_q + q_p) / np.sum(step * (P + Q)))

    ends = [max(distance(other, sign) for sign in (0, 1)) for other in (low, high)]
    return (-ends[0] / np.log2(POWERS[0]) + ends[1] / np.log2(POWERS[1])) / 2


@pytest.mark.parametrize(
    ("center", "scale", "found"),
    [(0.0, 100.0, NONE), (0.0, 0.35, CONFLICT), (1.2, 0.02, STRONG)],
    ids=["weak", "narrow", "all prior"],
)
def test_the_exact_sensitivity_of_a_normal_mean(center, scale, found):
    setting = (1.0, 0.3, center, scale)
    middle = normal_posterior(*setting)
    S = 4000  # quantiles in random order: a sample without Monte Carlo error of its own
    theta = np.random.default_rng(1).permutation(stats.norm.ppf((np.arange(S) + 0.5) / S, *middle))
    prior, data = stats.norm.logpdf(theta, center, scale), stats.norm.logpdf(1.0, theta, 0.3)
    rows = sensitivity_records([THETA], {"theta": theta}, prior, data)
    grid = np.linspace(theta.min(), theta.max(), 20_001)
    expected = []
    for name in ("a", "b"):
        posteriors = [normal_posterior(*setting, **{name: power}) for power in (POWERS[0], 1, POWERS[1])]
        expected.append(exact_sensitivity(*posteriors, grid))
    assert [rows[0]["prior"], rows[0]["likelihood"]] == pytest.approx(expected, rel=0.05, abs=0.002)
    assert rows[0]["diagnosis"] == found


def test_a_draw_that_does_not_move_has_no_sensitivity():
    density = np.random.default_rng(1).normal(size=1000)
    assert power_sensitivity({"still": np.ones(1000)}, density, density) == {"still": (None, None)}
    rows = sensitivity_records([THETA], {"still": np.ones(1000)}, density, density)
    assert rows[0]["diagnosis"] == NONE
    assert sensitivity_checks(rows) == ()


def test_a_flat_prior_has_no_influence():
    theta = np.random.default_rng(1).normal(size=1000)
    prior, data = power_sensitivity({"theta": theta}, np.zeros(1000), -(theta**2) / 2)["theta"]
    assert prior < 1e-3
    assert data > LIMIT


def test_the_prior_is_the_one_that_is_sampled(prepared):
    """Against PyMC's own densities, and LKJ against the determinant of the correlation matrix."""
    import pymc as pm

    from nestwise.bayes.units import Draws

    laws = {
        "normal": lambda row: pm.Normal.dist(mu=row.location, sigma=row.scale),
        "student_t": lambda row: pm.StudentT.dist(nu=row.df, mu=row.location, sigma=row.scale),
        "half_normal": lambda row: pm.HalfNormal.dist(sigma=row.scale),
        "half_student_t": lambda row: pm.HalfStudentT.dist(nu=row.df, sigma=row.scale),
        "exponential": lambda row: pm.Exponential.dist(scale=row.scale),
    }
    ready = prepared(
        "slopes",
        {
            "x": Prior(distribution="student_t", location=1, scale=0.3, df=4),
            "sd:x": Prior(distribution="exponential", scale=0.7),
            "sigma": Prior(distribution="half_normal", scale=2),
            "cor": Prior(distribution="lkj", eta=3),
        },
    )
    rows = ready.standard_priors
    rng = np.random.default_rng(3)
    r = np.array([-0.6, 0.1, 0.8])
    factor = np.zeros((3, 2, 2))
    factor[:, 0, 0], factor[:, 1, 0], factor[:, 1, 1] = 1, r, np.sqrt(1 - r**2)
    draws = Draws(rng.normal(size=(3, 2)), rng.gamma(2, size=(3, 2)), factor, rng.gamma(2, size=3))
    values = [*draws.beta.T, *draws.sd.T, None, draws.sigma]
    expected = (3 - 1) * np.log(np.linalg.det(factor @ factor.swapaxes(1, 2)))
    for row, value in zip(rows, values, strict=True):
        if value is not None:
            expected = expected + pm.logp(laws[row.distribution](row), value).eval()
    found = log_prior(ready.structure, rows, draws)
    assert found - found[0] == pytest.approx(expected - expected[0], abs=1e-9)


@pytest.fixture(scope="module")
def narrow(toy):
    priors = {"x": Prior(distribution="normal", location=0, scale=0.05)}
    return fit_pymc(toy("slopes"), priors=priors, seed=7)


def test_a_narrow_prior_against_the_data_is_flagged_and_the_fit_stands(narrow):
    rows = {(row["component"], row["term"]): row for row in narrow.record["sensitivity"]}
    assert rows["fixed", "x"]["diagnosis"] == CONFLICT
    checks = [check for check in narrow.checks if check.check == "prior_sensitivity"]
    assert checks
    assert not any(check.ok for check in checks)
    assert any("Prior-data conflict" in check.advice and "fixed effect x" in check.advice for check in checks)
    assert narrow.status is Status.OK
    assert narrow.converged
    assert narrow.reason is None


def test_weights_foretell_a_refit_with_the_prior_to_a_power(narrow, toy):
    """A normal prior to the power a is normal with its SD divided by sqrt(a)."""
    power = 0.8
    other = {"x": Prior(distribution="normal", location=0, scale=0.05 / power**0.5)}
    refit = fit_pymc(toy("slopes"), priors=other, seed=8)
    x = narrow.draws["fixed|x"].to_numpy()
    weight = np.exp((power - 1) * stats.norm.logpdf(x, 0, 0.05))
    moved = np.sum(weight * x) / weight.sum() - x.mean()
    again = refit.draws["fixed|x"].to_numpy()
    error = x.std() / np.sqrt(1000)
    assert moved > 4 * error, "the power is too close to 1 to tell the prior's pull from chance"
    assert again.mean() - x.mean() == pytest.approx(moved, abs=3 * error)


def test_a_prior_that_says_it_all_is_called_strong(toy):
    priors = {"x": Prior(distribution="normal", location=0.5, scale=0.001)}
    fit = fit_pymc(toy("intercepts"), priors=priors, seed=7)
    row = next(row for row in fit.record["sensitivity"] if row["term"] == "x")
    assert row["diagnosis"] == STRONG
    assert any(check.advice.startswith("Strong prior or weak likelihood") for check in fit.checks)


def test_default_priors_leave_the_fixed_effects_of_sleepstudy_alone(sleepstudy):
    fit = fit_pymc(sleepstudy(), priors={}, seed=7)
    rows = fit.record["sensitivity"]
    assert [(row["component"], row["group"], row["term"]) for row in rows] == [
        (row["component"], row["group"], row["term"]) for row in fit.record["parameters"]
    ]
    for row in rows:
        if row["component"] == "fixed":
            assert row["prior"] < LIMIT < row["likelihood"]
            assert row["diagnosis"] == NONE


def test_default_priors_leave_the_fixed_effects_of_radon_alone(radon):
    fit = fit_pymc(radon(), priors={}, seed=7)
    assert {row["diagnosis"] for row in fit.record["sensitivity"] if row["component"] == "fixed"} == {NONE}


def test_what_passes_names_the_most_sensitive():
    row = THETA | {"prior": 0.01, "likelihood": 0.1, "diagnosis": NONE}
    other = row | {"term": "other", "prior": 0.02}
    (check,) = sensitivity_checks([row, other])
    assert check.ok
    assert check.value == 0.02
    assert "other" in check.advice
