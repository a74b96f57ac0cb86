"""Every kind of file gives the same table; damaged ones end in a sentence."""

import builtins
import datetime
import io
import zipfile

import polars as pl
import pytest

from nestwise.errors import DataError

FRAME = pl.DataFrame({"g": ["a", "b", None], "y": [1.0, None, 3.0], "k": [1, 2, 3]})
ROWS = [(1, "a", 1.0, 1.0), (2, "b", None, 2.0), (3, None, 3.0, 3.0)]


def in_memory(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


PARQUET = in_memory(FRAME.write_parquet)
ARROW = in_memory(FRAME.write_ipc)
STREAM = in_memory(FRAME.write_ipc_stream)


def statistics_file(tmp_path, suffix):
    pyreadstat = pytest.importorskip("pyreadstat")
    pandas = pytest.importorskip("pandas")
    path = tmp_path / f"made{suffix}"
    frame = pandas.DataFrame({"g": ["a", "b", ""], "y": [1.0, None, 3.0], "k": [1, 2, 3]})
    {".sav": pyreadstat.write_sav, ".dta": pyreadstat.write_dta}[suffix](frame, str(path))
    return path.read_bytes()


def sheet(cells):
    """A minimal workbook: rows of numbers, text or None."""

    def cell(value, where):
        if value is None:
            return ""
        if isinstance(value, str):
            return f'<c r="{where}" t="inlineStr"><is><t>{value}</t></is></c>'
        return f'<c r="{where}"><v>{value}</v></c>'

    rows = "".join(
        f'<row r="{r}">' + "".join(cell(v, f"{chr(65 + c)}{r}") for c, v in enumerate(row)) + "</row>"
        for r, row in enumerate(cells, start=1)
    )
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats"
    types = "".join(
        f'<Override PartName="/xl/{part}.xml" ContentType="{kind}-officedocument.spreadsheetml.{what}+xml"/>'
        for part, what in (("workbook", "sheet.main"), ("worksheets/sheet1", "worksheet"))
    )

    def relation(what, target):
        one = f'<Relationship Id="r1" Type="{office}/{what}" Target="{target}"/>'
        return f'<Relationships xmlns="{package}/relationships">{one}</Relationships>'

    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" '
        f'ContentType="{kind}-package.relationships+xml"/>{types}</Types>',
        "_rels/.rels": relation("officeDocument", "xl/workbook.xml"),
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}">'
        '<sheets><sheet name="s" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": relation("worksheet", "worksheets/sheet1.xml"),
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>',
    }

    def write(buffer):
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, text in parts.items():
                archive.writestr(name, text)

    return in_memory(write)


CELLS = [["g", "y", "k"], ["a", 1, 1], ["b", None, 2], ["NA", 3, 3]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.parquet", PARQUET),
        ("x.arrow", ARROW),
        ("x.feather", ARROW),
        ("x.ipc", STREAM),
        ("x.csv", b"g,y,k\na,1,1\nb,NA,2\n,3,3\n"),
        ("x.xlsx", sheet(CELLS)),
    ],
)
def test_same_table_from_every_format(table, name, content):
    if name.endswith(".xlsx"):
        pytest.importorskip("fastexcel")
    assert table(content, name).frame.collect().rows() == ROWS


@pytest.mark.parametrize("suffix", [".sav", ".dta"])
def test_files_of_statistics_programs(table, tmp_path, suffix):
    content = statistics_file(tmp_path, suffix)
    assert table(content, f"x{suffix}").frame.collect().rows() == ROWS


def test_text_deep_in_a_sheet_of_numbers_is_not_lost(table):
    pytest.importorskip("fastexcel")
    cells = [["g", "y"], *([f"g{k}", k] for k in range(1500)), ["g1", "oops"]]
    typed = table(sheet(cells), "x.xlsx", variables={"y": {"type": "continuous"}})
    assert typed.failures.rows() == [("y", 1501, "oops", "not a number")]


def test_two_columns_of_one_name_in_a_sheet(table):
    pytest.importorskip("fastexcel")
    with pytest.raises(DataError, match="more than one column is called 'y'"):
        table(sheet([["g", "y", "y"], ["a", 1, 2]]), "x.xlsx")


DAMAGED = {
    "half parquet": ("x.parquet", PARQUET[:-200]),
    "head of parquet": ("x.parquet", PARQUET[:10]),
    "tail of parquet": ("x.parquet", PARQUET[-60:]),
    "text called parquet": ("x.parquet", b"g,y\na,1\n"),
    "parquet of no columns": ("x.parquet", in_memory(pl.DataFrame().write_parquet)),
    "parquet of no rows": ("x.parquet", in_memory(FRAME.clear().write_parquet)),
    "parquet with a taken name": ("x.parquet", in_memory(pl.DataFrame({".row": [1]}).write_parquet)),
    "half arrow": ("x.arrow", ARROW[: len(ARROW) // 2]),
    "text called arrow": ("x.arrow", b"g,y\na,1\n"),
    "text called xlsx": ("x.xlsx", b"g,y\na,1\n"),
    "sheet without rows": ("x.xlsx", sheet([["g", "y"]])),
    "empty sheet": ("x.xlsx", sheet([])),
    "text called sav": ("x.sav", b"g,y\na,1\n"),
    "text called dta": ("x.dta", b"g,y\na,1\n"),
    "text called sas7bdat": ("x.sas7bdat", b"g,y\na,1\n" * 50),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_end_in_a_sentence(table, name):
    file, content = DAMAGED[name]
    with pytest.raises(DataError) as caught:
        table(content, file)
    (problem,) = caught.value.problems
    assert file in problem.where
    assert problem.way_out
    assert "\n" not in str(problem)


def test_damage_beyond_the_footer_is_found_while_reading(table):
    """The footer of this file is sound, its pages are not."""
    frame = pl.DataFrame({"g": ["a", "b"] * 500, "y": [float(k) for k in range(1000)]})
    content = bytearray(in_memory(frame.write_parquet))
    content[8:200] = b"\xff" * 192
    with pytest.raises(DataError, match=r"cannot be read|damaged"):
        table(bytes(content), "x.parquet").frame.collect()


@pytest.mark.parametrize(("file", "package"), [("x.xlsx", "fastexcel"), ("x.sav", "pyreadstat")])
def test_a_reader_that_is_not_installed_is_named(table, monkeypatch, file, package):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == package:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=rf"{package}.*nestwise\[readers\]"):
        table(b"x", file)


def test_types_of_parquet_are_kept(table):
    frame = pl.DataFrame(
        {
            "g": pl.Series(["b", "a"], dtype=pl.Categorical),
            "e": pl.Series(["low", "high"], dtype=pl.Enum(["low", "mid", "high"])),
            "t": [True, False],
            "d": [datetime.date(2024, 1, 31), None],
            "w": [datetime.datetime(2024, 1, 31, 12), None],
            "i": pl.Series([1, 2], dtype=pl.UInt8),
            "m": pl.Series(["1.50", "2.25"]).cast(pl.Decimal(10, 2)),
            "y": [float("nan"), 2.0],
        }
    )
    typed = table(frame, "x.parquet")
    kinds = {name: info.type for name, info in typed.variables.items()}
    assert kinds == {
        "g": "categorical", "e": "categorical", "t": "binary", "d": "date", "w": "date",
        "i": "continuous", "m": "continuous", "y": "continuous",
    }  # fmt: skip
    assert typed.variables["e"].levels == ("low", "high")
    read = typed.frame.collect()
    assert read["t"].to_list() == [1, 0]
    assert read["m"].to_list() == [1.5, 2.25]
    assert read["y"].to_list() == [None, 2.0]


def test_columns_that_are_no_plain_values(table):
    frame = pl.DataFrame({"g": ["a"], "l": [[1, 2]], "s": [{"a": 1}], "b": [b"x"], "y": [1.0]})
    typed = table(frame, "x.parquet", variables={"s": {"type": "continuous"}})
    assert typed.frame.collect().columns == [".row", "g", "y"]
    assert [problem.where for problem in typed.problems] == ["column s"]
    assert sum("left out" in note for note in typed.notes) == 2


def test_na_is_a_label_in_parquet_and_missing_in_text(table):
    """Parquet has nulls of its own: Namibia stays Namibia."""
    frame = pl.DataFrame({"g": ["NA", "DE"], "y": [1, 2]})
    assert table(frame, "x.parquet").frame.collect()["g"].null_count() == 0
    assert table(frame, "x.csv").frame.collect()["g"].null_count() == 1
