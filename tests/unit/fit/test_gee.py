"""Estimating equations against dense matrices, statsmodels and their invariances; peers: tests/reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nestwise.design.occasions import Occasions
from nestwise.design.record import RowFlow
from nestwise.errors import Refusal
from nestwise.fit.cluster_layout import cluster_layout
from nestwise.fit.gee import fit_gee
from nestwise.fit.gee_solution import gee_data, solve_gee
from nestwise.fit.gee_variance import gee_covariance, gee_scores
from nestwise.fit.marginal_families import LINKS_OF, mean_and_slope, variance
from nestwise.fit.working_correlation import working_correlation
from nestwise.results import Status

STRUCTURES = ("independence", "exchangeable", "ar1", "unstructured", "m_dependent", "nested")
LINKS = [(family, link) for family, links in LINKS_OF.items() for link in links]


def outcome(rng, family, link, eta, shared):
    """Correlated outcomes with means of the link: the same quantile moves all rows of a cluster."""
    from scipy.stats import binom, gamma, norm, poisson

    u = norm.cdf(0.6 * shared + 0.8 * rng.normal(size=eta.size))
    mu = mean_and_slope(link, eta)[0]
    if family == "binomial":
        trials = rng.integers(1, 6, eta.size).astype(float)
        return binom.ppf(u, trials, mu), trials
    if family == "poisson":
        return poisson.ppf(u, mu), None
    return (gamma.ppf(u, 4, scale=mu / 4), None) if family == "gamma" else (mu + norm.ppf(u), None)


@pytest.fixture
def study(make_design):
    """Clusters of 1 to 5 rows at uneven visits, each in two inner groups."""

    def build(family="binomial", link="logit", structure="exchangeable", J=40, seed=1, times=(0, 1, 2, 4, 6)):
        rng = np.random.default_rng(seed)
        sizes = np.append(rng.integers(2, 6, J - 2), [1, 5])
        codes = np.repeat(np.arange(J), sizes)
        visits = np.concatenate([np.sort(rng.choice(5, size, replace=False)) for size in sizes])
        inner = codes * 2 + (visits > 2)
        x, z = rng.normal(size=codes.size), rng.normal(size=J)[codes]
        base = {("binomial", "log"): -1.5, ("binomial", "identity"): 0.4, ("gamma", "inverse"): 1.5}
        level = base.get((family, link), 3.0 if link == "identity" else 0.3)
        size = 0.03 if link in ("identity", "inverse", "log") else 0.4
        eta = level + size * x - size * z
        y, trials = outcome(rng, family, link, eta, rng.normal(size=J)[codes])
        one = {"(Intercept)": np.ones(codes.size)}
        terms = [("g", codes, one, True)]
        if structure == "nested":
            terms.append(("h", inner, one, True))
        design = make_design(y, one | {"x": x, "z": z}, *terms, family=family)
        at = np.array(times, dtype=float)
        return replace(
            design,
            link=link,
            trials=trials,
            term_of=("(Intercept)", "x", "z"),
            occasions=Occasions("t", visits.astype(np.int64), tuple(map(str, times)), at)
            if structure in ("ar1", "unstructured", "m_dependent")
            else None,
        )

    return build


def dense_correlation(design, structure, alpha, lags=2):
    """R (n, n) of all rows, straight from the definitions."""
    codes = design.factors[0].codes
    same = codes[:, None] == codes
    if structure == "independence":
        return np.eye(design.n)
    if structure == "exchangeable":
        R = np.full((design.n,) * 2, alpha[0])
    elif structure == "nested":
        inner = design.factors[1].codes
        R = np.where(inner[:, None] == inner, alpha[0], alpha[1])
    else:
        visits, times = design.occasions.visits, design.occasions.times
        if structure == "ar1":
            R = alpha[0] ** np.abs(times[visits][:, None] - times[visits])
        elif structure == "m_dependent":
            R = np.append([0, *alpha], np.zeros(9))[np.abs(visits[:, None] - visits)]
        else:
            T = len(times)
            full = np.zeros((T, T))
            full[np.triu_indices(T, 1)] = alpha
            R = (full + full.T)[visits[:, None], visits]
    return np.where(np.eye(design.n) == 1, 1.0, R * same)


def solved(design, structure):
    layout = cluster_layout(design, structure)
    working = working_correlation(structure, layout, 2)
    data = gee_data(design, layout)
    return working, data, solve_gee(design, data, working)


def dense_parts(design, structure, beta, alpha):
    """D, V^-1 without phi, y - mu and Pearson residuals of all rows."""
    eta = design.X @ beta + (0 if design.offset is None else design.offset)
    mu, slope = mean_and_slope(design.link, eta)
    w = (1 if design.trials is None else design.trials) * (1 if design.weights is None else design.weights)
    y = design.y if design.trials is None else design.y / design.trials
    A = np.sqrt(variance(design.family, mu) / w)
    R = dense_correlation(design, structure, alpha)
    return design.X * slope[:, None], np.linalg.inv(A[:, None] * R * A), y - mu, (y - mu) / A


def pair_means(design, structure, r, k, lags=2):
    """Means of products of residuals over the pairs of each parameter, by loops."""
    sums, counts = np.zeros(k), np.zeros(k)
    codes, visits = design.factors[0].codes, None if design.occasions is None else design.occasions.visits
    T = 5
    place = {pair: i for i, pair in enumerate(zip(*np.triu_indices(T, 1), strict=True))}
    for i in range(design.n):
        for j in range(i + 1, design.n):
            if codes[i] != codes[j]:
                continue
            which = 0
            if structure == "nested":
                inner = design.factors[1].codes
                which = int(inner[i] != inner[j])
            elif structure == "m_dependent":
                which = abs(int(visits[i] - visits[j])) - 1
            elif structure == "unstructured":
                which = place[tuple(sorted((int(visits[i]), int(visits[j]))))]
            if which < k:
                sums[which] += r[i] * r[j]
                counts[which] += 1
    return sums / counts


@pytest.mark.parametrize(("family", "link"), LINKS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_equations_hold_with_dense_matrices_and_moments_by_loops(study, family, link, structure):
    design = study(family, link, structure)
    rng = np.random.default_rng(3)
    if link != "identity" and link != "inverse":
        design = replace(design, offset=rng.normal(0, 0.1, design.n))
    design = replace(design, weights=rng.uniform(0.5, 2, design.n))
    _, data, state = solved(design, structure)
    assert state.converged
    assert not state.pulled
    beta = data.T @ state.gamma
    D, W, e, r = dense_parts(design, structure, beta, state.alpha)
    M = np.linalg.inv(D.T @ W @ D)
    step = M @ D.T @ W @ e
    assert np.abs(step / np.sqrt(state.phi * np.diag(M))).max() < 1e-7
    assert state.phi == pytest.approx((r**2).mean(), rel=1e-9)
    r = r / np.sqrt(state.phi)
    if structure == "ar1":
        lag = np.abs(np.subtract.outer(*[design.occasions.times[design.occasions.visits]] * 2))
        pairs = np.triu(design.factors[0].codes[:, None] == design.factors[0].codes, 1)
        rho, d, z = state.alpha[0], lag[pairs], np.outer(r, r)[pairs]
        assert ((rho**d - z) * d * rho ** (d - 1)).sum() == pytest.approx(0, abs=1e-6)
    elif structure != "independence":
        assert state.alpha == pytest.approx(pair_means(design, structure, r, state.alpha.size), abs=1e-8)


def root(A, power):
    values, vectors = np.linalg.eig(A)
    return np.real(vectors @ np.diag(values**power) @ np.linalg.inv(vectors))


def dense_covariance(design, structure, state, data, kind):
    D, W, e, _ = dense_parts(design, structure, data.T @ state.gamma, state.alpha)
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
def test_covariances_follow_their_definitions_by_dense_matrices(study, structure, kind):
    """Rule 15."""
    design = study("binomial", "logit", structure, J=14)
    working, data, state = solved(design, structure)
    found = gee_covariance(gee_scores(data, working, state, with_information=True), kind).covariance
    known = dense_covariance(design, structure, state, data, kind)
    scale = np.sqrt(np.outer(np.diag(known), np.diag(known)))
    assert found / scale == pytest.approx(known / scale, abs=1e-9)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_whitening_is_a_root_of_the_inverse_correlation(study, structure):
    design = study("gaussian", "identity", structure, J=10)
    layout = cluster_layout(design, structure)
    working = working_correlation(structure, layout, 2)
    alpha = {0: [], 1: [0.4], 2: [0.5, 0.2]}.get(len(working.names), 0.3 + 0.01 * np.arange(10))
    L = working.whiten(np.array(alpha, float), np.eye(design.n)).T
    R = dense_correlation(design, structure, np.array(alpha, float))[np.ix_(layout.order, layout.order)]
    assert pytest.approx(np.eye(design.n), abs=1e-10) == L @ R @ L.T


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_order_of_rows_and_the_names_of_clusters_change_nothing(study, structure):
    """Rule 15."""
    design = study("binomial", "probit", structure)
    order = np.random.default_rng(5).permutation(design.n)
    back = np.random.default_rng(6).permutation(design.random[0].n_groups)

    def moved(term, renamed):
        codes = back[term.codes] if renamed else term.codes
        return replace(term, codes=codes[order], Z=term.Z[order])

    occasions = design.occasions
    shuffled = replace(
        design,
        y=design.y[order],
        X=design.X[order],
        trials=design.trials[order],
        random=tuple(moved(term, place == 0) for place, term in enumerate(design.random)),
        occasions=None if occasions is None else replace(occasions, visits=occasions.visits[order]),
    )
    one, other = (fit_gee(each, structure, 2) for each in (design, shuffled))
    for row, same in zip(one.estimates, other.estimates, strict=True):
        assert (row.term, row.estimate) == (same.term, pytest.approx(same.estimate, rel=1e-8, abs=1e-10))
        if row.std_error is not None:
            assert row.std_error == pytest.approx(same.std_error, rel=1e-8)
    assert other.predictions["fitted"].to_numpy() == pytest.approx(
        one.predictions["fitted"].to_numpy()[order]
    )


def test_exchangeable_is_independence_with_complete_data_and_covariates_of_the_cluster(make_design):
    rng = np.random.default_rng(2)
    codes = np.repeat(np.arange(60), 4)
    z = rng.normal(size=60)[codes]
    y = (rng.normal(size=60)[codes] + rng.normal(size=240) + z > 0).astype(float)
    one = np.ones(240)
    design = make_design(
        y, {"(Intercept)": one, "z": z}, ("g", codes, {"(Intercept)": one}, True), family="binomial"
    )
    design = replace(design, link="logit")
    for kind in ("LZ", "KC", "MD"):
        one, other = (fit_gee(design, each, variance=kind) for each in ("independence", "exchangeable"))
        for row, same in zip(one.estimates[:2], other.estimates[:2], strict=True):
            assert row.estimate == pytest.approx(same.estimate, abs=1e-9)
            assert row.std_error == pytest.approx(same.std_error, rel=1e-8)


@pytest.mark.parametrize("structure", ["exchangeable", "ar1"])
def test_units_of_outcome_and_covariates_do_not_matter(study, structure):
    design = study("gaussian", "identity", structure)
    X = design.X * [1, 1e6, 1] + [0, 2015e6, 0]
    other = replace(design, y=1e5 * design.y, X=X)
    one, two = fit_gee(design, structure), fit_gee(other, structure)
    for place, scale in ((1, 1e5 / 1e6), (2, 1e5)):
        assert two.estimates[place].estimate == pytest.approx(one.estimates[place].estimate * scale, rel=1e-7)
        assert two.estimates[place].statistic == pytest.approx(one.estimates[place].statistic, rel=1e-7)


def test_successes_of_trials_are_rows_of_single_trials(study):
    design = study()
    n, trials = np.arange(design.n), design.trials.astype(int)
    rows = np.repeat(n, trials)
    y = np.concatenate([np.arange(m) < s for m, s in zip(trials, design.y, strict=True)]).astype(float)
    term = design.random[0]
    single = replace(
        design,
        rows=np.arange(rows.size),
        y=y,
        X=design.X[rows],
        trials=None,
        random=(replace(term, codes=term.codes[rows], Z=term.Z[rows]),),
    )
    for kind in ("LZ", "MD"):
        one, other = (fit_gee(each, "independence", variance=kind) for each in (design, single))
        for row, same in zip(one.estimates[:3], other.estimates[:3], strict=True):
            assert row.estimate == pytest.approx(same.estimate, abs=1e-9)
            assert row.std_error == pytest.approx(same.std_error, rel=1e-7)


def test_leaving_a_cluster_out_of_least_squares_is_exact(study):
    design = study("gaussian", "identity", J=12)
    fit = fit_gee(design, "independence")
    full = np.array([row.estimate for row in fit.estimates[:3]])
    term = design.random[0]
    for found in fit.record["dfbeta"][:3]:
        kept = term.codes != term.labels.index(found["label"])
        without = np.linalg.lstsq(design.X[kept], design.y[kept], rcond=None)[0]
        assert found["dfbeta"] == pytest.approx(full - without, abs=1e-9)
    shares = fit.influence["leverage"].to_numpy() * fit.influence["n"].to_numpy()
    assert shares.sum() == pytest.approx(3)


def statsmodels_fit(design, structure, cov_type, alpha=None):
    """Its own moments of alpha, or a given alpha that stays as it is."""
    import statsmodels.api as sm

    family = {"binomial": sm.families.Binomial(), "poisson": sm.families.Poisson()}[design.family]
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


@pytest.mark.parametrize("structure", ["independence", "exchangeable", "ar1"])
@pytest.mark.parametrize(("ours", "theirs"), [("LZ", "robust"), ("MD", "bias_reduced")])
def test_statsmodels_is_the_referee_at_the_same_correlation(study, structure, ours, theirs):
    design = study("poisson", "log", structure, J=80, times=range(5))
    if structure == "ar1":  # its AR(1) takes neighbours for one unit apart
        first = np.append(True, np.diff(design.random[0].codes) > 0)
        visits = np.arange(design.n) - np.flatnonzero(first)[np.cumsum(first) - 1]
        design = replace(design, occasions=replace(design.occasions, visits=visits))
    fit = fit_gee(design, structure, variance=ours)
    alpha = [row.estimate for row in fit.estimates if row.scale == "correlation"]
    peer = statsmodels_fit(design, structure, theirs, alpha[0] if alpha else None)
    beta, error = (
        np.array([getattr(row, what) for row in fit.estimates[:3]]) for what in ("estimate", "std_error")
    )
    assert np.abs((beta - peer.params) / error).max() < 1e-6
    assert error == pytest.approx(peer.bse, rel=1e-6)


@pytest.mark.parametrize(("family", "link"), [("binomial", "logit"), ("poisson", "log"), ("gamma", "log")])
def test_qic_by_its_definition(study, family, link):
    """Of Pan (2001) with phi in Q; statsmodels leaves the variance function out of Omega."""
    design = study(family, link)
    fit = fit_gee(design, variance="LZ")
    found = {row.term: row.estimate for row in fit.estimates}
    beta = np.array([row.estimate for row in fit.estimates[:3]])
    D, W, _, _ = dense_parts(design, "independence", beta, None)
    trials = np.ones(design.n) if design.trials is None else design.trials
    y, mu = design.y / trials, fit.predictions["fitted"].to_numpy() / trials
    from scipy.stats import binom, expon, poisson

    if family == "binomial":  # log densities up to terms without mu
        none = binom.logpmf(design.y, trials, 0.5) + trials * np.log(2)
        quasi = binom.logpmf(design.y, trials, mu) - none
    elif family == "poisson":
        quasi = poisson.logpmf(y, mu) - poisson.logpmf(y, 1) - 1
    else:
        quasi = expon.logpdf(y, scale=mu)
    trace = np.trace(D.T @ W @ D @ np.array(fit.record["covariance"])) / found["phi"]
    assert found["cic"] == pytest.approx(trace, rel=1e-7)
    assert found["qic"] == pytest.approx(-2 * quasi.sum() / found["phi"] + 2 * trace, rel=1e-7)
    assert found["qicu"] == pytest.approx(-2 * quasi.sum() / found["phi"] + 6, rel=1e-7)


def test_other_denominators_move_an_exchangeable_alpha_little(study):
    """Rule 16."""
    design = study("poisson", "log", J=200)
    fit, peer = fit_gee(design), statsmodels_fit(design, "exchangeable", "robust")
    alpha = next(row.estimate for row in fit.estimates if row.term == "alpha")
    assert alpha == pytest.approx(peer.cov_struct.dep_params, rel=1e-2)
    for row, beta in zip(fit.estimates[:3], peer.params, strict=True):
        assert abs(row.estimate - beta) < 2e-2 * row.std_error


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
def test_the_number_of_clusters_chooses_the_errors_and_the_test(study, J, asked, method, df):
    """Rules 12 and 15."""
    fit = fit_gee(study(J=J), variance=asked)
    assert (fit.method, fit.status) == (method, Status.OK)
    assert fit.estimates[1].df == df
    assert fit.record["variance"]["kind"] == (asked or ("KC" if J < 50 else "LZ"))
    few = [check.ok for check in fit.checks if check.check == "clusters"]
    assert few == [J >= 50]
    assert any("fewer than 50" in warning for warning in fit.warnings) == (J < 50)


def test_rows_are_marginal_and_ratios_follow(study):
    fit = fit_gee(study())
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


def bounds_by_loops(y, mu, codes, R):
    wrong = set()
    for i in range(len(mu)):
        for j in range(i + 1, len(mu)):
            if codes[i] != codes[j]:
                continue
            a, b = mu[i], mu[j]
            both = (max(0, a + b - 1), min(a, b))  # probabilities that both happen
            low, high = ((p - a * b) / np.sqrt(a * (1 - a) * b * (1 - b)) for p in both)
            if not low - 1e-8 <= R[i, j] <= high + 1e-8:
                wrong.add(codes[i])
    return len(wrong) / len(set(codes))


@pytest.mark.parametrize("structure", ["exchangeable", "ar1"])
def test_binary_outcomes_are_held_against_their_range(study, structure):
    """Rule 15."""
    design = study("binomial", "logit", structure)
    rng = np.random.default_rng(0)
    codes = design.random[0].codes
    same = (rng.random(40) < 0.5).astype(float)[codes]  # the same in all rows of most clusters
    y = np.where(codes % 4 == 0, design.X[:, 1] + rng.normal(0, 0.3, design.n) > 0, same)
    design = replace(design, y=y.astype(float), trials=None)
    fit = fit_gee(design, structure)
    check = next(check for check in fit.checks if check.check == "working_correlation_range")
    alpha = np.array([row.estimate for row in fit.estimates if row.scale == "correlation"])
    R = dense_correlation(design, structure, alpha)
    assert check.value == bounds_by_loops(y, fit.predictions["fitted"].to_numpy(), codes, R)
    assert check.value > 0
    assert not check.ok


def separated(design):
    return replace(design, y=design.trials * (design.X[:, 1] > 0))


REFUSED = [
    ({"family": "ordinal"}, {}, "has no ordinal outcomes"),
    ({"family": "negative_binomial"}, {}, "use poisson"),
    ({"link": "inverse"}, {}, "has no link inverse in `gee`; use logit, probit"),
    ({"sampling_error": np.ones(1)}, {}, "known standard errors"),
    ({"random": ()}, {}, "add \\(1 \\| cluster\\)"),
    (lambda design: {"y": design.trials + 1}, {}, "fewer trials than successes"),
    (lambda design: {"y": design.y + 0.5}, {}, "not made of whole numbers"),
    (lambda design: {"y": 0 * design.y}, {}, "the same in every row"),
    (lambda design: {"y": separated(design).y}, {}, "x.* separate"),
    ({}, {"correlation": "nested"}, "one inside the other"),
]


@pytest.mark.parametrize(("changes", "keys", "said"), REFUSED)
def test_what_has_no_answer_is_refused_with_a_way_out(study, changes, keys, said):
    """Rule 33."""
    design = study()
    changes = changes(design) if callable(changes) else changes
    with pytest.raises(Refusal, match=said) as caught:
        fit_gee(replace(design, **changes), **keys)
    assert all(problem.way_out for problem in caught.value.problems)


def test_clusters_that_are_none_are_refused(study, make_design):
    design = study()
    term = design.random[0]
    crossed = replace(term, group="h", codes=np.arange(design.n) % 7, labels=tuple("1234567"))
    alone = replace(term, codes=np.arange(design.n), labels=tuple(map(str, range(design.n))))
    one = replace(term, codes=np.zeros(design.n, dtype=int), labels=("only",))
    three = replace(term, codes=np.arange(design.n) % 3, labels=tuple("123"))
    for terms, said in (
        ((term, crossed), "crossed"),
        ((alone,), "each g has one row"),
        ((one,), "all rows belong to one g"),
        ((three,), "3 clusters of g cannot judge 3 coefficients"),
    ):
        with pytest.raises(Refusal, match=said):
            fit_gee(replace(design, random=terms))
    assert fit_gee(replace(design, random=(three,)), variance="model").converged


def test_two_rows_at_one_visit_and_visits_never_seen_together_are_refused(study):
    design = study(structure="ar1")
    twice = replace(design.occasions, visits=np.zeros(design.n, dtype=np.int64))
    with pytest.raises(Refusal, match="g 0 has several rows at t 0"):
        fit_gee(replace(design, occasions=twice), "ar1")
    first = design.occasions.visits == 0
    apart = replace(
        design.random[0], codes=np.where(first, 40, design.random[0].codes), labels=tuple(map(str, range(41)))
    )
    kept = np.flatnonzero(~first | (np.cumsum(first) == 1))
    lonely = replace(
        design,
        y=design.y[kept],
        X=design.X[kept],
        trials=design.trials[kept],
        random=(replace(apart, codes=apart.codes[kept], Z=apart.Z[kept]),),
        occasions=replace(design.occasions, visits=design.occasions.visits[kept]),
    )
    with pytest.raises(Refusal, match="no g has two rows that speak of alpha:0,1"):
        fit_gee(lonely, "unstructured")


def test_a_coefficient_of_one_cluster_alone_has_no_error(study):
    design = study(J=20)
    X = np.column_stack([design.X, design.random[0].codes == 3])
    fit = fit_gee(replace(design, X=X.astype(float), names=(*design.names, "third"), term_of=()))
    assert fit.estimates[3].std_error is None
    assert fit.estimates[1].std_error > 0
    assert any("One g alone informs" in warning for warning in fit.warnings)


def test_rows_left_out_are_said_with_the_assumption(study):
    """Rule 17."""
    design = replace(study("gaussian", "identity"), row_flow=RowFlow(200, 150, 40, 40))
    said = next(warning for warning in fit_gee(design).warnings if "completely at random" in warning)
    assert "rows were left out" in said


@pytest.mark.parametrize(
    ("structure", "n", "visits", "said"),
    [
        ("unstructured", 300, 300, "300 different values, each a visit of its own"),
        ("m_dependent", 300, 300, "300 different values, each a visit of its own"),
        ("ar1", 4001, 4001, "compares all pairs of rows of a cluster, and one has 4,001 rows"),
    ],
)
def test_what_would_take_too_long_is_refused_at_once(make_design, structure, n, visits, said):
    one, at = np.ones(2 * n), np.tile(np.arange(n), 2)
    y = np.random.default_rng(1).normal(size=2 * n)
    design = make_design(y, {"(Intercept)": one}, ("g", np.repeat([0, 1], n), {"(Intercept)": one}, True))
    occasions = Occasions("t", at, tuple(map(str, range(visits))), np.arange(visits, dtype=float))
    with pytest.raises(Refusal, match=said):
        fit_gee(replace(design, occasions=occasions), structure)
