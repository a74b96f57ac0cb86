"""Traces of imputations, and imputed beside observed values, from draws made by hand."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from nestwise.errors import Refusal
from nestwise.figures.imputed import imputation_traces, imputed_values
from nestwise.figures.theme import svg
from nestwise.imputation.draws import Draws, Filling

HOSTILE = "<script>alert(1)</script>"


def made_draws(name="x", labels=(), chains=3, sweeps=12):
    rng = np.random.default_rng(4)
    values = np.ones((chains, 2)) if labels else np.full((chains, 2), 9.0)
    kind = "nominal" if labels else "continuous"
    filling = Filling(name, kind, "normal", None, np.array([2, 5]), np.array([0, 1]), values, tuple(labels))
    traces = rng.normal(size=(chains, sweeps, 1, 2))
    numbers = tuple(range(1, chains + 1))
    return Draws("s", "m", numbers, numbers, (filling,), ("mean", "sd"), traces, (name,))


@pytest.fixture
def frame():
    """Rows 2 (group a, which has others) and 5 (group b, which has none) lack x."""
    return pl.DataFrame(
        {".row": [1, 2, 3, 4, 5], "x": [1.0, None, 3.0, 4.0, None], "g": ["a", "a", "a", "c", "b"]}
    )


def test_a_line_a_chain_and_a_row_a_variable(wording):
    drawing = imputation_traces(made_draws(), wording)
    mean, sd = drawing.figure.axes
    assert (len(mean.lines), len(sd.lines)) == (3, 3)
    assert drawing.data.height == 3 * 12 * 2
    np.testing.assert_array_equal(mean.lines[1].get_ydata(), made_draws().traces[1, :, 0, 0])
    assert "3 of 3 chains" in drawing.caption


def test_many_chains_are_thinned(wording):
    drawing = imputation_traces(made_draws(chains=200), wording)
    assert len(drawing.figure.axes[0].lines) == 20
    assert "20 of 200 chains" in drawing.caption


def test_one_sweep_is_no_trace(wording):
    with pytest.raises(Refusal, match="one sweep"):
        imputation_traces(made_draws(sweeps=1), wording)


def test_distributions_and_means_are_those_of_the_values(wording, frame):
    drawing = imputed_values(made_draws(), frame, wording, group="g")
    data = drawing.data
    for word in ("observed", "imputed"):
        own = data.filter(pl.col("of") == f"share {word}")
        assert own["value"].sum() == pytest.approx(1)
    # all imputed values are 9, the largest: they stand in the last bin
    assert data.filter(pl.col("of") == "share imputed")["value"].to_list()[-1] == 1
    (mean,) = data.filter(pl.col("of") == "mean by g").to_dicts()
    assert (mean["at"], mean["x"], mean["value"]) == ("a", 2.0, 9.0)
    assert "9.00 imputed, 2.67 observed" in drawing.caption


def test_categories_have_their_labels_and_shares(wording, frame):
    categories = frame.with_columns(x=pl.Series(["no", None, "no", "yes", None]))
    drawing = imputed_values(made_draws(labels=("no", "yes")), categories, wording, group="")
    assert len(drawing.figure.axes) == 1
    shares = {(row["of"], row["at"]): row["value"] for row in drawing.data.to_dicts()}
    assert shares["share observed", "no"] == pytest.approx(2 / 3)
    assert shares["share imputed", "yes"] == 1


def test_hostile_names_and_labels_are_text_in_the_drawing(wording, frame):
    named = frame.with_columns(x=pl.Series([HOSTILE, None, HOSTILE, "b", None])).rename({"x": HOSTILE})
    draws = made_draws(HOSTILE, labels=(HOSTILE, "b"))
    for drawing in (imputed_values(draws, named, wording, group="g"), imputation_traces(draws, wording)):
        assert "<script>" not in svg(drawing.figure, name="f", title="t", description=drawing.alt)


def test_values_known_from_the_group_are_not_drawn(wording, frame):
    draws = made_draws()
    known = replace(draws.fillings[0], method="known", variable="w")
    drawing = imputed_values(replace(draws, fillings=(*draws.fillings, known)), frame, wording, group="g")
    assert drawing.data["variable"].unique().to_list() == ["x"]


def test_a_variable_of_groups_counts_once_a_group(wording):
    """Group a has three rows and b one: their values weigh the same, and no group has both."""
    rows = pl.DataFrame({".row": [1, 2, 3, 4, 5], "x": [1.0, 1.0, 1.0, 3.0, None], "g": list("aaabc")})
    draws = made_draws()
    filling = replace(draws.fillings[0], level="g", rows=np.array([5]), unit=np.array([0]),
                      values=np.full((3, 1), 2.0))  # fmt: skip
    drawing = imputed_values(replace(draws, fillings=(filling,)), rows, wording, group="g")
    shares = drawing.data.filter(pl.col("of") == "share observed")["value"].to_list()
    assert (shares[0], shares[-1]) == (0.5, 0.5)
    assert drawing.data.filter(pl.col("of") == "mean by g").is_empty()
    assert "2.00 imputed, 2.00 observed" in drawing.caption
