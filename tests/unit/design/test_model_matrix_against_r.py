"""Names and numbers of model matrices against R 4.2.2 and lme4 (tests/reference/model_matrix/make.R)."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.design.build import build_design
from nestwise.design.columns import AnalysisRows, read_column
from nestwise.design.matrix import model_matrix
from nestwise.formula.parser import sides
from nestwise.formula.record import parse
from nestwise.formula.syntax import deparse

FOLDER = Path(__file__).parents[2] / "reference" / "model_matrix"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())
LEVELS = {
    "sex": ("m", "f"),
    "arm": ("a", "b", "c"),
    "dose": ("low", "mid", "high", "top"),
    "school": ("s1", "s2", "s3", "s10"),
    "class": ("1", "2", "10"),
}
TYPES = {
    "sex": "categorical",
    "arm": "categorical",
    "dose": "ordinal",
    "school": "categorical",
    "class": "categorical",
}


def frame() -> pl.DataFrame:
    read = pl.read_csv(FOLDER / "data.csv", schema_overrides=dict.fromkeys(LEVELS, pl.String))
    return read.with_columns(pl.col(name).cast(pl.Enum(levels)) for name, levels in LEVELS.items())


def dataset() -> Dataset:
    data = frame().with_row_index(".row", offset=1)
    variables = {
        name: VariableInfo(name, TYPES.get(name, "continuous"), True, LEVELS.get(name, ()))
        for name in data.columns
        if name != ".row"
    }
    return Dataset("reference", data.lazy(), variables, {})


def as_matrix(rows: list, width: int) -> np.ndarray:
    return np.array(rows, dtype=float).reshape(-1, width)


@pytest.mark.parametrize("case", EXPECTED["fixed"], ids=lambda case: case["rhs"])
def test_fixed_part_is_that_of_model_matrix(case):
    source, info = frame(), dataset().variables
    formula = parse("y ~ " + case["rhs"])
    columns = {name: read_column(source[name], info[name]) for name in formula.variables}
    made = model_matrix(formula.fixed, AnalysisRows(formula.text, np.arange(1, 15), columns))
    assert list(made.names) == case["names"]
    np.testing.assert_allclose(made.X, as_matrix(case["matrix"], len(made.names)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", EXPECTED["whole"], ids=lambda case: case["formula"])
def test_designs_are_those_of_lme4(case):
    design = build_design(dataset(), "m", Model(formula=case["formula"]))
    assert list(design.names) == case["names"]
    np.testing.assert_allclose(design.X, as_matrix(case["matrix"], len(design.names)), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(design.y, case["y"], rtol=1e-12)
    # lme4 lists factors by number of levels and nested ones innermost first
    ours = {":".join(sorted(term.group.split(":"))): term for term in design.random}
    assert len(ours) == len(case["random"])
    for expected in case["random"]:
        term = ours[":".join(sorted(expected["group"].split(":")))]
        assert list(term.names) == expected["names"]
        np.testing.assert_allclose(term.Z, as_matrix(expected["Z"], len(term.names)), rtol=1e-9, atol=1e-12)
        assert {frozenset(label.split(":")) for label in term.labels} == {
            frozenset(label.split(":")) for label in expected["levels"]
        }


@pytest.mark.parametrize("case", EXPECTED["deparse"], ids=lambda case: case["text"])
def test_terms_are_written_as_r_writes_them(case):
    _, right = sides("y ~ " + case["text"])
    assert deparse(right) == case["written"]


def test_the_offset_is_the_sum_of_its_terms_and_no_column():
    case = next(case for case in EXPECTED["fixed"] if "log(w)" in case["rhs"])
    design = build_design(dataset(), "m", Model(formula="y ~ " + case["rhs"]))
    assert design.names == ("(Intercept)", "z")
    np.testing.assert_allclose(design.offset, case["offset"], rtol=1e-12)
