"""Sources that are not there, not allowed, or not what they say they are."""

import gzip
import io
import os
import zipfile
from pathlib import Path

import polars as pl
import pytest


def source(name):
    return {"study": {"data": {"source": name}}}


def parquet() -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame({"g": ["a", "b"] * 20, "x": range(40), "y": range(40)}).write_parquet(buffer)
    return buffer.getvalue()


def empty_parquet() -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(schema={"g": pl.String, "x": pl.Float64, "y": pl.Float64}).write_parquet(buffer)
    return buffer.getvalue()


def arrow() -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame({"g": ["a", "b"] * 20, "x": range(40), "y": range(40)}).write_ipc(buffer)
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return buffer.getvalue()


def csv(content, **more):
    return {"files": {"data.csv": content}, **more}


def file(name, content, **more):
    return {**source(name), "files": {name: content}, **more}


HTML = b"<!DOCTYPE html><html><body><h1>404, Not Found</h1></body></html>\n"
ROWS = b"".join(b"g%d,%d,%d\n" % (k // 5, k % 5, k) for k in range(30))

HOSTILE = {
    # places
    "parents": {**source("../../../../../../etc/passwd"), "says": ["outside"]},
    "parents_csv": {**source("../../secret.csv"), "says": ["outside"]},
    "absolute": {**source("/etc/passwd"), "says": ["outside"]},
    "home": source("~/.ssh/id_rsa"),
    "link_out": {**source("link.csv"), "links": {"link.csv": "/etc/passwd"}, "says": ["outside"]},
    "link_to_itself": {**source("link.csv"), "links": {"link.csv": "link.csv"}},
    "link_to_nothing": {**source("link.csv"), "links": {"link.csv": "gone.csv"}},
    "link_to_device": {**source("link.csv"), "links": {"link.csv": "/dev/zero"}},
    "url": {**source("https://example.org/data.csv"), "says": ["network"]},
    "file_url": {**source("file:///etc/passwd"), "says": ["network"]},
    "s3": {**source("s3://bucket/data.parquet"), "says": ["network"]},
    "unknown_bundled": {**source("dataset:radom"), "says": ["radon"]},
    "bundled_escape": source("dataset:../../errors"),
    "bundled_empty": source("dataset:"),
    "absent": {**source("dta.csv"), "says": ["data.csv"]},
    "folder": {**source("."), "says": ["folder"]},
    "wildcard": {**source("*.csv"), "says": ["does not exist"]},
    "unknown_kind": file("data.exe", b"MZ"),
    "no_kind": file("data", b"g,x,y\n"),
    "spaces": source("   "),
    "very_long": source("x" * 900 + ".csv"),
    "nul_in_name": source("a\x00b.csv"),
    # text that is no table
    "empty_file": csv(b"", says=["empty"]),
    "header_only": csv(b"g,x,y\n", says=["no rows"]),
    "newlines_only": csv(b"\n\n\n\n"),
    "spaces_only": csv(b"   \n   \n"),
    "html_page": csv(HTML),
    "nul_bytes": csv(b"g,x,y\n" + ROWS.replace(b"g3", b"g\x003"), ends=("stopped",)),
    "all_nul": csv(b"\x00" * 4096),
    "latin1": csv("g,x,y\nZürich,1,2\nGenève,2,3\n".encode("latin-1"), says=["utf-8"]),
    "utf16": csv("g,x,y\na,1,2\nb,2,3\n".encode("utf-16"), says=["utf-8"]),
    "utf16_without_mark": csv("g,x,y\na,1,2\nb,2,3\n".encode("utf-16-le")),
    "ragged_long": csv(b"g,x,y\n" + ROWS + b"g1,1,2,3,4\n"),
    "ragged_short": csv(b"g,x,y\n" + ROWS + b"g1\n", ends=("stopped", "answered")),
    "duplicate_header": csv(b"g,x,x,y\na,1,2,3\n", says=["more than one column", "x"]),
    "blank_header": csv(b"g,,y\na,1,2\nb,1,2\n", ends=("stopped", "refused")),
    "unclosed_quote": csv(b'g,x,y\n"a,1,2\nb,2,3\n'),
    "semicolons": csv(b"g;x;y\na;1;2\nb;2;3\n", says=["semicolons"]),
    "one_column": csv(b"g\na\nb\n", says=["y"], ends=("stopped", "refused")),
    "row_number_column": csv(b".row,g,x,y\n9,a,1,2\n9,b,2,3\n", says=[".row"]),
    "gzip_named_csv": csv(gzip.compress(b"g,x,y\n" + ROWS)),
    "truncated_gzip": csv(gzip.compress(b"g,x,y\n" + ROWS)[:60]),
    "parquet_named_csv": csv(parquet()),
    "one_wide_cell": csv(b"g,x,y\n" + ROWS + b"g1," + b"9" * 2_000_000 + b",3\n"),
    # files of programs
    "half_parquet": file("data.parquet", parquet()[:-200], says=["data.parquet"]),
    "parquet_head": file("data.parquet", parquet()[:10], says=["data.parquet"]),
    "parquet_scrambled": file("data.parquet", parquet()[:40] + b"\xff" * 100 + parquet()[140:]),
    "csv_named_parquet": file("data.parquet", b"g,x,y\n" + ROWS),
    "parquet_without_rows": file("data.parquet", empty_parquet(), says=["no rows"]),
    "half_arrow": file("data.arrow", arrow()[:-100], says=["data.arrow"]),
    "csv_named_arrow": file("data.arrow", b"g,x,y\n" + ROWS),
    "csv_named_xlsx": file("data.xlsx", b"g,x,y\n" + ROWS, says=["data.xlsx"]),
    "hollow_xlsx": file("data.xlsx", zipped(), says=["data.xlsx"]),
    "csv_named_sav": file("data.sav", b"g,x,y\n" + ROWS, says=["data.sav"]),
    "half_sav": file("data.sav", b"$FL2@(#) SPSS DATA FILE", says=["data.sav"]),
    "csv_named_dta": file("data.dta", b"g,x,y\n" + ROWS, says=["data.dta"]),
    "half_dta": file("data.dta", b"<stata_dta><header><release>118", says=["data.dta"]),
    "csv_named_sas": file("data.sas7bdat", b"g,x,y\n" + ROWS, says=["data.sas7bdat"]),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_source_is_stopped(end, name):
    end(HOSTILE[name])


FINE = {
    "byte_order_mark": csv(b"\xef\xbb\xbfg,x,y\n" + ROWS),
    "windows_lines": csv(b"g,x,y\n" + ROWS.replace(b"\n", b"\r\n")),
    "no_last_newline": csv((b"g,x,y\n" + ROWS)[:-1]),
    "quoted": csv(b'"g","x","y"\n' + ROWS),
    "parquet": file("data.parquet", parquet()),
}  # fmt: skip


@pytest.mark.parametrize("name", FINE)
def test_odd_but_sound_source_is_answered(end, name):
    """y is a linear function of group and x here: an answer, or a refusal that says so."""
    ending = end(FINE[name] | {"ends": ("answered", "refused")})
    assert not ending.problems


def test_pipe_does_not_hang(end, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()

    case = {**source("pipe.csv"), "links": {"pipe.csv": "../elsewhere/pipe.csv"}}
    os.mkfifo(folder / "pipe.csv")
    end(case)


def test_link_inside_is_followed(end):
    end({**source("link.csv"), "links": {"link.csv": "data.csv"}, "ends": ("answered",)})


def test_study_reached_by_a_link(tmp_path):
    """A linked study file reads beside its target, not beside the link, and never from both."""
    from nestwise.data.source import locate
    from nestwise.errors import DataError

    (tmp_path / "real").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "real" / "s.yaml").write_text("")
    (tmp_path / "linked" / "data.csv").write_text("g\n")
    Path(tmp_path / "linked" / "s.yaml").symlink_to(tmp_path / "real" / "s.yaml")
    with pytest.raises(DataError):
        locate("data.csv", tmp_path / "linked" / "s.yaml", ())
