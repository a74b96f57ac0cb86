from pathlib import Path

import pytest

from nestwise.config.strict_yaml import MAX_BYTES, read_yaml
from nestwise.errors import StudyError


def _file(folder: Path, content: str | bytes) -> Path:
    path = folder / "study.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_plain_values_follow_yaml_1_2(tmp_path):
    text = "a: [no, yes, on, off, true, False]\nb: 2020-01-31\nc: -99\nd: 1.5\ne: null\nf: NA\n"
    assert read_yaml(_file(tmp_path, text)) == {
        "a": ["no", "yes", "on", "off", True, False],
        "b": "2020-01-31",
        "c": -99,
        "d": 1.5,
        "e": None,
        "f": "NA",
    }


def test_a_byte_order_mark_is_not_part_of_the_first_key(tmp_path):
    assert read_yaml(_file(tmp_path, b"\xef\xbb\xbftitle: x\n")) == {"title": "x"}


def test_keys_are_the_words_that_were_written(tmp_path):
    assert read_yaml(_file(tmp_path, "{1: a, no: b, true: c, 01: d}")) == {
        "1": "a",
        "no": "b",
        "true": "c",
        "01": "d",
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "does not hold"),
        ("- a\n- b\n", "does not hold"),
        ("just text", "does not hold"),
        ("a: 1\n---\nb: 2\n", "single document"),
        ("a: 1\n\tb: 2\n", "line 2"),
        ("a: [1, 2\n", "not YAML"),
        ("a: 1\na: 2\n", "line 2: the key `a` stands twice"),
        ("1: a\n'1': b\n", "stands twice"),
        ("a: !!python/object/apply:os.system ['touch x']\n", "is not allowed"),
        ("a: !!python/name:os.system\n", "is not allowed"),
        ("a: !!binary aGVsbG8=\n", "is not allowed"),
        ("a: &x [1]\nb: *x\n", "repeats another part"),
        ("a: .nan\n", "not a finite number"),
        ("a: .inf\n", "not a finite number"),
        ("? [a, b]\n: c\n", "a key is not a word"),
        ("a: \x00\n", "not allowed"),
        (b"title: \xff\xfe\n", "is not UTF-8"),
        ("title: x".encode("utf-16"), "is not UTF-8"),
        ("a: " + "[" * 200 + "]" * 200, "levels deep"),
        ("a: [" + "1," * 60_000 + "1]", "entries"),
        ("a: " + "x" * MAX_BYTES, "bytes"),
    ],
)
def test_what_is_refused(tmp_path, content, said):
    with pytest.raises(StudyError, match=said) as caught:
        read_yaml(_file(tmp_path, content))
    assert "study.yaml" in str(caught.value)


def test_all_problems_are_listed(tmp_path):
    with pytest.raises(StudyError) as caught:
        read_yaml(_file(tmp_path, "a: 1\na: 2\nb: .nan\nc: !!set {x}\n"))
    assert len(caught.value.problems) == 3


def test_an_expansion_bomb_costs_nothing(tmp_path):
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    with pytest.raises(StudyError, match="line 2"):
        read_yaml(_file(tmp_path, "\n".join(rows)))


@pytest.mark.parametrize("kind", ["absent", "folder"])
def test_what_is_not_a_file(tmp_path, kind):
    path = tmp_path if kind == "folder" else tmp_path / "nothing.yaml"
    with pytest.raises(StudyError, match="not a file" if kind == "folder" else "no such file"):
        read_yaml(path)
