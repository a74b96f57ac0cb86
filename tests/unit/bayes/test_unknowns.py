"""What is missing as unknowns of the model: its parts without sampling, fits against known answers."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from nestwise.bayes.unknown_cells import filled, with_known_groups
from nestwise.bayes.unknowns import fit_unknowns, joint_model
from nestwise.bayes.unknowns_joint import incomplete_covariates, joint_of, outcome_seen
from nestwise.config.study import Derivation, Model
from nestwise.data.dataset import ROW, Dataset, VariableInfo
from nestwise.design.build import build_design
from nestwise.errors import Refusal
from nestwise.fit.lmm import fit_lmm
from nestwise.imputation.variables import incomplete_record
from nestwise.impute.analyse import analyse
from nestwise.impute.draw import Chains, draw
from nestwise.impute.impute import imputations
from nestwise.impute.pool import pool
from nestwise.results import Status

TYPES = {"g": "categorical", "b": "binary", "c": "binary", "k": "count", "s": "categorical"}


def model_of(formula, **keys):
    return Model.model_validate({"formula": formula, "engines": ["pymc"], "draws": 500, "tune": 500} | keys)


def dataset_of(columns, derivations=()):
    frame = pl.DataFrame(columns).with_columns(pl.selectors.float().fill_nan(None))
    levels = pl.Enum(sorted(set(columns["g"])))
    frame = frame.with_columns(pl.col("g").cast(levels), pl.int_range(1, pl.len() + 1).alias(ROW))
    info = {name: VariableInfo(name, TYPES.get(name, "continuous"), declared=True) for name in columns}
    return Dataset("s", frame.lazy(), info, {"g": None}, derivations=derivations)


@pytest.fixture(scope="module")
def columns():
    """Fifteen groups of eight rows; x lacks where the outcome is large, z by group, b by chance."""
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(15), 8)
    w, z = rng.normal(size=g.size), rng.normal(3, 2, 15)
    x = 25 + 2 * w + 2 * rng.normal(size=15)[g] + 2 * rng.normal(size=g.size)
    b = (rng.random(g.size) < 0.5).astype(float)
    y = 1 + 0.4 * x + w + 0.3 * z[g] + b + rng.normal(size=15)[g] + rng.normal(size=g.size)
    whole = {"g": [f"g{j:02d}" for j in g], "y": y, "x": x, "w": w, "z": z[g], "b": b}
    lost = {
        "x": np.where(rng.random(g.size) < 1 / (1 + np.exp(-(y - y.mean()) / 2)), np.nan, x),
        "z": np.where(np.isin(g, (2, 7)), np.nan, z[g]),
        "b": np.where(rng.random(g.size) < 0.2, np.nan, b),
    }
    return whole, lost


def joint(columns, formula, *gaps, **keys):
    whole, lost = columns
    dataset, model = dataset_of(whole | {name: lost[name] for name in gaps}), model_of(formula, **keys)
    return dataset, model, joint_of(dataset, "m", model, incomplete_record(dataset, "m", model))


def test_the_law_with_integrated_effects_is_the_dense_normal_and_its_gradient():
    from scipy.optimize import approx_fprime

    from nestwise.bayes.integrated_effects import integrated

    rng = np.random.default_rng(0)
    codes = np.array([0, 2, 1, 0, 1, 2, 2])
    sizes = np.bincount(codes)
    point = np.concatenate([rng.normal(size=21), [0.8]])

    def parts(v):
        return v[:7], np.ascontiguousarray(v[7:21].reshape(7, 2)), v[21]

    def dense(v):
        r, H, sigma = parts(v)
        together = codes[:, None] == codes
        return stats.multivariate_normal(cov=sigma**2 * np.eye(7) + together * (H @ H.T)).logpdf(r)

    r, H, sigma = parts(point)
    value, d_r, d_H, d_sigma = integrated(r, H, np.asarray(sigma), codes, sizes)
    assert float(value) == pytest.approx(dense(point), rel=1e-12)
    found = np.concatenate([d_r, d_H.ravel(), [float(d_sigma)]])
    # forward differences: an error of the size of their step
    assert np.allclose(found, approx_fprime(point, dense, 1e-7), atol=1e-5)


def test_the_columns_are_rebuilt_from_the_unknowns(columns):
    dataset, model, found = joint(columns, "y ~ x * z + I(x^2) + w + (x | g)", "x", "z")
    rng = np.random.default_rng(1)
    values = [rng.normal(), rng.normal()]
    at = {
        each.name: each.center + each.scale * value
        for each, value in zip(found.unknowns, values, strict=True)
    }
    incomplete = incomplete_record(dataset, "m", model)
    wanted = build_design(filled(dataset, incomplete, at), "m", model)
    X, Z = found.design.X.copy(), found.design.Z.copy()
    for term in found.monomials:
        product = np.prod([values[k] for k in term.factors])
        X[term.rows] += product * term.X
        Z[term.rows] += product * term.Z
    assert np.allclose(X, wanted.X, rtol=1e-9)
    assert np.allclose(Z, wanted.Z, rtol=1e-9)
    assert [each.name for each in found.unknowns] == ["z", "x"]
    assert found.unknowns[0].size == 2
    assert {term.factors for term in found.monomials} == {(0,), (1,), (1, 1), (0, 1)}


def test_rows_without_an_outcome_still_speak_of_the_covariates(columns):
    whole, lost = columns
    y, x = whole["y"].copy(), lost["x"].copy()
    y[:6] = np.nan
    x[:2], x[2:6] = np.nan, 9.0
    model, dataset = model_of("y ~ x + w + (1 | g)"), dataset_of(whole | {"y": y, "x": x})
    found = joint_of(dataset, "m", model, incomplete_record(dataset, "m", model))
    assert found.design.n == y.size - 6
    assert found.known.codes.size == y.size - 2
    assert found.unknowns[0].values.size == y.size - 2


def test_gaps_only_where_the_outcome_lacks_are_no_unknowns(columns):
    whole, _ = columns
    y, x = whole["y"].copy(), whole["x"].copy()
    y[:6] = x[:6] = np.nan
    model = model_of("y ~ x + w + (1 | g)")
    incomplete = incomplete_record(dataset_of(whole | {"y": y, "x": x}), "m", model)
    assert incomplete_covariates(incomplete, model) == []
    assert outcome_seen(incomplete, model).sum() == y.size - 6


def test_what_other_rows_of_a_group_say_is_no_gap(columns):
    whole, _ = columns
    z = whole["z"].copy()
    z[::8] = np.nan
    dataset = dataset_of(whole | {"z": z})
    incomplete = incomplete_record(dataset, "m", model_of("y ~ z + (1 | g)"))
    told = with_known_groups(dataset, incomplete).frame.select("z").collect()
    assert np.array_equal(told["z"].to_numpy(), whole["z"])


def _with(columns, **more):
    whole, lost = columns
    n = len(whole["g"])
    rows = np.arange(n)
    gap = rows % 7 == 0
    made = {
        "k": np.where(gap, np.nan, rows % 5),
        "c": np.where(gap, np.nan, rows % 2),
        "s": [None if lacks else "abc"[at % 3] for at, lacks in zip(rows, gap, strict=True)],
        "constant": np.where(gap, np.nan, 1.0) * np.where(rows < 8, np.nan, 1.0),
    }
    return whole | lost | made | more


@pytest.mark.parametrize(
    ("formula", "keys", "said"),
    [
        ("y ~ k + (1 | g)", {}, "is count"),
        ("y ~ s + (1 | g)", {}, "is nominal"),
        ("y ~ b + c + (1 | g)", {}, "sums out one"),
        ("y ~ log(x) + (1 | g)", {}, "no variable, square or product"),
        ("y ~ scale(x) + (1 | g)", {}, "no variable, square or product"),
        ("y ~ I(x^3) + (1 | g)", {}, "no variable, square or product"),
        ("y ~ constant + (1 | g)", {}, "fewer than two different"),
        ("y ~ w + offset(x) + (1 | g)", {}, "offset"),
        ("b ~ x + (1 | g)", {"family": "binomial", "link": "probit"}, "link probit"),
        ("y ~ x + (1 | g) + (1 | s)", {}, "s"),
    ],
)
def test_what_cannot_be_an_unknown_is_refused_with_a_way_out(columns, formula, keys, said):
    dataset, model = dataset_of(_with(columns)), model_of(formula, **keys)
    with pytest.raises(Refusal) as refused:
        joint_of(dataset, "m", model, incomplete_record(dataset, "m", model))
    assert said in str(refused.value)
    assert all(problem.way_out for problem in refused.value.problems)


def test_means_of_an_incomplete_covariate_are_refused(columns):
    whole, lost = columns
    derivation = Derivation.model_validate({"between": "x", "group": "g", "as": "x_mean"})
    dataset = dataset_of(whole | {"x": lost["x"], "x_mean": lost["x"]}, derivations=(derivation,))
    model = model_of("y ~ x + x_mean + (1 | g)")
    with pytest.raises(Refusal, match="x_mean is computed from x"):
        joint_of(dataset, "m", model, incomplete_record(dataset, "m", model))


def test_too_many_unknowns_are_refused(columns, monkeypatch):
    from nestwise.bayes import unknowns_joint

    monkeypatch.setattr(unknowns_joint, "LARGEST_UNKNOWNS", 10)
    with pytest.raises(Refusal, match="more than `bayes` samples"):
        joint(columns, "y ~ x + (1 | g)", "x")


def _potentials(found, values):
    """Log densities of the laws by name, at values of the free variables."""
    import pytensor

    model = joint_model(found)
    variables = {variable.name: variable for variable in model.free_RVs}
    inputs = [variables[name] for name in values]
    outputs = [each.copy() for each in model.potentials]
    function = pytensor.function(inputs, outputs, mode="FAST_COMPILE", on_unused_input="ignore")
    assert set(values) >= set(variables)
    answers = function(*values.values())
    return dict(zip([each.name for each in model.potentials], map(float, answers), strict=True))


def _standard(found, name):
    return (found.design.X[:, found.design.names.index(name)] - _center(found, name)) / _scale(found, name)


def _center(found, name):
    return found.units.X_center[found.design.names.index(name)]


def _scale(found, name):
    return found.units.X_scale[found.design.names.index(name)]


def test_a_continuous_unknown_is_a_parameter_of_normal_laws(columns):
    _, _, found = joint(columns, "y ~ x + w + (1 | g)", "x")
    (x,) = found.unknowns
    rng = np.random.default_rng(2)
    t = rng.normal(size=x.size)
    gamma, omega, tau, sigma = np.array([0.1, 0.5]), 0.7, 0.4, 0.9
    beta, sd = np.array([0.2, 0.3, -0.4]), np.array([0.6])
    values = {"beta": beta, "sd": sd, "sigma": sigma, "unknown|x": t, "model|x|coefficients": gamma}
    found_at = _potentials(found, values | {"model|x|residual": omega, "model|x|between": tau})
    whole = np.where(x.place < 0, x.values, t[x.place])
    codes, w = found.known.codes, found.known.rows[:, 0]
    same = codes[:, None] == codes
    law = stats.multivariate_normal(gamma[0] + gamma[1] * w, tau**2 * same + omega**2 * np.eye(w.size))
    assert found_at["law|x"] == pytest.approx(law.logpdf(whole), rel=1e-9)
    in_formula = (x.center + x.scale * whole - _center(found, "x")) / _scale(found, "x")
    mean = beta[0] + beta[1] * in_formula + beta[2] * _standard(found, "w")
    y = (found.design.y - found.units.y_center) / found.units.y_scale
    outcome = stats.multivariate_normal(mean, sd[0] ** 2 * same + sigma**2 * np.eye(y.size))
    assert found_at["y"] == pytest.approx(outcome.logpdf(y), rel=1e-9)


def test_a_binary_unknown_is_summed_out(columns):
    _, _, found = joint(columns, "y ~ b + w + (1 | g)", "b")
    (b,) = found.unknowns
    rng = np.random.default_rng(3)
    codes, w = found.known.codes, found.known.rows[:, 0]
    gamma, tau, sigma = np.array([0.3, 0.8]), 0.5, 0.9
    beta, sd = np.array([0.2, 0.3, -0.4]), np.array([0.6])
    u, v = rng.normal(size=(15, 1)), rng.normal(size=15)
    values = {"beta": beta, "sd": sd, "sigma": sigma, "effects|g": u, "effects|b": v}
    found_at = _potentials(found, values | {"model|b|coefficients": gamma, "model|b|between": tau})
    chance = 1 / (1 + np.exp(-(gamma[0] + gamma[1] * w + tau * v[codes])))
    seen = b.place < 0
    law = stats.bernoulli(chance[seen]).logpmf(b.values[seen].astype(int)).sum()
    assert found_at["law|b"] == pytest.approx(law, rel=1e-9)
    y = (found.design.y - found.units.y_center) / found.units.y_scale

    def density(value):
        mean = beta[0] + beta[1] * (value - _center(found, "b")) / _scale(found, "b")
        mean = mean + beta[2] * _standard(found, "w") + sd[0] * u[codes, 0]
        return stats.norm(mean, sigma).pdf(y)

    either = np.log((1 - chance) * density(0) + chance * density(1))[~seen].sum()
    certain = np.log(density(np.nan_to_num(b.values)))[seen].sum()
    constant = y.size * np.log(2 * np.pi) / 2  # left out of the model
    assert found_at["y"] == pytest.approx(either + certain + constant, rel=1e-9)


def test_missing_outcomes_alone_leave_the_posterior_of_the_observed_rows(columns, monkeypatch):
    from nestwise.bayes import unknowns

    whole, _ = columns
    y = whole["y"].copy()
    y[::5] = np.nan
    monkeypatch.setattr(unknowns, "fit_pymc", lambda design, **_: fit_lmm(design))
    fit = fit_unknowns(dataset_of(whole | {"y": y}), "m", model_of("y ~ x + (1 | g)"))
    assert (fit.strategy, fit.n_obs) == ("bayes", 96)
    assert fit.warnings[0].startswith("Only outcomes are missing (24)")
    assert fit.record["unknowns"] == {"outcomes": 24, "covariates": []}


@pytest.mark.slow
def test_the_posterior_agrees_with_multiple_imputation(columns):
    whole, lost = columns
    dataset = dataset_of(whole | {"x": lost["x"], "z": lost["z"]})
    model = model_of("y ~ x * w + z + (1 | g)")
    fit = fit_unknowns(dataset, "m", model, seed=1)
    assert fit.status is Status.OK
    draws = draw(dataset, "m", model, 40, 1, Chains())
    pooled = pool(analyse(imputations(dataset, draws), "m", model, "lmm"))
    other = {row.term: row for row in pooled.estimates if row.component == "fixed"}
    # Rubin's rules with 40 imputations err by some 0.1 standard errors, and priors are weak, not absent
    for row in fit.estimates:
        if row.component == "fixed":
            assert abs(row.estimate - other[row.term].estimate) < 0.4 * other[row.term].std_error
            assert 0.75 < row.std_error / other[row.term].std_error < 1.33
