import json
import subprocess
import sys

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


def test_what_a_killed_process_left_is_cleared_and_what_a_living_one_writes_is_not(tmp_path):
    write_here = (
        "import os, signal, sys, time; from nestwise.storage import whole_folder\n"
        "with whole_folder(sys.argv[1]) as partial:\n"
        "    (partial / 'half').touch(); print('begun', flush=True); time.sleep(60)\n"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", write_here, tmp_path / "f"], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "begun\n"
    writers[0].kill()
    writers[0].wait()
    with whole_folder(tmp_path / "f") as partial:
        (partial / "whole").touch()
        left = [path.name for path in tmp_path.iterdir() if path != partial]
    assert [path.name for path in (tmp_path / "f").iterdir()] == ["whole"]
    assert len(left) == 1
    assert str(writers[1].pid) in left[0]
    writers[1].kill()
    writers[1].wait()


@pytest.mark.parametrize("lazy", [False, True])
def test_frames_come_back(tmp_path, lazy):
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    write_parquet(tmp_path / "x.parquet", frame.lazy() if lazy else frame)
    assert pl.read_parquet(tmp_path / "x.parquet").equals(frame)


def test_json_is_plain(tmp_path):
    write_json(tmp_path / "x.json", {"p": tmp_path, "n": None})
    assert json.loads((tmp_path / "x.json").read_text()) == {"p": str(tmp_path), "n": None}
