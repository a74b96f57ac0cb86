"""Intercurrent events named in the study file, dealt with each by its own strategy."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from nestwise.config import sections
from nestwise.config.load import load_study
from nestwise.config.missing import Missing
from nestwise.config.study import Model
from nestwise.data.contract import validate
from nestwise.data.dataset import VariableInfo
from nestwise.data.prepare import prepare
from nestwise.data.read import read
from nestwise.errors import Refusal, StudyError
from nestwise.strategies.borrowed import borrowed, borrowing
from nestwise.strategies.treatment import treat

MODEL = Model(formula="y ~ x + arm * t + (1 | id)", engines=("lmm",))
ARM = {"column": "arm", "reference": "control"}
T = 4


@pytest.fixture(scope="module")
def whole(trial):
    """Every subject at every visit."""
    data = trial()
    frame = data.frame.collect()
    rng = np.random.default_rng(9)
    subjects = frame.unique("id", maintain_order=True).select("id", "arm", "x")
    grid = subjects.join(pl.DataFrame({"t": np.arange(float(T))}), how="cross")
    y = rng.normal(size=grid.height) + 0.5 * grid["x"].to_numpy() + 0.2 * grid["t"].to_numpy()
    full = grid.with_columns(y=pl.Series(y), **{".row": pl.arange(1, grid.height + 1)})
    return replace(data, frame=full.select(frame.columns).lazy())


def told(dataset, happened, kind="categorical"):
    """The study with a column `what`: {subject: (visit, event)}, from that visit on."""
    since = pl.DataFrame(
        {"id": list(happened), "since": [float(t) for t, _ in happened.values()],
         "event": [name for _, name in happened.values()]}
    ).with_columns(pl.col("id").cast(dataset.frame.collect_schema()["id"]))  # fmt: skip
    frame = dataset.frame.collect().join(since, on="id", how="left", maintain_order="left")
    what = pl.when(pl.col("t") >= pl.col("since")).then("event").alias("what")
    frame = frame.with_columns(what).drop("since", "event")
    variables = dict(dataset.variables) | {"what": VariableInfo("what", kind, declared=True)}
    return replace(dataset, frame=frame.lazy(), variables=variables)


def laid_out(dataset, strategy="j2r", **events):
    given = {"events": {"column": "what"} | events} if events is not None else {}
    return borrowing(dataset, MODEL, Missing.model_validate({"arm": ARM} | given), strategy)


def without_events(dataset, strategy="j2r"):
    return borrowing(dataset, MODEL, Missing.model_validate({"arm": ARM}), strategy)


def completed(found):
    return next(borrowed(found, 1, 5)).frame.collect()


RESCUE = {f"s{k}": (1 + k % 3, "rescue") for k in range(0, 30, 3)}


def test_treatment_policy_keeps_what_was_observed(whole):
    found = laid_out(told(whole, RESCUE), strategies={"rescue": "treatment_policy"})
    assert completed(found)["y"].equals(whole.frame.collect()["y"])
    (kind,) = found.events["kinds"]
    assert (kind["subjects"], kind["set_aside"], kind["strategy"]) == (10, 0, "treatment_policy")


def test_hypothetical_is_outcomes_removed_and_missing_at_random(whole):
    data = told(whole, RESCUE)
    found = laid_out(data, strategies={"rescue": "hypothetical"})
    gone = replace(
        data, frame=data.frame.with_columns(pl.when(pl.col("what").is_null()).then("y").alias("y"))
    )
    plain = without_events(gone, "mar")
    assert completed(found)["y"].equals(completed(plain)["y"])
    lost = data.frame.collect()["what"].count()
    assert found.events["kinds"][0]["set_aside"] == lost > 10


def test_a_composite_value_takes_the_place_of_every_outcome_after_it(whole):
    data = told(whole, RESCUE)
    found = laid_out(data, strategies={"rescue": "composite"}, failure=-7.5)
    frame = completed(found)
    after = data.frame.collect()["what"].is_not_null()
    assert (frame["y"].filter(after) == -7.5).all()
    assert frame["y"].filter(~after).equals(whole.frame.collect()["y"].filter(~after))


def test_leaving_without_an_event_takes_the_strategy_of_the_row(dropout):
    """A column without any event changes nothing."""
    empty = told(dropout, {"s0": (9, "never")})
    assert completed(laid_out(empty))["y"].equals(completed(without_events(dropout))["y"])
    found = laid_out(empty)
    assert found.events["left"] == (found.plan.before < T).sum() > 10
    assert found.events["kinds"] == []


def test_each_event_has_its_own_strategy_and_the_rest_that_of_the_row(whole):
    happened = RESCUE | {"s1": (2, "death"), "s5": (3, "moved")}
    data = told(whole, happened)
    found = laid_out(data, "cir", strategies={"rescue": "j2r", "death": "composite"}, failure=0.0)
    names = dict(zip(found.table.frame["id"].cast(pl.String), found.table.subjects, strict=True))
    assert found.plan.assumption[names["s5"]] == "cir"
    assert found.plan.assumption[names["s0"]] == "j2r"
    assert found.plan.before[[names["s1"], names["s5"], names["s2"]]].tolist() == [2, 3, T]
    told_of = {
        each["kind"]: (each["subjects"], each["strategy"], each["listed"]) for each in found.events["kinds"]
    }
    assert told_of == {
        "rescue": (10, "j2r", True), "death": (1, "composite", True), "moved": (1, "cir", False)
    }  # fmt: skip
    assert any("`moved` in what is not listed" in text for text in found.warnings)


def test_an_event_that_nobody_has_is_pointed_at(whole):
    found = laid_out(told(whole, RESCUE), strategies={"rescue": "j2r", "rescu": "cir"})
    assert any("No id has the event `rescu`" in text and "rescue" in text for text in found.warnings)


def test_the_first_event_that_is_no_treatment_policy_counts(whole):
    data = told(whole, {"s0": (1, "rescue")})
    late = (pl.col("id").cast(pl.String) == "s0") & (pl.col("t") == 3)
    data = replace(
        data,
        frame=data.frame.with_columns(pl.when(late).then(pl.lit("death")).otherwise("what").alias("what")),
    )
    policy = laid_out(data, strategies={"rescue": "treatment_policy", "death": "j2r"})
    both = laid_out(data, strategies={"rescue": "cir", "death": "j2r"})
    assert (policy.plan.before.min(), both.plan.before.min()) == (3, 1)
    assert policy.events["later"] == both.events["later"] == 1
    assert any("1 id has several events" in text for text in both.warnings)


def test_rows_of_absent_visits_tell_of_no_event(dropout):
    """The event is the same in all rows that have it, yet rows put in for absent visits do not have it."""
    frame = dropout.frame.collect()
    middle = frame.filter(pl.len().over("id") == T)["id"].cast(pl.String)[0]
    data = told(dropout, {middle: (3, "rescue")})
    absent = (pl.col("id").cast(pl.String) == middle) & (pl.col("t") == 1)
    found = laid_out(replace(data, frame=data.frame.filter(~absent)), strategies={"rescue": "cir"})
    at = {each["kind"]: each["subjects"] for each in found.events["kinds"]}
    assert at == {"rescue": 1}
    (who,) = [i for i, name in enumerate(found.plan.assumption) if name == "cir"]
    assert found.plan.before[who] == 3


def test_a_yes_or_no_column_tells_of_yes(whole):
    data = told(whole, RESCUE)
    coded = pl.col("what").is_not_null().cast(pl.Int8).alias("what")
    info = VariableInfo("what", "binary", declared=True, levels=("no", "yes"))
    data = replace(
        data, frame=data.frame.with_columns(coded), variables=dict(data.variables) | {"what": info}
    )
    found = laid_out(data, strategies={"yes": "treatment_policy"})
    assert [(each["kind"], each["subjects"]) for each in found.events["kinds"]] == [("yes", 10)]


@pytest.mark.parametrize(
    ("column", "kind", "said"),
    [("nothing", "categorical", "there is no column nothing"), ("x", "continuous", "x holds numbers")],
)
def test_a_column_that_tells_no_events_is_refused(whole, column, kind, said):
    given = Missing.model_validate({"arm": ARM, "events": {"column": column}})
    with pytest.raises(Refusal, match=said):
        borrowing(whole, MODEL, given, "j2r")


def test_the_jackknife_knows_the_events(trial, study_of, answer):
    """A column without events changes nothing; a composite value moves the answer."""
    dropout = trial(N=24)
    keys = {"inference": "jackknife", "strategies": ["j2r"]}
    model = {"formula": "y ~ x + arm * t + (1 | id)", "engines": ["lmm"]}
    plain = answer(dropout, study_of(model, **keys), "j2r")
    silent = answer(
        told(dropout, {"s0": (9, "-")}), study_of(model, events={"column": "what"}, **keys), "j2r"
    )
    assert plain.status.value == silent.status.value == "ok", silent.reason
    assert silent.means.equals(plain.means)
    events = {"column": "what", "strategies": {"rescue": "composite"}, "failure": 9.0}
    rescued = {"s0": (1, "rescue"), "s3": (2, "rescue"), "s6": (1, "rescue")}
    failed = answer(told(dropout, rescued), study_of(model, events=events, **keys), "j2r")
    assert failed.record["events"]["failure"] == 9.0
    assert abs(failed.means["estimate"] - plain.means["estimate"]).max() > 0.1


def study_file(folder: Path, **missing) -> Path:
    content = {
        "title": "A trial",
        "data": {"source": "trial.csv"},
        "groups": {"id": {}},
        "time": {"column": "t"},
        "models": {"m": {"formula": "y ~ arm * t + (1 | id)", "engines": ["lmm"]}},
        "missing": {"arm": ARM, "strategies": ["j2r"], "imputations": 4} | missing,
    }
    path = folder / "trial.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def prepared(folder, path):
    file = load_study(path)
    study = file.study
    typed = read(folder / "trial.csv", study.data, study.variables, study.groups, study.time)
    validation = validate(typed, study, source="trial.csv")
    return study, prepare(typed, validation, file.name, study.groups, study.time, study.derive)


def test_a_study_file_with_events_from_end_to_end(tmp_path, dropout):
    data = told(dropout, RESCUE | {"s4": (1, "death")})
    data.frame.collect().drop(".row").write_csv(tmp_path / "trial.csv")
    events = {
        "column": "what",
        "strategies": {"rescue": "treatment_policy", "death": "composite"},
        "failure": 5,
    }
    study, dataset = prepared(tmp_path, study_file(tmp_path, events=events))
    assert "what" in dataset.frame.collect_schema()
    fit = treat(dataset, "m", "lmm", sections.treat_section(study, "m", "lmm", "j2r", 3))
    assert (fit.status.value, fit.reason, fit.strategy) == ("ok", None, "j2r")
    record = fit.record["events"]
    seen = data.frame.collect().filter(pl.col("what") == "rescue")["id"].n_unique()
    assert [(each["kind"], each["subjects"]) for each in record["kinds"]] == [("death", 1), ("rescue", seen)]
    assert record["left"] > 10


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ({"events": {"column": "what", "strategies": {"a": "composite"}}}, "value that stands for failure"),
        (
            {"events": {"column": "what", "strategies": {"a": "j2r"}, "failure": 1}},
            "failure is the value of composite",
        ),
        ({"events": {"column": "what", "strategies": {"a": "jump"}}}, "'jump' is not known here"),
        ({"events": {"column": "what", "failure": float("nan")}}, "finite"),
        ({"events": {"column": "arm"}}, "the column of `arm` and of `events`"),
        ({"events": {}}, "the key `column` is missing"),
        ({"events": {"column": "what"}, "strategies": ["mi"]}, "events are dealt with by the strategies j2r"),
    ],
)
def test_what_a_study_file_must_not_say(tmp_path, missing, said):
    with pytest.raises(StudyError) as error:
        load_study(study_file(tmp_path, **missing))
    assert any(said in str(problem) for problem in error.value.problems), str(error.value)


def test_an_absent_column_is_found_when_data_are_validated(tmp_path, dropout):
    dropout.frame.collect().drop(".row").write_csv(tmp_path / "trial.csv")
    path = study_file(tmp_path, events={"column": "what"})
    study = load_study(path).study
    typed = read(tmp_path / "trial.csv", study.data, study.variables, study.groups, study.time)
    failed = [check for check in validate(typed, study, source="trial.csv").checks if not check.passed]
    assert any("missing.events" in (check.sentence or "") for check in failed)
