import codecs

import polars as pl
import pytest

from nestwise.errors import DataError

HOSTILE = {
    "empty lines": ("\n\n\n", "names no column"),
    "header only": ("g,y\n", "no rows"),
    "header without line end": ("g,y", "no rows"),
    "row too long": ("g,y\na,1\na,1,2\n", "row 2 has 3 values"),
    "row too short": ("g,y\na,1\na\n", "row 2 has 1 values"),
    "row too long, quoted": ('g,y\n"a",1\n"a, b",2\n"a","b",3\n', "row 3 has 3 values"),
    "row names without a name": ("g,y\n1,a,1\n2,b,2\n", "row 1 has 3 values"),
    "unclosed quote": ('g,y\na,"1\nb,2\n', "cannot be told apart in row 1"),
    "text after a quote": ('g,y\na,"1"2\n', "cannot be told apart in row 1"),
    "unclosed header": ('"g,y\na,1\n', "in the header"),
    "two of a name": ("g,y,y\na,1,2\n", "more than one column is called 'y'"),
    "unnamed column": ("g,,y\na,1,2\n", "column 2 has no name"),
    "two unnamed": (",g,,y\n1,a,1,2\n", "column 3 has no name"),
    "row number's name": (".row,g\n1,a\n", "'.row'"),
    "wildcard's name": ("g,*\na,1\n", "'*'"),
    "pattern's name": ("g,^.*$\na,1\n", "'^.*$'"),
    "semicolons": ("g;y\na;1,5\n", "separated by semicolons"),
    "tabs": ("g\ty\na\t1\n", "separated by tabs"),
    "latin-1": ("g,y\nZürich,1\n".encode("latin-1"), "line 2 holds the byte 0xfc"),
    "latin-1 in the header": ("g,höhe\na,1\n".encode("latin-1"), "line 1 holds the byte 0xf6"),
    "ends inside a character": ("g,y\na,ü".encode()[:-1], "line 2 ends inside a character"),
    "UTF-16": ("g,y\na,1\n".encode("utf-16"), "UTF-16"),
    "UTF-16 big": (codecs.BOM_UTF16_BE + "g,y\na,1\n".encode("utf-16-be"), "UTF-16"),
    "UTF-16 unmarked": ("g,y\na,1\n".encode("utf-16-le"), "NUL"),
    "NUL byte": (b"g,y\na,1\nb,\x002\n", "line 3 holds a NUL byte"),
    "old Macintosh": (b"g,y\ra,1\rb,2\r", "carriage returns only"),
    "endless field": (b"g,y\na,1\n" + b'"' + b"x" * (1 << 21) + b'",2\n', "field larger"),
    "binary": (bytes(range(256)) * 50, ""),
    "gzip": (b"\x1f\x8b\x08" + b"\x00" * 60, ""),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_ends_in_a_sentence(table, name):
    content, says = HOSTILE[name]
    with pytest.raises(DataError) as caught:
        table(content)
    for problem in caught.value.problems:
        assert problem.where
        assert problem.way_out
    assert says in str(caught.value)
    assert len(str(caught.value)) < 500


def test_all_problems_of_a_header_are_told(table):
    with pytest.raises(DataError) as caught:
        table("g,g,,.row\n1,2,3,4\n")
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    "content",
    [
        "g,y\na,1\nb,2\n",
        "g,y\r\na,1\r\nb,2\r\n",
        "g,y\na,1\nb,2",
        "\ufeffg,y\na,1\nb,2\n",
        '"g","y"\n"a","1"\n"b","2"\n',
        "g,y\na, 1\nb,2 \n",
        "g,y\na,1.0\nb,2e0\n",
    ],
)
def test_sound_text_is_read_alike(table, content):
    frame = table(content).frame.collect()
    assert frame.rows() == [(1, "a", 1.0), (2, "b", 2.0)]
    assert frame.columns == [".row", "g", "y"]


@pytest.mark.parametrize("name", ["x.tsv", "x.tab", "x.txt", "X.TSV"])
def test_tabs(table, name):
    assert table("g\ty\na, b\t1\n", name).frame.collect().rows() == [(1, "a, b", 1.0)]


def test_first_column_without_a_name_is_left_out_with_a_note(table):
    """Programs that write row numbers leave the first name empty."""
    typed = table(",g,y\n0,a,1\n1,b,2\n")
    assert typed.frame.collect().columns == [".row", "g", "y"]
    assert any("without a name" in note for note in typed.notes)


def test_empty_rows_are_left_out_and_the_others_keep_their_numbers(table):
    typed = table("g,y\na,1\n\n,\nb,2\n\n")
    assert typed.frame.collect()[".row"].to_list() == [1, 4]
    assert any("3 rows without any value" in note for note in typed.notes)


def test_line_breaks_inside_quotes_are_one_row(table):
    typed = table('g,note,y\na,"two\nlines",1\nb,x,2\n')
    assert typed.frame.collect()[".row"].to_list() == [1, 2]


def test_odd_names_are_columns_like_others(table):
    names = ["log.radon", "a b", "größe", "^x", "名前", "a-b", "x`", "x*", "count", ".n", "id'"]
    header = ",".join(["g", *names])
    rows = "\n".join(",".join([group, *(str(k) for k in range(len(names)))]) for group in "ab")
    frame = table(f"{header}\n{rows}\n").frame.collect()
    assert frame.columns == [".row", "g", *names]
    assert frame.select(pl.col(pl.Float64)).width == len(names)


def test_markup_and_formulas_in_labels_stay_as_they_are(table):
    labels = ["<script>alert(1)</script>", "=cmd()", "{{ x }}", "${1}", "\\1", "a|b", "'q'"]
    text = "g,y\n" + "".join(f"{label},1\n" for label in labels)
    assert table(text).frame.collect()["g"].cast(pl.String).to_list() == labels
