import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Study
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.design.build import build_design
from nestwise.design.description import design_record
from nestwise.engines import fit_model
from nestwise.figures import gallery
from nestwise.figures.gallery import draw_all, title_of
from nestwise.figures.inputs import gather_inputs, model_tables
from nestwise.figures.missing import missingness
from nestwise.figures.plan import model_plan, study_plan
from nestwise.figures.varying_lines import line_rows, line_table
from nestwise.results import gather, save_fit
from nestwise.storage import write_json

STUDY = {
    "title": "A <b>study</b>",
    "data": {"source": "x.csv"},
    "groups": {"school": {"label": "school <script>"}},
    "variables": {"y": {"unit": "ms", "label": "$y$ & more"}},
    "derive": [{"between": "x", "group": "school", "as": "x_mean"}],
    "models": {
        "level": {"formula": "y ~ x + x_mean + (1 | school)", "engines": ["lmm", "pooled", "unpooled"]},
        "slope": {"formula": "y ~ x + u + (x | school)", "engines": ["lmm", "unpooled"]},
        "broken": {"formula": "y ~ absent + (1 | school)", "engines": ["lmm"]},
    },
    "report": {"main_model": "slope"},
}


def school_data(schools=15):
    generator = np.random.default_rng(1)
    sizes = generator.integers(4, 20, schools)
    codes = np.repeat(np.arange(schools), sizes)
    u = generator.normal(size=schools)
    a, b = 10 + 2 * u + generator.normal(0, 1, schools), 1 + generator.normal(0, 0.5, schools)
    x = generator.normal(size=codes.size) + generator.normal(size=schools)[codes]
    y = a[codes] + b[codes] * x + generator.normal(0, 1, codes.size)
    frame = pl.DataFrame(
        {
            ".row": np.arange(1, codes.size + 1),
            "school": [f"<s{k}>" for k in codes],
            "x": x,
            "u": u[codes],
            "y": y,
        }
    )
    return frame.with_columns(
        pl.col("school").cast(pl.Enum(sorted(set(frame["school"])))),
        pl.when(pl.col(".row") == 3).then(None).otherwise(pl.col("x")).alias("x"),
        pl.col("x").mean().over("school").alias("x_mean"),
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    study = Study.model_validate(STUDY)
    variables = {
        name: VariableInfo(name, "continuous", declared=False, unit=None)
        for name in ("x", "u", "y", "x_mean")
    }
    dataset = Dataset("s", school_data().lazy(), variables, {"school": None}, None, study.derive)
    folders = []
    for name, model in study.models.items():
        if name != "broken":
            write_json(
                folder / "models" / name / "design.json", design_record(build_design(dataset, name, model))
            )
        for engine in model.engines:
            folders.append(folder / "fits" / f"{name}.{engine}")
            save_fit(fit_model(dataset, name, model, engine), folders[-1])
    for table in ("estimates", "fits", "groups", "checks"):
        gather(folders, table).write_parquet(folder / f"{table}.parquet")
    return folder, study, dataset


@pytest.fixture(scope="module")
def inputs(finished):
    return gather_inputs(*finished, seed=7)


@pytest.fixture(scope="module")
def drawn(inputs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "figures"
    return folder, draw_all(inputs, folder)


def test_the_gallery_writes_what_its_index_lists(drawn):
    folder, index = drawn
    assert json.loads((folder / "figures.json").read_text()) == index
    listed = {entry[key] for entry in index for key in ("file", "data") if entry[key]}
    assert {path.name for path in folder.iterdir()} == listed | {"figures.json"}
    assert all(entry["caption"] and entry["alt"] and entry["title"] for entry in index if entry["file"])
    names = {(entry["model"], entry["name"]) for entry in index}
    assert ("", "within_between") in names
    assert ("", "missingness") in names
    assert ("slope", "pooling_lines") in names
    assert ("slope", "group_level_predictor") in names
    assert ("slope", "league") in names
    assert ("level", "league") not in names
    assert not {name for model, name in names if model == "broken"}
    assert not [entry for entry in index if entry["reason"]]


def test_the_gallery_is_the_same_twice(inputs, drawn, tmp_path):
    first, _ = drawn
    models = {"slope": inputs.config.models["slope"]}
    draw_all(replace(inputs, config=inputs.config.model_copy(update={"models": models})), tmp_path / "again")
    again = sorted(path.name for path in (tmp_path / "again").glob("slope.*"))
    assert len(again) > 20
    assert again == sorted(path.name for path in first.glob("slope.*"))
    for name in again:
        assert (first / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_hostile_names_stay_text(drawn):
    for path in drawn[0].glob("*.svg"):
        assert "<script" not in path.read_text()
        assert "<s1>" not in path.read_text()


def test_what_breaks_is_an_entry_with_its_reason(inputs, tmp_path, monkeypatch):
    def broken(_inputs, _model):
        raise KeyError("what")

    def one_good():
        return missingness(inputs.dataset.frame, ["x"], inputs.wording("y"))

    monkeypatch.setattr(
        gallery, "study_plan", lambda _: {"spaghetti": lambda: 1 / 0, "missingness": one_good}
    )
    monkeypatch.setattr(gallery, "model_plan", broken)
    index = draw_all(inputs, tmp_path / "figures")
    assert [entry["file"] for entry in index] == [None, "study.missingness.svg", None, None, None]
    assert "ZeroDivisionError" in index[0]["reason"]
    assert "KeyError" in index[2]["reason"]


def test_a_study_of_which_nothing_was_fitted_has_its_data_figures(finished, tmp_path):
    _, study, dataset = finished
    index = draw_all(gather_inputs(tmp_path / "nothing", study, dataset), tmp_path / "figures")
    assert [entry["name"] for entry in index if entry["file"]] == [
        "outcome_by_group", "within_between", "missingness",
    ]  # fmt: skip


def test_points_are_raw_where_the_line_is_all_there_is(inputs):
    tables = model_tables(inputs, "slope")
    points = line_rows(tables, "x")
    assert not points["adjusted"].any()
    assert np.allclose(points["y"], tables.predictions["observed"])


def test_lines_reproduce_the_fitted_values(inputs):
    tables = model_tables(inputs, "slope")
    lines = line_table(tables, "x").filter(pl.col("pooling") == "partial")
    rows = tables.rows.join(lines, left_on=".label", right_on="label", maintain_order="left")
    on_line = rows["intercept"] + rows["slope"] * rows["x"]
    assert np.allclose(on_line, rows[".fitted"])


def test_a_common_slope_is_that_of_each_pooling(inputs):
    tables = model_tables(inputs, "level")
    lines = line_table(tables, "x").group_by("pooling").agg(pl.col("slope").unique()).sort("pooling")
    slopes = {row[0]: row[1][0] for row in lines.iter_rows()}
    for pooling, engine in (("no", "unpooled"), ("complete", "pooled"), ("partial", "lmm")):
        fixed = tables.of(engine).filter((pl.col("component") == "fixed") & (pl.col("term") == "x"))
        assert slopes[pooling] == fixed["estimate"][0]


def test_derived_columns_are_those_of_the_rows_used(inputs):
    """Rule 11: row 3 has no x and is left out, so the group means are those without it."""
    rows = model_tables(inputs, "level").rows
    means = rows.group_by("school").agg(pl.col("x").mean().alias("mean"), pl.col("x_mean").first())
    assert np.allclose(means["mean"], means["x_mean"])


def test_persons_followed_over_time_are_not_ranked(inputs):
    timed = replace(inputs, dataset=replace(inputs.dataset, time="x"))
    assert "league" in model_plan(inputs, "slope")
    assert "league" not in model_plan(timed, "slope")
    assert "spaghetti" in study_plan(timed)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("shrinkage", "Where partial pooling moves each group"),
        ("within_between_x", "Within groups and between groups: x"),
    ],
)
def test_titles(name, title):
    assert title_of(name) == title


def test_each_grouping_factor_has_its_figures(inputs):
    """A second factor beside the school; no group is then estimated from its own rows alone."""
    empty = [pl.lit(None, dtype=pl.Float64).alias(name) for name in ("no_pooling", "no_pooling_se")]
    own = inputs.groups.filter(model="slope", engine="lmm").with_columns(*empty)
    other = own.filter(term="(Intercept)").with_columns(pl.lit("town:part").alias("group"))
    random = [{"group": name, "names": ["(Intercept)"]} for name in ("school", "town:part")]
    designs = {"slope": {**inputs.designs["slope"], "random": random}}
    plan = model_plan(replace(inputs, groups=pl.concat([own, other]), designs=designs), "slope")
    for name in ("caterpillar", "league", "pooling_factor", "random_effect_qq"):
        assert {f"{name}_school", f"{name}_town_part"} <= set(plan)
        assert name not in plan
    assert not [name for name in plan if name.startswith(("shrinkage", "pooling_by_size", "pooling_lines"))]
    assert "town:part" in plan["caterpillar_town_part"]().caption
