import os

import pytest

from nestwise.data.source import locate, locate_all
from nestwise.errors import DataError


@pytest.fixture
def folder(tmp_path):
    home = tmp_path / "project" / "studies"
    home.mkdir(parents=True)
    (home / "s.yaml").write_text("title: x")
    (home / "data.csv").write_text("g,y\na,1\n")
    (home / "empty.csv").touch()
    (home / "data.csv.gz").write_text("x")
    (home / "noextension").write_text("x")
    (home / "folder.csv").mkdir()
    (tmp_path / "secret.csv").write_text("g,y\na,1\n")
    (home / "escape.csv").symlink_to(tmp_path / "secret.csv")
    (home / "inside.csv").symlink_to(home / "data.csv")
    (home / "loop.csv").symlink_to(home / "loop.csv")
    (home / "dangling.csv").symlink_to(home / "gone.csv")
    os.mkfifo(home / "pipe.csv")
    return home


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("dataset:radom", "did you mean 'radon'"),
        ("dataset:radom", "eight_schools, epil, exam, radon, respiratory, scotssec"),
        ("dataset:", "no bundled data set"),
        ("dataset:../source", "no bundled data set"),
        ("dataset:radon.csv", "did you mean 'radon'"),
        ("https://example.org/x.csv", "network"),
        ("s3://bucket/x.parquet", "network"),
        ("file:///etc/passwd", "network"),
        ("../../secret.csv", "outside"),
        ("../../../../../etc/passwd", "outside"),
        ("/etc/passwd", "outside"),
        ("/proc/self/environ", "outside"),
        ("escape.csv", "outside"),
        ("../../absent-and-outside.csv", "outside"),
        ("dat.csv", "did you mean 'data.csv'"),
        ("DATA.CSV", "did you mean 'data.csv'"),
        ("*.csv", "patterns are not expanded"),
        ("data?.csv", "does not exist"),
        ("{a,b}.csv", "does not exist"),
        ("~/data.csv", "does not exist"),
        ("deep/er/data.csv", "does not exist"),
        ("folder.csv", "is a folder"),
        (".", "is a folder"),
        ("empty.csv", "empty file"),
        ("data.csv.gz", "'.gz'"),
        ("noextension", "without an extension"),
        ("s.yaml", "'.yaml'"),
        ("pipe.csv", "not a regular file"),
        ("loop.csv", ""),
        ("dangling.csv", "does not exist"),
        ("x" * 900 + ".csv", ""),
        ("a\x00b.csv", "not a usable path"),
    ],
)
def test_refused_in_a_sentence(folder, source, says):
    with pytest.raises(DataError) as caught:
        locate(source, folder / "s.yaml", ())
    (problem,) = caught.value.problems
    assert says in str(problem)
    assert problem.where
    assert problem.way_out
    assert "\n" not in str(problem)


@pytest.mark.parametrize("source", ["data.csv", "./data.csv", "../studies/data.csv", "inside.csv"])
def test_inside_is_found(folder, source):
    assert locate(source, folder / "s.yaml", ()) == folder / "data.csv"


def test_roots_open_other_folders(folder, tmp_path):
    assert locate("../../secret.csv", folder / "s.yaml", [tmp_path]) == tmp_path / "secret.csv"
    assert locate("escape.csv", folder / "s.yaml", [tmp_path]) == tmp_path / "secret.csv"


def test_a_folder_whose_name_only_starts_like_a_root_is_outside(tmp_path):
    for name in ("data", "data-private"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.csv").write_text("g\n1\n")
    (tmp_path / "studies").mkdir()
    with pytest.raises(DataError, match="outside"):
        locate("../data-private/x.csv", tmp_path / "studies" / "s.yaml", [tmp_path / "data"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(folder):
    (folder / "data.csv").chmod(0)
    with pytest.raises(DataError, match="cannot be opened"):
        locate("data.csv", folder / "s.yaml", ())


def test_the_problems_of_all_sources_are_told(tmp_path):
    study = tmp_path / "study.yaml"
    (tmp_path / "there.csv").write_text("a\n1\n")
    wanted = {"a": ("there.csv", study), "b": ("absent.csv", study), "c": ("dataset:radn", study)}
    with pytest.raises(DataError) as caught:
        locate_all(wanted)
    assert [problem.where for problem in caught.value.problems if "there.csv" in problem.what] == []
    assert len(caught.value.problems) == 2
    assert locate_all({"a": wanted["a"]}) == {"a": tmp_path / "there.csv"}
