"""One estimand under every strategy: order, verdicts against `observed`, what a reader asks for first."""

import polars as pl
import pytest

from nestwise.compare.strategies import UNWEIGHTED, conclusion, estimand, label, sensitivity, telling
from nestwise.results import conform
from nestwise.vocabulary import ESTIMATES, FITS, MEANS


def fit(strategy, engine="lmm", method="REML", status="ok", reason=None):
    return {
        "study": "s", "model": "m", "engine": engine, "strategy": strategy, "method": method,
        "status": status, "reason": reason, "n_obs": 90, "n_groups": 30,
    }  # fmt: skip


def estimate(strategy, value, error=1.0, term="arm", component="fixed", engine="lmm", method="REML"):
    named = fit(strategy, engine, method)
    del named["reason"]
    return named | {
        "component": component, "term": term, "estimate": value, "std_error": error, "target": "conditional",
        "lower": value - 2 * error, "upper": value + 2 * error, "level": 0.95, "scale": "response",
    }  # fmt: skip


def table(estimates, fits, means=(), records=None):
    return sensitivity(
        conform(pl.DataFrame(list(estimates), infer_schema_length=None), ESTIMATES),
        conform(pl.DataFrame(list(means), schema=dict(MEANS)), MEANS),
        conform(pl.DataFrame(list(fits), infer_schema_length=None), FITS),
        records or {},
    )


def test_one_strategy_is_no_comparison():
    assert table([estimate("observed", 3)], [fit("observed")]).is_empty()


def test_strategies_stand_in_one_order_and_are_judged_against_observed():
    fits = [fit(name) for name in ("mi", "locf", "observed", "complete_case", "j2r")]
    estimates = [
        estimate("observed", 3.0), estimate("mi", 2.8), estimate("complete_case", 1.5),
        estimate("locf", -3.0), estimate("j2r", 2.4),
    ]  # fmt: skip
    rows = table(estimates, fits)
    assert rows["strategy"].to_list() == ["observed", "complete_case", "locf", "mi", "j2r"]
    assert rows["verdict"].to_list() == ["reference", "moves", "moves", "holds", "holds"]
    assert "comparators" in conclusion(rows)
    assert "`complete_case` and `locf`" in conclusion(rows)
    assert "depends" in conclusion(rows.with_columns(verdict=pl.lit("moves")))
    kept = rows.filter(pl.col("strategy").is_in(["observed", "mi", "j2r"]))
    assert conclusion(kept) == "The conclusion is the same under all 3 strategies."


def test_a_strategy_without_an_answer_keeps_its_reason():
    rows = table([estimate("observed", 3.0)], [fit("observed"), fit("wgee", status="refused", reason="No.")])
    refused = rows.filter(pl.col("strategy") == "wgee").row(0, named=True)
    assert refused["estimate"] is None
    assert refused["reason"] == "No."
    assert refused["verdict"] == "not_compared"


def test_variances_are_set_side_by_side_without_a_verdict():
    estimates = [estimate(name, 2.0, term="(Intercept)", component="sd") for name in ("observed", "mi")]
    rows = table(estimates, [fit("observed"), fit("mi")])
    assert rows["kind"].to_list() == ["sd", "sd"]
    assert rows["verdict"].to_list() == ["reference", "not_compared"]


def test_missing_information_and_shifts_come_from_the_records():
    method = "REML, 5 imputations"
    records = {
        ("m", "lmm", "delta", method): {
            "delta": 2.0,
            "pooling": {"terms": [{"component": "fixed", "group": None, "term": "arm", "fmi": 0.25}]},
        }
    }
    estimates = [estimate("observed", 3.0), estimate("delta", 2.0, method=method)]
    rows = table(estimates, [fit("observed"), fit("delta", method=method)], records=records)
    assert rows["delta"].to_list() == [None, 2.0]
    assert rows["fmi"].to_list() == [None, 0.25]


@pytest.mark.parametrize(
    ("scale", "said"),
    [("outcome", "imputed and shifted by −1.5"), ("log_odds", "imputed and shifted by −1.5 in log-odds")],
)
def test_a_shift_is_called_by_its_scale(scale, said):
    method = "REML, 5 imputations, delta -1.5"
    records = {("m", "lmm", "delta", method): {"delta": -1.5, "delta_scale": scale}}
    estimates = [estimate("observed", 3.0), estimate("delta", 2.0, method=method)]
    rows = table(estimates, [fit("observed"), fit("delta", method=method)], records=records).to_dicts()
    assert [label(row) for row in rows] == ["all observed rows", said]


def test_unweighted_estimating_equations_say_what_they_assume():
    fits = [fit("observed", "gee"), fit("wgee", "gee")]
    rows = table([estimate(name, 2.5, engine="gee") for name in ("observed", "wgee")], fits)
    assert rows["assumes"][0] == UNWEIGHTED
    assert "missing at random" in rows["assumes"][1]


@pytest.mark.parametrize(
    ("terms", "contrasts", "arm", "expected"),
    [
        (["(Intercept)", "arm", "age"], [], "arm", ("coefficient", None, "arm")),
        (["(Intercept)", "arm", "age"], [], None, ("coefficient", None, "age")),
        (["arm"], ["b - a, 1", "b - a, 2"], "arm", ("contrast", "visit:arm", "b - a, 2")),
        (["arm"], ["b - a, 1"], "site", ("coefficient", None, "arm")),
        (["(Intercept)"], [], None, None),
    ],
)
def test_what_a_reader_asks_for_first(terms, contrasts, arm, expected):
    names = ("observed", "mi")
    estimates = [estimate(name, 1.0, term=term) for name in names for term in terms]
    means = [
        {key: value for key, value in fit(name).items() if key in MEANS}
        | {"grid": "visit:arm", "kind": "contrast", "term": term, "estimate": 1.0}
        for name in names
        for term in contrasts
    ]
    rows = table(estimates, [fit(name) for name in names], means)
    found = telling(rows, arm)
    assert found == expected
    if found is not None:
        assert estimand(rows, found)["strategy"].to_list() == list(names)
