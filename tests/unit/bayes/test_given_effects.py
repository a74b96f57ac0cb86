"""The kernel of generalised models: the densities of `families`, and gradients by finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nestwise.bayes.compile import settle_pytensor

settle_pytensor()

from nestwise.bayes.given_effects import CODES, digamma, effects_of, given_effects, rows_density  # noqa: E402
from nestwise.likelihood.families import density, responses  # noqa: E402


def outcomes(family, n, rng):
    trials = np.full(n, 3.0) if family == "binomial" else np.ones(n)
    if family == "binomial":
        return rng.binomial(3, 0.4, n).astype(float), trials
    return (rng.gamma(2, 1, n) if family == "gamma" else rng.poisson(3, n).astype(float)), trials


@pytest.mark.parametrize(("family", "link"), CODES)
def test_rows_have_the_density_of_the_likelihood_engine(family, link):
    rng = np.random.default_rng(1)
    y, trials = outcomes(family, 50, rng)
    eta, aux = 4 * rng.normal(size=50), 0.4
    slope = np.empty(50)
    value, by_aux = rows_density(CODES[family, link], y, trials, eta, aux, slope)
    given = responses(family, link, y, trials if family == "binomial" else None)
    expected = density(given, eta, np.array([aux]))
    # sums of 50 terms of up to 1e8: relative to the largest
    scale = np.abs(expected.value).max()
    assert abs(value + given.constant.sum() - expected.value.sum()) < 1e-13 * 50 * scale
    assert np.allclose(slope, expected.d1, rtol=1e-12, atol=1e-12)
    if expected.aux:
        assert by_aux == pytest.approx(expected.aux[0].sum(), rel=1e-12)


def test_counts_beyond_the_table_have_the_same_density():
    from scipy.special import psi

    y, eta, slope = np.array([200_000.0, 3.0]), np.array([12.0, 1.0]), np.empty(2)
    value, by_aux = rows_density(4, y, np.ones(2), eta, 0.4, slope)
    expected = density(responses("negative_binomial", "log", y), eta, np.array([0.4]))
    constant = responses("negative_binomial", "log", y).constant.sum()
    # terms of 2e6 cancel
    assert value + constant == pytest.approx(expected.value.sum(), abs=1e-8)
    assert by_aux == pytest.approx(expected.aux[0].sum(), rel=1e-8)
    for x in (0.01, 0.7, 3.0, 50.0):
        assert digamma(x) == pytest.approx(psi(x), rel=1e-13, abs=1e-14)


@pytest.mark.parametrize("centred", [(0, 0, 0), (1, 1, 0), (0, 0, 1), (1, 1, 1)])
@pytest.mark.parametrize("family", ["binomial", "negative_binomial"])
def test_gradient_is_that_of_finite_differences(family, centred):
    rng = np.random.default_rng(2)
    n, J = 30, 4
    y, trials = outcomes(family, n, rng)
    codes = rng.integers(0, J, n)
    code = CODES[family, "logit" if family == "binomial" else "log"]
    starts = np.array([0, 0, 2])
    columns = (rng.normal(size=(n, 2)), rng.normal(size=(n, 3)))
    data = (*columns, y, trials, 0.1 * rng.normal(size=n), codes, starts, np.array(centred), np.array([code]))
    at = [rng.normal(size=2), np.array([0.5, 0.8, 1.2]), np.array([0.3]), 0.4, rng.normal(size=(J, 3))]
    sizes = [np.size(value) for value in at]
    flat = np.concatenate([np.ravel(value) for value in at])

    def value(x):
        parts = np.split(x, np.cumsum(sizes)[:-1])
        shaped = [part.reshape(np.shape(a)) for part, a in zip(parts, at, strict=True)]
        return given_effects(*shaped, *data)

    exact = np.concatenate([np.ravel(part) for part in value(flat)[1:]])
    for i, step in enumerate(1e-5 * np.eye(flat.size)):
        slope = float(value(flat + step)[0] - value(flat - step)[0]) / 2e-5
        if i == sum(sizes[:3]) and family == "binomial":
            continue  # no dispersion
        assert exact[i] == pytest.approx(slope, rel=1e-6, abs=1e-6)


def test_both_forms_are_one_model():
    """With u of one form from that of the other, the densities differ by the Jacobian of the change."""
    rng = np.random.default_rng(3)
    n, J = 20, 5
    L = np.array([[1.0, 0.0], [0.3, np.sqrt(1 - 0.09)]])
    sd = np.array([0.5, 0.8])
    root = sd[:, None] * L
    u = rng.normal(size=(J, 2))
    codes = rng.integers(0, J, n)
    columns = (rng.normal(size=(n, 1)), rng.normal(size=(n, 2)), rng.poisson(2, n).astype(float), np.ones(n))
    starts = np.array([0, 0])
    b = effects_of(u, root, starts, np.array([0, 0]))
    assert b == pytest.approx(u @ root.T)

    def value(u, form):
        at = (np.array([0.2]), sd, np.array([0.3]), np.asarray(0.0), u)
        data = (*columns, np.zeros(n), codes, starts, np.array([form, form]), np.array([3]))
        return float(given_effects(*at, *data)[0])

    assert value(b, 1) + J * np.log(np.diag(root)).sum() == pytest.approx(value(u, 0), abs=1e-10)
    normal = stats.multivariate_normal(np.zeros(2), root @ root.T).logpdf(b).sum()
    eta = columns[0] @ [0.2] + np.einsum("nq,nq->n", columns[1], b[codes])
    rows = (columns[2] * eta - np.exp(eta)).sum()
    assert value(b, 1) == pytest.approx(normal + rows, abs=1e-10)
