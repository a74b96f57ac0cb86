"""Residual covariances inside each other, and the likelihood-ratio tests between their models (rule 6)."""

import polars as pl
import pytest

from nestwise.compare.models import compare_models
from nestwise.compare.structures import Structure, holds, holds_intercept, structure_of
from nestwise.results import conform
from nestwise.vocabulary import ESTIMATES, FITS


def made(kind, **given):
    return Structure(kind, subject="id", time="week", **given)


KINDS = ("independent", "compound_symmetry", "ar1", "toeplitz", "antedependence", "unstructured")
INSIDE = {
    ("compound_symmetry", "independent"),
    ("ar1", "independent"),
    ("toeplitz", "independent"),
    ("toeplitz", "compound_symmetry"),
    ("antedependence", "independent"),
    ("antedependence", "ar1"),
    *(("unstructured", kind) for kind in KINDS),
    *((kind, kind) for kind in KINDS),
}


@pytest.mark.parametrize("large", KINDS)
@pytest.mark.parametrize("small", KINDS)
def test_which_covariance_holds_which(large, small):
    assert holds(made(large), made(small)) == ((large, small) in INSIDE)


def test_powers_of_one_number_are_bands_between_even_visits_only():
    assert holds(made("toeplitz", even=True), made("ar1"))
    assert not holds(made("toeplitz", even=False), made("ar1"))


@pytest.mark.parametrize(
    ("large", "small", "expected"),
    [
        (made("ar1", heterogeneous=True), made("ar1"), True),
        (made("ar1"), made("ar1", heterogeneous=True), False),
        (made("unstructured"), made("ar1", heterogeneous=True), True),
        (made("ar1", by="arm"), made("ar1"), True),
        (made("ar1"), made("ar1", by="arm"), False),
        (made("ar1", by="arm"), made("ar1", by="sex"), False),
        (made("ar1", function=("power", "x")), made("ar1"), False),
        (made("unstructured"), Structure("ar1", subject="id", time="day"), False),
        (made("unstructured"), Structure("compound_symmetry", subject="other"), False),
        (made("unstructured"), Structure(), True),
    ],
)
def test_variances_strata_times_and_subjects_have_to_agree(large, small, expected):
    assert holds(large, small) == expected


def test_a_random_intercept_is_compound_symmetry_of_its_own_subject():
    assert holds_intercept(made("unstructured"), "id")
    assert not holds_intercept(made("unstructured"), "site")
    assert not holds_intercept(made("ar1"), "id")


def test_the_structure_of_a_design_is_read_and_weights_leave_none():
    residual = {"structure": "ar1", "heterogeneous": True, "by": "", "subject": "id", "time": "week"}
    residual |= {"variance": None, "visits": ["0", "2", "4"]}
    assert structure_of({"residual": residual}) == made("ar1", heterogeneous=True, even=True)
    uneven = structure_of({"residual": residual | {"visits": ["0", "2", "5"]}})
    assert uneven is not None
    assert not uneven.even
    assert structure_of({"residual": None}) == Structure()
    assert structure_of({"residual": residual, "weights": True}) is None


def tables(*models):
    fits, rows = [], []
    for name, log_likelihood, n_parameters, terms in models:
        shared = {"study": "s", "model": name, "engine": "lmm", "strategy": "observed"}
        fits.append(
            shared
            | {"method": "REML", "status": "ok", "analysis_hash": "h", "n_obs": 10, "n_groups": 5}
            | {"log_likelihood": log_likelihood, "n_parameters": n_parameters, "formula": "y ~ 1"}
        )
        rows += [
            shared | {"component": component, "term": term, "group": group, "estimate": 1.0}
            for component, term, group in (("fixed", "(Intercept)", None), *terms)
        ]
    return conform(pl.DataFrame(fits), FITS), conform(pl.DataFrame(rows, infer_schema_length=None), ESTIMATES)


INTERCEPT = (("sd", "(Intercept)", "id"), ("residual", "sigma", None))
MODELS = (
    ("level", -100.0, 3, INTERCEPT),
    ("ar1", -99.0, 3, (("residual", "sigma", None), ("residual", "rho", None))),
    ("ante", -97.0, 5, (("residual", "sigma", None), ("residual", "cor[1,2]", None))),
    ("free", -95.0, 7, (("residual", "sigma[1]", None), ("residual", "cor[1,2]", None))),
)
STRUCTURES = {
    "level": Structure(),
    "ar1": made("ar1"),
    "ante": made("antedependence"),
    "free": made("unstructured", heterogeneous=True),
}


def test_each_model_is_tested_against_the_largest_it_holds():
    found = compare_models(*tables(*MODELS), structures=STRUCTURES).tests
    assert [(test.large, test.small, test.statistic, test.df, test.reference) for test in found] == [
        ("ante", "ar1", 4.0, 2, "chi2(2)"),
        ("free", "level", 10.0, 4, "chi2(4)"),
        ("free", "ante", 4.0, 2, "chi2(2)"),
    ]
    # chi-squared with two degrees of freedom has the survival function exp(-x / 2)
    assert found[0].p_value == pytest.approx(0.1353352832366127)


def test_without_the_structures_covariances_are_not_guessed():
    assert compare_models(*tables(*MODELS)).tests == ()


def test_a_correlation_that_cannot_be_negative_is_tested_by_an_upper_bound():
    plain = ("plain", -100.0, 2, (("residual", "sigma", None),))
    structures = STRUCTURES | {"plain": Structure()}
    (test,) = compare_models(*tables(plain, MODELS[1]), structures=structures).tests
    assert "upper bound" in test.reference
    assert "p at most" in test.sentence
