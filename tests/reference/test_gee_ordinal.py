"""Population-averaged cumulative models against ordinal::clm and dense matrices in R.

Tolerances, and why (rule 16): with independence the equations are those of maximum likelihood, so that
estimates agree to where clm's search stops (1e-7 of a standard error), and standard errors, which follow from
the same estimates by definition, to 1e-6.
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
SAID = json.loads((HERE / "gee_ordinal" / "expected.json").read_text())
FORMULAS = {"wine": "rating ~ temp + contact + (1 | judge)", "respdis": "resp ~ trt + visit + (1 | id)"}
KINDS = ("LZ", "KC", "MD", "FG", "MBN", "model")
PEERS = [(name, place) for name in FORMULAS for place in range(2)]
IDS = [f"{name}-{SAID[name][place]['link']}" for name, place in PEERS]


@cache
def dataset_of(name):
    spec = importlib.util.spec_from_file_location("make_data", HERE / "make_data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    frame = pl.read_csv(BytesIO(module.csv_bytes("ordinal" if name == "wine" else "geepack", name)))
    if name == "respdis":
        visits = [f"y{k}" for k in range(1, 5)]
        frame = frame.with_row_index("id")
        frame = frame.unpivot(visits, index=["id", "trt"], variable_name="visit", value_name="resp")
        frame = frame.with_columns(pl.col("visit").str.slice(1).cast(pl.Float64))
    outcome, group = ("rating", "judge") if name == "wine" else ("resp", "id")
    frame = frame.with_row_index(".row").with_columns(pl.col(group).cast(pl.String).cast(pl.Categorical))
    for column in [outcome, *(["temp", "contact"] if name == "wine" else [])]:
        levels = sorted(frame[column].cast(pl.String).unique())
        frame = frame.with_columns(pl.col(column).cast(pl.String).cast(pl.Enum(levels)))
    types = {outcome: "ordinal"} | dict.fromkeys(("temp", "contact"), "categorical")
    variables = {
        column: VariableInfo(column, types.get(column, "continuous"), True) for column in frame.columns[1:]
    }
    return Dataset("s", frame.lazy(), variables, {group: None})


@cache
def fitted(name, place):
    said = SAID[name][place]
    model = Model(formula=FORMULAS[name], family="ordinal", link=said["link"], engines=["gee"])
    return said, fit_gee(build_design(dataset_of(name), "m", model), "independence", variance="LZ")


@pytest.mark.parametrize(("name", "place"), PEERS, ids=IDS)
def test_independence_is_the_maximum_likelihood_of_clm(name, place):
    said, fit = fitted(name, place)
    rows = [row for row in fit.estimates if row.component == "fixed"]
    assert [row.term for row in rows] == said["term"]
    error = np.array([row.std_error for row in rows])
    gap = np.array([row.estimate for row in rows]) - np.array(said["estimate"])
    assert np.abs(gap / error).max() < 1e-7
    found = {row.term: row.estimate for row in fit.estimates}
    assert found["qicu"] == pytest.approx(-2 * said["log_likelihood"] + 2 * len(rows), rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "place"), PEERS, ids=IDS)
def test_covariances_follow_their_definitions(name, place, kind):
    """Rule 15."""
    said, fit = fitted(name, place)
    known = np.array(said["small_sample"][kind])
    assert np.array(fit.record["variance"]["standard_errors"][kind]) == pytest.approx(known, rel=1e-6)
