"""Models side by side: compared where they may be, refused with the way out where not."""

import polars as pl

from nestwise.compare.models import compare_models
from nestwise.results import conform
from nestwise.vocabulary import ESTIMATES, FITS


def study(*models):
    fits, estimates = [], []
    for name, given in models:
        fits.append(
            {
                "study": "s",
                "model": name,
                "engine": "lmm",
                "method": given.get("method", "REML"),
                "status": given.get("status", "ok"),
                "reason": given.get("reason"),
                "log_likelihood": -100.0,
                "aic": given.get("aic", 210.0),
                "bic": 220.0,
                "n_obs": given.get("n", 50),
                "n_groups": 5,
                "formula": "y ~ x",
                "analysis_hash": given.get("hash", "h"),
            }
        )
        estimates += [
            {
                "study": "s",
                "model": name,
                "engine": "lmm",
                "component": "fixed",
                "term": term,
                "estimate": 1.0,
            }
            for term in given["terms"]
        ]
    return conform(pl.DataFrame(fits), FITS), conform(pl.DataFrame(estimates), ESTIMATES)


def test_rule_2_reml_fits_are_compared_only_with_the_same_fixed_part():
    table = compare_models(
        *study(
            ("a", {"terms": ["(Intercept)", "x"], "aic": 210.0}),
            ("b", {"terms": ["(Intercept)", "x"], "aic": 200.0}),
            ("c", {"terms": ["(Intercept)", "x", "z"]}),
        )
    )
    assert [row.comparable for row in table.rows] == [True, True, False]
    assert any("b has the lowest AIC, 10.0 below a" in sentence for sentence in table.sentences)
    assert any("`reml: false`" in sentence for sentence in table.sentences)


def test_rule_2_ml_fits_with_different_fixed_parts_are_compared():
    table = compare_models(
        *study(
            ("a", {"terms": ["(Intercept)"], "method": "ML"}),
            ("b", {"terms": ["(Intercept)", "x"], "method": "ML", "aic": 209.0}),
        )
    )
    assert all(row.comparable for row in table.rows)
    assert table.sentences == (
        "Among b, a, which may be compared, b has the lowest AIC, 1.0 below a; "
        "a gap under 2 decides nothing.",
    )


def test_rule_3_models_on_different_rows_are_not_compared():
    table = compare_models(
        *study(
            ("a", {"terms": ["x"], "method": "ML"}),
            ("b", {"terms": ["x"], "method": "ML", "hash": "other", "n": 40}),
        )
    )
    assert not any(row.comparable for row in table.rows)
    assert "different rows (40 and 50)" in table.sentences[0]


def test_a_refused_fit_is_a_row_with_its_reason_and_blocks_nothing():
    table = compare_models(
        *study(
            ("a", {"terms": ["x"]}),
            ("b", {"terms": ["x"]}),
            ("c", {"terms": [], "status": "refused", "reason": "one group", "hash": "", "method": ""}),
        )
    )
    assert [row.comparable for row in table.rows] == [True, True, False]
    assert table.rows[2].note == "one group"
    assert not any("different rows" in sentence for sentence in table.sentences)
