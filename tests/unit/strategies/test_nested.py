"""Models tested against the smaller ones they hold, on the imputations of the larger one."""

import numpy as np
import pytest

from nestwise.config import sections
from nestwise.config.study import Model, Study
from nestwise.design.build import build_design
from nestwise.imputation.draws import load_draws
from nestwise.imputation.model_comparison import compare_models
from nestwise.impute.impute import imputations
from nestwise.missing.visits import all_visits
from nestwise.strategies import nested
from nestwise.strategies.gaps import save_gaps
from nestwise.strategies.treatment import treat

FORMULAS = {
    "level": "y ~ x + (1 | id)",
    "additive": "y ~ x + arm + t + (1 | id)",
    "m": "y ~ x + arm * t + (t | id)",
    "other": "y ~ I(x^2) + (1 | id)",
}


@pytest.fixture(scope="module")
def study(study_of):
    content = study_of(strategies=["mi"]).model_dump(mode="json", by_alias=True, exclude_none=True)
    models = {name: {"formula": formula, "engines": ["lmm"]} for name, formula in FORMULAS.items()}
    return Study.model_validate(content | {"models": models})


@pytest.fixture(scope="module")
def drawn(dropout, study, tmp_path_factory):
    path = tmp_path_factory.mktemp("draws") / "m.npz"
    save_gaps(dropout, "m", sections.draw_section(study, "m", 3), path)
    return path


def model_tests(fit):
    return [row for row in fit.tests if row.test == "model"]


def test_a_step_reads_the_largest_models_below_it_and_no_others(study):
    section = sections.treat_section(study, "m", "lmm", "mi", 3)
    assert list(section["smaller"]) == ["additive"]
    assert list(sections.treat_section(study, "additive", "lmm", "mi", 3)["smaller"]) == ["level"]
    assert sections.treat_section(study, "m", "lmm", "complete_case", 3)["smaller"] == {}
    # neither its label nor another model's formula is read
    models = dict(study.models)
    models["additive"] = models["additive"].model_copy(update={"label": "new"})
    models["other"] = models["other"].model_copy(update={"formula": "y ~ exp(x) + (1 | id)"})
    changed = study.model_copy(update={"models": models})
    assert sections.treat_section(changed, "m", "lmm", "mi", 3) == section


def test_the_tests_are_those_of_the_completed_data(dropout, study, drawn):
    section = sections.treat_section(study, "m", "lmm", "mi", 3)
    fit = treat(dropout, "m", "lmm", section, draws=[drawn])
    completed = list(imputations(all_visits(dropout, None), load_draws(drawn)))
    larger, smaller = (
        [build_design(each, name, Model(formula=FORMULAS[name])) for each in completed]
        for name in ("m", "additive")
    )
    direct = compare_models(larger, smaller)
    assert [row.term for row in model_tests(fit)] == ["additive", "additive"]
    for row, found in zip(model_tests(fit), (direct.D3, direct.D4), strict=True):
        assert (row.statistic, row.df_num, row.df_den, row.p_value) == pytest.approx(
            (found.statistic, found.df_num, found.df_den, found.p_value), rel=1e-12
        )
        assert found.method in row.reference
        assert "upper bound" in row.reference  # the slope's variance is zero in the smaller model
        assert row.df_num == 3  # an interaction, a variance, a covariance
    assert np.isfinite(model_tests(fit)[0].p_value)


def test_without_a_missing_variance_the_p_value_is_no_bound(dropout, study, drawn):
    section = sections.treat_section(study, "additive", "lmm", "mi", 3)
    fit = treat(dropout, "additive", "lmm", section, draws=[drawn])
    assert {row.term for row in model_tests(fit)} == {"level"}
    assert not any("bound" in row.reference for row in model_tests(fit))


def test_a_model_that_cannot_be_compared_is_said_and_the_fit_stands(dropout, study, drawn):
    section = sections.treat_section(study, "m", "lmm", "mi", 3)
    section["smaller"]["additive"]["formula"] = "y ~ x + nothing + (1 | id)"
    fit = treat(dropout, "m", "lmm", section, draws=[drawn])
    assert fit.status.value in ("ok", "singular")
    assert model_tests(fit) == []
    assert any("m is not tested against additive" in text for text in fit.warnings)


def test_data_too_large_are_not_held_at_once(dropout, study, drawn, monkeypatch):
    monkeypatch.setattr(nested, "LARGEST", 100)
    fit = treat(dropout, "m", "lmm", sections.treat_section(study, "m", "lmm", "mi", 3), draws=[drawn])
    assert model_tests(fit) == []
    assert any("too large" in text for text in fit.warnings)
