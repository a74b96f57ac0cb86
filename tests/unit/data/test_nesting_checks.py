"""How ids lie in each other, and how many rows they have."""

from itertools import product

import polars as pl
import pytest

from nestwise.data.nesting_checks import declared_within


def frame(rows, *names):
    return pl.DataFrame(rows, schema=[*names], orient="row").with_columns(y=pl.int_range(pl.len()))


NESTED = frame([(s, f"{s}-{c}") for s in "ABC" for c in (1, 2) for _ in range(3)], "school", "class")
RESTARTING = frame(
    [(s, c) for s in "ABC" for c in range(1, 3 + "ABC".index(s)) for _ in range(3)], "school", "class"
)
BALANCED = frame([(s, c) for s in "ABC" for c in (1, 2, 3) for _ in range(3)], "school", "class")
CROSSED = frame([(s, c) for s, c in product("ABC", "xyz") if (s, c) != ("A", "x")], "school", "class")
DECLARED = {"school": {}, "class": {"within": "school"}}
UNDECLARED = {"school": {}, "class": {}}


def relations(validation, name):
    (entry,) = [entry for entry in validation.groups if entry["name"] == name]
    return entry["nested_in"], entry["crossed_with"], entry["restarts_in"]


@pytest.mark.parametrize("order", [("school", "class"), ("class", "school")])
@pytest.mark.parametrize(
    ("data", "groups", "check", "level", "expected"),
    [
        (NESTED, DECLARED, None, None, (["school"], [], None)),
        (NESTED, UNDECLARED, "groups.undeclared_nesting", "info", (["school"], [], None)),
        (RESTARTING, DECLARED, "groups.restarts", "warning", (["school"], [], "school")),
        (RESTARTING, UNDECLARED, "groups.restarts", "warning", ([], [], "school")),
        (BALANCED, DECLARED, "groups.restarts", "warning", (["school"], [], "school")),
        (BALANCED, UNDECLARED, None, None, ([], ["school"], None)),
        (CROSSED, UNDECLARED, None, None, ([], ["school"], None)),
    ],
)
def test_relations(judged, order, data, groups, check, level, expected):
    """The verdict does not depend on the order in which the factors are declared."""
    validation = judged(data, groups={name: groups[name] for name in order})
    found = {c.name: c.level for c in validation.checks if not c.passed and c.name.startswith("groups.")}
    structure = {
        name: kind for name, kind in found.items() if name not in ("groups.few", "groups.singletons")
    }
    assert structure == ({check: level} if check else {})
    assert relations(validation, "class") == expected


@pytest.mark.parametrize("groups", [DECLARED, UNDECLARED])
def test_restarting_ids_come_with_the_right_formula(failing, groups):
    assert "(1 | school/class)" in failing(RESTARTING, groups=groups)["groups.restarts"].sentence


def test_groups_with_restarting_ids_are_counted_with_their_parents(judged):
    sizes = {entry["name"]: entry["n_groups"] for entry in judged(RESTARTING, groups=DECLARED).groups}
    assert sizes == {"school": 3, "class": 9}


def test_a_few_ids_in_two_parents_contradict_the_nesting(failing):
    """Movers, or mistyped ids: not ids that start again."""
    moved = pl.concat([NESTED, frame([("B", "A-1")], "school", "class")])
    found = failing(moved, groups=DECLARED)["groups.nesting"]
    assert found.level == "error"
    assert "'A-1' occurs in school 'A', 'B'" in found.sentence
    assert "take `within` away" in found.sentence


def test_three_levels(judged):
    rows = [(d, s, c) for d in "AB" for s in (1, 2) for c in (1, 2, 3) for _ in range(2)]
    groups = {"class": {"within": "school"}, "school": {"within": "district"}, "district": {}}
    validation = judged(frame(rows, "district", "school", "class"), groups=groups)
    assert {entry["name"]: entry["n_groups"] for entry in validation.groups} == {
        "district": 2,
        "school": 4,
        "class": 12,
    }
    assert relations(validation, "class")[2] == "school"
    assert not validation.errors


def test_two_names_of_the_same_groups(failing):
    data = frame([(1, "a"), (1, "a"), (2, "b")], "county", "name")
    found = failing(data, groups={"county": {}, "name": {}})["groups.undeclared_nesting"]
    assert "the two name the same groups" in found.sentence


def test_cycles_and_unknown_parents_leave_no_nesting_behind(judged):
    groups = {"school": {"within": "class"}, "class": {"within": "school"}}
    validation = judged(NESTED, groups=groups)
    assert len([check for check in validation.errors if check.name == "groups.within"]) == 2
    assert {entry["within"] for entry in validation.groups} == {None}


def test_declared_within_ignores_absent_columns():
    from nestwise.config.study import Group

    groups = {"a": Group(within="b"), "b": Group(within="c"), "c": Group()}
    assert declared_within(groups, ["a", "b"]) == {"a": "b", "b": None}


@pytest.mark.parametrize(("n", "alarm"), [(1, True), (2, True), (39, True), (40, False)])
def test_rule_12_few_groups_raise_an_alarm(failing, n, alarm):
    data = frame([(k,) for k in range(n) for _ in range(2)], "g")
    assert ("groups.few" in failing(data)) is alarm


def test_rule_12_singletons_raise_an_alarm(failing):
    some = failing(frame([(0,), (1,), (1,)], "g"))["groups.singletons"]
    every = failing(frame([(0,), (1,), (2,)], "g"))["groups.singletons"]
    assert some.count == 1
    assert "cannot be told from the residual" in every.sentence


def test_missing_ids_do_not_make_a_group(judged):
    (group,) = judged("g,y\na,1\n,2\nb,3\n").groups
    assert group["n_groups"] == 2
