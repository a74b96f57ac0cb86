"""Latent responses: truncated normals, thresholds, log rates."""

import numpy as np
import pytest
from scipy import stats

from nestwise.imputation import latent


@pytest.mark.parametrize(
    "bounds",
    [(-np.inf, 0.0), (3.0, np.inf), (-np.inf, -8.0), (-0.2, 0.3), (0.5, 1.7), (2.0, 2.1), (-1.0, 0.2),
     (0.05, 3.0), (-4.0, -1.0), (1e-9, 9.0), (37.5, np.inf)],
)  # fmt: skip
def test_truncated_normals_have_their_distribution(bounds):
    rng = np.random.default_rng(3)
    drawn = np.array([latent.truncated(rng, *bounds) for _ in range(4000)])
    assert stats.kstest(drawn, stats.truncnorm(*bounds).cdf).pvalue > 1e-3


def test_latent_responses_fall_between_their_thresholds():
    rng = np.random.default_rng(1)
    codes, cuts, eta = rng.integers(0, 4, 500), np.array([0.0, 0.4, 2.0]), rng.normal(size=500)
    z = np.zeros(500)
    latent.latent_responses(rng, codes, cuts, eta, z)
    assert (np.digitize(z, cuts) == codes).all()


def test_thresholds_come_back():
    rng = np.random.default_rng(2)
    eta, true = rng.normal(size=3000), np.array([0.0, 0.7, 1.1, 2.5])
    codes = np.digitize(eta + rng.normal(size=3000), true)
    cuts, kept = np.array([0.0, 1.0, 2.0, 3.0]), []
    for _ in range(800):
        latent.thresholds(rng, codes, cuts, eta, 1.2 / np.sqrt(np.bincount(codes)[:-1] * 3.0))
        kept.append(cuts.copy())
    np.testing.assert_allclose(np.mean(kept[300:], axis=0), true, atol=0.12)


def test_log_rates_have_the_posterior_of_a_poisson_count():
    """One count y under a N(eta, s2) prior of its log rate, against the density on a grid."""
    rng = np.random.default_rng(4)
    counts, eta, s2 = np.full(4000, 3.0), np.full(4000, 0.2), 0.8
    z = np.zeros(4000)
    latent.log_rates(rng, counts, eta, s2, 60, z)
    grid = np.linspace(-4, 5, 4001)
    density = np.exp(3 * grid - np.exp(grid) - 0.5 * (grid - 0.2) ** 2 / s2)
    density /= density.sum()
    mean = (density * grid).sum()
    assert z.mean() == pytest.approx(mean, abs=0.04)
    assert z.std() == pytest.approx(np.sqrt((density * (grid - mean) ** 2).sum()), rel=0.05)
