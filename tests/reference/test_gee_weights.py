"""Weights against geepack, negative binomial counts against MASS::glm.nb and clubSandwich.

Tolerances, and why (rule 16): the same equations solved to rounding in both programs, coefficients 1e-7 of a
standard error, standard errors 1e-6; glm.nb stops its search for theta earlier, 1e-5 for what depends on it.
"""

import importlib.util
import json
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.design.build import build_design
from nestwise.fit.gee import fit_gee

HERE = Path(__file__).parent
SAID = json.loads((HERE / "gee_weights" / "expected.json").read_text())


@cache
def frame_of(package, dataset):
    spec = importlib.util.spec_from_file_location("make_data", HERE / "make_data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    content = module.csv_bytes(package, dataset)
    return pl.read_csv(BytesIO(content), null_values="NA", infer_schema_length=None)


def design_of(frame, formula, cluster, **keys):
    frame = frame.with_row_index(".row").with_columns(pl.col(cluster).cast(pl.String).cast(pl.Categorical))
    variables = {}
    for name, dtype in frame.schema.items():
        levels = ()
        if name not in (cluster, ".row") and dtype in (pl.String, pl.Enum):
            levels = tuple(sorted(frame[name].cast(pl.String).unique()))
            frame = frame.with_columns(pl.col(name).cast(pl.String).cast(pl.Enum(levels)))
        variables[name] = VariableInfo(name, "categorical" if levels else "continuous", True, levels)
    model = Model(formula=formula, engines=["gee"], **keys)
    return build_design(Dataset("s", frame.lazy(), variables, {cluster: None}), "m", model)


@cache
def children(prior=None):
    frame = frame_of("geepack", "ohio").sort("id", "age")
    frame = frame.filter(~((pl.col("id") % 3 == 0) & (pl.col("age") > -1)))
    frame = frame.with_columns(
        of_row=0.5 + (pl.int_range(1, pl.len() + 1) % 5) / 3, of_child=0.5 + (pl.col("id") % 7) / 4
    )
    keys = {"family": "binomial", "weights": prior}
    return frame, design_of(frame, "resp ~ age + smoke + (1 | id)", "id", **keys)


def weighted(said, structure, selection):
    frame, design = children(None if selection else said["weights"])
    weights = frame[said["weights"]].to_numpy() if selection else None
    return fit_gee(design, structure, variance="LZ", selection=weights)


def check(fit, estimate, std_error, tolerance=1e-7):
    rows = [row for row in fit.estimates if row.component == "fixed"]
    error = np.array(std_error)
    assert np.abs((np.array([row.estimate for row in rows]) - estimate) / error).max() < tolerance
    assert np.array([row.std_error for row in rows]) == pytest.approx(error, rel=10 * tolerance)


@pytest.mark.parametrize("selection", [False, True], ids=["prior", "selection"])
@pytest.mark.parametrize("said", SAID["independence"], ids=lambda said: said["weights"])
def test_with_independence_both_kinds_of_weights_are_geepacks(said, selection):
    fit = weighted(said, "independence", selection)
    check(fit, said["estimate"], said["std_error"])
    if selection:  # geepack divides by the sum of weights
        phi = next(row.estimate for row in fit.estimates if row.term == "phi")
        assert phi == pytest.approx(said["phi"], rel=1e-8)


@pytest.mark.parametrize(
    "said", SAID["exchangeable"], ids=lambda said: f"{said['weights']}-{said['selection']}"
)
def test_with_a_correlation_the_equations_are_geepacks_at_plain_moments(said):
    fit = weighted(said, "exchangeable", said["selection"])
    check(fit, said["estimate"], said["std_error"], 1e-6)
    found = {row.term: row.estimate for row in fit.estimates}
    assert found["alpha"] == pytest.approx(said["alpha"], rel=1e-7)
    assert found["phi"] == pytest.approx(said["phi"], rel=1e-7)


@pytest.mark.parametrize(
    ("name", "package", "formula", "cluster"),
    [
        ("epil", "MASS", "y ~ lbase * trt + lage + V4 + (1 | subject)", "subject"),
        ("grouseticks", "lme4", "TICKS ~ YEAR + cHEIGHT + (1 | BROOD)", "BROOD"),
    ],
)
def test_negative_binomial_counts_with_independence_are_glm_nb(name, package, formula, cluster):
    said = SAID["negative_binomial"][name]
    frame = frame_of(package, name)
    if name == "grouseticks":
        frame = frame.with_columns(pl.col("YEAR").cast(pl.String))
    fit = fit_gee(
        design_of(frame, formula, cluster, family="negative_binomial"), "independence", variance="LZ"
    )
    check(fit, said["estimate"], said["CR0"], 1e-5)
    assert np.array(fit.record["variance"]["standard_errors"]["MD"]) == pytest.approx(said["CR3"], rel=1e-4)
    size = next(row.estimate for row in fit.estimates if row.term == "size")
    assert size == pytest.approx(said["theta"], rel=1e-5)
