"""The kernel of generalised models: the densities of `families`, and gradients by finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nestwise.bayes.compile import settle_pytensor

settle_pytensor()

from nestwise.bayes.given_effects import effects_of, given_effects  # noqa: E402
from nestwise.bayes.row_densities import CODES, digamma, interval, rows_density  # noqa: E402
from nestwise.likelihood.families import density, responses  # noqa: E402


def outcomes(family, n, rng):
    trials = np.full(n, 3.0) if family == "binomial" else np.ones(n)
    if family == "binomial":
        return rng.binomial(3, 0.4, n).astype(float), trials
    if family == "ordinal":
        return np.concatenate([[0.0, 4.0], rng.integers(0, 5, n - 2)]), trials
    return (rng.gamma(2, 1, n) if family == "gamma" else rng.poisson(3, n).astype(float)), trials


AUX = {
    "negative_binomial": np.array([0.4]),
    "gamma": np.array([0.4]),
    "ordinal": np.array([-2.0, -0.5, 0.1, 3]),
}
AUX |= {"binomial": np.empty(0), "poisson": np.empty(0)}


@pytest.mark.parametrize(("family", "link"), CODES)
def test_rows_have_the_density_of_the_likelihood_engine(family, link):
    rng = np.random.default_rng(1)
    y, trials = outcomes(family, 50, rng)
    eta, aux = 4 * rng.normal(size=50), AUX[family]
    slope, by_aux = np.empty(50), np.zeros(aux.size)
    value = rows_density(CODES[family, link], y, trials, eta, aux, slope, by_aux)
    given = responses(family, link, y, trials if family == "binomial" else None)
    expected = density(given, eta, aux)
    # sums of 50 terms of up to 1e8: relative to the largest
    scale = np.abs(expected.value).max()
    assert abs(value + given.constant.sum() - expected.value.sum()) < 1e-13 * 50 * scale
    assert np.allclose(slope, expected.d1, rtol=1e-12, atol=1e-12)
    for one, other in zip(by_aux, expected.aux, strict=True):
        assert one == pytest.approx(other.sum(), rel=1e-11)


def test_counts_beyond_the_table_have_the_same_density():
    from scipy.special import psi

    y, eta, slope, by_aux = np.array([200_000.0, 3.0]), np.array([12.0, 1.0]), np.empty(2), np.zeros(1)
    value = rows_density(4, y, np.ones(2), eta, np.array([0.4]), slope, by_aux)
    expected = density(responses("negative_binomial", "log", y), eta, np.array([0.4]))
    constant = responses("negative_binomial", "log", y).constant.sum()
    # terms of 2e6 cancel
    assert value + constant == pytest.approx(expected.value.sum(), abs=1e-8)
    assert by_aux[0] == pytest.approx(expected.aux[0].sum(), rel=1e-8)
    for x in (0.01, 0.7, 3.0, 50.0):
        assert digamma(x) == pytest.approx(psi(x), rel=1e-13, abs=1e-14)


def test_a_thin_interval_far_out_keeps_its_digits():
    """The probability of a category between -40 and -39.9, or mirrored, is no difference of two zeros."""
    for code, law in ((6, stats.logistic), (7, stats.norm)):
        left, right = interval(code, -39.9, -40.0), interval(code, 40.0, 39.9)
        exact = law.logcdf(-39.9) + np.log1p(-np.exp(law.logcdf(-40.0) - law.logcdf(-39.9)))
        assert left[0] == pytest.approx(exact, rel=1e-12)
        assert right[0] == pytest.approx(left[0], rel=1e-12)
        assert right[1:] == pytest.approx((-left[2], -left[1]), rel=1e-10)


@pytest.mark.parametrize("centred", [(0, 0, 0), (1, 1, 0), (0, 0, 1), (1, 1, 1)])
@pytest.mark.parametrize("family", ["binomial", "negative_binomial", "ordinal"])
def test_gradient_is_that_of_finite_differences(family, centred):
    """Two terms, by four and by six groups, the first around lines of the fixed effects."""
    rng = np.random.default_rng(2)
    n, J = 30, (4, 6)
    y, trials = outcomes(family, n, rng)
    codes = np.column_stack([rng.integers(0, each, n) for each in J])
    places = np.column_stack([2 * codes[:, 0], 8 + codes[:, 1]])
    blocks = np.array([[0, 2, 0, 4], [2, 1, 8, 6]])
    lines = np.zeros((14, 2))
    lines[:8] = rng.normal(size=(8, 2)) * np.tile(centred[:2], 4)[:, None]
    code = CODES[family, "log" if family == "negative_binomial" else "logit"]
    columns = (rng.normal(size=(n, 2)), rng.normal(size=(n, 3)))
    known = (y, trials, 0.1 * rng.normal(size=n), places, blocks, lines)
    data = (*columns, *known, np.array([0, 0, 2]), np.array(centred), np.array([code]))
    at = [rng.normal(size=2), np.array([0.5, 0.8, 1.2]), np.array([0.3]), AUX[family], rng.normal(size=14)]
    sizes = [value.size for value in at]
    flat = np.concatenate(at)

    def value(x):
        return given_effects(*np.split(x, np.cumsum(sizes)[:-1]), *data)

    exact = np.concatenate(value(flat)[1:])
    for i, step in enumerate(1e-5 * np.eye(flat.size)):
        slope = float(value(flat + step)[0] - value(flat - step)[0]) / 2e-5
        assert exact[i] == pytest.approx(slope, rel=1e-6, abs=1e-6)


def test_all_forms_are_one_model():
    """With u of one form from that of another, the densities differ by the Jacobian of the change."""
    rng = np.random.default_rng(3)
    n, J = 20, 5
    L = np.array([[1.0, 0.0], [0.3, np.sqrt(1 - 0.09)]])
    sd, beta = np.array([0.5, 0.8]), np.array([0.2])
    root = sd[:, None] * L
    u = rng.normal(size=(J, 2))
    codes = rng.integers(0, J, n)
    columns = (rng.normal(size=(n, 1)), rng.normal(size=(n, 2)), rng.poisson(2, n).astype(float), np.ones(n))
    starts, blocks = np.array([0, 0]), np.array([[0, 2, 0, J]])
    b = effects_of(u, root, starts, np.array([0, 0]))
    assert b == pytest.approx(u @ root.T)

    def value(u, form, lines):
        at = (beta, sd, np.array([0.3]), np.empty(0), u.ravel())
        data = (*columns, np.zeros(n), 2 * codes[:, None], blocks, lines)
        return float(given_effects(*at, *data, starts, np.array([form, form]), np.array([3]))[0])

    none, lines = np.empty((0, 1)), rng.normal(size=(2 * J, 1))
    assert value(b, 1, none) + J * np.log(np.diag(root)).sum() == pytest.approx(value(u, 0, none), abs=1e-10)
    around = b + (lines @ beta).reshape(J, 2)
    assert value(around, 1, lines) == pytest.approx(value(b, 1, none), abs=1e-10)
    normal = stats.multivariate_normal(np.zeros(2), root @ root.T).logpdf(b).sum()
    eta = columns[0] @ beta + np.einsum("nq,nq->n", columns[1], b[codes])
    rows = (columns[2] * eta - np.exp(eta)).sum()
    assert value(b, 1, none) == pytest.approx(normal + rows, abs=1e-10)
