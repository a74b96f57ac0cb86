"""Reference-based imputation against simulated moments, the engine `lmm`, and answers known beforehand."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.engines import fit_model
from nestwise.errors import Refusal
from nestwise.imputation.arm_contrasts import Trial, ancova, contrast_fits, jackknife_contrasts
from nestwise.imputation.intercurrent import handle_events, last_seen
from nestwise.imputation.reference import ASSUMPTIONS, Plan, complete, covariance, delta_table, means
from nestwise.imputation.repeated import Parameters, RepeatedData, draw_repeated, fit_repeated
from nestwise.impute.pool import pool
from nestwise.results import Status

OWN = np.array([[2.0, 0.9, 0.5], [0.9, 1.5, 0.8], [0.5, 0.8, 1.8]])
REF = np.array([[1.2, 0.3, 0.4], [0.3, 2.5, 1.1], [0.4, 1.1, 2.0]])
TRIAL = Trial("s", "m", "y", ("placebo", "active"), ("1", "2", "3"), (1, 2))


def trial(n=60, seed=1, common=True, dropout=0.25):
    """Two arms, three visits, a baseline, and drop-out that depends on the last outcome seen."""
    rng = np.random.default_rng(seed)
    arm, base = np.arange(n) % 2, rng.normal(size=(n, 1))
    mu = np.where(arm[:, None] == 1, [0.5, 1.0, 2.0], [0.2, 0.3, 0.4])
    Y = mu + 0.5 * base + rng.multivariate_normal(np.zeros(3), OWN, n)
    for t in (1, 2):
        gone = rng.random(n) < 2 * dropout / (1 + np.exp(-Y[:, t - 1]))
        Y[gone, t:] = np.nan
    return RepeatedData(Y, arm, base, common)


def plan(data, assumption, **fields):
    return Plan(last_seen(data.Y), (assumption,) * len(data.Y), 0, **fields)


def long(data):
    n, T = data.Y.shape
    labels = [f"s{i}" for i in range(n)]
    frame = pl.DataFrame(
        {
            ".row": np.arange(n * T),
            "y": data.Y.ravel(),
            "visit": pl.Series(np.tile([1.0, 2.0, 3.0], n)),
            "arm": pl.Series(np.repeat(np.where(data.arm, "b", "a"), T)).cast(pl.Enum(["a", "b"])),
            "base": np.repeat(data.covariates[:, 0], T),
            "id": pl.Series(np.repeat(labels, T)).cast(pl.Enum(labels)),
        }
    ).with_columns(pl.col("y").fill_nan(None))
    variables = {name: VariableInfo(name, "continuous", True) for name in ("y", "visit", "base")}
    variables["arm"] = VariableInfo("arm", "categorical", True, ("a", "b"))
    variables["id"] = VariableInfo("id", "categorical", True)
    return Dataset("s", frame.lazy(), variables, {"id": None}, time="visit")


def mmrm(data, by=None, reml=True):
    residual = {"structure": "unstructured", "time": "visit", "subject": "id", "by": by}
    model = Model.model_validate(
        {
            "formula": "y ~ factor(visit) * arm + factor(visit) * base",
            "engines": ["lmm"],
            "residual": residual,
            "means": [["visit", "arm"]],
            "reml": reml,
        }
    )
    fit = fit_model(long(data), "m", model, "lmm", brief=True)
    assert fit.status is Status.OK, fit.reason
    return fit


@pytest.mark.parametrize(("common", "reml"), [(True, True), (False, True), (True, False)])
def test_the_fit_is_that_of_a_mixed_model_for_repeated_measures(common, reml):
    data = trial(common=common)
    found, expected = fit_repeated(data, reml=reml), mmrm(data, None if common else "arm", reml)
    strata = [np.array(each["covariance"]) for each in expected.record["residual"]["strata"]]
    for a in range(2):
        assert found.Sigma[a] == pytest.approx(strata[0 if common else a], rel=1e-4, abs=1e-4)
    contrasts = expected.means.filter(kind="contrast").sort("x")["estimate"].to_numpy()
    assert found.B[1] - found.B[0] == pytest.approx(contrasts, abs=1e-4)


def test_missing_at_random_is_the_answer_of_the_mixed_model():
    """Completed at conditional means, the last visit's ANCOVA repeats its contrast exactly."""
    data = trial()
    filled = complete(data, plan(data, "mar"), fit_repeated(data), None)
    estimate, _, _ = ancova(filled, data, 0)
    contrasts = mmrm(data).means.filter(kind="contrast").sort("x")
    assert estimate == pytest.approx(contrasts["estimate"].to_numpy(), abs=1e-4)


def test_draws_under_missing_at_random_repeat_the_mixed_model():
    data = trial(n=100, seed=4)
    fit = pool(contrast_fits(TRIAL, data, plan(data, "mar"), 100, 3))
    rows = mmrm(data).means.filter(kind="contrast").sort("x").to_dicts()[1:]
    for row, term, expected in zip(fit.estimates, fit.record["pooling"]["terms"], rows, strict=True):
        assert row.estimate == pytest.approx(expected["estimate"], abs=4 * term["monte_carlo_error"])
        assert row.std_error == pytest.approx(expected["std_error"], rel=0.1)
    assert fit.method == "ANCOVA, 100 imputations"
    assert fit.estimates[-1].term == "active - placebo at 3"


def test_posterior_draws_of_complete_outcomes():
    """Sigma has its inverse Wishart mean, S / (n - d - T - 1), and B that of least squares."""
    data = trial(n=40, dropout=0)
    D = data.D()
    B = np.linalg.lstsq(D, data.Y, rcond=None)[0]
    S = (data.Y - D @ B).T @ (data.Y - D @ B)
    draws = draw_repeated(data, 3000, 1, burn=5, between=1)
    assert np.mean([each.Sigma[0] for each in draws], axis=0) == pytest.approx(
        S / (40 - 3 - 3 - 1), rel=0.06, abs=0.06
    )
    assert np.mean([each.B for each in draws], axis=0) == pytest.approx(B, abs=0.03)
    spread = np.std([each.B[1] - each.B[0] for each in draws], axis=0)
    unit = np.array([-1, 1, 0]) @ np.linalg.inv(D.T @ D) @ np.array([-1, 1, 0])
    assert spread == pytest.approx(np.sqrt(unit * np.diag(S) / (40 - 3 - 3 - 1)), rel=0.06)


@pytest.mark.parametrize("assumption", ["j2r", "cir", "cr", "lmcf", "mar"])
@pytest.mark.parametrize("k", [1, 2])
def test_profiles_and_covariances_are_those_of_the_process(assumption, k):
    """Carpenter, Roger and Kenward (2013), step by step: the past of one's own arm, the future of another."""
    rng = np.random.default_rng(k)
    m, r, n = np.array([1.0, 2.0, 3.5]), np.array([0.5, 0.7, 0.6]), 400_000
    own_past = assumption != "cr"
    first = rng.multivariate_normal(m[:k] if own_past else r[:k], (OWN if own_past else REF)[:k, :k], n)
    S = OWN if assumption in ("mar", "lmcf") else REF
    future = {"j2r": r, "cr": r, "mar": m, "cir": m[k - 1] + r - r[k - 1], "lmcf": np.full(3, m[k - 1])}[
        assumption
    ]
    slope = np.linalg.solve(S[:k, :k], S[:k, k:]).T
    left = S[k:, k:] - slope @ S[:k, k:]
    second = future[k:] + (first - (m[:k] if own_past else r[:k])) @ slope.T
    second = second + rng.multivariate_normal(np.zeros(3 - k), left, n)
    drawn = np.hstack([first, second])
    assert means(m, r, k, assumption) == pytest.approx(drawn.mean(axis=0), abs=0.02)
    assert covariance(OWN, REF, k, assumption) == pytest.approx(np.cov(drawn.T), abs=0.03)


def test_an_event_before_the_first_visit_leaves_only_the_reference():
    m, r = np.array([1.0, 2, 3]), np.array([0.0, 0, 1])
    for name in ("j2r", "cir", "cr"):
        assert means(m, r, 0, name).tolist() == r.tolist()
        assert covariance(OWN, REF, 0, name).tolist() == REF.tolist()
    assert means(m, r, 0, "lmcf").tolist() == m.tolist()


def test_without_correlation_a_jump_lands_on_the_reference():
    Y = np.array([[1.0, np.nan, np.nan], [2.0, 2.0, 2.0]])
    data = RepeatedData(Y, np.array([1, 0]), np.zeros((2, 0)))
    at = Parameters(np.array([[0.0, 1, 2], [5.0, 6, 7]]), np.array([np.eye(3)] * 2))
    found = {name: complete(data, plan(data, name), at, None)[0].tolist() for name in ASSUMPTIONS}
    assert found == {
        "mar": [1, 6, 7],
        "j2r": [1, 1, 2],
        "cir": [1, 6, 7],
        "cr": [1, 1, 2],
        "lmcf": [1, 5, 5],
    }


def test_intermittent_gaps_are_filled_from_the_own_arm():
    """Gaps before the event follow the subject's own profile under every assumption but `cr`."""
    Y = np.array([[1.0, np.nan, 3.0, np.nan], [0, 0, 0, 0.0]])
    data = RepeatedData(Y, np.array([1, 0]), np.zeros((2, 0)))
    at = Parameters(np.array([[0.0, 0, 0, 0], [5.0, 6, 7, 8]]), np.array([np.eye(4)] * 2))
    assert last_seen(Y).tolist() == [3, 4]
    assert complete(data, plan(data, "j2r"), at, None)[0].tolist() == [1, 6, 3, 0]


def test_draws_vary_around_the_conditional_means():
    data = trial(n=30)
    at = Parameters(np.array([[0.0, 1, 2], [5.0, 6, 7], [0.5, 0.5, 0.5]]), np.array([OWN, REF]))
    assumed = plan(data, "j2r")
    rng = np.random.default_rng(1)
    drawn = np.array([complete(data, assumed, at, rng) for _ in range(800)])
    gone = np.isnan(data.Y)
    centre = complete(data, assumed, at, None)
    assert drawn.mean(axis=0)[gone] == pytest.approx(centre[gone], abs=0.3)
    assert np.array_equal(drawn[7][~gone], data.Y[~gone])


def test_deltas_are_added_to_what_was_imputed_after_the_event():
    data = trial(n=30)
    before = last_seen(data.Y)
    table = delta_table(data, before, np.array([0.0, 3.0]), accumulating=True)
    at, none = fit_repeated(data), plan(data, "mar")
    change = complete(data, replace(none, delta=table), at, None) - complete(data, none, at, None)
    expected = np.where(np.isnan(data.Y) & (data.arm == 1)[:, None], 3.0, 0).cumsum(axis=1)
    assert change == pytest.approx(expected)


def test_events_are_handled_by_their_strategies():
    data = replace(trial(n=30, dropout=0.0), Y=np.arange(90.0).reshape(30, 3))
    before = np.array([1, 1, 1, 1, 3] * 6)
    events = ["rescue", "death", "stop", "switch", "none"] * 6
    said = {"rescue": "hypothetical", "death": "composite", "stop": "j2r", "switch": "treatment_policy"}
    handled, found = handle_events(data, before, events, said, reference=0, failure=-9.0)
    assert np.isnan(handled.Y[[0, 1, 2], 1:]).all()
    assert np.array_equal(handled.Y[[3, 4]], data.Y[[3, 4]])
    assert found.assumption[:5] == ("mar", "mar", "j2r", "mar", "mar")
    at = Parameters(np.zeros((3, 3)), np.array([np.eye(3)] * 2))
    filled = complete(handled, found, at, None)
    assert filled[1].tolist() == [3.0, -9.0, -9.0]
    assert filled[0].tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(Refusal) as refused:
        handle_events(data, before, events, {"rescue": "ignore", "death": "composite"}, reference=0)
    text = str(refused.value)
    for words in (
        "nothing is said of what follows stop",
        "ignore is no strategy",
        "needs a value that stands",
    ):
        assert words in text


def test_the_jackknife_stands_beside_rubins_rules():
    """Under `j2r` the estimates agree, and the jackknife's standard error is the smaller one."""
    data = trial(n=60, seed=2, dropout=0.35)
    assumed = plan(data, "j2r")
    jackknife = jackknife_contrasts(TRIAL, data, assumed)
    pooled = pool(contrast_fits(TRIAL, data, assumed, 100, 5), strategy="j2r")
    one, other = jackknife.estimates[-1], pooled.estimates[-1]
    assert other.estimate == pytest.approx(one.estimate, abs=0.15 * one.std_error)
    assert 0 < one.std_error < other.std_error
    assert (jackknife.strategy, jackknife.method) == ("j2r", "ANCOVA, conditional mean (REML), jackknife")


def test_the_jackknife_of_complete_outcomes_is_that_of_least_squares():
    data = trial(n=40, dropout=0.0)
    fit = jackknife_contrasts(TRIAL, data, plan(data, "j2r"))
    estimate, error, _ = ancova(data.Y[:, [1, 2]], data, 0)
    assert [row.estimate for row in fit.estimates] == pytest.approx(estimate)
    assert [row.std_error for row in fit.estimates] == pytest.approx(error, rel=0.15)


def test_jumps_pull_the_difference_towards_none():
    """The more of the active arm drops out, the closer `j2r` comes to no difference; `cir` lies between."""
    data = trial(n=200, seed=3, dropout=0.4)
    at = fit_repeated(data)
    found = [
        ancova(complete(data, plan(data, name), at, None), data, 0)[0][2] for name in ("mar", "cir", "j2r")
    ]
    assert found[0] > found[1] > found[2] > 0


def test_draws_do_not_depend_on_how_many_there_are():
    data = trial(n=30)
    few, many = (contrast_fits(TRIAL, data, plan(data, "cir"), m, 5) for m in (2, 4))
    assert [fit.estimates for fit in few] == [fit.estimates for fit in many[:2]]


def test_what_cannot_be_imputed_is_refused():
    data = trial(n=30)
    empty = data.Y.copy()
    empty[data.arm == 1, 2] = np.nan
    with pytest.raises(Refusal, match="nobody of arm 2 has an outcome at visit 3"):
        fit_repeated(replace(data, Y=empty))
    few = RepeatedData(data.Y[:6], data.arm[:6], data.covariates[:6])
    with pytest.raises(Refusal, match="too few for a covariance of 3 visits"):
        fit_repeated(few)
    with pytest.raises(Refusal, match="baseline covariates follow from each other"):
        fit_repeated(replace(data, covariates=np.ones((30, 1))))
    with pytest.raises(Refusal, match="locf is no assumption"):
        complete(data, plan(data, "locf"), fit_repeated(data), None)


@pytest.mark.slow
def test_the_jackknife_has_the_spread_of_repeated_trials():
    """Wolbers et al. (2022): what Rubin's rules overstate under `j2r`, the jackknife does not."""
    estimates, errors = [], []
    for seed in range(200):
        data = trial(n=60, seed=100 + seed, dropout=0.3)
        filled = complete(data, plan(data, "j2r"), fit_repeated(data), None)
        estimates.append(ancova(filled, data, 0)[0][2])
        if seed < 30:
            errors.append(jackknife_contrasts(TRIAL, data, plan(data, "j2r")).estimates[-1].std_error)
    assert np.mean(errors) == pytest.approx(np.std(estimates, ddof=1), rel=0.15)
