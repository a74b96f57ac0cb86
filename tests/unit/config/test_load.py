import copy
from pathlib import Path

import pytest
import yaml

from nestwise.config.load import load_run, load_studies, load_study
from nestwise.errors import StudyError

STUDY = {
    "title": "Pupils",
    "data": {"source": "pupils.csv", "missing_values": ["NA", -99]},
    "groups": {"school": {}, "class": {"within": "school"}},
    "variables": {"score": {"type": "continuous", "min": 0}},
    "derive": [{"within": "score", "group": "school", "as": "score_within"}],
    "models": {"levels": {"formula": "score ~ 1 + (1 | school)"}},
}


def _write(folder: Path, study, name="pupils.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(study))
    return path


def _changed(**changes):
    """The study with dotted keys (`__` for a dot) set to new values."""
    study = copy.deepcopy(STUDY)
    for key, value in changes.items():
        *parents, last = key.split("__")
        place = study
        for parent in parents:
            place = place[int(parent) if isinstance(place, list) else parent]
        place[last] = value
    return study


def test_a_study_is_named_by_its_file(tmp_path):
    loaded = load_study(_write(tmp_path, STUDY))
    assert loaded.name == "pupils"
    assert loaded.study.groups["class"].within == "school"
    assert loaded.study.models["levels"].engines == ("pooled", "unpooled", "lmm", "mixedlm", "pymc")
    assert loaded.study.derive[0].kind == "within"


def test_the_gallery_is_valid():
    files = sorted(Path("config/studies").glob("*.yaml"))
    assert {file.name for file in load_studies(files)} >= {"radon", "sleepstudy", "exam"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"titel": "x"}, "titel: the key `titel` is unknown; did you mean `title`"),
        ({"data__sorce": "x"}, "data.sorce.*did you mean `source`"),
        ({"groups__school": {"inside": "x"}}, "groups.school.inside.*keys here are within, label"),
        ({"models__levels__engine": ["lmm"]}, "did you mean `engines`"),
        ({"models__levels__engines": ["lme"]}, "'lme' is not known here; use one of 'lmm'"),
        ({"models__levels__engines": ["lmm", "lmm"]}, "lists one twice"),
        ({"models__levels__family": "gausian"}, "'gausian' is not known"),
        ({"models__levels__formula": "score ~ 1 + (1 | school"}, "models.levels.formula"),
        (
            {"models__levels__formula": "I(__import__('os').getcwd()) ~ 1 + (1 | school)"},
            "models.levels.formula",
        ),
        ({"models": {"../x": {"formula": "score ~ 1 + (1 | school)"}}}, "cannot be used as a name"),
        ({"models": {}}, "models"),
        ({"groups": {}}, "groups"),
        ({"groups__class__within": "town"}, "`town` is not one of the groups"),
        ({"groups__school__within": "class"}, "nested in a circle"),
        ({"groups__school__within": "school"}, "nested in a circle"),
        ({"variables__score": {"min": 3, "max": 1}}, "min 3 is larger than max 1"),
        ({"variables__score": {"levels": ["a", "a"]}}, "twice"),
        ({"variables__score": {"levels": ["a", "b"], "reference": "c"}}, "not one of the levels"),
        ({"variables__score": {"type": "number"}}, "'number' is not known"),
        ({"derive": [{"as": "x"}]}, "exactly one of"),
        ({"derive": [{"within": "score", "as": "x"}]}, "needs `group`"),
        ({"derive": [{"within": "score", "group": "town", "as": "x"}]}, "`town` is not one of the groups"),
        ({"derive": [{"center": "score", "group": "school", "as": "x"}]}, "leave `group` out"),
        ({"report": {"main_model": "best"}}, "no model `best`"),
        ({"compare": {"level": 1.5}}, "compare.level"),
        ({"title": ""}, "title"),
        ({"title": ["x"]}, "title"),
        ({"missing": {"strategies": ["magic"]}}, "'magic' is not known"),
        ({"missing": {"strategies": ["mi", "mi"]}}, "strategies lists one twice"),
        ({"missing": {"imputation": "pan"}}, "missing.imputation"),
        ({"missing": {"imputations": 0}}, "missing.imputations"),
        ({"missing": {"delta": ["much"]}}, "missing.delta"),
        ({"missing": {"methods": {"score": "guess"}}}, "missing.methods.score"),
        ({"missing": {"arm": {"column": "arm"}}}, "missing.arm.reference"),
        ({"missing": {"imputatoins": 5}}, "imputatoins"),
        ({"models__levels__weights": "w", "models__levels__sampling_error": "s"}, "keep one of them"),
        (
            {"models__levels__sampling_error": "s", "models__levels__residual": {"structure": "ar1"}},
            "models.levels: sampling_error leaves no residual variance",
        ),
        (
            {"models__levels__family": "poisson", "models__levels__residual": {"structure": "ar1"}},
            "a poisson outcome has no residual variance: leave residual out",
        ),
        (
            {"models__levels__family": "binomial", "models__levels__sampling_error": "s"},
            "a binomial outcome has no residual variance: leave sampling_error out",
        ),
        ({"models__levels__correlation": "toeplitz"}, "'toeplitz' is not known"),
        ({"models__levels__lags": 0}, "models.levels.lags"),
        (
            {"models__levels__df": "kenward_roger", "models__levels__reml": False},
            "corrects a REML fit: set reml: true, or choose satterthwaite",
        ),
        (
            {"models__levels__df": "kenward_roger_linear", "models__levels__reml": False},
            "corrects a REML fit",
        ),
        ({"models__levels__df": "kenward-roger"}, "'kenward-roger' is not known"),
        ({"models__levels__robust": "CR4"}, "'CR4' is not known"),
        ({"models__levels__bootstrap": -1}, "bootstrap"),
        ({"models__levels__bootstrap": 10**9}, "bootstrap"),
        ({"models__levels__means": ["arm"]}, "means"),
        ({"models__levels__means": [[]]}, "an empty grid"),
        ({"models__levels__means": [["arm", "arm"]]}, "twice in one grid"),
        ({"models__levels__means": [["arm"], ["arm"]]}, "lists a grid twice"),
        ({"models__levels__residual": {"structure": "un"}}, "'un' is not known"),
        ({"models__levels__residual": {"structure": "ar1", "visit": "x"}}, "`visit` is unknown"),
        ({"models__levels__residual": {"variance": {}}}, "exactly one of power, exponential, strata"),
        (
            {"models__levels__residual": {"variance": {"power": "x", "strata": "g"}}},
            "exactly one of power, exponential, strata",
        ),
        (
            {"models__levels__residual": {"heterogeneous": True, "variance": {"power": "x"}}},
            "models.levels.residual: heterogeneous gives each visit a variance of its own",
        ),
        (
            {"models__levels__residual": {"structure": "unstructured", "variance": {"power": "x"}}},
            "unstructured gives each visit a variance of its own",
        ),
        ({"groups__school": {"relation": ""}}, "groups.school.relation"),
    ],
)
def test_each_problem_is_a_sentence_with_its_place(tmp_path, changes, said):
    with pytest.raises(StudyError, match=said) as caught:
        load_study(_write(tmp_path, _changed(**changes)))
    for problem in caught.value.problems:
        assert str(problem).startswith(str(tmp_path / "pupils.yaml"))
        assert "\n" not in str(problem)


def test_all_problems_of_all_files_are_listed(tmp_path):
    first = _write(tmp_path, _changed(titel="x", data__source=3), "a.yaml")
    second = _write(tmp_path, _changed(groups__class__within="town", report={"main_model": "best"}), "b.yaml")
    with pytest.raises(StudyError) as caught:
        load_studies([first, second, tmp_path / "c.yaml"])
    assert len(caught.value.problems) == 5


def test_two_studies_of_one_name_are_refused(tmp_path):
    (tmp_path / "more").mkdir()
    paths = [_write(tmp_path, STUDY), _write(tmp_path / "more", STUDY)]
    with pytest.raises(StudyError, match="same name"):
        load_studies(paths)


@pytest.mark.parametrize("name", [".yaml", "-x.yaml", "a b.yaml", "..yaml", "a$.yaml"])
def test_a_name_that_cannot_be_a_folder_is_refused(tmp_path, name):
    with pytest.raises(StudyError, match="cannot name a folder"):
        load_study(_write(tmp_path, STUDY, name))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "studies.*missing"),
        ({"studies": []}, "studies"),
        ({"studies": ["a.yaml"], "seed": -1}, "seed"),
        ({"studies": ["a.yaml"], "sede": 1}, "did you mean `seed`"),
    ],
)
def test_the_configuration_is_checked_too(config, said):
    with pytest.raises(StudyError, match=said):
        load_run(config)
