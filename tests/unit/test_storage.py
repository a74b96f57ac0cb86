import json

import polars as pl
import pytest

from nestwise.storage import read_json, whole_file, whole_folder, write_json, write_parquet


def test_nothing_appears_when_writing_fails(tmp_path):
    with pytest.raises(RuntimeError), whole_file(tmp_path / "a" / "x.txt") as partial:
        partial.write_text("half")
        raise RuntimeError
    assert list((tmp_path / "a").iterdir()) == []


def test_the_old_file_stays_when_writing_its_successor_fails(tmp_path):
    write_json(tmp_path / "x.json", {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert read_json(tmp_path / "x.json") == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    with whole_folder(tmp_path / "f") as partial:
        (partial / "old").touch()
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "f") as partial:
        (partial / "half").touch()
        raise RuntimeError
    assert [path.name for path in (tmp_path / "f").iterdir()] == ["old"]
    with whole_folder(tmp_path / "f") as partial:
        (partial / "new").touch()
    assert [path.name for path in (tmp_path / "f").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("lazy", [False, True])
def test_frames_come_back(tmp_path, lazy):
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    write_parquet(tmp_path / "x.parquet", frame.lazy() if lazy else frame)
    assert pl.read_parquet(tmp_path / "x.parquet").equals(frame)


def test_json_is_plain(tmp_path):
    write_json(tmp_path / "x.json", {"p": tmp_path, "n": None})
    assert json.loads((tmp_path / "x.json").read_text()) == {"p": str(tmp_path), "n": None}
