"""Cumulative marginal models against dense matrices, statsmodels and their invariances; peers: reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestwise.design.cumulative import cumulative_design
from nestwise.errors import Refusal
from nestwise.fit.gee import fit_gee
from nestwise.fit.marginal_families import mean_and_slope
from nestwise.results import Status

STRUCTURES = ("independence", "exchangeable", "global_odds_ratio")


@pytest.fixture
def grades(make_design):
    """Four grades of clusters of 1 to 5 rows."""

    def build(J=40, seed=2, sd=1.0, link="logit"):
        rng = np.random.default_rng(seed)
        codes = np.repeat(np.arange(J), np.append(rng.integers(2, 6, J - 2), [1, 5]))
        x, z = rng.normal(size=codes.size), rng.normal(size=J)[codes]
        latent = 0.7 * x - 0.5 * z + sd * rng.normal(size=J)[codes] + rng.logistic(size=codes.size)
        y = np.digitize(latent, [-1.0, 0.3, 1.5]).astype(float)
        one = np.ones(codes.size)
        fixed = {"(Intercept)": one, "x": x, "z": z}
        design = make_design(y, fixed, ("g", codes, {"(Intercept)": one}, True), family="ordinal")
        return replace(design, link=link, categories=tuple("abcd"), term_of=tuple(fixed))

    return build


def dense_parts(design, fit):
    """D, V^-1 and z - mu of all indicators, straight from the definitions; and Pearson residuals."""
    named = cumulative_design(design)
    beta = np.array([row.estimate for row in fit.estimates if row.component == "fixed"])
    eta = named.X @ beta + (0 if named.offset is None else named.offset)
    mu, slope = mean_and_slope(design.link, eta)
    w = np.ones(named.n) if named.weights is None else named.weights
    K = named.n // design.n
    row, cut, code = np.arange(named.n) // K, np.arange(named.n) % K, named.random[0].codes
    joint = np.outer(mu, mu)
    parameters = fit.record["working_correlation"]["parameters"]
    sd = np.sqrt(mu * (1 - mu))
    if "odds_ratio" in parameters:
        joint = plackett(mu[:, None], mu, parameters["odds_ratio"])
    elif parameters:
        alpha = np.zeros((K, K))
        alpha[np.triu_indices(K)] = list(parameters.values())
        alpha = alpha + np.triu(alpha, 1).T
        joint = joint + alpha[np.ix_(cut, cut)] * np.outer(sd, sd)
    joint = np.where(row[:, None] == row, np.minimum.outer(mu, mu), joint)
    V = np.where(code[:, None] == code, joint - np.outer(mu, mu), 0.0) / np.sqrt(np.outer(w, w))
    e = named.y - mu
    apart = (code[:, None] == code) & (row[:, None] != row)
    return named.X * slope[:, None], np.linalg.inv(V), e, (np.sqrt(w) * e / sd, cut, apart, joint)


def plackett(a, b, psi):
    """The root of ``p (1 - a - b + p) = psi (a - p)(b - p)`` as textbooks have it; psi is not 1."""
    whole = 1 + (a + b) * (psi - 1)
    return (whole - np.sqrt(whole**2 - 4 * psi * (psi - 1) * a * b)) / (2 * (psi - 1))


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_equations_hold_by_dense_matrices_and_their_covariances_too(grades, structure, link):
    design = grades(J=24, link=link)
    rng = np.random.default_rng(4)
    design = replace(design, offset=rng.normal(0, 0.2, design.n), weights=rng.uniform(0.5, 2, design.n))
    fit = fit_gee(design, structure, variance="LZ")
    assert fit.status == Status.OK
    D, W, e, (r, cut, apart, joint) = dense_parts(design, fit)
    M = np.linalg.inv(D.T @ W @ D)
    step = M @ D.T @ W @ e
    assert np.abs(step / np.sqrt(np.diag(M))).max() < 1e-7
    errors = fit.record["variance"]["standard_errors"]
    code = cumulative_design(design).random[0].codes
    meat = {"LZ": np.zeros_like(M), "MD": np.zeros_like(M)}
    for j in range(24):
        mine = code == j
        Dj, Wj = D[mine], W[np.ix_(mine, mine)]
        H = Dj @ M @ Dj.T @ Wj
        for kind, A in (("LZ", np.eye(len(H))), ("MD", np.linalg.inv(np.eye(len(H)) - H))):
            a = Dj.T @ Wj @ A @ e[mine]
            meat[kind] += np.outer(a, a)
    for kind, middle in meat.items():
        assert errors[kind] == pytest.approx(np.sqrt(np.diag(M @ middle @ M)), rel=1e-7)
    assert errors["model"] == pytest.approx(np.sqrt(np.diag(M)), rel=1e-7)
    parameters = fit.record["working_correlation"]["parameters"]
    if structure == "exchangeable":
        for (c, d), value in zip(zip(*np.triu_indices(3), strict=True), parameters.values(), strict=True):
            pairs = apart & (cut[:, None] == c) & (cut == d)
            assert value == pytest.approx(np.outer(r, r)[pairs].mean(), abs=1e-8)
    if structure == "global_odds_ratio":
        mu, w = cumulative_design(design).y - e, np.sqrt(cumulative_design(design).weights)
        gap = np.outer(e, e) - joint + np.outer(mu, mu)
        assert (np.outer(w, w) * gap * apart).sum() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("structure", ["independence", "global_odds_ratio"])
def test_statsmodels_is_the_referee_at_the_same_odds_ratio(grades, structure):
    """Its thresholds have the other sign; an odds ratio of 1 is independence of rows."""
    import statsmodels.api as sm

    design = grades(J=20)
    fit = fit_gee(design, structure, variance="LZ")
    working = sm.cov_struct.GlobalOddsRatio("ordinal")
    peer = sm.OrdinalGEE(design.y, design.X[:, 1:], design.random[0].codes, cov_struct=working)
    working.dep_params = fit.record["working_correlation"]["parameters"].get("odds_ratio", 1.0)
    rows = [row for row in fit.estimates if row.component == "fixed"]
    assert [row.term for row in rows] == ["a|b", "b|c", "c|d", "x", "z"]
    sign = np.array([-1, -1, -1, 1, 1])
    start = sign * np.round([row.estimate for row in rows], 2)
    found = peer.fit(start_params=start, ctol=1e-9, maxiter=20, first_dep_update=10_000)
    error = np.array([row.std_error for row in rows])
    gap = np.array([row.estimate for row in rows]) - sign * np.asarray(found.params)
    assert np.abs(gap / error).max() < 1e-6
    assert error == pytest.approx(np.asarray(found.bse), rel=1e-6)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_two_grades_are_a_binary_outcome(grades, structure):
    design = grades()
    two = replace(design, y=(design.y > 1).astype(float), categories=("low", "high"))
    fit = fit_gee(two, structure, variance="LZ")
    binary = replace(two, family="binomial", categories=())
    if structure == "global_odds_ratio":  # one odds ratio of two binary rows is no single correlation
        assert abs(fit.estimates[1].estimate - fit_gee(binary).estimates[1].estimate) < 0.05
        return
    peer = fit_gee(binary, structure, variance="LZ")
    rows = zip(fit.estimates[:3], peer.estimates[:3], (-1, 1, 1), strict=True)
    if structure == "independence":
        for row, same, sign in rows:
            assert row.estimate == pytest.approx(sign * same.estimate, abs=1e-9)
            assert row.std_error == pytest.approx(same.std_error, rel=1e-7)
    else:  # phi is 1 here and estimated there
        for row, same, sign in rows:
            assert row.estimate == pytest.approx(sign * same.estimate, abs=0.02 * same.std_error)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_grades_from_the_other_end_change_signs_only(grades, structure):
    design = grades()
    back = replace(design, y=3 - design.y, categories=tuple("dcba"))
    one, other = (fit_gee(each, structure, variance="KC") for each in (design, back))
    sign = [(2, -1), (1, -1), (0, -1), (3, -1), (4, -1)]
    for row, (place, factor) in zip(one.estimates[:5], sign, strict=True):
        same = other.estimates[place]
        assert row.estimate == pytest.approx(factor * same.estimate, abs=1e-8)
        assert row.std_error == pytest.approx(same.std_error, rel=1e-7)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_order_of_rows_and_clusters_changes_nothing(grades, structure):
    """Rule 15."""
    design = grades()
    order, back = np.random.default_rng(5).permutation(design.n), np.random.default_rng(6).permutation(40)
    term = design.random[0]
    moved = replace(
        design,
        y=design.y[order],
        X=design.X[order],
        random=(replace(term, codes=back[term.codes][order], Z=term.Z[order]),),
    )
    one, other = (fit_gee(each, structure) for each in (design, moved))
    for row, same in zip(one.estimates, other.estimates, strict=True):
        assert (row.term, row.estimate) == (same.term, pytest.approx(same.estimate, rel=1e-8, abs=1e-10))
        if row.std_error is not None:
            assert row.std_error == pytest.approx(same.std_error, rel=1e-7)
    assert other.predictions["fitted"].to_numpy() == pytest.approx(
        one.predictions["fitted"].to_numpy()[order]
    )


def test_rows_criteria_and_expected_grades_are_told(grades):
    fit = fit_gee(grades(), "exchangeable", variance="LZ")
    assert (fit.status, fit.method) == (Status.OK, "exchangeable, LZ")
    assert [row.term for row in fit.estimates if row.scale == "odds_ratio"] == [
        "odds_ratio:x",
        "odds_ratio:z",
    ]
    assert [test.term for test in fit.tests] == ["x", "z"]
    assert fit.record["clusters"]["largest"] == 5
    assert {"qic", "qicu", "cic"} <= {row.term for row in fit.estimates}
    assert not any(row.term == "phi" for row in fit.estimates)
    y = grades().y
    assert fit.predictions["fitted"].mean() == pytest.approx(y.mean(), abs=0.05)
    known = fit_gee(grades(), "independence").predictions
    assert np.corrcoef(known["fitted"], y)[0, 1] > 0.3


def shifted(design):
    """All of one arm have the highest grade."""
    arm = (design.X[:, 1] > 0).astype(float)
    X = np.column_stack([design.X[:, 0], arm, design.X[:, 2]])
    return {"X": X, "y": np.where(arm == 1, 3.0, design.y.clip(0, 2))}


def without_intercept(design):
    half = (design.X[:, 1] > 0).astype(float)
    return {"X": np.column_stack([half, 1 - half]), "names": ("low", "high"), "term_of": ("arm", "arm")}


@pytest.mark.parametrize(
    ("changes", "structure", "said"),
    [
        (lambda design: {"y": 0 * design.y}, "independence", "the same in every row"),
        (shifted, "exchangeable", "x.* separates"),
        (
            lambda design: {"y": np.where(design.y == 1, 0, design.y)},
            "independence",
            "no row has the value b",
        ),
        (without_intercept, "independence", "write the formula with an intercept"),
        (
            lambda design: {"random": (replace(design.random[0], codes=np.zeros(design.n, dtype=int)),)},
            "exchangeable",
            "all rows belong to one g",
        ),
    ],
)
def test_what_has_no_answer_is_refused_with_a_way_out(grades, changes, structure, said):
    """Rule 33."""
    design = grades()
    with pytest.raises(Refusal, match=said) as caught:
        fit_gee(replace(design, **changes(design)), structure)
    assert all(problem.way_out for problem in caught.value.problems)


def test_clusters_of_one_grade_each_are_answered(grades):
    """All rows of a cluster alike: no random effect has an estimate, the average of clusters has."""
    design = grades()
    codes = design.random[0].codes
    alike = replace(design, y=np.random.default_rng(1).integers(0, 4, 40)[codes].astype(float))
    for structure in STRUCTURES:
        fit = fit_gee(alike, structure)
        assert fit.status in {Status.OK, Status.NOT_CONVERGED}
        assert all(np.isfinite(row.estimate) for row in fit.estimates if row.estimate is not None)
    with pytest.raises(Refusal, match="each g has one row"):
        alone = replace(design.random[0], codes=np.arange(design.n), labels=tuple(map(str, range(design.n))))
        fit_gee(replace(design, random=(alone,)), "exchangeable")
