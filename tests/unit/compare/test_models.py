"""Models side by side: compared where they may be, refused with the way out where not."""

import polars as pl
import pytest
from scipy import stats

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
                "log_likelihood": given.get("log_likelihood", -100.0),
                "n_parameters": given.get("n_parameters"),
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
                "component": component,
                "group": None if component == "fixed" else "g",
                "term": term,
                "estimate": 1.0,
            }
            for component, key in (("fixed", "terms"), ("sd", "sds"), ("cor", "cors"), ("derived", "derived"))
            for term in given.get(key, ())
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


def test_rule_2_the_degrees_of_freedom_of_tests_change_no_likelihood():
    kenward = "REML (Kenward-Roger)"
    same = study(("a", {"terms": ["x"]}), ("b", {"terms": ["x"], "method": kenward}))
    assert [row.comparable for row in compare_models(*same).rows] == [True, True]
    other = study(("a", {"terms": ["x"], "method": kenward}), ("b", {"terms": [], "method": kenward}))
    table = compare_models(*other)
    assert [row.comparable for row in table.rows] == [False, False]
    assert any("REML with different fixed effects" in sentence for sentence in table.sentences)


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


INTERCEPTS = {"terms": ["(Intercept)"], "sds": ["(Intercept)"], "n_parameters": 3, "log_likelihood": -110.0}
LINE = INTERCEPTS | {"terms": ["(Intercept)", "x"], "n_parameters": 4, "log_likelihood": -108.0}
INDEPENDENT = LINE | {"sds": ["(Intercept)", "x"], "n_parameters": 5, "log_likelihood": -106.5}
SLOPES = INDEPENDENT | {"cors": ["(Intercept):x"], "n_parameters": 6, "log_likelihood": -104.0}


def ratio_tests(*models, method="ML"):
    table = compare_models(*study(*((name, given | {"method": method}) for name, given in models)))
    return {(test.small, test.large): test for test in table.tests}, table


def test_rule_6_nested_models_are_tested_against_the_next_one_down():
    found, table = ratio_tests(("a", INTERCEPTS), ("b", LINE), ("c", INDEPENDENT), ("d", SLOPES))
    assert list(found) == [("a", "b"), ("b", "c"), ("c", "d")]
    assert found["a", "b"].p_value == pytest.approx(stats.chi2.sf(4, 1))
    assert found["b", "c"].p_value == pytest.approx(stats.chi2.sf(3, 1) / 2)
    assert found["c", "d"].p_value == pytest.approx(stats.chi2.sf(5, 1))
    assert "0.5 chi2(0) + 0.5 chi2(1)" in found["b", "c"].reference
    assert found["c", "d"].sentence in table.sentences
    assert found["c", "d"].sentence == "d against c: likelihood-ratio statistic 5.00, p = 0.025 (chi2(1))."


def test_rule_6_a_variance_with_its_covariance_and_an_upper_bound():
    found, _ = ratio_tests(("b", LINE), ("d", SLOPES))
    mixture = (stats.chi2.sf(8, 1) + stats.chi2.sf(8, 2)) / 2
    assert found["b", "d"].p_value == pytest.approx(mixture)
    found, _ = ratio_tests(("a", INTERCEPTS), ("c", INDEPENDENT))
    assert found["a", "c"].p_value == pytest.approx(stats.chi2.sf(7, 2))
    assert "upper bound" in found["a", "c"].reference
    assert "p at most 0.030" in found["a", "c"].sentence


def test_rule_2_reml_tests_variances_only():
    found, table = ratio_tests(("a", INTERCEPTS), ("b", LINE), ("c", INDEPENDENT), method="REML")
    assert list(found) == [("b", "c")]
    assert any("`reml: false`" in sentence for sentence in table.sentences)


def test_rule_3_other_rows_and_failed_searches_are_not_tested():
    other = LINE | {"hash": "other"}
    assert ratio_tests(("a", INTERCEPTS), ("b", other))[0] == {}
    assert ratio_tests(("a", INTERCEPTS), ("b", LINE | {"status": "not_converged"}))[0] == {}
    assert ratio_tests(("a", INTERCEPTS), ("b", LINE | {"terms": ["x"]}))[0] == {}
    assert ratio_tests(("a", INTERCEPTS), ("b", LINE | {"log_likelihood": -111.0}))[0] == {}


def test_the_conditional_aic_stands_in_the_table():
    estimates = study(("a", INTERCEPTS | {"derived": ["caic", "icc"]}), ("b", INTERCEPTS))
    assert [row.caic for row in compare_models(*estimates).rows] == [1.0, None]
