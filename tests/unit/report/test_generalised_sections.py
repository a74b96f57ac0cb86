"""Sections of a study whose outcome is not Gaussian: effects with their target, methods, the first screen."""

from dataclasses import replace

import polars as pl
import pytest

from nestwise.config.study import Study
from nestwise.design.mathml import FixedShape, RandomShape, Shape
from nestwise.report.blocks import Fold, Heading, Mathematics, Table
from nestwise.report.estimation import gee_sentences, generalised_citations, glmm_sentences
from nestwise.report.render import render
from nestwise.report.sections.coefficients import coefficients_section
from nestwise.report.sections.marginal import marginal_section
from nestwise.report.sections.models import models_section
from nestwise.report.sections.pooling import pooling_section
from nestwise.report.sections.summary import summary
from nestwise.report.sections.variance import variance_section
from nestwise.report.targets import median_ratio
from nestwise.results import conform
from nestwise.vocabulary import CHECKS, ESTIMATES, FITS, GROUPS, RECONCILIATION, TESTS

HOSTILE = "<script>x</script>"
POINTS = [
    {"points": points, "log_likelihood": value, "fixed": {"(Intercept)": -1.0, "drug": -0.5}, "sd": [2.0]}
    for points, value in ((1, -101.0), (9, -100.1), (15, -100.0))
]
GEE = {
    "terms": ["(Intercept)", "drug"],
    "clusters": {"group": "id", "n": 40, "smallest": 2, "largest": 7},
    "working_correlation": {
        "structure": "exchangeable",
        "parameters": {"alpha": 0.42},
        "pairs": {"alpha": 300},
    },
    "variance": {
        "kind": "KC",
        "df": 38.0,
        "standard_errors": {"LZ": [0.2, 0.1], "KC": [0.21, 0.11], "model": [0.1, 0.1]},
    },
    "dfbeta": [{"label": HOSTILE, "dfbeta": [0.0, 0.022]}],
}


def study(engines=("glmm", "gee"), family="binomial"):
    return Study.model_validate(
        {
            "title": "A trial",
            "data": {"source": "x.csv"},
            "groups": {"id": {"label": "patient"}},
            "models": {"m": {"formula": "y ~ drug + (1 | id)", "family": family, "engines": list(engines)}},
        }
    )


def estimate(engine, component, term, value, error=None, **given):
    half = 2 * error if error else None
    ends = {} if half is None else {"lower": value - half, "upper": value + half, "level": 0.95}
    target = "marginal" if engine == "gee" else "conditional"
    p = 0.01 if component == "fixed" else None
    row = {"study": "s", "model": "m", "engine": engine, "target": target, "component": component}
    return (
        row | {"term": term, "estimate": value, "std_error": error, "p_value": p, "n_obs": 200} | ends | given
    )


ROWS = [
    estimate("glmm", "fixed", "(Intercept)", -1.0, 0.2, scale="link"),
    estimate("glmm", "fixed", "drug", -0.5, 0.1, scale="link"),
    estimate("glmm", "sd", "(Intercept)", 2.0, group="id", scale="link"),
    estimate("glmm", "derived", "icc", 0.55, group="id", scale="latent", lower=0.4, upper=0.7),
    estimate("glmm", "derived", "icc", 0.31, group="id", scale="response"),
    estimate("gee", "fixed", "(Intercept)", -0.6, 0.2, df=38.0),
    estimate("gee", "fixed", "drug", -0.3, 0.1, df=38.0),
    estimate("gee", "residual", "phi", 1.02),
    estimate("gee", "residual", "alpha", 0.42, group="id"),
    estimate("gee", "derived", "odds_ratio:drug", 0.74),
    estimate("gee", "derived", "qic", 512.3),
    estimate("gee", "derived", "cic", 2.4),
]


def fit(engine, method, status="ok", **given):
    row = {"study": "s", "model": "m", "engine": engine, "method": method, "status": status, "n_obs": 200}
    return row | {"n_groups": 40, "analysis_hash": "h"} | given


FITS_OF = {"glmm": fit("glmm", "AGQ(9)"), "gee": fit("gee", "exchangeable, KC")}


@pytest.fixture
def make(record):
    """A record of the model `m` by some engines, with its rows as given."""

    def build(engines=("glmm", "gee"), family="binomial", link="logit", rows=None, fits=None, **given):
        chosen = [row for row in (ROWS if rows is None else rows) if row["engine"] in engines]
        fixed = (FixedShape("(Intercept)", 0, ""), FixedShape("drug"))
        shape = Shape("y", 200, fixed, (RandomShape("id", ("(Intercept)",), True, 40),), family, link)
        design = {
            "model": "m", "formula": "y ~ drug + (1 | id)", "outcome": "y", "n": 200, "family": family,
            "link": link, "names": ["(Intercept)", "drug"],
            "random": [{"group": "id", "names": ["(Intercept)"], "correlated": True, "n_groups": 40}],
        }  # fmt: skip
        listed = [FITS_OF[engine] for engine in engines] if fits is None else fits
        base = {
            "study": study(engines, family), "designs": {"m": design}, "shapes": {"m": shape},
            "estimates": conform(pl.DataFrame(chosen, infer_schema_length=None), ESTIMATES),
            "fits": conform(pl.DataFrame(listed, infer_schema_length=None), FITS),
            "groups": pl.DataFrame(schema=dict(GROUPS)), "checks": pl.DataFrame(schema=dict(CHECKS)),
            "comparison": record.comparison.clear(), "pictures": (), "covariances": {},
            "records": {("m", "glmm"): {"points": POINTS}, ("m", "gee"): GEE},
        }  # fmt: skip
        return replace(record, **(base | given))

    return build


def tables(section):
    found = []
    for block in section.blocks:
        found += [each for each in block.blocks if isinstance(each, Table)] if isinstance(block, Fold) else []
        found += [block] if isinstance(block, Table) else []
    return found


def column(table, place):
    return [row[place].text for row in table.rows]


def test_each_table_of_effects_names_its_target(make):
    section = coefficients_section(make())
    conditional, marginal = tables(section)
    assert "about one and the same patient" in conditional.caption
    assert "about the average of patients" in marginal.caption
    assert "answer different questions" in section.lead
    assert conditional.rows[1][3].text == "0.607"
    assert conditional.rows[1][4].text == "0.497 to 0.741"
    assert marginal.rows[1][5].text == "38.0"
    assert "Odds ratio" in conditional.head
    assert not any({"−0.50", "−0.30"} <= set(column(table, 1)) for table in (conditional, marginal))


def test_other_families_have_their_own_ratio_or_none(make):
    rate = tables(coefficients_section(make(family="poisson", link="log")))[0]
    assert "Rate ratio" in rate.head
    assert "Estimate (log rate)" in rate.head
    probit = tables(coefficients_section(make(link="probit")))[0]
    assert probit.head == ("Term", "Estimate (probit scale)", "SE", "95% interval", "df", "p")
    thresholds = [estimate("glmm", "fixed", "1|2", -1.5, 0.2), *ROWS[1:4]]
    ordinal = tables(coefficients_section(make(("glmm",), "ordinal", rows=thresholds)))[0]
    assert ordinal.rows[0][0].detail == "threshold"
    assert ordinal.rows[0][3].text == "–"
    assert "every cut" in ordinal.note


def test_gaussian_studies_have_no_such_section(record):
    assert coefficients_section(record) is None
    assert marginal_section(record) is None


def test_models_are_written_both_ways_and_pooling_is_left_out(make):
    blocks = models_section(make()).blocks
    heads = [block.text for block in blocks if isinstance(block, Heading)]
    assert heads == [
        "m", "Mixed model: one and the same patient", "Estimating equations: the average of patients",
    ]  # fmt: skip
    written = [block for block in blocks if isinstance(block, Mathematics)]
    assert any(line.title == "Outcome" for line in written[0].equations)
    assert not any("Level 2" in line.title for line in written[1].equations)
    alone = models_section(make(("gee",))).blocks
    assert len([block for block in alone if isinstance(block, Mathematics)]) == 1
    assert pooling_section(make()) is None


def test_the_marginal_section_shows_correlation_criteria_errors_and_dfbeta(make):
    section = marginal_section(make())
    assert "estimated as 0.42" in section.lead
    parameters, errors, moved = tables(section)
    assert column(parameters, 0) == [
        "dispersion (φ)", "working correlation (α)", "QIC: predictors and working correlations",
        "CIC: working correlations",
    ]  # fmt: skip
    assert column(parameters, 2)[1] == "300 pairs of rows"
    assert "40 patients with 2 to 7 rows each" in parameters.note
    assert errors.head == ("Term", "LZ", "KC (used)", "model")
    assert "2.0 times" in errors.note
    assert column(moved, 1) == ["0"]
    assert column(moved, 2) == ["0.20"]


def test_shares_are_named_by_their_scale(make):
    section = variance_section(make())
    assert "latent scale of the logit link 55% (40% to 70%)" in section.lead
    assert "scale of the data two rows of one patient are correlated by 31%" in section.lead
    assert "since slopes vary" not in section.lead
    partition, derived = tables(section)
    assert "log odds" in partition.caption
    assert "Share" not in partition.head
    assert column(derived, 2) == ["ratio", "latent", "data"]
    assert float(column(derived, 3)[0]) == pytest.approx(median_ratio(2.0), rel=0.01)


def test_the_median_odds_ratio_is_that_of_larsen_and_merlo():
    # Larsen & Merlo (2005): a variance of 0.195 between neighbourhoods is a median odds ratio of 1.52.
    assert median_ratio(0.195**0.5) == pytest.approx(1.52, abs=0.005)
    assert median_ratio(0.0) == 1.0


def reconciled():
    ends = {f"{name}{part}": shift for name in ("conditional", "integrated", "marginal")
            for part, shift in (("_lower", -0.9), ("_upper", 0.1), ("_se", 0.1))}  # fmt: skip
    values = {"conditional": -0.5, "integrated": -0.29, "marginal": -0.3}
    row = {
        "study": "s",
        "model": "m",
        "kind": "coefficient",
        "term": "drug",
        "level": 0.95,
        "left_in_se": 0.1,
    }
    effect = {"attenuation": 0.58, "attenuation_rule": 0.6, "verdict": "agrees", "left": -0.01}
    risk = {"kind": "difference", "term": "b - a", "scale": "risk_difference"}
    rows = [row | effect | values | ends, row | risk | ends | dict.fromkeys(values, -0.05)]
    return conform(pl.DataFrame(rows, infer_schema_length=None), RECONCILIATION)


def test_the_first_screen_says_both_answers_and_why_they_differ(make):
    check = {"study": "s", "model": "m", "engine": "glmm", "check": "overdispersion", "ok": False}
    checks = conform(pl.DataFrame([check | {"advice": "The counts vary more."}]), CHECKS)
    said = summary(make(reconciliation=reconciled(), checks=checks)).findings
    assert said[0].startswith(
        "For one and the same patient, in `m`: `drug` odds ratio 0.607 (0.497 to 0.741), p"
    )
    assert "average of patients, by estimating equations: `drug` odds ratio 0.741" in said[1]
    assert "b instead of a changes the risk by −5 percentage points (−90 to 10)" in said[2]
    assert "The two differ because patients differ" in said[3]
    assert "it keeps 58%" in said[3]
    assert "the odds of one are 6.7 times those of the other in the median" in said[4]
    assert "55% on the latent scale and 31% on the data scale" in said[4]
    assert said[5] == "The counts vary more."


def test_the_posterior_does_not_say_the_same_again_on_the_first_screen(make):
    rows = reconciled().with_columns(conditional_engine=pl.lit("glmm"))
    drawn = rows.with_columns(conditional_engine=pl.lit("pymc"))
    both = summary(make(reconciliation=pl.concat([rows, drawn]))).findings
    assert both == summary(make(reconciliation=rows)).findings
    assert sum("On average over everybody" in text for text in both) == 1


def test_one_engine_alone_is_told_without_the_other(make):
    gee = summary(make(("gee",))).findings
    assert len(gee) == 1
    assert gee[0].startswith("For the average of patients, by estimating equations: `drug`")
    glmm = summary(make(("glmm",))).findings
    assert not any("estimating" in sentence for sentence in glmm)
    refused = make(("glmm",), rows=ROWS[:1], fits=[fit("glmm", "", "refused", reason="No.")])
    assert "No model that treats groups as a sample" in summary(refused).findings[0]
    assert "<script>x" not in render(make())


def test_the_methods_say_what_each_engine_did(make):
    record = make(reconciliation=reconciled())
    mixed, marginal = " ".join(glmm_sentences(record)), " ".join(gee_sentences(record))
    assert "a binomial distribution with the logit link" in mixed
    assert "9 points a dimension, after trying 1, 9 and 15" in mixed
    assert "all rows of a patient equally correlated (exchangeable)" in marginal
    assert "Kauermann and Carroll, with t tests on 38 degrees of freedom" in marginal
    cited = " ".join(generalised_citations(record))
    for name in ("Pinheiro", "Liang", "Kauermann", "Neuhaus"):
        assert name in cited
    assert "Mancl" not in cited
    page = render(record)
    for word in ("Gaussian likelihood", "Satterthwaite&#39;s degrees", "least squares"):
        assert word not in page.partition('id="glossary"')[0]
    assert "Working correlation" in page


def test_robust_tests_are_named_so(make):
    test = {"study": "s", "model": "m", "engine": "gee", "test": "fixed", "term": "drug", "statistic": 4.0}
    both = [
        test | {"reference": "chi2(1) / 1"},
        test | {"term": "x", "reference": "F, clusters less coefficients"},
    ]
    page = render(make(tests=conform(pl.DataFrame(both), TESTS)))
    assert "χ²₁, robust Wald" in page
    assert "F, clusters less coefficients, robust Wald" in page


def test_quadrature_points_have_their_table(make):
    check = {"study": "s", "model": "m", "engine": "glmm", "check": "quadrature_points", "ok": True}
    page = render(make(checks=conform(pl.DataFrame([check]), CHECKS)))
    assert "Quadrature points and what they change" in page
