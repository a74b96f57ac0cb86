"""Study files that are wrong as files, as YAML, or as studies: each is stopped by clear sentences."""

import pytest

HOSTILE = {
    # the file itself
    "empty": {"raw": b"", "says": ["key: value"]},
    "only_comments": {"raw": b"# nothing\n\n# here\n", "says": ["key: value"]},
    "not_utf8": {"raw": b"title: caf\xe9\n", "says": ["utf-8"]},
    "utf16": {"raw": "title: study\n".encode("utf-16"), "says": ["utf-8"]},
    "nul_byte": {"raw": b"title: a\x00b\n"},
    "random_bytes": {"raw": bytes(range(256)) * 8},
    "parquet_bytes": {"raw": b"PAR1\x15\x04\x15\x08PAR1"},
    "ten_megabytes": {"raw": b"title: " + b"x" * 10_000_000 + b"\n", "says": ["bytes", "1,000,000"]},
    "ten_megabytes_of_keys": {
        "raw": b"\n".join(b"k%d: 1" % k for k in range(900_000)),
        "says": ["bytes", "1,000,000"],
    },
    # as YAML
    "list": {"raw": b"- title\n- data\n", "says": ["key"]},
    "scalar": {"raw": b"just words\n"},
    "number": {"raw": b"42\n"},
    "tabs": {"raw": b"title: x\ndata:\n\tsource: data.csv\n", "says": ["line 3"]},
    "unclosed": {"raw": b"title: [x\ndata: {source: data.csv\n", "says": ["line"]},
    "two_documents": {"raw": b"title: one\n---\ntitle: two\n", "says": ["document"]},
    "python_object": {"raw": b"title: !!python/object/apply:os.system ['touch pwned']\n", "says": ["tag"]},
    "python_name": {"raw": b"title: !!python/name:os.system\n", "says": ["tag"]},
    "custom_tag": {"raw": b"title: !include /etc/passwd\n", "says": ["tag"]},
    "alias_bomb": {
        "raw": b"a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        + b"".join(b"a%d: &a%d [%s]\n" % (k, k, b", ".join([b"*a%d" % (k - 1)] * 9)) for k in range(1, 12)),
        "says": ["repeats"],
    },
    "merge_bomb": {"raw": b"a: &a {k: 1}\nb: {<<: *a}\n"},
    "recursive_alias": {"raw": b"title: x\ndata: &d {source: *d}\n"},
    "duplicate_key": {"raw": b"title: one\ntitle: two\n", "says": ["twice", "title"]},
    "duplicate_variable": {
        "raw": b"title: t\ndata: {source: data.csv}\ngroups: {g: {}}\n"
        b"variables: {x: {min: 0}, x: {min: 1}}\nmodels: {m: {formula: y ~ x + (1 | g)}}\n",
        "says": ["twice", "`x`"],
    },
    "deep_brackets": {"raw": b"title: " + b"[" * 20_000 + b"]" * 20_000, "says": ["levels deep"]},
    "deep_mapping": {"raw": b"".join(b" " * k + b"a:\n" for k in range(900)), "says": ["levels deep"]},
    "complex_key": {"raw": b"? [a, b]\n: 1\n"},
    "boolean_key": {"raw": b"no: 1\ntitle: x\n"},
    "infinite_number": {
        "study": {"variables": {"x": {"min": float("inf")}}},
        "ends": ("stopped", "answered"),
    },
    "nan_bound": {"study": {"variables": {"x": {"min": float("nan")}}}, "ends": ("stopped",)},
    # as a study
    "unknown_key": {"study": {"modles": {}}, "says": ["modles", "models"]},
    "unknown_inner_key": {
        "study": {"models/m/formulla": "y ~ x"},
        "says": ["formulla", "formula", "models.m"],
    },
    "no_title": {"study": {"title": ...}, "says": ["title"]},
    "title_a_list": {"study": {"title": ["a"]}, "says": ["title"]},
    "no_data": {"study": {"data": ...}, "says": ["data"]},
    "no_groups": {"study": {"groups": {}}, "says": ["groups"]},
    "no_models": {"study": {"models": {}}, "says": ["models"]},
    "null_models": {"study": {"models": None}, "says": ["models"]},
    "models_a_list": {"study": {"models": [{"formula": "y ~ x + (1 | g)"}]}, "says": ["models"]},
    "group_a_word": {"study": {"groups": "g"}, "says": ["groups"]},
    "cyclic_nesting": {"study": {"groups": {"g": {"within": "c"}, "c": {"within": "g"}}}, "says": ["circle"]},
    "within_itself": {"study": {"groups": {"g": {"within": "g"}}}, "says": ["g"]},
    "within_unknown": {"study": {"groups": {"g": {"within": "school"}}}, "says": ["school"]},
    "unknown_engine": {"study": {"models/m/engines": ["lmmm"]}, "says": ["lmmm"]},
    "engine_twice": {"study": {"models/m/engines": ["lmm", "lmm"]}, "says": ["twice"]},
    "unknown_family": {"study": {"models/m/family": "normal"}, "says": ["normal", "gaussian"]},
    "unknown_type": {"study": {"variables": {"x": {"type": "numeric"}}}, "says": ["numeric", "continuous"]},
    "min_above_max": {"study": {"variables": {"x": {"min": 2, "max": 1}}}, "says": ["min"]},
    "level_twice": {"study": {"variables": {"c": {"levels": ["u", "u"]}}}, "says": ["twice"]},
    "reference_no_level": {
        "study": {"variables": {"c": {"levels": ["u", "v"], "reference": "w"}}},
        "says": ["'w'"],
    },
    "model_name_up": {"study": {"models": {"../x": {"formula": "y ~ x + (1 | g)"}}}, "says": ["../x"]},
    "model_name_absolute": {
        "study": {"models": {"/tmp/x": {"formula": "y ~ x + (1 | g)"}}},
        "says": ["/tmp/x"],
    },
    "model_name_empty": {"study": {"models": {"": {"formula": "y ~ x + (1 | g)"}}}, "says": ["name"]},
    "model_name_long": {"study": {"models": {"m" * 300: {"formula": "y ~ x + (1 | g)"}}}, "says": ["name"]},
    "model_name_dots": {"study": {"models": {"..": {"formula": "y ~ x + (1 | g)"}}}, "says": ["name"]},
    "derive_two_kinds": {
        "study": {"derive": [{"within": "x", "between": "x", "group": "g", "as": "z"}]},
        "says": ["exactly one"],
    },
    "derive_without_group": {"study": {"derive": [{"within": "x", "as": "z"}]}, "says": ["group"]},
    "derive_unknown_group": {
        "study": {"derive": [{"within": "x", "group": "h", "as": "z"}]},
        "says": ["`h`"],
    },
    "title_too_long": {"study": {"title": "x" * 10_000}, "says": ["title"]},
    "file_with_spaces": {"name": "my study.yaml", "says": ["my study"]},
    "file_with_dots": {"name": "...yaml"},
    "file_hidden": {"name": ".yaml"},
    "many_problems": {
        "study": {
            "title": ...,
            "modles": {},
            "models/m/engines": ["x"],
            "variables": {"x": {"min": 2, "max": 1}},
        },
        "says": ["title", "modles", "'x'", "min"],
    },
}


@pytest.mark.parametrize("name", HOSTILE)
def test_study_file_is_stopped(end, name):
    end(HOSTILE[name])


def test_absent_file(tmp_path):
    from nestwise.config.load import load_study
    from nestwise.errors import StudyError

    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(StudyError) as caught:
            load_study(path)
        assert all(p.where and p.way_out for p in caught.value.problems)


RUNS = {
    "negative_seed": ({"seed": -1}, "seed"),
    "seed_in_words": ({"seed": "lucky"}, "seed"),
    "results_a_list": ({"results": ["a"]}, "results"),
    "unknown_key": ({"studeis": []}, "studeis"),
    "studies_a_number": ({"studies": 3}, "studies"),
    "no_studies": ({"studies": []}, "studies"),
}


@pytest.mark.parametrize("name", RUNS)
def test_configuration_is_stopped(name):
    from nestwise.config.load import load_run
    from nestwise.errors import StudyError

    changes, word = RUNS[name]
    with pytest.raises(StudyError) as caught:
        load_run({"studies": ["config/studies/radon.yaml"], "results": "results", "seed": 1} | changes)
    assert word in str(caught.value)
    assert all(p.where and p.way_out for p in caught.value.problems)


def test_two_studies_of_one_name(tmp_path):
    from nestwise.config.load import load_studies
    from nestwise.errors import StudyError

    text = "title: t\ndata: {source: d.csv}\ngroups: {g: {}}\nmodels: {m: {formula: y ~ x + (1 | g)}}\n"
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "s.yaml").write_text(text)
    with pytest.raises(StudyError, match="same name"):
        load_studies([tmp_path / "a" / "s.yaml", tmp_path / "b" / "s.yaml"])
