"""statsmodels as engine and referee; its oddities, each with a test that fails when it goes away."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from nestwise.fit import mixedlm
from nestwise.fit.lmm import fit_lmm
from nestwise.fit.mixedlm import fit_mixedlm
from nestwise.results import Status

pytest.importorskip("statsmodels")


def rows(fit):
    return {(row.component, row.term): row for row in fit.estimates}


def agrees(design):
    """Both engines on one design."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing of statsmodels may leak
        theirs = fit_mixedlm(design)
    ours = fit_lmm(design)
    assert [check.check for check in theirs.checks] == ["referee_log_likelihood", "referee_std_error"]
    assert all(check.ok for check in theirs.checks)
    for key, row in rows(ours).items():
        other = rows(theirs)[key]
        assert other.estimate == pytest.approx(row.estimate, rel=1e-4, abs=1e-6)
        if key[0] == "fixed":
            assert other.std_error == pytest.approx(row.std_error, rel=1e-3)
            assert other.df is None  # z tests, labelled by the null
            assert other.p_value is not None
    return theirs, ours


@pytest.mark.parametrize("random", ["intercepts", "slopes", "independent"])
@pytest.mark.parametrize("reml", [True, False])
def test_sleepstudy(sleepstudy, random, reml):
    theirs, ours = agrees(sleepstudy(random, reml=reml))
    assert theirs.status == Status.OK
    assert theirs.aic == pytest.approx(ours.aic, abs=1e-5)
    np.testing.assert_allclose(theirs.groups["random_effect"], ours.groups["random_effect"], atol=1e-4)


def test_radon_with_varying_slopes(radon):
    """The one it does not reach by itself: from our optimum it agrees with -1064.32017."""
    theirs, _ = agrees(radon())
    assert theirs.log_likelihood == pytest.approx(-1064.32017, abs=1e-5)
    assert theirs.status == Status.OK
    # its own bse_fe is from the joint information, and differs by more than the referee's tolerance
    own = theirs.record["referee"]["bse_fe"]["uranium"]
    assert abs(own / rows(theirs)["fixed", "uranium"].std_error - 1) > 1e-2


def test_singular(make_design):
    """It cannot evaluate the boundary: evaluated beside it, and said."""
    y = np.array([1.0, 3, 2, 1, 3, 2, 1, 3, 2])
    one = {"(Intercept)": np.ones(9)}
    fit = fit_mixedlm(make_design(y, one, ("g", np.repeat([0, 1, 2], 3), one, True)))
    assert fit.status == Status.SINGULAR
    assert fit.singular
    assert rows(fit)["sd", "(Intercept)"].estimate == 0.0
    assert rows(fit)["derived", "break_even_n"].estimate is None
    assert "next to that point; leave the random effect out" in fit.reason
    assert all(said[0].isupper() and said.endswith(".") for said in fit.warnings)
    assert fit.checks[0].ok


def test_a_breakdown_is_told(sleepstudy, monkeypatch):
    """Where its search breaks down its likelihood is evaluated at our optimum, and the row says so."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    def broken(*args, **kwargs):
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(MixedLM, "fit", broken)
    fit = fit_mixedlm(sleepstudy())
    assert fit.status == Status.NOT_CONVERGED
    assert fit.converged is False
    assert fit.checks[0].ok
    assert "its search did not converge" in fit.checks[0].advice
    assert any("broke down" in warning for warning in fit.warnings)


def test_a_void_covariance_is_told(sleepstudy, monkeypatch):
    """Where its estimates cannot be evaluated the row shows lmm's and says so."""

    def void(state, peer):
        raise np.linalg.LinAlgError("Matrix is not positive definite")

    monkeypatch.setattr(mixedlm, "_as_solution", void)
    fit = fit_mixedlm(sleepstudy())
    assert fit.status == Status.NOT_CONVERGED
    assert any("shown are lmm's" in warning for warning in fit.warnings)


def test_the_referee_can_disagree(sleepstudy, monkeypatch):
    """A referee that agrees with everything is none."""
    from dataclasses import replace

    solve = mixedlm.solve_lmm

    def wrong(design, engine):
        state = solve(design, engine=engine)
        off = replace(
            state.solution, cov_beta=state.solution.cov_beta * 1.01, deviance=state.solution.deviance + 0.1
        )
        return replace(state, solution=off)

    monkeypatch.setattr(mixedlm, "solve_lmm", wrong)
    fit = fit_mixedlm(sleepstudy())
    assert [check.ok for check in fit.checks] == [False, False]


def test_oddities_of_statsmodels(radon):
    """Why it starts at our optimum and why its AIC and params are not used."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    design = radon()
    model = MixedLM(design.y, design.X, groups=design.random[0].codes, exog_re=design.random[0].Z)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = model.fit()
    assert result.llf < -1064.4  # the optimum is -1064.3202
    assert np.isnan(result.aic)  # under REML
    packed = np.asarray(result.params)[3]
    assert packed == pytest.approx(np.asarray(result.cov_re)[0, 0] / result.scale)  # sigma^2-scaled
