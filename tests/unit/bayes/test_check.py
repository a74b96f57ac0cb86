"""The verdict on a run: each limit can fail it, and it fails closed (rule 26)."""

from __future__ import annotations

import numpy as np
import pytest

from nestwise.bayes.check import judge, summarise

GOOD = {"rhat": 1.0, "ess_bulk": 2000.0, "ess_tail": 1500.0}


def verdict(diverging=0, energy=None, **changes):
    rng = np.random.default_rng(0)
    rows = [
        {"component": "fixed", "group": None, "term": "x"} | GOOD,
        {"component": "sd", "group": "g", "term": "(Intercept)"} | GOOD | changes,
    ]
    flags = np.zeros((4, 500), bool)
    flags[0, :diverging] = True
    return {
        check.check: check
        for check in judge(rows, flags, rng.normal(size=(4, 500)) if energy is None else energy)
    }


def test_a_good_run_passes_and_names_its_worst_parameter():
    checks = verdict(ess_bulk=900.0)
    assert all(check.ok for check in checks.values())
    assert checks["ess_bulk"].value == 900
    assert "SD of (Intercept) by g" in checks["ess_bulk"].advice


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        ({"rhat": 1.02}, "rhat"),
        ({"ess_bulk": 399.0}, "ess_bulk"),
        ({"ess_tail": 399.0}, "ess_tail"),
        ({"rhat": float("nan")}, "rhat"),
        ({"diverging": 1}, "divergences"),
        ({"energy": np.cumsum(np.random.default_rng(1).normal(size=(4, 500)), axis=1)}, "e_bfmi"),
        ({"energy": np.ones((4, 500))}, "e_bfmi"),
    ],
)
def test_each_limit_fails_the_run_alone(change, failing):
    checks = verdict(**change)
    assert [name for name, check in checks.items() if not check.ok] == [failing]
    assert checks[failing].advice.endswith(".")


def test_summary_of_independent_normal_draws():
    draws = np.random.default_rng(2).normal(10, 2, size=(4, 2500))
    found = summarise(draws, 0.9)
    assert found["median"] == pytest.approx(10, abs=0.1)
    assert found["upper"] - found["lower"] == pytest.approx(2 * 2 * 1.645, rel=0.05)
    assert found["mcse_mean"] == pytest.approx(2 / 100, rel=0.15)
    assert found["mcse_median"] == pytest.approx(2 / 100 * np.sqrt(np.pi / 2), rel=0.25)
    assert found["rhat"] < 1.01
    assert summarise(draws + np.arange(4)[:, None] * 5, 0.9)["rhat"] > 1.5
