"""Covariances of marginal coefficients by their definitions, statsmodels, and which one is shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestwise.fit.cluster_layout import cluster_layout
from nestwise.fit.gee import fit_gee
from nestwise.fit.gee_solution import gee_data, solve_gee
from nestwise.fit.gee_variance import gee_covariance, gee_scores
from nestwise.fit.working_correlation import working_correlation
from nestwise.results import Status

STRUCTURES = ("independence", "exchangeable", "ar1", "unstructured", "m_dependent", "nested")


def solved(design, structure):
    layout = cluster_layout(design, structure)
    working = working_correlation(structure, layout, 2)
    data = gee_data(design, layout)
    return working, data, solve_gee(design, data, working)


def root(A, power):
    values, vectors = np.linalg.eig(A)
    return np.real(vectors @ np.diag(values**power) @ np.linalg.inv(vectors))


def dense_covariance(dense, design, structure, state, data, kind):
    D, W, e, _ = dense.parts(design, structure, data.T @ state.gamma, state.alpha)
    M, (n, p) = np.linalg.inv(D.T @ W @ D), D.shape
    J, middle = design.factors[0].n_groups, np.zeros((p, p))
    for j in range(J):
        mine = design.factors[0].codes == j
        Dj, Wj, I = D[mine], W[np.ix_(mine, mine)], np.eye(mine.sum())  # noqa: E741
        H, P = Dj @ M @ Dj.T @ Wj, Dj.T @ Wj @ Dj
        A = {"KC": root(I - H, -0.5), "MD": np.linalg.inv(I - H)}.get(kind, I)
        a = Dj.T @ Wj @ A @ e[mine]
        if kind == "FG":
            a = a / np.sqrt(1 - np.minimum(0.75, np.diag(P @ M)))
        middle += np.outer(a, a)
    if kind == "model":
        return state.phi * M
    if kind == "MBN":
        middle *= (n - 1) / (n - p) * J / (J - 1)
        size = max(1, np.trace(M @ middle) / state.phi / p)
        return M @ middle @ M + min(0.5, p / (J - p)) * size * state.phi * M
    return M @ middle @ M


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("kind", ["LZ", "KC", "MD", "FG", "MBN", "model"])
def test_covariances_follow_their_definitions_by_dense_matrices(dense, marginal_study, structure, kind):
    """Rule 15."""
    design = marginal_study("binomial", "logit", structure, J=14)
    working, data, state = solved(design, structure)
    found = gee_covariance(gee_scores(data, working, state, with_information=True), kind).covariance
    known = dense_covariance(dense, design, structure, state, data, kind)
    scale = np.sqrt(np.outer(np.diag(known), np.diag(known)))
    assert found / scale == pytest.approx(known / scale, abs=1e-9)


def statsmodels_fit(design, structure, cov_type, alpha=None, size=None):
    """Its own moments of alpha, or a given alpha that stays as it is."""
    import statsmodels.api as sm

    family = {
        "binomial": sm.families.Binomial(),
        "poisson": sm.families.Poisson(),
        "negative_binomial": None if size is None else sm.families.NegativeBinomial(alpha=1 / size),
    }[design.family]
    if structure == "ar1":
        working = sm.cov_struct.Autoregressive(grid=False)
    else:
        working = getattr(sm.cov_struct, structure.capitalize())()
    if alpha is not None:
        working.dep_params = alpha
    time = None if design.occasions is None else design.occasions.times[design.occasions.visits]
    model = sm.GEE(design.y, design.X, design.random[0].codes, time=time, family=family, cov_struct=working)
    held = 0 if alpha is None else 10_000  # iterations before alpha is estimated
    return model.fit(cov_type=cov_type, ctol=1e-9, maxiter=200, first_dep_update=held)


@pytest.mark.parametrize("family", ["poisson", "negative_binomial"])
@pytest.mark.parametrize("structure", ["independence", "exchangeable", "ar1"])
@pytest.mark.parametrize(("ours", "theirs"), [("LZ", "robust"), ("MD", "bias_reduced")])
def test_statsmodels_is_the_referee_at_the_same_correlation(marginal_study, family, structure, ours, theirs):
    """And at the same size of a negative binomial."""
    design = marginal_study(family, "log", structure, J=80, times=range(5))
    if structure == "ar1":  # its AR(1) takes neighbours for one unit apart
        first = np.append(True, np.diff(design.random[0].codes) > 0)
        visits = np.arange(design.n) - np.flatnonzero(first)[np.cumsum(first) - 1]
        design = replace(design, occasions=replace(design.occasions, visits=visits))
    fit = fit_gee(design, structure, variance=ours)
    alpha = [row.estimate for row in fit.estimates if row.scale == "correlation"]
    size = next((row.estimate for row in fit.estimates if row.term == "size"), None)
    peer = statsmodels_fit(design, structure, theirs, alpha[0] if alpha else None, size)
    beta, error = (
        np.array([getattr(row, what) for row in fit.estimates[:3]]) for what in ("estimate", "std_error")
    )
    assert np.abs((beta - peer.params) / error).max() < 1e-6
    assert error == pytest.approx(peer.bse, rel=1e-6)


@pytest.mark.parametrize(
    ("J", "asked", "method", "df"),
    [
        (20, None, "exchangeable, KC", 17),
        (60, None, "exchangeable, LZ", None),
        (20, "LZ", "exchangeable, LZ", 17),
        (60, "MD", "exchangeable, MD", 57),
        (60, "model", "exchangeable, model-based", None),
    ],
)
def test_the_number_of_clusters_chooses_the_errors_and_the_test(marginal_study, J, asked, method, df):
    """Rules 12 and 15."""
    fit = fit_gee(marginal_study(J=J), variance=asked)
    assert (fit.method, fit.status) == (method, Status.OK)
    assert fit.estimates[1].df == df
    assert fit.record["variance"]["kind"] == (asked or ("KC" if J < 50 else "LZ"))
    few = [check.ok for check in fit.checks if check.check == "clusters"]
    assert few == [J >= 50]
    assert any("fewer than 50" in warning for warning in fit.warnings) == (J < 50)


def test_rows_are_marginal_and_ratios_follow(marginal_study):
    fit = fit_gee(marginal_study())
    assert {row.target for row in fit.estimates} == {"marginal"}
    link = {row.term: row for row in fit.estimates if row.component == "fixed"}
    ratios = [row for row in fit.estimates if row.scale == "odds_ratio"]
    assert [row.term for row in ratios] == ["odds_ratio:x", "odds_ratio:z"]
    for row in ratios:
        coefficient = link[row.term.split(":")[1]]
        assert coefficient.scale == "link"
        for what in ("estimate", "lower", "upper"):
            assert np.log(getattr(row, what)) == pytest.approx(getattr(coefficient, what))
        assert row.p_value == coefficient.p_value
    assert [test.term for test in fit.tests] == ["x", "z"]
    assert fit.tests[0].p_value == pytest.approx(link["x"].p_value, rel=1e-9)
    assert any("missing completely at random" in warning for warning in fit.warnings)


def test_a_coefficient_of_one_cluster_alone_has_no_error(marginal_study):
    design = marginal_study(J=20)
    X = np.column_stack([design.X, design.random[0].codes == 3])
    fit = fit_gee(replace(design, X=X.astype(float), names=(*design.names, "third"), term_of=()))
    assert fit.estimates[3].std_error is None
    assert fit.estimates[1].std_error > 0
    assert any("One g alone informs" in warning for warning in fit.warnings)


def test_other_denominators_move_an_exchangeable_alpha_little(marginal_study):
    """Rule 16."""
    design = marginal_study("poisson", "log", J=200)
    fit, peer = fit_gee(design), statsmodels_fit(design, "exchangeable", "robust")
    alpha = next(row.estimate for row in fit.estimates if row.term == "alpha")
    assert alpha == pytest.approx(peer.cov_struct.dep_params, rel=1e-2)
    for row, beta in zip(fit.estimates[:3], peer.params, strict=True):
        assert abs(row.estimate - beta) < 2e-2 * row.std_error
