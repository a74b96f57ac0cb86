"""R-hat of the chains of an imputation."""

import numpy as np
import pytest

from nestwise.imputation.traces import r_hat, verdict


def test_chains_of_one_distribution_agree():
    traces = np.random.default_rng(1).normal(size=(20, 40))
    assert r_hat(traces) == pytest.approx(1.0, abs=0.05)


def test_chains_apart_or_drifting_do_not():
    rng = np.random.default_rng(1)
    apart = rng.normal(size=(10, 40)) + 3 * rng.normal(size=(10, 1))
    drifting = rng.normal(size=(10, 40)) + 0.3 * np.arange(40)
    assert r_hat(apart) > 2
    assert r_hat(drifting) > 1.3


def test_what_stands_still():
    still = np.ones((4, 8))
    assert r_hat(still) == 1.0
    assert np.isinf(r_hat(still * np.arange(4)[:, None]))
    with pytest.raises(ValueError, match="two chains"):
        r_hat(np.ones((1, 20)))


def test_the_verdict_names_variables():
    rng = np.random.default_rng(1)
    traces = rng.normal(size=(10, 40, 2, 2))
    traces[:, :, 1] += 5 * rng.normal(size=(10, 1, 1))
    table, unmixed = verdict(traces, ("x", "y"), ("mean", "sd"))
    assert unmixed == ("y",)
    assert table["x"]["mean"] < 1.1 < table["y"]["mean"]
