"""The package runs a whole study without the workflow, in about ten lines."""

from pathlib import Path

import polars as pl
import pytest

from nestwise.config.load import load_study
from nestwise.data.contract import validate
from nestwise.data.prepare import prepare
from nestwise.data.read import read
from nestwise.data.source import locate
from nestwise.engines import fit_model
from nestwise.results import estimates_frame


def test_a_study_in_ten_lines():
    file = load_study("config/studies/sleepstudy.yaml")
    study = file.study
    source = locate(study.data.source, file.path, [Path.cwd()])
    typed = read(source, study.data, study.variables, study.groups, study.time)
    validation = validate(typed, study, source=study.data.source)
    dataset = prepare(typed, validation, file.name, study.groups, study.time, study.derive)
    fits = [fit_model(dataset, name, model, "lmm") for name, model in study.models.items()]
    estimates = pl.concat(map(estimates_frame, fits))

    slopes = estimates.filter(component="fixed", term="Days", model="growth")
    assert slopes["estimate"].item() == pytest.approx(10.46729, rel=1e-4)
    assert slopes["df"].item() == pytest.approx(17.0, abs=1e-2)
