"""Sizes of data, costs by size, and the table of a planned run."""

import pytest

from nestwise.costs.plan import (
    Measured,
    Planned,
    duration,
    expected,
    read_benchmark,
    read_measured,
    rows,
    step_name,
    table,
)
from nestwise.costs.size import megabytes

POINTS = [Measured(1.0, 10.0, 200.0), Measured(100.0, 40.0, 800.0)]


def job(step="fit.lmm", study="trial", size=1.0, benchmark=""):
    return Planned(step, study, size, benchmark, minutes=20, memory=2000)


def test_a_compressed_file_counts_as_the_text_it_holds(tmp_path):
    text, packed = tmp_path / "a.csv", tmp_path / "b.PARQUET"
    for path in (text, packed):
        path.write_bytes(b"x" * 500_000)
    assert megabytes(text) == pytest.approx(0.5)
    assert megabytes(packed) == pytest.approx(2.0)
    assert megabytes(text, packed) == pytest.approx(2.5)


def test_shifts_of_one_strategy_are_one_step():
    assert step_name("sample", "pymc") == "fit.pymc"
    assert step_name("treat", "lmm", "delta-2") == step_name("treat", "gee", "delta-0") == "treat.delta"
    assert step_name("draw") == "draw"


def test_costs_between_measured_sizes_lie_on_log_log_lines():
    between = expected(10.0, POINTS)  # the geometric mean of the sizes
    assert (between.seconds, between.memory) == (pytest.approx(20.0), pytest.approx(400.0))


def test_costs_below_are_those_of_starting_and_beyond_in_proportion():
    assert expected(0.01, POINTS).seconds == pytest.approx(10.0)
    assert expected(100.0, POINTS) == POINTS[1]
    assert expected(250.0, POINTS).seconds == pytest.approx(100.0)
    assert expected(250.0, POINTS).memory == pytest.approx(2000.0)


def test_the_run_before_is_preferred_to_the_benchmarks(tmp_path):
    file = tmp_path / "b.tsv"
    file.write_text("s\th:m:s\tmax_rss\n7.5\t0:00:07\t321.0\n")
    (own,) = rows([job(benchmark=str(file))], {"fit.lmm": POINTS})
    assert (own.seconds, own.memory, own.basis) == (7.5, 321.0, "earlier run")
    (other,) = rows([job()], {"fit.lmm": POINTS})
    assert (other.seconds, other.basis) == (10.0, "benchmarks")
    (unknown,) = rows([job("fit.new")], {"fit.lmm": POINTS})
    assert (unknown.seconds, unknown.memory, unknown.basis) == (None, None, "limits only")


def test_the_log_knows_a_peak_that_snakemake_did_not_see(tmp_path):
    for folder in ("benchmarks", "logs"):
        (tmp_path / folder).mkdir()
    file = tmp_path / "benchmarks" / "m.lmm.tsv"
    file.write_text("s\tmax_rss\n70.5\t321.0\n")
    (tmp_path / "logs" / "m.lmm.log").write_text(
        "INFO nestwise: ended after 70.1 s, with 60.2 s of CPU and 4321 MB of memory at most\n"
    )
    assert read_benchmark(str(file), 1.0) == Measured(1.0, 70.5, 4321.0)


def test_far_beyond_what_was_measured_costs_are_not_known():
    (near,) = rows([job(size=1000.0)], {"fit.lmm": POINTS})
    (far,) = rows([job(size=1001.0)], {"fit.lmm": POINTS})
    assert (near.seconds, near.basis) == (pytest.approx(400.0), "benchmarks")
    assert (far.seconds, far.memory, far.basis) == (None, None, "limits only")


@pytest.mark.parametrize("text", ["", "s\tmax_rss\n", "s\tmax_rss\nNA\tNA\n", "x\ty\n1\t2\n"])
def test_a_benchmark_without_numbers_is_no_measurement(tmp_path, text):
    file = tmp_path / "b.tsv"
    file.write_text(text)
    assert read_benchmark(str(file), 1.0) is None


def test_a_table_names_every_step_and_says_what_the_whole_takes():
    jobs = [job("read", "b"), job("read", "a"), job("fit.lmm", "b"), job("fit.lmm", "b"), job("fit.x", "a")]
    planned = rows(jobs, {"read": POINTS, "fit.lmm": POINTS})
    assert [(row.study, row.step, row.jobs) for row in planned] == [
        ("b", "read", 1), ("b", "fit.lmm", 2), ("a", "read", 1), ("a", "fit.x", 1),
    ]  # fmt: skip
    text = table(planned)
    assert text.splitlines()[-1] == (
        "5 jobs of 2 studies take some 40 s of one core, and at most 200 MB of memory each. "
        "What 1 of them takes is not known."
    )
    assert "–" in text
    assert "Nothing to be done" in table([])


def test_durations_are_told_in_the_unit_a_person_would_use():
    assert [duration(value) for value in (7, 600, 36_000, None)] == ["7 s", "10 min", "10.0 h", "–"]


def test_the_measurements_that_come_along_cover_every_rule():
    known = read_measured()
    assert {
        "read",
        "validate",
        "prepare",
        "design",
        "tables",
        "diagnose",
        "compare",
        "figures",
        "report",
    } <= set(known)
    assert all(one.seconds > 0 and one.memory > 0 for points in known.values() for one in points)
