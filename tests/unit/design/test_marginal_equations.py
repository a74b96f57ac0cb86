"""Estimating equations, and distributions of rows, as mathematics."""

import re

import pytest

from nestwise.design.distributions import outcome_equations
from nestwise.design.marginal_equations import marginal_equations
from nestwise.design.mathml import FixedShape, RandomShape, Shape, shape_from_record, write

TAGS = re.compile(r"<[^>]+>")


def plain(equation):
    return TAGS.sub("", equation.mathml)


def model(family="binomial", link="logit", **given):
    fixed = (FixedShape("(Intercept)", 0, ""), FixedShape("x"), FixedShape("a<b"))
    return Shape("y", 40, fixed, (RandomShape("id", ("(Intercept)",), True, 10),), family, link, **given)


def lines(shape, structure="exchangeable", **parameters):
    named = {name.replace("_", ":", 1).replace("_", ","): value for name, value in parameters.items()}
    found = marginal_equations(shape, "patient", {"structure": structure, "parameters": named})
    return {line.title: plain(line) for line in found}


def test_the_mean_has_marked_coefficients_and_no_random_effects():
    found = lines(model(offset=True), alpha=0.42)
    mean = found["Mean of row i over all clusters"]
    assert mean == "logit(piM)=β0M+β1Mxi+β2Ma&lt;bi+offseti"
    assert "η" not in "".join(found.values())
    assert found["Variance of a row"] == "var(yi)=φpiM(1−piM)"
    assert found["Solved for the coefficients"].startswith("∑jDjTVj−1(yj−μj)=0")


@pytest.mark.parametrize(
    ("family", "link", "variance"),
    [
        ("poisson", "log", "var(yi)=φμiM"),
        ("gamma", "log", "var(yi)=φ(μiM)2"),
        ("gaussian", "identity", "var(yi)=φ"),
    ],
)
def test_the_variance_is_that_of_the_family(family, link, variance):
    assert lines(model(family, link), alpha=0.1)["Variance of a row"] == variance
    assert lines(model(trials=True), alpha=0.1)["Variance of a row"] == "var(yi)=φmipiM(1−piM)"


def test_each_structure_has_its_correlation_and_its_estimates():
    same = "Working correlation of two rows of a patient"
    found = lines(model(), alpha=0.42)
    assert found[same].endswith("=α")
    assert "0.42" in found["As estimated, of a patient"]
    assert lines(model(), "independence")[same].endswith("=0")
    assert "As estimated, of a patient" not in lines(model(), "independence")
    assert lines(model(), "ar1", alpha=0.5)[same].endswith("=α|ti−tk|")
    assert lines(model(), "ar1", alpha_4=0.5)[same].endswith("=α|ti−tk|/4")
    banded = lines(model(), "m_dependent", alpha_1=0.3, alpha_2=-0.1)
    assert f"{same}, up to 2 visits apart" in banded
    assert "−0.10" in banded["As estimated, of a patient"]
    free = lines(model(), "unstructured", alpha_1_2=0.3, alpha_1_3=0.2, alpha_2_3=-0.25)
    assert free["As estimated, of a patient"] == "R=(10.300.200.301−0.250.20−0.251)"


def test_nested_clusters_have_a_correlation_each():
    found = lines(model(), "nested", alpha_ward=0.4, alpha_hospital=0.1)
    assert found["Working correlation of two rows of a ward"].endswith("α1")
    assert found["Working correlation of two rows of a hospital, not of one ward"].endswith("α2")


@pytest.mark.parametrize(
    ("family", "link", "trials", "left", "told"),
    [
        ("binomial", "logit", False, "logit(pi)", ["yi∼Bernoulli(pi)"]),
        ("binomial", "probit", True, "Φ−1(pi)", ["yi∼Binomial(mi,pi)"]),
        ("poisson", "log", False, "log(μi)", ["yi∼Poisson(μi)"]),
        ("negative_binomial", "log", False, "log(μi)", ["yi∼Negative binomial(μi,k)", "var(yi)=μi+μi2k"]),
        ("gamma", "inverse", False, "1μi", ["yi∼Gamma(μi,ν)", "var(yi)=μi2ν"]),
        ("ordinal", "logit", False, "λi", ["logit(P(yi≤c))=θc−λi"]),
        ("gaussian", "log", False, "log(μi)", ["yi∼N(μi,σ2)"]),
    ],
)
def test_a_row_is_distributed_as_its_family(family, link, trials, left, told):
    side, errors, found = outcome_equations("y", family, link, trials=trials)
    assert TAGS.sub("", side) == left
    assert not errors
    assert [plain(line) for line in found] == told


def test_dispersions_have_symbols_and_old_records_are_read():
    symbols = {(each.component, each.term) for each in write(model("gamma", "log")).symbols}
    assert ("residual", "shape") in symbols
    assert not any(each.component == "residual" for each in write(model()).symbols)
    old = {
        "outcome": "y",
        "n": 1,
        "family": "poisson",
        "link": "log",
        "offset": False,
        "fixed": [],
        "random": [],
    }
    assert shape_from_record(old).trials is False
