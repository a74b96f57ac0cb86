"""A longitudinal trial in the report: its result, its residuals, its methods; profiles and bootstrap."""

from dataclasses import replace

import polars as pl
import pytest

from nestwise.compare.engines import COMPARISON
from nestwise.compare.models import compare_models
from nestwise.config.study import Study
from nestwise.design.mathml import FixedShape, Shape
from nestwise.report.blocks import Figure, Fold, Table, Text, main_first
from nestwise.report.procedures import likelihood_citations, likelihood_sentences
from nestwise.report.record import Picture, ReportRecord
from nestwise.report.render import render, sections
from nestwise.report.sections.fits import comparison_section
from nestwise.report.sections.inference import means_section
from nestwise.report.sections.profiles import bootstrap_section, profiles_section
from nestwise.report.sections.residuals import residuals_section, spread
from nestwise.report.sections.summary import summary
from nestwise.report.sections.variance import variance_section
from nestwise.report.trial import df_method, read_trial, visit_contrasts
from nestwise.report.words import null_distribution
from nestwise.results import conform, empty
from nestwise.vocabulary import CHECKS, ESTIMATES, FITS, GROUPS, MEANS, TESTS

CORRELATION = [[1.0, 0.6, 0.4], [0.6, 1.0, 0.7], [0.4, 0.7, 1.0]]
RESIDUAL = {
    "structure": "unstructured",
    "time": "week",
    "subject": "id",
    "visits": ["2", "4", "8"],
    "times": [2.0, 4.0, 8.0],
    "intervals": "profile",
    "strata": [{"label": "", "correlation": CORRELATION, "sd": [2.0, 3.0, 4.0]}],
}


def design(residual):
    own = {"structure": "unstructured", "heterogeneous": True, "subject": "id", "time": "week"}
    own |= {"visits": ["2", "4", "8"], "by": "", "variance": None, "n_parameters": 6, "n_subjects": 40}
    return {"residual": own if residual else None, "weights": False, "sampling_error": False, "random": []}


def contrast(visit, estimate, pair="active - placebo", **others):
    row = {"study": "s", "model": "mmrm", "engine": "lmm", "grid": "week, arm", "kind": "contrast"}
    row |= {"x": visit, "by": pair, "term": f"{pair} at {visit}", "estimate": estimate, "std_error": 1.0}
    row |= {"df": 34.56, "p_value": 0.04, "level": 0.95, "lower": estimate - 2, "upper": estimate + 2}
    return row | others


def estimates():
    rows = [("mmrm", "fixed", "(Intercept)", None, 9.0), ("mmrm", "fixed", "armactive", None, -1.0)]
    rows += [("mmrm", "residual", f"sigma[{visit}]", None, sd) for visit, sd in (("2", 2.0), ("4", 3.0))]
    rows += [("simple", "fixed", "(Intercept)", None, 9.0), ("simple", "sd", "(Intercept)", "id", 2.0)]
    rows += [("simple", "residual", "sigma", None, 1.0)]
    shared = {"study": "s", "engine": "lmm", "level": 0.95}
    made = [
        shared
        | {"model": model, "component": component, "term": term, "group": group}
        | {"estimate": value, "std_error": 0.5, "lower": value - 0.5, "upper": value + 1.5}
        for model, component, term, group, value in rows
    ]
    return conform(pl.DataFrame(made, infer_schema_length=None), ESTIMATES)


def fits(method="REML (Kenward-Roger)"):
    shared = {"study": "s", "engine": "lmm", "status": "ok", "strategy": "observed", "n_obs": 100}
    shared |= {"n_groups": 40, "analysis_hash": "h"}
    rows = [
        shared
        | {"model": "mmrm", "method": method, "log_likelihood": -90.0, "aic": 200.0, "bic": 210.0}
        | {"n_parameters": 8, "formula": "y ~ arm"},
        shared
        | {"model": "simple", "method": "REML", "log_likelihood": -95.0, "aic": 198.0, "bic": 205.0}
        | {"n_parameters": 3, "formula": "y ~ 1 + (1 | id)"},
    ]
    return conform(pl.DataFrame(rows, infer_schema_length=None), FITS)


@pytest.fixture
def trial():
    study = Study.model_validate(
        {
            "title": "A trial",
            "data": {"source": "a.csv"},
            "groups": {"id": {"label": "patient"}},
            "time": {"column": "week"},
            "variables": {"y": {"type": "continuous", "unit": "points", "label": "Score"}},
            "models": {
                "mmrm": {"formula": "y ~ arm", "residual": {"structure": "unstructured"}, "robust": "CR2"},
                "simple": {"formula": "y ~ 1 + (1 | id)"},
            },
            "report": {"main_model": "mmrm"},
        }
    )
    shape = Shape("y", 100, (FixedShape("(Intercept)"), FixedShape("armactive")), ())
    return ReportRecord(
        name="trial",
        study=study,
        folder="results/trial",
        validation={},
        failures=pl.DataFrame(),
        n_failures=0,
        designs={"mmrm": design(residual=True), "simple": design(residual=False)},
        shapes={"mmrm": shape},
        estimates=estimates(),
        fits=fits(),
        groups=empty(GROUPS),
        checks=empty(CHECKS),
        comparison=empty(COMPARISON),
        records={("mmrm", "lmm"): {"residual": RESIDUAL}},
        means=conform(pl.DataFrame([contrast("2", -1.0), contrast("4", -3.0), contrast("8", -2.5)]), MEANS),
    )


def test_in_short_begins_with_the_difference_at_the_last_visit(trial):
    first, second, third = summary(trial).findings
    assert "At the last visit (week 8) the means of Score differ by −2.5 points" in first
    assert "active − placebo; 95% interval −4.5 to −0.5, SE 1.0, 34.6 df by Kenward-Roger" in first
    assert first.endswith("p\u00a0=\u00a00.040), in `mmrm`.")
    assert (
        "−1.0 (week 2: −3.0 to 1.0) and −3.0 (week 4: −5.0 to −1.0); 1 of 2 intervals exclude zero" in second
    )
    # of the main model, and not of the one with a random intercept
    assert "`mmrm` the residuals of one patient at two visits are correlated by 0.40 to 0.70" in third
    assert "their SD is 2.00 to 4.00 points" in third


def test_a_model_without_differences_by_visit_is_summed_up_by_its_effects(trial):
    without = replace(trial, means=empty(MEANS))
    assert read_trial(without, "mmrm") == ()
    assert summary(without).findings[0].startswith("Effects in `mmrm`: armactive")
    one_visit = replace(trial, means=trial.means.filter(pl.col("x") == "8"))
    assert visit_contrasts(one_visit, "mmrm").is_empty()


def test_differences_over_another_variable_are_no_visits(trial):
    other = trial.means.with_columns(pl.lit("site, arm").alias("grid"))
    assert read_trial(replace(trial, means=other), "mmrm") == ()


def test_three_arms_are_named_pair_by_pair(trial):
    rows = [contrast(x, -1.0, pair) for x in ("2", "8") for pair in ("b - a", "c - a", "c - b")]
    said = read_trial(replace(trial, means=conform(pl.DataFrame(rows), MEANS)), "mmrm")
    assert [pair in said[0] for pair in ("b − a", "c − a", "c − b")] == [True] * 3
    assert "the difference of b − a is" in said[1]


def test_the_residuals_have_a_section_with_a_row_a_visit(trial):
    section = residuals_section(trial)
    (table,) = [block for block in section.blocks if isinstance(block, Table)]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["week 2", "2.00", "1.50 to 3.50", "", ""],
        ["week 4", "3.00", "2.50 to 4.50", "0.60", ""],
        ["week 8", "4.00", "–", "0.40", "0.70"],
    ]
    assert "estimated freely (unstructured)" in section.lead
    assert spread(RESIDUAL) == ((0.4, 0.7), (2.0, 4.0))
    assert residuals_section(replace(trial, records={})) is None


def test_methods_say_which_covariance_df_and_robust_errors_were_used(trial):
    said = " ".join(likelihood_sentences(trial))
    assert "`mmrm`: inside a patient every variance and every correlation" in said
    assert (
        "Fixed effects of `mmrm` are tested by t and F tests with the degrees of freedom and the enlarged"
        in said
    )
    assert "Fixed effects of `simple` are tested by t and F tests with Satterthwaite" in said
    assert "CR2, the bias-reduced sandwich" in said
    cited = " ".join(likelihood_citations(trial))
    for name in ("Mallinckrodt", "Kenward", "Kuznetsova", "Pustejovsky", "Searle"):
        assert name in cited
    assert "Stram" not in cited


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("REML", "Satterthwaite"),
        ("REML (Kenward-Roger)", "Kenward-Roger"),
        ("REML (Kenward-Roger, linear)", "Kenward-Roger, linear"),
        ("ML (between-within)", "between-within"),
        ("ML (normal)", "normal"),
    ],
)
def test_the_degrees_of_freedom_are_read_off_the_method(trial, method, name):
    assert df_method(method) == name
    assert likelihood_sentences(replace(trial, fits=fits(method)))


def test_nothing_is_said_of_an_engine_that_did_not_run(trial):
    bayes = trial.fits.with_columns(pl.lit("pymc").alias("engine"))
    assert likelihood_sentences(replace(trial, fits=bayes)) == ()
    assert likelihood_citations(replace(trial, fits=bayes)) == ()


def test_the_main_model_is_open_and_the_others_are_folded(trial):
    blocks = main_first(trial, {"simple": [Text("s")], "mmrm": [Text("m")], "none": []})
    assert blocks == (Text("m"), Fold("The same for simple", (Text("s"),)))
    assert main_first(trial, {"a": [Text("a")], "b": [Text("b")]})[0] == Text("b")
    assert main_first(trial, {"a": []}) == ()


def test_the_result_leads_the_section_of_means(trial):
    section = means_section(trial)
    assert "At the last visit (week 8)" in section.lead
    assert section.blocks[0].rows[0][0].text == "active − placebo at 2"


def test_profiles_have_a_section_and_say_what_is_lopsided(trial):
    pictures = tuple(
        Picture(model, "profiles", "Profiles", "c", "a", "<svg></svg>") for model in ("simple", "mmrm")
    )
    section = profiles_section(replace(trial, pictures=pictures))
    assert isinstance(section.blocks[0], Figure)
    assert section.blocks[0].picture.model == "mmrm"
    assert "residual SD, week 2 (3.0 times as far up)" in section.lead
    table = section.blocks[1]
    assert [cell.text for cell in table.rows[0]][2:] == ["1.50 to 3.50", "−0.50", "1.50"]
    assert profiles_section(trial) is None
    # what has a place of its own is not shown with the diagnostics
    shown = {section.key for section in sections(replace(trial, pictures=pictures))}
    assert "diagnostics" not in shown


def test_bootstrap_intervals_are_shown_where_a_model_asks_for_them(trial):
    quantity = {"component": "sd", "group": "id", "term": "(Intercept)", "estimate": 2.0, "se": 0.25}
    quantity |= {"lower": 1.4, "upper": 2.4, "basic_lower": 1.6, "basic_upper": 2.6, "bias": -0.05}
    undefined = dict.fromkeys(quantity) | {"component": "cor", "group": "id", "term": "(Intercept):x"}
    drawn = {"refits": 998, "failures": 2, "level": 0.9}
    drawn["quantities"] = [quantity | {"refits": 998}, undefined | {"refits": 0}]
    section = bootstrap_section(replace(trial, records={("simple", "lmm"): {"bootstrap": drawn}}))
    (table,) = section.blocks
    assert [cell.text for cell in table.rows[0]][1:] == [
        "2.00", "0.25", "−0.05", "1.40 to 2.40", "1.60 to 2.60", "998",
    ]  # fmt: skip
    assert [cell.text for cell in table.rows[1]][1:] == ["–"] * 5 + ["0"]
    assert "90%, percentile" in table.head
    assert "2 of 1,000 refits of `simple` (under 1%) did not converge" in section.lead
    assert bootstrap_section(trial) is None


def test_likelihood_ratios_have_a_table_and_refusals_a_sentence(trial):
    rows = trial.fits.with_columns(pl.lit("ML").alias("method"))
    same = trial.estimates.with_columns(pl.lit("mmrm").alias("model")).filter(pl.col("component") == "fixed")
    small = same.filter(pl.col("term") == "(Intercept)").with_columns(pl.lit("simple").alias("model"))
    nested = replace(trial, fits=rows, estimates=pl.concat([same, small]))
    (test,) = compare_models(nested.fits, nested.estimates).tests
    section = comparison_section(nested)
    ratios = section.blocks[1]
    assert [cell.text for cell in ratios.rows[0]] == ["mmrm", "10.0", "5", "0.075", "χ²₅"]
    assert test.sentence not in [item for block in section.blocks[2:] for item in block.items]
    refused = comparison_section(trial)
    assert any("REML with different fixed effects" in item for item in refused.blocks[-1].items)
    assert [row[6].text for row in refused.blocks[0].rows] == ["not compared"] * 2


@pytest.mark.parametrize(
    ("reference", "shown"),
    [
        ("0.5 chi2(0) + 0.5 chi2(1)", "½χ²₀ + ½χ²₁"),
        ("0.5 chi2(9) + 0.5 chi2(10)", "½χ²₉ + ½χ²₁₀"),
        ("chi2(3), an upper bound", "χ²₃, an upper bound"),
        ("F, Satterthwaite", "F, Satterthwaite"),
        (None, ""),
    ],
)
def test_null_distributions_are_set_as_a_book_sets_them(reference, shown):
    assert null_distribution(reference) == shown


def test_the_page_of_a_trial_stands(trial):
    tests = pl.DataFrame(
        [
            {"model": "simple", "engine": "lmm", "test": "variance", "term": "(Intercept)", "group": "id"}
            | {"statistic": 4.0, "p_value": 0.02, "reference": "0.5 chi2(0) + 0.5 chi2(1)"}
        ]
    )
    page = render(replace(trial, tests=conform(tests, TESTS)))
    assert "½χ²₀ + ½χ²₁" in page
    assert "How visits hang together" in page
    assert "0.5 chi2" not in page


def test_in_short_and_the_section_of_variances_speak_of_the_main_model(trial):
    sloped = [("sd", "(Intercept)", "id", 2.0), ("sd", "x", "id", 0.5), ("residual", "sigma", None, 1.0)]
    sloped += [("fixed", "x", None, 3.0), ("derived", "variance_share", "id", 0.25)]
    rows = [
        {"model": "mmrm", "engine": "lmm", "component": c, "term": t, "group": g, "estimate": value}
        for c, t, g, value in sloped
    ]
    main = conform(pl.DataFrame(rows, infer_schema_length=None), ESTIMATES)
    others = trial.estimates.filter(pl.col("model") == "simple")
    shown = replace(trial, estimates=pl.concat([main, others]), means=empty(MEANS), records={})
    said = " ".join(summary(shown).findings)
    assert "In `mmrm`: Of the variance the predictors leave, 25% lies between patients and the rest" in said
    assert "`simple`" not in said
    assert variance_section(shown).lead.startswith("In `mmrm`: Of the variance")
