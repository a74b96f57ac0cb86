"""Donors of predictive mean matching."""

import numpy as np

from nestwise.imputation.matching import donors


def test_donors_are_among_the_nearest():
    rng = np.random.default_rng(1)
    expected, drawn = rng.normal(size=200), rng.normal(size=300)
    chosen = donors(rng, expected, drawn, 5)
    distance = np.abs(expected[:, None] - drawn)
    rank = np.argsort(np.argsort(distance, axis=0), axis=0)
    assert (rank[chosen, np.arange(300)] < 5).all()
    assert np.bincount(rank[chosen, np.arange(300)]).min() > 30  # each of the five in turn


def test_ties_do_not_favour_the_first_rows():
    rng = np.random.default_rng(1)
    chosen = np.concatenate([donors(rng, np.zeros(100), np.zeros(50), 5) for _ in range(40)])
    assert chosen.mean() == np.clip(chosen.mean(), 40, 60)


def test_fewer_rows_than_donors():
    rng = np.random.default_rng(1)
    assert set(donors(rng, np.array([1.0, 2.0]), np.array([0.0, 9.0]), 5)) <= {0, 1}
