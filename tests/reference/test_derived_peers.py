"""Marginal means by emmeans, R2 by performance, bootstraps by lme4, pbkrtest and RLRsim, on the same data.

Tolerances, and why:

- means and differences 1e-4 of their standard error: two optimisers on one surface; Satterthwaite df 1e-3
  relative (lmerTest differentiates numerically), Kenward-Roger df 1e-4;
- R2 2e-5: variances agree to 1e-4 relative;
- bootstrap limits lie between order statistics of lme4's own draws that bracket its limit with 99.9%
  confidence; means and SDs of the draws within five Monte Carlo standard errors.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nestwise.design.grid import MeansGrid
from nestwise.design.record import Design, RandomTerm, RowFlow
from nestwise.fit.bootstrap import bootstrap
from nestwise.fit.fixed_effects import fixed_effect_inference
from nestwise.fit.likelihood_ratio import bootstrap_test
from nestwise.fit.means import means_frame
from nestwise.fit.r2 import r2_rows
from nestwise.fit.state import solve_lmm

HERE = Path(__file__).parent
INTERCEPT = "(Intercept)"


def expected(case):
    return json.loads((HERE / case / "expected.json").read_text())


def data(package, name):
    """The frame that R read: of the same csv."""
    spec = importlib.util.spec_from_file_location("make_data", HERE / "make_data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    from io import BytesIO

    return pd.read_csv(BytesIO(module.csv_bytes(package, name)))


def design(y, fixed, *terms, reml=True):
    """Columns by name, and (group, values, {name: column}) a term."""
    random = []
    for group, values, columns in terms:
        labels, codes = np.unique(np.asarray(values).astype(str), return_inverse=True)
        Z = np.column_stack(list(columns.values())).astype(float)
        random.append(RandomTerm(group, tuple(columns), Z, codes.astype(np.int64), tuple(labels)))
    n = len(y)
    X = np.column_stack(list(fixed.values())).astype(float)
    flow = RowFlow(n, n, 1, 1)
    named = ("study", "model", "y ~ x", "y", np.asarray(y, dtype=float), X, tuple(fixed))
    return Design(*named, tuple(random), np.arange(n), flow, "0", reml=reml)


def sleepstudy(*, slopes=True, reml=True):
    frame = data("lme4", "sleepstudy")
    both = {INTERCEPT: np.ones(len(frame)), "Days": frame.Days}
    varying = both if slopes else {INTERCEPT: both[INTERCEPT]}
    return design(frame.Reaction, both, ("Subject", frame.Subject, varying), reml=reml)


def two_factors(name, outcome, *groups):
    frame = data("lme4", name)
    one = {INTERCEPT: np.ones(len(frame))}
    return design(frame[outcome], one, *((group, frame[group], one) for group in groups))


def radon():
    frame = data("HLMdiag", "radon")
    one = np.ones(len(frame))
    fixed = {INTERCEPT: one, "basement": frame.basement, "uranium": frame.uranium}
    return design(
        frame["log.radon"], fixed, ("county", frame.county, {INTERCEPT: one, "basement": frame.basement})
    )


def orthodont():
    frame = data("nlme", "Orthodont")
    both = {INTERCEPT: np.ones(len(frame)), "age": frame.age}
    return design(frame.distance, both, ("Subject", frame.Subject, both))


DESIGNS = {
    "sleepstudy": sleepstudy,
    "sleepstudy_ml": lambda: sleepstudy(slopes=False, reml=False),
    "radon": radon,
    "pastes": lambda: two_factors("Pastes", "strength", "batch", "sample"),
    "penicillin": lambda: two_factors("Penicillin", "diameter", "plate", "sample"),
    "orthodont": orthodont,
}


@pytest.mark.parametrize("name", DESIGNS)
def test_r2(name):
    said = expected("r2_nakagawa")["sets"][name]
    made = DESIGNS[name]()
    found = {row.term: row.estimate for row in r2_rows(made, solve_lmm(made).solution)}
    assert found["r2_marginal"] == pytest.approx(said["marginal"], abs=2e-5)
    assert found["r2_conditional"] == pytest.approx(said["conditional"], abs=2e-5)


def unbalanced_orthodont():
    """Age as a factor by sex, every seventh row left out, with the grids of both."""
    frame = data("nlme", "Orthodont")
    frame = frame[np.arange(len(frame)) % 7 != 3]
    ages, sexes = (8, 10, 12, 14), ("Female", "Male")

    def row(age, sex):
        first = [1.0, *(float(age == other) for other in ages[1:]), float(sex == "Male")]
        return [*first, *(value * first[4] for value in first[1:4])]

    X = np.array([row(*pair) for pair in zip(frame.age, frame.Sex, strict=True)])
    made = design(
        frame.distance,
        {f"c{i}": X[:, i] for i in range(X.shape[1])},
        ("Subject", frame.Subject, {INTERCEPT: np.ones(len(frame))}),
    )
    cells = tuple((str(age), sex) for age in ages for sex in sexes)
    both = MeansGrid(
        ("age", "Sex"), cells, np.array([row(int(a), s) for a, s in cells]), np.ones(8, dtype=bool)
    )
    averaged = np.array([(np.array(row(a, "Male")) + np.array(row(a, "Female"))) / 2 for a in ages])
    single = MeansGrid(("age",), tuple((str(age),) for age in ages), averaged, np.ones(4, dtype=bool))
    return made, both, single


@pytest.mark.parametrize("method", ["satterthwaite", "kenward_roger"])
def test_marginal_means(method):
    """Rule 4: emmeans with lmerTest's and pbkrtest's degrees of freedom."""
    whole = expected("emmeans_means")
    said = whole[method]
    made, both, single = unbalanced_orthodont()
    assert made.n == whole["rows"]
    inference = fixed_effect_inference(made, solve_lmm(made), method)
    frame = means_frame([both, single], inference)
    places = {
        "means": (frame.filter(grid="age, Sex", kind="mean"), ("x", "by"), ("age", "Sex"), "emmean"),
        "differences": (
            frame.filter(grid="age, Sex", kind="contrast"),
            ("x", "by"),
            ("age", "contrast"),
            "estimate",
        ),
        "ages": (frame.filter(grid="age", kind="mean"), ("x",), ("age",), "emmean"),
        "age_differences": (frame.filter(grid="age", kind="contrast"), ("term",), ("contrast",), "estimate"),
    }
    for table, (found, ours, theirs, estimate) in places.items():
        keyed = {tuple(row[name] for name in ours): row for row in found.iter_rows(named=True)}
        names = [[value.replace("age", "") for value in said[table][name]] for name in theirs]
        assert len(keyed) == len(names[0])
        for i, key in enumerate(zip(*names, strict=True)):
            row, std_error = keyed[key], said[table]["SE"][i]
            assert row["estimate"] == pytest.approx(said[table][estimate][i], abs=1e-4 * std_error)
            assert row["std_error"] == pytest.approx(std_error, rel=1e-4)
            assert row["df"] == pytest.approx(
                said[table]["df"][i], rel=1e-3 if method == "satterthwaite" else 1e-4
            )
            if "lower.CL" in said[table]:
                assert row["lower"] == pytest.approx(said[table]["lower.CL"][i], abs=1e-3 * std_error)
                assert row["upper"] == pytest.approx(said[table]["upper.CL"][i], abs=1e-3 * std_error)
            else:
                assert row["statistic"] == pytest.approx(said[table]["t.ratio"][i], rel=1e-3)
                assert row["p_value"] == pytest.approx(said[table]["p.value"][i], rel=2e-2)


@pytest.mark.parametrize(("name", "sets"), [("sleepstudy", 20_000), ("pastes", 600), ("penicillin", 600)])
def test_bootstrap_distribution(name, sets):
    """Rule 6: limits, mean and spread of refitted estimates beside lme4::bootMer."""
    made = DESIGNS[name]()
    found = bootstrap(made, solve_lmm(made), sets, seed=5)
    assert found.failures == 0
    ours = {
        " ".join(
            filter(None, ("sigma",) if row.term == "sigma" else (row.component, row.group, row.term))
        ): row
        for row in found.quantities
    }
    for said in expected("bootmer")[name]["quantities"]:
        row = ours[said["name"]]
        error = said["sd"] * np.sqrt(1 / said["n"] + 1 / sets)
        assert row.estimate + row.bias == pytest.approx(said["mean"], abs=5 * error), said["name"]
        assert row.se == pytest.approx(said["sd"], rel=5 * np.sqrt(1 / said["n"] + 1 / sets)), said["name"]
        slack = 3 * said["sd"] / np.sqrt(sets) if sets < 10_000 else 1e-3 * said["sd"]
        for end, value in (("lower", row.lower), ("upper", row.upper)):
            assert said[end]["low"] - slack <= value <= said[end]["high"] + slack, (said["name"], end)


def test_a_variance_by_simulation_beside_rlrsim():
    """Rule 6: the exact null distribution of the restricted statistic, 20,000 sets."""
    said = expected("likelihood_ratio")["dyestuff"]
    large = two_factors("Dyestuff", "Yield", "Batch")
    found = bootstrap_test(replace(large, random=()), None, large, solve_lmm(large), 20_000, seed=3)
    assert found.statistic == pytest.approx(said["statistic"], abs=1e-4)
    error = np.sqrt(said["p_value"] * (1 / 20_000 + 1 / said["sets"]))
    assert found.p_value == pytest.approx(said["p_value"], abs=4 * error)


def test_one_of_two_factors_beside_pbkrtest():
    """Rule 6: PBmodcomp's parametric bootstrap by ML, which counts the sets of a positive statistic only."""
    said = expected("likelihood_ratio")["pastes"]
    large = replace(two_factors("Pastes", "strength", "batch", "sample"), reml=False)
    small = replace(large, random=large.random[1:])
    found = bootstrap_test(small, solve_lmm(small), large, solve_lmm(large), 600, seed=3)
    assert found.statistic == pytest.approx(said["statistic"], abs=1e-4)
    positive = found.null[found.null > 1e-5]
    error = np.sqrt(0.25 * (1 / positive.size + 1 / said["sets"]))
    assert (positive >= found.statistic).mean() == pytest.approx(said["p_value"], abs=4 * error)
