"""What the engine pymc refuses, before it compiles or samples anything."""

import numpy as np
import pytest

N = 30
X = np.random.default_rng(2).normal(size=N).round(3).tolist()


def model(formula="y ~ x + (1 | g)", **more):
    return {
        "models/m": {"formula": formula, "engines": ["pymc"], "draws": 100, "tune": 100, "chains": 2} | more
    }


HOSTILE = {
    "one_group": {"columns": {"g": ["g0"] * N}, "study": model(), "says": ["group"]},
    "constant_outcome": {"columns": {"y": [5.0] * N}, "study": model(), "says": ["y"]},
    "exact_line": {"columns": {"x": X, "y": [2 * v + 1 for v in X]}, "study": model()},
    "more_effects_than_rows": {
        "columns": {"g": [f"g{k // 2}" for k in range(N)]},
        "study": model("y ~ x + (x | g)"),
    },
    "huge_outcome": {"columns": {"y": [v * 1e300 for v in X]}, "study": model()},
    "crossed": {
        "columns": {"h": [f"h{k % 5}" for k in range(N)]},
        "study": model("y ~ x + (1 | g) + (1 | h)") | {"groups": {"g": {}, "h": {}}},
    },
    "group_also_fixed": {"study": model("y ~ g + (1 | g)"), "says": ["nothing is left to vary"]},
    "no_random_part": {"study": model("y ~ x")},
    "neither_0_nor_1": {"columns": {"y": [k % 3 for k in range(N)]}, "study": model(family="binomial")},
    "below_zero": {"columns": {"y": [k - 1 for k in range(N)]}, "study": model(family="poisson")},
    "part_of_a_count": {"columns": {"y": [k / 2 for k in range(N)]}, "study": model(family="poisson")},
    "gamma_of_zero": {"columns": {"y": [float(k) for k in range(N)]}, "study": model(family="gamma")},
    "without_successes": {"columns": {"y": [0] * N}, "study": model(family="binomial"), "says": ["y"]},
    "single_trials": {
        "columns": {"y": [k % 2 for k in range(N)], "g": [f"g{k}" for k in range(N)]},
        "study": model(family="binomial"),
        "says": ["single trial"],
    },
    "prior_of_no_dispersion": {
        "columns": {"y": list(range(N))},
        "study": model(family="poisson", priors={"size": {"distribution": "exponential", "scale": 1}}),
        "says": ["size"],
    },
    "prior_of_nothing": {
        "study": model(priors={"z": {"distribution": "normal", "scale": 1}}),
        "says": ["z"],
    },
    "prior_of_wrong_kind": {
        "study": model(priors={"sigma": {"distribution": "lkj", "eta": 2}}),
        "says": ["sigma"],
    },
    "prior_without_scale": {"study": model(priors={"x": {"distribution": "normal"}}), "says": ["scale"]},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_pymc_refuses_before_it_samples(end, monkeypatch, name):
    from nestwise.bayes import attempts

    def never(*_, **__):
        raise AssertionError("a model was compiled")

    monkeypatch.setattr(attempts, "compile_model", never)
    end({**HOSTILE[name], "engines": ("pymc",), "ends": ("stopped", "refused")})
