"""Contextual effects against contest1D of lmerTest (tests/reference/contextual), rule 11.

Estimates and errors 1e-5 of the error: two optimisers on one surface; Satterthwaite df 1e-3 relative
(lmerTest differentiates numerically), Kenward-Roger df 1e-4, as in test_small_sample.py.
"""

import importlib.util
import json
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest

from nestwise.config.study import Derivation, Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.data.derive import derive
from nestwise.design.build import build_design
from nestwise.fit.fixed_effects import fixed_effect_inference
from nestwise.fit.inference import contextual_rows
from nestwise.fit.state import solve_lmm

HERE = Path(__file__).parent
SAID = json.loads((HERE / "contextual" / "expected.json").read_text())["sets"]


def bundled(package, dataset):
    spec = importlib.util.spec_from_file_location("make_data", HERE / "make_data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return pl.read_csv(BytesIO(module.csv_bytes(package, dataset)))


def design_of(said):
    derivations = tuple(
        Derivation.model_validate({kind: said["covariate"], "group": said["group"], "as": name})
        for kind, name in (("within", "x_within"), ("between", "x_mean"))
    )
    groups = [said["group"], *said["extra"]]
    frame = bundled(said["package"], said["dataset"]).with_columns(pl.col(groups).cast(pl.String))
    frame = derive(frame, derivations).with_row_index(".row", offset=1)
    variables = {name: VariableInfo(name, "continuous", True) for name in frame.columns if name != ".row"}
    dataset = Dataset("s", frame.lazy(), variables, dict.fromkeys(groups), derivations=derivations)
    return build_design(dataset, "m", Model(formula=said["formula"]))


@pytest.mark.parametrize("method", ["satterthwaite", "kenward_roger"])
@pytest.mark.parametrize("name", SAID)
def test_between_minus_within(name, method):
    said = SAID[name]
    design = design_of(said)
    state = solve_lmm(design)
    (row,) = contextual_rows(design.contextual, fixed_effect_inference(design, state, method), 0.95)
    expected = said[method]
    assert (row.component, row.group) == ("derived", said["group"])
    assert row.term == f"contextual_effect:{said['covariate']}"
    assert row.estimate == pytest.approx(expected["estimate"], abs=1e-5 * expected["std_error"])
    assert row.std_error == pytest.approx(expected["std_error"], rel=1e-5)
    assert row.df == pytest.approx(expected["df"], rel=1e-3 if method == "satterthwaite" else 1e-4)
    assert row.p_value == pytest.approx(expected["p"], rel=1e-2)
    assert row.lower < row.estimate < row.upper
