"""statsmodels as engine and referee; its oddities, each with a test that fails when it goes away."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from nestwise.design.record import Membership
from nestwise.errors import Refusal
from nestwise.fit import mixedlm
from nestwise.fit.components import DENSE_LIMIT, layout
from nestwise.fit.lmm import fit_lmm
from nestwise.fit.mixedlm import fit_mixedlm
from nestwise.results import Status

pytest.importorskip("statsmodels")


def rows(fit):
    return {(row.component, row.group, row.term): row for row in fit.estimates}


def agrees(design):
    """Both engines on one design."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing of statsmodels may leak
        theirs = fit_mixedlm(design)
    ours = fit_lmm(design)
    assert [check.check for check in theirs.checks] == ["referee_log_likelihood", "referee_std_error"]
    assert all(check.ok for check in theirs.checks)
    missing = set(rows(ours)) - set(rows(theirs))
    assert {term for _, _, term in missing} <= {"caic", "effective_df"}, missing
    for key, other in rows(theirs).items():
        row = rows(ours)[key]
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
    assert abs(own / rows(theirs)["fixed", None, "uranium"].std_error - 1) > 1e-2


def test_singular(make_design):
    """It cannot evaluate the boundary: evaluated beside it, and said."""
    y = np.array([1.0, 3, 2, 1, 3, 2, 1, 3, 2])
    one = {"(Intercept)": np.ones(9)}
    fit = fit_mixedlm(make_design(y, one, ("g", np.repeat([0, 1, 2], 3), one, True)))
    assert fit.status == Status.SINGULAR
    assert fit.singular
    assert rows(fit)["sd", "g", "(Intercept)"].estimate == 0.0
    assert rows(fit)["derived", "g", "break_even_n"].estimate is None
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


@pytest.fixture
def several(make_design):
    """Twelve groups of two groups of five rows, and six groups across them."""

    def build(*chosen, n=120, **kwargs):
        rng = np.random.default_rng(41)
        inner = np.arange(n) // 5
        codes = {"a": inner // 2, "a:b": inner, "c": rng.permutation(np.arange(n) % 6)}
        one, x = np.ones(n), rng.normal(size=n)
        y = 1 + x + rng.normal(size=n)
        for name, groups in codes.items():
            effects = rng.normal(size=(groups.max() + 1, 2))
            y = y + effects[groups, 0] + (0.7 * effects[groups, 1] * x if name == "a" else 0)
        both = {"(Intercept)": one, "x": x}
        columns = {1: {"(Intercept)": one}, 2: both}
        terms = [(name, codes[name], columns[q], correlated) for name, q, correlated in chosen]
        return make_design(y, both, *terms, **kwargs)

    return build


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize(
    "chosen",
    [
        [("a", 1, True), ("a:b", 1, True)],
        [("a:b", 1, True), ("a", 2, True)],
        [("a", 2, False), ("a:b", 2, False)],
        [("a", 1, True), ("c", 1, True)],
        [("a", 2, False), ("a:b", 1, True), ("c", 1, True)],
    ],
    ids=["nested", "outer_slopes", "independent", "crossed", "three"],
)
def test_several_factors(several, chosen, reml):
    """Nested ones by the outermost factor, crossed ones as variance components of one block of rows."""
    theirs, ours = agrees(several(*chosen, reml=reml))
    np.testing.assert_allclose(theirs.groups["random_effect"], ours.groups["random_effect"], atol=1e-4)
    np.testing.assert_allclose(theirs.predictions["fitted"], ours.predictions["fitted"], atol=1e-4)


def test_blocks_of_independent_rows(several):
    """The outermost factor is found wherever it stands; crossed factors share one block."""
    nested = layout(several(("a:b", 1, True), ("a", 2, True)))
    assert nested.outer.group == "a"
    assert nested.blocks.max() == 11
    assert [component.column for component in nested.components] == [0]
    assert [matrix.shape for matrix in nested.components[0].matrices] == [(10, 2)] * 12
    crossed = layout(several(("a", 1, True), ("c", 1, True)))
    assert crossed.outer is None
    assert set(crossed.blocks) == {0}
    assert [component.matrices[0].shape for component in crossed.components] == [(120, 12), (120, 6)]


def test_what_it_has_no_place_for(several):
    """Each with a sentence, all at once."""
    plain = several(("a", 1, True), ("c", 2, True))
    with pytest.raises(
        Refusal, match=r"no correlation between the coefficients that vary by c.*write \|\| bef"
    ):
        fit_mixedlm(plain)
    large = several(("a", 1, True), ("c", 1, True), n=DENSE_LIMIT + 5)
    with pytest.raises(Refusal, match=r"dense matrices of 2,005 x 2,005"):
        fit_mixedlm(large)
    nested = several(("a", 1, True), ("a:b", 1, True))
    term = nested.random[0]
    membership = Membership(term.codes[:, None], np.ones((120, 1)))
    for changed, words in (
        (replace(nested, weights=np.ones(120)), "does not take weights"),
        (replace(nested, sampling_error=np.ones(120)), "known standard errors"),
        (replace(nested, random=(replace(term, relation=np.eye(12)), nested.random[1])), "known relations"),
        (replace(nested, random=(replace(term, membership=membership), nested.random[1])), "memberships"),
    ):
        with pytest.raises(Refusal, match=words):
            fit_mixedlm(changed)
    both = replace(nested, weights=np.ones(120), sampling_error=np.ones(120))
    with pytest.raises(Refusal) as refused:
        fit_mixedlm(both)
    assert len(refused.value.problems) == 2
