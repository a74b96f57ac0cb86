"""Models with a residual covariance: special cases with known answers, brute force, refusals."""

from dataclasses import replace

import numpy as np
import pytest

from nestwise.design.covariance import ResidualDesign, VarianceFunction
from nestwise.design.record import Design, RandomTerm, RowFlow
from nestwise.errors import Refusal
from nestwise.fit.influence import influence_by_clusters
from nestwise.fit.lmm import fit_lmm
from nestwise.fit.marginal_solution import mmrm_covariance, mmrm_inference, random_effects, solve_mmrm
from nestwise.fit.mmrm import fit_mmrm
from nestwise.fit.residual_covariance import marginal_covariance
from nestwise.likelihood.marginal import marginal
from nestwise.likelihood.residual import residual_model
from nestwise.results import Status, gather, save_fit

T = 4


def trial(structure, *, heterogeneous=False, by=False, S=40, missing=0.15, reml=True, variance=None, seed=5):
    """Two arms, four visits, a mean for each visit and arm; true correlations fall with distance."""
    draw = np.random.default_rng(seed)
    root = np.linalg.cholesky(0.6 ** np.abs(np.subtract.outer(np.arange(T), np.arange(T))) + 0.2)
    complete = draw.normal(size=(S, T)) @ root.T * (1 + 0.2 * np.arange(T)) + 5
    who, visits = np.repeat(np.arange(S), T), np.tile(np.arange(T), S)
    kept = draw.random(S * T) >= missing
    kept[::T] = True
    who, visits, y = who[kept], visits[kept], complete.ravel()[kept]
    arm, n = who % 2, who.size
    cells = [(visits == t) * 1.0 for t in range(T)]
    X = np.column_stack([*cells, *(cell * arm for cell in cells)])
    residual = ResidualDesign(
        structure=structure,
        heterogeneous=heterogeneous,
        subject="id",
        subjects=who,
        time="visit",
        visits=visits,
        visit_labels=tuple(f"V{t}" for t in range(T)),
        times=np.arange(T, dtype=float),
        by="arm" if by else "",
        strata=arm if by else np.zeros(n, dtype=np.int64),
        stratum_labels=("a", "b") if by else ("",),
        variance=variance(who, visits) if variance else None,
    )
    return Design(
        study="s",
        model="m",
        formula="y ~ 0 + visit + visit:arm",
        outcome="y",
        y=y,
        X=X,
        names=tuple(f"x{i}" for i in range(2 * T)),
        random=(),
        rows=np.arange(n),
        row_flow=RowFlow(n, n, S, S),
        analysis_hash="h",
        reml=reml,
        residual=residual,
    )


def with_intercept(design, codes=None, columns=None):
    codes = design.residual.subjects if codes is None else codes
    names = ("(Intercept)",) if columns is None else ("(Intercept)", "slope")
    Z = np.ones((design.n, 1)) if columns is None else np.column_stack([np.ones(design.n), columns])
    return replace(
        design, random=(RandomTerm("g", names, Z, codes, tuple(map(str, range(codes.max() + 1)))),)
    )


def rows(fit, component="residual"):
    return {row.term: row for row in fit.estimates if row.component == component}


@pytest.mark.parametrize("reml", [True, False])
def test_compound_symmetry_is_a_random_intercept(reml):
    design = trial("compound_symmetry", reml=reml)
    one = fit_mmrm(design)
    other = fit_lmm(replace(with_intercept(design), residual=None))
    assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-8)
    for mine, its in zip(rows(one, "fixed").values(), rows(other, "fixed").values(), strict=True):
        assert mine.estimate == pytest.approx(its.estimate, rel=1e-6)
        assert mine.std_error == pytest.approx(its.std_error, rel=1e-6)
        assert mine.df == pytest.approx(its.df, rel=1e-5)
    sd, sigma = rows(other, "sd")["(Intercept)"].estimate, rows(other)["sigma"].estimate
    assert rows(one)["rho"].estimate == pytest.approx(sd**2 / (sd**2 + sigma**2), rel=1e-5)
    assert rows(one)["sigma"].estimate == pytest.approx(np.hypot(sd, sigma), rel=1e-6)


def test_arms_apart_are_two_models():
    """With a mean for each visit and arm and a covariance for each arm, the arms share nothing."""
    design = trial("ar1", by=True, reml=False, heterogeneous=True)
    arm = design.residual.strata
    total = 0.0
    for g in (0, 1):
        mine = arm == g
        residual = replace(
            design.residual,
            subjects=np.unique(design.residual.subjects[mine], return_inverse=True)[1],
            visits=design.residual.visits[mine],
            by="",
            strata=np.zeros(mine.sum(), dtype=np.int64),
            stratum_labels=("",),
        )
        part = replace(
            design,
            y=design.y[mine],
            X=design.X[mine][:, :T],
            names=design.names[:T],
            rows=design.rows[mine],
            residual=residual,
        )
        total += fit_mmrm(part).log_likelihood
    assert fit_mmrm(design).log_likelihood == pytest.approx(total, abs=1e-8)


@pytest.mark.parametrize("structure", ["unstructured", "antedependence"])
def test_complete_data_with_a_mean_for_each_cell_have_a_closed_form(structure):
    """Sample covariances (divisor S) by ML; under ante-dependence those of neighbours."""
    design = trial(structure, heterogeneous=True, missing=0.0, reml=False)
    fitted = design.X @ np.linalg.lstsq(design.X, design.y, rcond=None)[0]
    e = (design.y - fitted).reshape(-1, T)
    S = e.T @ e / e.shape[0]
    found = rows(fit_mmrm(design))
    sd = np.sqrt(np.diag(S))
    for t in range(T):
        assert found[f"sigma[V{t}]"].estimate == pytest.approx(sd[t], rel=1e-6)
    for t in range(T):
        for u in range(t + 1, T if structure == "unstructured" else min(t + 2, T)):
            assert found[f"cor[V{t},V{u}]"].estimate == pytest.approx(S[t, u] / sd[t] / sd[u], rel=1e-5)


def dense_deviance(design, covariance):
    """REML deviance and covariance of beta of a design with given covariance of visits (T, T)."""
    r = design.residual
    V = covariance[r.visits[:, None], r.visits] * (r.subjects[:, None] == r.subjects)
    X, y = design.X, design.y
    inverse = np.linalg.inv(V)
    cov = np.linalg.inv(X.T @ inverse @ X)
    e = y - X @ (cov @ (X.T @ inverse @ y))
    return np.linalg.slogdet(V)[1] - np.linalg.slogdet(cov)[1] + e @ inverse @ e, cov


def test_satterthwaite_by_brute_force():
    """Degrees of freedom by differences of the dense restricted likelihood in variances and covariances."""
    design = trial("unstructured", S=24)
    state = solve_mmrm(design)
    df = mmrm_inference(design, state, "satterthwaite").t(np.eye(2 * T))
    phi, model = state.phi, state.data.model
    sd = np.exp(phi[:T])
    at = np.outer(sd, sd) * model.correlations(phi)[0][0]
    lower = np.tril_indices(T)

    def covariance(elements):
        S = np.zeros((T, T))
        S[lower] = elements
        return S + np.tril(S, -1).T

    x, k = at[lower], lower[0].size
    h = 1e-3 * np.sqrt(at[lower[0], lower[0]] * at[lower[1], lower[1]])
    hessian, slopes = np.zeros((k, k)), np.zeros((2 * T, k))
    for i in range(k):
        a = np.eye(k)[i] * h[i]
        slopes[:, i] = np.diag(
            dense_deviance(design, covariance(x + a))[1] - dense_deviance(design, covariance(x - a))[1]
        ) / (2 * h[i])
        for j in range(i + 1):
            b = np.eye(k)[j] * h[j]
            four = [
                dense_deviance(design, covariance(x + s * a + t * b))[0] for s in (1, -1) for t in (1, -1)
            ]
            hessian[i, j] = hessian[j, i] = (four[0] - four[1] - four[2] + four[3]) / (4 * h[i] * h[j])
    W = 2 * np.linalg.inv(hessian)
    v = np.diag(dense_deviance(design, at)[1])
    brute = 2 * v**2 / np.einsum("ck,kl,cl->c", slopes, W, slopes)
    assert df == pytest.approx(brute, rel=1e-4)  # differences of second order


@pytest.mark.parametrize("codes", ["subject", "site"])
def test_random_effects_are_the_best_linear_predictions(codes):
    design = trial("ar1", S=30)
    who, visits = design.residual.subjects, design.residual.visits
    g = who if codes == "subject" else who // 3
    design = with_intercept(design, g, visits - 1.5 if codes == "site" else None)
    state = solve_mmrm(design)
    b, b_cov = random_effects(state)
    r = design.residual
    sd, C = np.exp(state.phi[0]), state.data.model.correlations(state.phi)[0][0]
    R = sd**2 * C[r.visits[:, None], r.visits] * (who[:, None] == who)
    Z = np.zeros((design.n, (g.max() + 1) * design.Z.shape[1]))
    for i in range(design.n):
        Z[i, g[i] * design.Z.shape[1] + np.arange(design.Z.shape[1])] = design.Z[i]
    G = np.kron(np.eye(g.max() + 1), state.Sigma)
    V_inverse = np.linalg.inv(Z @ G @ Z.T + R)
    expected = G @ Z.T @ V_inverse @ (design.y - design.X @ state.beta)
    assert b.ravel() == pytest.approx(expected, abs=1e-8)
    conditional = G - G @ Z.T @ V_inverse @ Z @ G
    q = design.Z.shape[1]
    assert b_cov[2] == pytest.approx(conditional[2 * q : 3 * q, 2 * q : 3 * q], abs=1e-8)


def power_of_time(who, visits):
    return VarianceFunction("power", "time", 1.0 + visits)


NATURAL = {
    "ar1": ("ar1", {}),
    "ar1, each visit": ("ar1", {"heterogeneous": True}),
    "compound symmetry, each visit": ("compound_symmetry", {"heterogeneous": True}),
    "toeplitz, each visit": ("toeplitz", {"heterogeneous": True}),
    "antedependence by arm": ("antedependence", {"heterogeneous": True, "by": True}),
    "power": ("compound_symmetry", {"variance": power_of_time}),
}


@pytest.mark.parametrize("name", NATURAL)
def test_first_and_second_derivatives_by_natural_parameters(name):
    """Along a straight line in the search's parameters the chain rule holds for V."""
    structure, options = NATURAL[name]
    design = trial(structure, S=6, missing=0.0, **options)
    model = residual_model(design.residual, None)
    draw = np.random.default_rng(8)
    phi, along = 0.3 * draw.normal(size=model.k), draw.normal(size=model.k)

    def natural(phi):
        delta = model.back @ phi[: model.n_scales]
        kinds = np.array([kind for kind, _, _ in model.scales])
        scales = np.where(kinds == "sigma", np.exp(2 * delta), delta)
        if structure in ("ar1", "compound_symmetry"):
            return np.append(scales, model.rho(phi)[0])
        if structure == "antedependence":
            return np.append(scales, np.tanh(phi[model.n_scales :]))
        return np.append(scales, [C[0, 1:] for C in model.correlations(phi)[0]])

    def stack_at(phi):
        made = marginal_covariance(design, model, phi, np.zeros((0, 0)), what="x")
        (stack,) = made.stacks()
        return stack

    h = 1e-3
    at, up, down = stack_at(phi), stack_at(phi + h * along).V, stack_at(phi - h * along).V
    n0, n1, n2 = natural(phi), natural(phi + h * along), natural(phi - h * along)
    speed, bend = (n1 - n2) / (2 * h), (n1 - 2 * n0 + n2) / h**2
    first = sum(d * s for d, s in zip(at.first, speed, strict=True))
    assert first == pytest.approx((up - down) / (2 * h), abs=2e-5 * np.abs(first).max())
    second = sum(d * b for d, b in zip(at.first, bend, strict=True))
    for (i, j), d in at.second.items():
        second = second + d * speed[i] * speed[j] * (1 if i == j else 2)
    assert second == pytest.approx((up - 2 * at.V + down) / h**2, abs=2e-4 * np.abs(second).max())


def test_a_profile_limit_is_where_the_deviance_has_risen_by_the_quantile():
    from scipy.optimize import minimize_scalar

    design = trial("ar1")
    state = solve_mmrm(design)
    row = rows(fit_mmrm(design))["rho"]
    for limit in (row.lower, row.upper):
        best = minimize_scalar(
            lambda s, limit=limit: marginal(state.data, np.array([s, np.arctanh(limit)]), reml=True).value,
            bounds=(-2, 2),
            method="bounded",
            options={"xatol": 1e-10},
        )
        assert best.fun - state.minimum.value == pytest.approx(3.841459, abs=2e-4)


def test_the_record_holds_the_matrices_with_their_labels():
    fit = fit_mmrm(trial("unstructured", by=True))
    strata = fit.record["residual"]["strata"]
    assert [stratum["label"] for stratum in strata] == ["a", "b"]
    assert fit.record["residual"]["visits"] == ["V0", "V1", "V2", "V3"]
    covariance = np.array(strata[1]["covariance"])
    found = rows(fit)
    assert np.sqrt(covariance[2, 2]) == pytest.approx(found["sigma[b:V2]"].estimate)
    assert strata[1]["correlation"][0][3] == pytest.approx(found["cor[b:V0,V3]"].estimate)


@pytest.mark.parametrize("random", [False, True])
def test_a_fit_is_saved_and_its_tables_are_whole(tmp_path, random):
    design = trial("ar1", S=30)
    design = with_intercept(design) if random else design
    fit = fit_mmrm(design)
    save_fit(fit, tmp_path / "fit")
    groups, fits = gather([tmp_path / "fit"], "groups"), gather([tmp_path / "fit"], "fits")
    assert groups.height == (30 if random else 0)
    assert fits["n_groups"][0] == 30
    assert fits["aic"][0] == pytest.approx(-2 * fit.log_likelihood + 2 * (2 * T + 2 + random))


@pytest.mark.parametrize("random", [False, True])
def test_subjects_left_out_by_least_squares_without_them(random):
    design = trial("unstructured", S=30) if not random else with_intercept(trial("ar1", S=30))
    state = solve_mmrm(design)
    (found,) = influence_by_clusters(design, mmrm_covariance(design, state), state.beta)
    V = np.zeros((design.n, design.n))
    for stack in mmrm_covariance(design, state).stacks():
        for rows_of, block in zip(stack.rows, stack.V, strict=True):
            V[np.ix_(rows_of, rows_of)] = block
    for j in (0, 7, 29):
        kept = np.flatnonzero(design.residual.subjects != j)
        P = np.linalg.inv(V[np.ix_(kept, kept)])
        C = np.linalg.inv(design.X[kept].T @ P @ design.X[kept])
        d = state.beta - C @ design.X[kept].T @ P @ design.y[kept]
        np.testing.assert_allclose(found.dfbeta[j], d, atol=1e-9)
        assert found.cook[j] == pytest.approx(d @ np.linalg.solve(state.cov_beta, d) / d.size)
        assert found.covratio[j] == pytest.approx(np.linalg.det(C) / np.linalg.det(state.cov_beta))
    saved = fit_mmrm(design).influence
    np.testing.assert_allclose(saved["cook"], found.cook)


def test_numbers_do_not_depend_on_the_order_of_rows_or_the_unit_of_the_outcome():
    design = trial("toeplitz", heterogeneous=True)
    order = np.random.default_rng(1).permutation(design.n)
    r = design.residual
    residual = replace(r, subjects=r.subjects[order], visits=r.visits[order], strata=r.strata[order])
    shuffled = replace(design, y=1e6 * design.y[order], X=design.X[order], residual=residual)
    one, other = fit_mmrm(design), fit_mmrm(shuffled)
    for mine, its in zip(rows(one, "fixed").values(), rows(other, "fixed").values(), strict=True):
        assert its.std_error == pytest.approx(1e6 * mine.std_error, rel=1e-6)
        assert its.df == pytest.approx(mine.df, rel=1e-5)
    assert rows(other)["cor[lag 2]"].estimate == pytest.approx(rows(one)["cor[lag 2]"].estimate, abs=1e-6)


def test_few_subjects_for_an_unstructured_covariance_are_told():
    fit = fit_mmrm(trial("unstructured", S=9, missing=0.0))
    assert any("10 variances and covariances" in warning for warning in fit.warnings)


def test_visits_that_copy_each_other_are_singular():
    design = trial("unstructured", missing=0.0)
    y = design.y.reshape(-1, T).copy()
    y[:, 3] = y[:, 2]
    fit = fit_mmrm(replace(design, y=y.ravel()))
    assert fit.status in (Status.SINGULAR, Status.NOT_CONVERGED)
    assert fit.reason


def test_no_correlation_between_unequal_times_is_told():
    design = trial("ar1")
    draw = np.random.default_rng(3)
    e = draw.normal(size=design.n)
    who = design.residual.subjects
    e -= (np.bincount(who, e) / np.bincount(who))[who]  # deviations from a mean are correlated negatively
    residual = replace(design.residual, times=np.array([0.0, 1.2, 2.3, 3.9]))
    fit = fit_mmrm(replace(design, y=e, residual=residual))
    assert fit.converged
    assert rows(fit)["rho"].estimate == pytest.approx(0, abs=1e-3)
    assert any("rho is estimated as 0" in warning for warning in fit.warnings)


def test_a_negative_correlation_between_equal_times_is_found():
    draw = np.random.default_rng(3)
    design = trial("ar1", missing=0.0)
    e = draw.normal(size=(40, T))
    for t in range(1, T):
        e[:, t] = -0.6 * e[:, t - 1] + 0.8 * e[:, t]
    rho = rows(fit_mmrm(replace(design, y=e.ravel())))["rho"]
    assert rho.lower < -0.6 < rho.upper < 0


def site_random(design):
    return with_intercept(design, design.residual.visits)


REFUSED = {
    "a subject in several groups": (lambda: site_random(trial("ar1")), "has rows in several"),
    "two answers to one question": (
        lambda: trial("ar1", heterogeneous=True, variance=power_of_time),
        "two answers to one question",
    ),
    "known errors": (
        lambda: replace(trial("ar1"), sampling_error=np.ones(trial("ar1").n)),
        "known sampling errors",
    ),
    "one group": (
        lambda: with_intercept(trial("ar1"), np.zeros(trial("ar1").n, dtype=np.int64)),
        "has one group",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    make, sentence = REFUSED[name]
    with pytest.raises(Refusal, match=sentence):
        fit_mmrm(make())


@pytest.mark.parametrize("size", [1e-6, 1e6])
@pytest.mark.parametrize("structure", ["unstructured", "ar1", "toeplitz", "antedependence"])
def test_units_do_not_matter(structure, size):
    """Twelve orders of magnitude of the outcome: the same fit in other units."""
    design = trial(structure)
    one, other = solve_mmrm(design), solve_mmrm(replace(design, y=size * design.y))
    assert other.minimum.converged
    df = design.n - design.X.shape[1]
    assert other.deviance == pytest.approx(one.deviance + 2 * df * np.log(size), abs=1e-7)
    np.testing.assert_allclose(other.beta / size, one.beta, atol=1e-6)
