import copy

import pytest

from nestwise.config import sections
from nestwise.config.study import Study

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


def _all(study: Study, seed: int = 1) -> dict[str, object]:
    made = {
        name: getattr(sections, f"{name}_section")(study)
        for name in ("read", "validate", "prepare", "tables")
    } | {name: getattr(sections, f"{name}_section")(study, seed) for name in ("figures", "report")}
    for model in study.models:
        made[f"design {model}"] = sections.design_section(study, model)
        for engine in ("lmm", "pymc"):
            made[f"fit {model} {engine}"] = sections.fit_section(study, model, engine, seed)
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
        (("variables", "score", "type"), "count", {"read", "validate"} | SHOWN),
        (("data", "missing_values"), [-9], {"read", "validate", "prepare"} | SHOWN),
        (("groups", "school", "label"), "New", SHOWN),
        (("models", "a", "label"), "New", SHOWN),
        (("models", "a", "reml"), False, {"design a", "fit a lmm", "fit a pymc"} | SHOWN),
        (("models", "b", "priors"), {}, {"fit b pymc"} | SHOWN),
        (("models", "b", "draws"), 2000, {"fit b pymc"} | SHOWN),
        (("missing",), {"strategies": ["observed", "mi"]}, {"tables"} | SHOWN),
    ],
)
def test_an_edit_changes_the_sections_that_read_it_and_no_others(path, value, touched):
    before, after = _all(Study.model_validate(STUDY)), _all(_edited(path, value))
    assert {name for name in before if before[name] != after[name]} == touched


def test_the_seed_is_read_by_the_bayesian_engine_and_the_report():
    study = Study.model_validate(STUDY)
    before, after = _all(study, 1), _all(study, 2)
    assert {name for name in before if before[name] != after[name]} == {"fit a pymc", "fit b pymc"} | SHOWN
