"""The likelihood with a residual covariance: against the dense normal density, gradients by differences."""

import numpy as np
import pytest

from nestwise.design.covariance import ResidualDesign, VarianceFunction
from nestwise.design.record import Design, RandomTerm, RowFlow
from nestwise.likelihood.marginal import constant, marginal, marginal_data, variance_gradient

STRUCTURES = ("independent", "unstructured", "compound_symmetry", "ar1", "toeplitz", "antedependence")
VARIANTS = {
    "homogeneous": {},
    "heterogeneous": {"heterogeneous": True},
    "by arm": {"by": True},
    "random slope above": {"random": "site"},
    "random intercept, weights": {"random": "id", "weights": True},
    "weights": {"weights": True},
    "power": {"variance": "power"},
    "exponential by arm": {"variance": "exponential", "by": True},
    "strata, random slope above": {"variance": "strata", "random": "site"},
    "unequal times": {"times": (0.0, 1.5, 2.0, 4.2)},
    "months": {"times": (0.0, 3.0, 6.0, 12.0), "heterogeneous": True, "by": True},
}
T = 4


def tiny(
    structure,
    *,
    heterogeneous=False,
    by=False,
    random=None,
    weights=False,
    variance=None,
    times=(0.0, 1.0, 2.0, 3.0),
    reml=True,
    subjects=12,
    missing=0.2,
    shift=0.0,
):
    """Subjects with four visits, some missed, rows in no order."""
    draw = np.random.default_rng(1)
    kept = draw.permutation(np.flatnonzero(draw.random(subjects * T) > missing))
    who, visits = kept // T, kept % T
    who = np.unique(who, return_inverse=True)[1]
    n, x = kept.size, draw.normal(size=kept.size)
    arm = who % 2
    X = np.column_stack([np.ones(n), x + shift, arm])
    y = X @ [1.0, 2.0, 3.0] + draw.normal(size=subjects)[who] + draw.normal(size=n) * (1 + 0.3 * visits)
    function = {
        None: None,
        "power": VarianceFunction("power", "x", np.abs(x) + 0.5),
        "exponential": VarianceFunction("exponential", "x", x),
        "strata": VarianceFunction("strata", "arm", arm.astype(float), ("a", "b")),
    }[variance]
    residual = ResidualDesign(
        structure=structure,
        heterogeneous=heterogeneous,
        subject="id",
        subjects=who,
        time="visit",
        visits=visits,
        visit_labels=tuple(f"V{t}" for t in range(T)),
        times=np.array(times),
        by="arm" if by else "",
        strata=arm if by else np.zeros(n, dtype=np.int64),
        stratum_labels=("a", "b") if by else ("",),
        variance=function,
    )
    terms = ()
    if random == "site":
        site = who // 2
        labels = tuple(map(str, range(site.max() + 1)))
        terms = (RandomTerm("site", ("(Intercept)", "x"), np.column_stack([np.ones(n), x]), site, labels),)
    if random == "id":
        terms = (RandomTerm("id", ("(Intercept)",), np.ones((n, 1)), who, tuple(map(str, range(subjects)))),)
    return Design(
        study="s",
        model="m",
        formula="y ~ x + arm",
        outcome="y",
        y=y,
        X=X,
        names=("(Intercept)", "x", "arm"),
        random=terms,
        rows=np.arange(n),
        row_flow=RowFlow(n, n, subjects, subjects),
        analysis_hash="h",
        reml=reml,
        residual=residual,
        weights=draw.random(n) + 0.5 if weights else None,
    )


def dense(design, data, parameters):
    """Deviance of the outcome itself and covariance of beta, by the n x n covariance matrix."""
    model, working, n = data.model, data.working, design.n
    phi = parameters[: model.k]
    residual = design.residual
    s = model.scale(phi, np.arange(n)) * working.scale
    C = np.stack(model.correlations(phi)[0])
    V = C[residual.strata][np.arange(n)[:, None], residual.visits[:, None], residual.visits[None, :]]
    if residual.structure == "independent":
        V = np.eye(n)
    V = V * np.outer(s, s) * (residual.subjects[:, None] == residual.subjects[None, :])
    if design.random:
        root = working.scale * working.T_Z @ working.pattern.matrix(parameters[model.k :])
        codes = design.random[0].codes
        V = V + (design.Z @ root @ root.T @ design.Z.T) * (codes[:, None] == codes[None, :])
    X, y = design.X, design.y
    inverse = np.linalg.inv(V)
    cov = np.linalg.inv(X.T @ inverse @ X)
    e = y - X @ (cov @ (X.T @ inverse @ y))
    value = np.linalg.slogdet(V)[1] + e @ inverse @ e + n * np.log(2 * np.pi)
    if design.reml:
        value += -np.linalg.slogdet(cov)[1] - X.shape[1] * np.log(2 * np.pi)
    return value, cov


def somewhere(data):
    return 0.4 * np.random.default_rng(3).normal(size=data.k)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_deviance_is_that_of_the_dense_density_and_the_gradients_are_exact(structure, variant, reml):
    design = tiny(structure, reml=reml, **VARIANTS[variant])
    data = marginal_data(design)
    parameters = somewhere(data)
    at = marginal(data, parameters, reml=reml)
    value, cov = dense(design, data, parameters)
    assert at.value + constant(data, reml=reml) == pytest.approx(value, abs=1e-8)
    T_X = data.working.scale * data.working.T_X
    assert T_X @ at.XX_inverse @ T_X.T == pytest.approx(cov, rel=1e-9)

    slopes = variance_gradient(data, parameters, at, T_X.T)
    for i in range(data.k):
        step = np.zeros(data.k)
        step[i] = 1e-5
        (up, cov_up), (down, cov_down) = (
            dense(design, data, parameters + step),
            dense(design, data, parameters - step),
        )
        assert at.gradient[i] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-5)
        assert slopes[:, i] == pytest.approx(np.diag(cov_up - cov_down) / 2e-5, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_subjects_with_one_frame_are_pooled_without_loss(structure):
    design = tiny(structure, subjects=60, missing=0.0, heterogeneous=structure != "independent")
    data = marginal_data(design)
    parameters = somewhere(data)
    assert data.W.shape[0] < design.n / 2
    at = marginal(data, parameters, reml=True)
    value, _ = dense(design, data, parameters)
    assert at.value + constant(data, reml=True) == pytest.approx(value, abs=1e-8)


def test_a_covariate_far_from_zero_loses_no_digits():
    near, far = tiny("ar1"), tiny("ar1", shift=1e6)
    values = []
    for design in (near, far):
        data = marginal_data(design)
        values.append(marginal(data, np.array([0.1, 0.3]), reml=False).value)
    assert values[0] == pytest.approx(values[1], abs=1e-6)  # the shift itself rounds x to 1e-10
