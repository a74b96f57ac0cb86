"""Duplicates, order, spacing and gaps of time."""

import pytest

TIME = {"time": {"column": "t", "unit": "day"}}


def text(times):
    return "g,t,y\n" + "".join(f"{g},{t},{k}\n" for k, (g, t) in enumerate(times))


@pytest.mark.parametrize(
    ("times", "found"),
    [
        ([("a", 0), ("a", 1), ("b", 0), ("b", 1)], set()),
        ([("a", 1), ("a", 0), ("b", 0), ("b", 1)], {"time.order"}),
        ([("a", 0), ("b", 0), ("a", 1), ("b", 1)], set()),
        ([("a", 0), ("a", 1), ("a", 5), ("b", 0), ("b", 1), ("b", 5)], {"time.spacing"}),
        ([("a", 0), ("a", 2), ("b", 0), ("b", 1), ("b", 2)], {"time.gaps"}),
        ([("a", 0), ("a", 1), ("b", 0), ("b", 1), ("b", 2)], set()),
        ([("a", 0), ("a", 0), ("b", 0), ("b", 1)], {"time.duplicates"}),
        ([("a", 0), ("a", "NA"), ("a", "NA"), ("b", 0)], {"time.present"}),
        ([("a", "2024-01-01"), ("a", "2024-01-02"), ("b", "2024-01-01")], set()),
        ([("a", "2024-01-02"), ("a", "2024-01-01"), ("b", "2024-01-01")], {"time.order"}),
        ([("a", 0.1), ("a", 0.2), ("a", 0.3), ("a", 0.4)], set()),
        ([("a", -1), ("a", 0), ("a", 1)], set()),
    ],
)
def test_time(failing, times, found):
    assert {name for name in failing(text(times), **TIME) if name.startswith("time.")} == found


def test_unsorted_rows_are_named(failing):
    found = failing(text([("a", 0), ("b", 3), ("a", 2), ("b", 1)]), **TIME)["time.order"]
    assert found.rows == (4,)
    assert found.level == "info"


def test_time_summary(judged):
    summary = judged(text([("a", 0), ("a", 2), ("b", 4)]), **TIME).time
    assert summary["occasions"] == [0.0, 2.0, 4.0]
    assert summary["equally_spaced"]
    assert summary["unit"] == "day"


def test_ordinal_time_in_declared_order(failing):
    variables = {"t": {"type": "ordinal", "levels": ["before", "during", "after"]}}
    times = [("a", "before"), ("a", "during"), ("a", "after"), ("b", "before"), ("b", "after")]
    found = failing(text(times), variables=variables, **TIME)
    assert {name for name in found if name.startswith("time.")} == {"time.gaps"}


def test_time_that_is_a_grouping_factor_too(failing):
    groups = {"g": {}, "t": {}}
    times = [("a", 10), ("a", 9), ("b", 9), ("b", 10)]
    assert "time.order" in failing(text(times), groups=groups, **TIME)


def test_duplicates_are_judged_by_all_ids(failing):
    """Pupils 1 of two schools are two pupils; two rows of one pupil and year are one too many."""
    groups = {"school": {}, "pupil": {"within": "school"}}
    rows = "".join(f"{s},{p},{t},1\n" for s in "AB" for p in (1, 2) for t in (0, 1))
    header = "school,pupil,t,y\n"
    assert "time.duplicates" not in failing(header + rows, groups=groups, **TIME)
    found = failing(header + rows + "A,1,0,7\n", groups=groups, **TIME)["time.duplicates"]
    assert found.rows == (1, 9)


def test_many_different_times_are_no_occasions(judged):
    times = [(g, t * 1.37 + (g == "b")) for g in "ab" for t in range(300)]
    summary = judged(text(times), **TIME).time
    assert summary["occasions"] is None
    assert summary["equally_spaced"] is None
