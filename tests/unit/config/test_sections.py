import copy

import pytest

from nestwise.config import sections
from nestwise.config.study import Model, Study

STUDY = {
    "title": "Pupils",
    "data": {"source": "pupils.csv"},
    "groups": {"school": {}},
    "variables": {"score": {"type": "continuous", "label": "Score"}},
    "models": {
        "a": {"formula": "score ~ 1 + (1 | school)"},
        "b": {
            "formula": "score ~ x + (1 | school)",
            "priors": {"sigma": {"distribution": "exponential", "scale": 1}},
        },
    },
}


SHOWN = {"figures", "report"}
READERS = {"design a", "fit a lmm", "fit a pymc", "fit a gee", "draw"}
"""What reads how a model is fitted, whatever the engine."""
DRAWING = {"draw", "treat wgee", "treat delta"}
"""Strategies for missing data that draw random numbers."""


def _all(study: Study, seed: int = 1) -> dict[str, object]:
    made = {
        name: getattr(sections, f"{name}_section")(study)
        for name in ("read", "validate", "prepare", "tables")
    } | {name: getattr(sections, f"{name}_section")(study, seed) for name in ("figures", "report")}
    for model in study.models:
        made[f"design {model}"] = sections.design_section(study, model)
        for engine in ("lmm", "pymc", "gee"):
            made[f"fit {model} {engine}"] = sections.fit_section(study, model, engine, seed)
    shifts = study.missing.model_copy(update={"delta": study.missing.delta or (0.0, 1.0)})
    treated = study.model_copy(update={"missing": shifts})
    made["draw"] = sections.draw_section(study, "a", seed)
    for label in ("wgee", "delta-1"):
        name = label.partition("-")[0]
        made[f"treat {name}"] = sections.treat_section(treated, "b", "lmm", label, seed)
    return made


def _edited(path: tuple[str, ...], value: object) -> Study:
    content = copy.deepcopy(STUDY)
    place = content
    for part in path[:-1]:
        place = place.setdefault(part, {})
    place[path[-1]] = value
    return Study.model_validate(content)


@pytest.mark.parametrize(
    ("path", "value", "touched"),
    [
        (("title",), "New", {"report"}),
        (("report",), {"question": "Why?"}, {"report"}),
        (("report",), {"main_model": "a"}, SHOWN),
        (("variables", "score", "label"), "New", SHOWN),
        (("variables", "score", "min"), 0, {"validate"} | SHOWN),
        (("variables", "score", "constant_within"), "school", {"validate", "draw"} | SHOWN),
        (("variables", "score", "type"), "count", {"read", "validate"} | SHOWN),
        (("data", "missing_values"), [-9], {"read", "validate", "prepare"} | SHOWN),
        (("groups", "school", "label"), "New", SHOWN),
        (("models", "a", "label"), "New", SHOWN),
        (("models", "a", "reml"), False, READERS | SHOWN),
        (("models", "b", "priors"), {}, {"fit b pymc"} | SHOWN),
        (("models", "b", "draws"), 2000, {"fit b pymc"} | SHOWN),
        (("missing",), {"strategies": ["observed", "mi"]}, SHOWN),
        (("missing",), {"strategies": ["wgee"]}, {"tables"} | SHOWN),
        (("missing",), {"imputations": 7}, {"draw"} | SHOWN),
        (("missing",), {"iterations": 7}, {"draw"} | SHOWN),
        (("missing",), {"imputation": "joint"}, {"draw"} | SHOWN),
        (("missing",), {"weights": {"largest": None}}, {"treat wgee"} | SHOWN),
        (("missing",), {"delta": [0, 3]}, {"treat delta"} | SHOWN),
        (("missing",), {"delta_arms": "all"}, {"treat delta"} | SHOWN),
        (("groups", "school", "relation"), "K.csv", {"prepare"} | SHOWN),
        (("models", "a", "df"), "kenward_roger", {"fit a lmm"} | SHOWN),
        (("models", "a", "robust"), "CR2", {"fit a lmm"} | SHOWN),
        (("models", "a", "correlation"), "ar1", READERS | SHOWN),
        (("models", "a", "lags"), 2, {"fit a gee"} | SHOWN),
        (("models", "a", "variance"), "MD", {"fit a gee"} | SHOWN),
        (("models", "a", "bootstrap"), 100, {"fit a lmm"} | SHOWN),
        (("models", "a", "means"), [["x"]], {"design a", "fit a lmm"} | SHOWN),
        (("models", "a", "weights"), "w", READERS | SHOWN),
        (("models", "a", "sampling_error"), "s", READERS | SHOWN),
        (
            ("models", "a", "residual"),
            {"structure": "ar1", "time": "t"},
            READERS | SHOWN,
        ),
    ],
)
def test_an_edit_changes_the_sections_that_read_it_and_no_others(path, value, touched):
    before, after = _all(Study.model_validate(STUDY)), _all(_edited(path, value))
    assert {name for name in before if before[name] != after[name]} == touched


def test_lmm_reads_the_seed_if_it_bootstraps():
    study = _edited(("models", "a", "bootstrap"), 100)
    before, after = _all(study, 1), _all(study, 2)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"fit a lmm", "fit a pymc", "fit b pymc"} | DRAWING | SHOWN


def test_a_section_is_a_model_again():
    """Every key that a step is given makes the model it came from."""
    study = _edited(
        ("models", "a", "residual"), {"structure": "ar1", "time": "t", "variance": {"power": "x"}}
    )
    model = study.models["a"]
    assert Model.model_validate(sections.design_section(study, "a")).residual == model.residual
    fitted = Model.model_validate(sections.fit_section(study, "a", "lmm", 1)["model"])
    assert fitted == model.model_copy(update={"engines": ("lmm",)})


def test_gee_is_given_its_working_correlation_and_variance():
    study = _edited(("models", "a"), STUDY["models"]["a"] | {"variance": "FG", "correlation": "nested"})
    given = Model.model_validate(sections.fit_section(study, "a", "gee", 1)["model"])
    assert given == study.models["a"].model_copy(update={"engines": ("gee",)})


def test_the_seed_is_read_by_the_bayesian_engine_by_strategies_and_the_report():
    study = Study.model_validate(STUDY)
    before, after = _all(study, 1), _all(study, 2)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"fit a pymc", "fit b pymc"} | DRAWING | SHOWN
