"""Visits for working correlations: which column, which order, which times."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from nestwise.config.study import Model
from nestwise.data.dataset import Dataset, VariableInfo
from nestwise.design.build import build_design
from nestwise.design.occasions import MOST_NAMED, visit_codes
from nestwise.errors import Refusal


def dataset(time="when"):
    frame = pl.DataFrame(
        {
            ".row": [0, 1, 2, 3],
            "y": [1.0, 2.0, 4.0, 3.0],
            "g": pl.Series(["a", "a", "b", "b"], dtype=pl.Categorical),
            "when": [6.0, 0.5, None, 6.0],
        }
    )
    variables = {name: VariableInfo(name, "continuous", True) for name in ("y", "when")}
    return Dataset("s", frame.lazy(), variables, {"g": None}, time=time)


def test_rows_without_a_time_are_left_out_where_the_correlation_goes_by_it():
    timed = build_design(dataset(), "m", Model(formula="y ~ 1 + (1 | g)", correlation="ar1"))
    assert timed.occasions.times.tolist() == [0.5, 6.0]
    assert timed.occasions.visits.tolist() == [1, 0, 1]
    assert timed.row_flow.excluded == (("when is missing", 1, 0),)
    other = build_design(dataset(), "m", Model(formula="y ~ 1 + (1 | g)", correlation="exchangeable"))
    assert (other.n, other.occasions) == (4, None)


def test_a_correlation_by_time_needs_one():
    with pytest.raises(Refusal, match="unstructured goes by time"):
        build_design(dataset(None), "m", Model(formula="y ~ 1 + (1 | g)", correlation="unstructured"))


@pytest.mark.parametrize(
    ("values", "labels", "times"),
    [
        ([4, 0, 4, 2], ("0", "2", "4"), [0, 2, 4]),
        ([date(2020, 3, 1), date(2020, 2, 1)], ("2020-02-01", "2020-03-01"), [0, 29]),
        (pl.Series(["late", "early"], dtype=pl.Enum(["early", "middle", "late"])), ("early", "late"), [0, 2]),
    ],
)
def test_numbers_dates_and_names_are_in_order_of_time(values, labels, times):
    codes, found, at = visit_codes(pl.Series(values), "when", "the key time")
    assert (found, at.tolist()) == (labels, times)
    assert codes[1] == 0


def test_very_many_times_keep_their_values():
    values = np.linspace(0, 1, MOST_NAMED + 1)
    _, labels, times = visit_codes(pl.Series(values), "when", "the key time")
    assert len(set(labels)) == MOST_NAMED + 1
    assert np.array_equal(times, values)


def test_an_infinite_time_is_refused():
    with pytest.raises(Refusal, match="when is infinite"):
        visit_codes(pl.Series([0.0, float("inf")]), "when", "the key time")
