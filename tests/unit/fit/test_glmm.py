"""The engine glmm: special cases with known answers, verdicts, intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from nestwise.fit.approximation import Deviance
from nestwise.fit.glm import fit_glm
from nestwise.fit.glmm import fit_glmm, solve_glmm
from nestwise.fit.points import optimise_glmm
from nestwise.likelihood.grouped_rows import grouped_rows
from nestwise.results import Status, estimates_frame, groups_frame


def rows(fit, component):
    return {row.term: row for row in fit.estimates if row.component == component}


def test_beta_binomial_like_case_in_closed_form(design_of):
    """Groups of one cell with many trials: the estimates are those of a normal-binomial by brute force."""
    rng = np.random.default_rng(4)
    m = np.full(30, 12.0)
    y = rng.binomial(12, 1 / (1 + np.exp(-0.5 - rng.normal(size=30))))
    fit = fit_glmm(design_of(y, np.arange(30), trials=m))
    u = np.linspace(-7, 7, 601)

    def deviance(x):
        p = 1 / (1 + np.exp(-(x[0] + x[1] * u)))
        inside = stats.binom.pmf(y[:, None], 12, p) * stats.norm.pdf(u)
        return -2 * np.log(np.trapezoid(inside, u)).sum()

    best = optimize.minimize(
        deviance, [0.4, 0.9], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9}
    )
    intercept = rows(fit, "fixed")["(Intercept)"]
    assert intercept.estimate == pytest.approx(best.x[0], abs=5e-3 * intercept.std_error)
    assert rows(fit, "sd")["(Intercept)"].estimate == pytest.approx(abs(best.x[1]), rel=1e-3)
    assert fit.log_likelihood == pytest.approx(-best.fun / 2, abs=5e-3)


def test_standard_errors_are_those_of_the_observed_information(binary):
    state = solve_glmm(binary())
    deviance = Deviance(state.rows, state.optimum.points)
    at, k = state.optimum.at, state.optimum.at.size
    hessian = np.empty((k, k))
    step = 1e-3
    for i in range(k):
        for j in range(k):
            corners = [
                a * b * deviance(at + step * (a * np.eye(k)[i] + b * np.eye(k)[j]))[0]
                for a in (-1, 1)
                for b in (-1, 1)
            ]
            hessian[i, j] = sum(corners) / (4 * step**2)
    covariance = 2 * np.linalg.inv(hessian)[:2, :2]
    T = state.rows.T_X
    np.testing.assert_allclose(state.solution.cov_beta, T @ covariance @ T.T, rtol=1e-4)


def test_profile_interval_ends_where_the_likelihood_has_fallen(binary):
    """Rule 6: 1.92 below the maximum, everything else at its best."""
    fit = fit_glmm(binary())
    sd = rows(fit, "sd")["(Intercept)"]
    state = solve_glmm(binary())
    deviance = Deviance(state.rows, state.optimum.points)
    p = state.rows.X.shape[0]
    for end in (sd.lower, sd.upper):
        held = end / state.rows.T_Z[0, 0]

        def best(beta, held=held):
            value, gradient = deviance(np.append(beta, held))
            return value, gradient[:p]

        found = optimize.minimize(best, state.optimum.at[:p], jac=True, method="BFGS")
        assert found.fun - state.optimum.minimum.value == pytest.approx(stats.chi2.ppf(0.95, 1), abs=1e-3)


def test_latent_icc_and_its_interval(binary):
    """Rule 10: pi^2 / 3 for the logit, and what follows from the SD's interval."""
    fit = fit_glmm(binary())
    sd, icc = rows(fit, "sd")["(Intercept)"], rows(fit, "derived")["icc"]
    for part, value in ((sd.estimate, icc.estimate), (sd.lower, icc.lower), (sd.upper, icc.upper)):
        assert value == pytest.approx(part**2 / (part**2 + np.pi**2 / 3))
    assert icc.scale == "latent"


def test_no_variance_between_groups_is_singular_and_the_glm(binary):
    """Rule 5: a result, with the fixed effects of the model without groups."""
    design = binary(sd=0.0, seed=8)
    fit = fit_glmm(design)
    assert fit.status is Status.SINGULAR
    assert fit.singular
    assert "estimated as 0" in fit.reason
    assert fit.log_likelihood == pytest.approx(fit.record["pooled_log_likelihood"], abs=1e-7)
    assert rows(fit, "sd")["(Intercept)"].lower == 0
    assert rows(fit, "sd")["(Intercept)"].upper > 0
    test = next(test for test in fit.tests if test.test == "variance")
    assert test.p_value == 1.0


def test_modes_shrink_and_carry_their_uncertainty(binary):
    fit = fit_glmm(binary())
    groups = groups_frame(fit)
    assert groups.height == 40
    assert (groups["random_effect_se"] > 0).all()
    assert (groups["partial_pooling_se"] > groups["random_effect_se"] * 0.99).all()
    assert groups["pooling_factor"].is_between(0, 1).all()
    lines = rows(fit, "fixed")["(Intercept)"].estimate + groups["random_effect"]
    np.testing.assert_allclose(groups["partial_pooling"], lines)


def test_modes_follow_the_fixed_effects(binary):
    """`b_on_beta` against differences."""
    state = solve_glmm(binary())
    deviance = Deviance(state.rows, 1)
    T, step = state.rows.T_X, 1e-5
    L = state.rows.T_Z @ deviance.parts(state.optimum.at)[1]
    for i in range(2):
        change = np.zeros(state.optimum.at.size)
        change[:2] = np.linalg.solve(T, step * np.eye(2)[i])
        up, down = (deviance.at(state.optimum.at + s * change).modes.u for s in (1, -1))
        expected = (L @ (up - down) / (2 * step))[:, state.rows.which].T
        np.testing.assert_allclose(state.solution.effects[0].b_on_beta[:, :, i], expected, atol=1e-6)


def test_order_of_rows_and_names_of_groups_do_not_matter(binary, design_of):
    design = binary()
    fit = fit_glmm(design)
    order = np.random.default_rng(0).permutation(design.n)
    g = design.random[0].codes
    other = design_of(design.y[order], (39 - g)[order], fixed={"x": design.X[order, 1]})
    again = fit_glmm(other)
    for one, two in zip(fit.estimates, again.estimates, strict=True):
        assert one.estimate == pytest.approx(two.estimate, rel=1e-6)
    assert fit.log_likelihood == pytest.approx(again.log_likelihood, abs=1e-8)


def test_units_of_a_covariate_do_not_matter(binary, design_of):
    design = binary()
    fit = fit_glmm(design)
    x = 1e5 * design.X[:, 1] + 2e7
    other = fit_glmm(design_of(design.y, design.random[0].codes, fixed={"x": x}))
    assert rows(other, "fixed")["x"].estimate == pytest.approx(
        rows(fit, "fixed")["x"].estimate / 1e5, rel=1e-6
    )
    assert rows(other, "sd")["(Intercept)"].estimate == pytest.approx(
        rows(fit, "sd")["(Intercept)"].estimate, rel=1e-6
    )


def test_points_are_kept_and_the_method_says_them(binary):
    """Rule 9."""
    fit = fit_glmm(binary())
    table = fit.record["points"]
    assert [row["points"] for row in table][:2] == [1, 5]
    points = int(fit.method.removeprefix("AGQ(").removesuffix(")"))
    by_points = {row["points"]: row for row in table}
    assert by_points[points]["log_likelihood"] == pytest.approx(fit.log_likelihood, abs=1e-8)
    after = table[-1]
    assert after["points"] > points
    assert after["log_likelihood"] == pytest.approx(fit.log_likelihood, abs=5e-3)


def test_unstable_is_not_ok(binary, monkeypatch):
    """Rule 9: where the points run out before the estimates settle."""
    monkeypatch.setattr("nestwise.fit.points.STABLE_SD", 0.0)
    fit = fit_glmm(binary())
    assert fit.status is Status.NOT_CONVERGED
    assert not fit.converged
    assert "quadrature points" in fit.reason
    check = next(check for check in fit.checks if check.check == "quadrature_points")
    assert not check.ok


def test_correlated_slopes(design_of):
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(80), 12)
    x = rng.normal(size=g.size)
    b = rng.normal(size=(80, 2)) @ np.array([[1.0, 0.4], [0.0, 0.6]])
    y = rng.poisson(np.exp(0.2 + 0.3 * x + b[g, 0] + b[g, 1] * x))
    fit = fit_glmm(design_of(y, g, "poisson", "log", {"x": x}, ("x",)))
    assert fit.status is Status.OK
    sds, cor = rows(fit, "sd"), rows(fit, "cor")["(Intercept):x"]
    for row, truth in (
        (sds["(Intercept)"], 1.0),
        (sds["x"], np.hypot(0.4, 0.6)),
        (cor, 0.4 / np.hypot(0.4, 0.6)),
    ):
        assert row.lower < row.estimate < row.upper
        assert row.lower < truth < row.upper
    test = next(test for test in fit.tests if test.test == "variance")
    assert test.term == "x"
    assert test.reference == "0.5 chi2(1) + 0.5 chi2(2)"
    assert test.p_value < 1e-6


def test_negative_binomial_without_overdispersion_says_so(design_of):
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(30), 10)
    y = rng.binomial(12, 1 / (1 + np.exp(0.5 - 0.3 * rng.normal(size=30)[g])))  # less spread than Poisson's
    fit = fit_glmm(design_of(y, g, "negative_binomial", "log"))
    assert fit.status is Status.SINGULAR
    assert "use family poisson" in fit.reason
    assert np.isfinite(rows(fit, "fixed")["(Intercept)"].std_error)


def test_overdispersion_and_zeros_are_seen(design_of):
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(50), 8)
    x = rng.normal(size=g.size)
    mu = np.exp(0.8 + 0.3 * x + 0.4 * rng.normal(size=50)[g])
    y = rng.negative_binomial(0.7, 0.7 / (0.7 + mu))
    checks = {check.check: check for check in fit_glmm(design_of(y, g, "poisson", "log", {"x": x})).checks}
    assert not checks["overdispersion"].ok
    assert "negative_binomial" in checks["overdispersion"].advice
    assert not checks["zero_inflation"].ok
    fitting = fit_glmm(design_of(y, g, "negative_binomial", "log", {"x": x}))
    checks = {check.check: check for check in fitting.checks}
    assert checks["overdispersion"].ok
    assert checks["zero_inflation"].ok
    size = rows(fitting, "residual")["size"]
    assert size.lower < 0.7 < size.upper


def test_offset_is_exposure(design_of):
    """A multiple of the exposure moves the intercept by its logarithm, and nothing else."""
    rng = np.random.default_rng(6)
    g = np.repeat(np.arange(20), 6)
    exposure = rng.uniform(1, 4, g.size)
    y = rng.poisson(exposure * np.exp(0.3 * rng.normal(size=20)[g]))
    one, ten = (
        fit_glmm(design_of(y, g, "poisson", "log", offset=np.log(factor * exposure))) for factor in (1, 10)
    )
    moved = rows(one, "fixed")["(Intercept)"].estimate - rows(ten, "fixed")["(Intercept)"].estimate
    assert moved == pytest.approx(np.log(10), abs=1e-6)
    assert one.log_likelihood == pytest.approx(ten.log_likelihood, abs=1e-8)


def test_every_estimate_is_a_number_or_none(binary):
    frame = estimates_frame(fit_glmm(binary()))
    for column in ("estimate", "std_error", "lower", "upper", "p_value"):
        assert not frame[column].is_nan().any()
    assert frame.filter(component="fixed")["df"].null_count() == 2
    assert set(frame.filter(component="fixed")["scale"]) == {"link"}


def test_glm_is_that_of_statsmodels(design_of):
    """The model without groups, families with a dispersion included."""
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(8)
    g, x = np.repeat(np.arange(20), 5), rng.normal(size=100)
    X = np.column_stack([np.ones(100), x])
    y = rng.poisson(np.exp(0.5 + 0.4 * x) * rng.gamma(2, 0.5, 100))
    made = design_of(y, g, "negative_binomial", "log", {"x": x})
    rows_ = grouped_rows(made)
    ours = fit_glm(rows_)
    theirs = sm.NegativeBinomial(y, X).fit(disp=0, maxiter=200, gtol=1e-10)
    np.testing.assert_allclose(rows_.T_X @ ours.beta, theirs.params[:2], rtol=1e-4)
    assert np.exp(-ours.raw[0]) == pytest.approx(theirs.params[2], rel=1e-3)
    assert ours.log_likelihood == pytest.approx(theirs.llf, abs=1e-5)
    made = design_of((y > 1) * 1, g, "binomial", "cloglog", {"x": x})
    rows_ = grouped_rows(made)
    link = sm.families.links.CLogLog()
    theirs = sm.GLM(made.y, X, sm.families.Binomial(link)).fit(tol=1e-12)
    np.testing.assert_allclose(rows_.T_X @ fit_glm(rows_).beta, theirs.params, rtol=1e-5)


def test_points_can_be_chosen(binary):
    rows_ = grouped_rows(binary())
    optimum = optimise_glmm(rows_, fit_glm(rows_), (1,))
    assert optimum.points == 1
    assert optimum.minimum.converged
    assert not optimum.stable
