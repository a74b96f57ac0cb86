"""From validated data to the Dataset, and to its file and back."""

import polars as pl
import pytest

from nestwise.config.study import Study
from nestwise.data.contract import validate
from nestwise.data.prepare import load_dataset, prepare, save_dataset
from nestwise.errors import DataError

SECTIONS = {
    "groups": {"school": {}, "class": {"within": "school"}},
    "time": {"column": "year"},
    "variables": {
        "score": {"type": "continuous", "unit": "points", "label": "<b>Score</b>"},
        "sex": {"type": "binary", "levels": ["m", "f"]},
        "band": {"type": "ordinal", "levels": ["lo", "hi"]},
        "kind": {"type": "categorical", "reference": "state"},
    },
    "derive": [{"between": "score", "group": "class", "as": "mean score"}, {"scale": "score", "as": "z"}],
}
ROWS = [
    f"{school},{cls},{year},{10 * k + cls},{'mf'[k % 2]},{('lo', 'hi')[k % 2]},{('private', 'state')[k % 2]}"
    for k, (school, cls, year) in enumerate((s, c, t) for s in "AB" for c in (1, 2) for t in (0, 1))
]
TEXT = "school,class,year,score,sex,band,kind\n" + "\n".join(ROWS) + "\n"


def described(**sections):
    return Study.model_validate(
        {"title": "t", "data": {"source": "x.csv"}, "models": {"m": {"formula": "y ~ 1 + (1 | g)"}}}
        | sections
    )


def dataset(table, text=TEXT, **changes):
    sections = SECTIONS | changes
    typed = table(text, **sections)
    study = described(**sections)
    validation = validate(typed, study, source="x.csv")
    return prepare(typed, validation, "schools", study.groups, study.time, study.derive)


def test_dataset_holds_what_the_contract_promises(table):
    made = dataset(table)
    frame = made.frame.collect()
    assert frame.schema[".row"] == pl.Int64
    assert frame["sex"].dtype == pl.Int8
    assert frame["band"].dtype == pl.Enum(["lo", "hi"])
    assert frame["kind"].dtype == pl.Enum(["state", "private"])
    assert frame["z"].dtype == frame["mean score"].dtype == pl.Float64
    assert set(made.variables) == set(frame.columns) - {".row"}
    assert made.within == {"school": None, "class": "school"}
    assert made.time == "year"
    assert made.variables["sex"].levels == ("m", "f")


def test_groups_of_restarting_ids_have_means_of_their_own(table):
    frame = dataset(table).frame.collect()
    by_hand = frame.group_by("school", "class").agg(pl.col("score").mean(), pl.col("mean score").first())
    assert by_hand["mean score"].to_list() == pytest.approx(by_hand["score"].to_list())
    assert frame["mean score"].n_unique() == 4


def test_dataset_survives_its_file(table, tmp_path):
    made = dataset(table)
    save_dataset(made, tmp_path / "analysis.parquet")
    again = load_dataset(tmp_path / "analysis.parquet")
    assert again.frame.collect().equals(made.frame.collect())
    assert (again.study, again.variables, again.within) == (made.study, made.variables, made.within)
    assert (again.time, again.derivations) == (made.time, made.derivations)
    assert isinstance(again.frame, pl.LazyFrame)


def test_nothing_half_written_is_left(table, tmp_path):
    made = dataset(table)
    (tmp_path / "x.csv").unlink()
    with pytest.raises(Exception, match=r"x\.csv"):
        save_dataset(made, tmp_path / "out" / "analysis.parquet")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PAR1", b"text"])
def test_a_file_of_somebody_else(tmp_path, content):
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(DataError, match="not written by nestwise"):
        load_dataset(tmp_path / "x.parquet")


def test_a_parquet_file_without_the_record(tmp_path):
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="not written by nestwise"):
        load_dataset(tmp_path / "x.parquet")


def test_all_errors_are_told_at_once(table):
    text = TEXT.replace("A,1,0,1,", ",1,0,many,").replace(",hi,", ",high,")
    with pytest.raises(DataError) as caught:
        dataset(table, text, variables=SECTIONS["variables"] | {"absent": {}})
    said = str(caught.value)
    for words in ("'absent'", "'many'", "'high'", "column school", "row 1"):
        assert words in said
    for problem in caught.value.problems:
        assert problem.where.startswith("x.csv")
        assert problem.way_out


def test_warnings_do_not_stop_a_study(table):
    assert dataset(table).frame.collect().height == 8
