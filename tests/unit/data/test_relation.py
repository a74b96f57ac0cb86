"""Tables of known correlation between groups: read, judged, carried along and put in order."""

from pathlib import Path

import numpy as np
import pytest

from nestwise.config.study import Group
from nestwise.data.dataset import Dataset
from nestwise.data.prepare import load_dataset, save_dataset
from nestwise.data.relation import read_relation, read_relations, relations_from_json, relations_to_json
from nestwise.data.source import locate_relations
from nestwise.errors import DataError

GOOD = "id,b,a,c\nb,2,0.5,0\na,0.5,1,0.25\nc,0,0.25,1\n"


@pytest.fixture
def table(tmp_path):
    def write(text, name="K.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_rows_and_columns_may_stand_in_any_order(table):
    turned = "id,c,b,a\nb,0,2,0.5\na,0.25,0.5,1\nc,1,0,0.25\n"
    first, second = read_relation(table(GOOD)), read_relation(table(turned, "turned.csv"))
    assert first.labels == second.labels == ("b", "a", "c")
    np.testing.assert_array_equal(first.matrix, [[2, 0.5, 0], [0.5, 1, 0.25], [0, 0.25, 1]])
    np.testing.assert_array_equal(first.matrix, second.matrix)


def test_tabs_by_the_ending(table):
    np.testing.assert_array_equal(
        read_relation(table(GOOD.replace(",", "\t"), "K.tsv")).matrix, read_relation(table(GOOD)).matrix
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"),
        ("id,a\n", "0 rows and 1 columns"),
        ("id,a,b\na,1,0\n", "1 rows and 2 columns"),
        ("id,a,b\na,1,0\nc,0,1\n", "do not name the same groups"),
        ("id,a,a\na,1,0\na,0,1\n", "empty or repeat"),
        ("id,a,\na,1,0\n,0,1\n", "empty or repeat"),
        ("id,a,b\na,1,x\nb,0,1\n", "entry of a and b is no finite number"),
        ("id,a,b\na,1,\nb,0,1\n", "entry of a and b is no finite number"),
        ("id,a,b\na,1,inf\nb,inf,1\n", "entry of a and b is no finite number"),
        ("id,a,b\na,1,0.2\nb,0.3,1\n", "entries of a and b differ across the diagonal"),
        ("id,a,b\na,1,1\nb,1,1\n", "not positive definite"),
        ("id,a,b\na,0,0\nb,0,0\n", "not positive definite"),
        ("id,a,b\na,1,2\nb,2,1\n", "not positive definite"),
        ("id,a,b\na,1,0,3\nb,0,1\n", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(table, text, words):
    with pytest.raises(DataError, match=words) as caught:
        read_relation(table(text))
    for problem in caught.value.problems:
        assert problem.way_out
        assert problem.where.endswith("K.csv")


def test_a_relation_survives_as_text():
    from nestwise.data.relation import Relation

    A = np.random.default_rng(1).normal(size=(7, 7))
    relation = Relation(tuple("abcdefg"), A @ A.T)
    (again,) = relations_from_json(relations_to_json({"id": relation})).values()
    assert again.labels == relation.labels
    np.testing.assert_array_equal(again.matrix, np.tril(relation.matrix) + np.tril(relation.matrix, -1).T)


def test_it_travels_with_the_data(table, tmp_path):
    import polars as pl

    relations = read_relations({"x": Group(), "id": Group(relation="K.csv")}, [table(GOOD)])
    dataset = Dataset("s", pl.LazyFrame({".row": [1], "id": ["a"]}), {}, {"id": None}, relations=relations)
    save_dataset(dataset, tmp_path / "d.parquet")
    again = load_dataset(tmp_path / "d.parquet").relations
    assert list(again) == ["id"]
    np.testing.assert_array_equal(again["id"].matrix, relations["id"].matrix)


def test_files_lie_where_data_may_lie(table, tmp_path):
    table(GOOD)
    study = tmp_path / "s.yaml"
    groups = {"id": Group(relation="K.csv"), "x": Group()}
    assert locate_relations(groups, study) == [(tmp_path / "K.csv").resolve()]
    outside = {
        "a": Group(relation="../K.csv"),
        "b": Group(relation="nobody.csv"),
        "c": Group(relation="K.parquet"),
    }
    (tmp_path / "K.parquet").write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        locate_relations(outside, study)
    said = [problem.what for problem in caught.value.problems]
    assert "outside" in said[0]
    assert "does not exist" in said[1]
    assert "not a table of text" in said[2]
    with pytest.raises(DataError, match="not a table of text"):
        locate_relations({"a": Group(relation="dataset:radon")}, Path(study))
