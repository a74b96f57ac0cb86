from dataclasses import replace

import polars as pl

from nestwise.config.study import Derivation
from nestwise.report.collect import collect
from nestwise.report.render import render
from nestwise.report.sections.fits import fits_section
from nestwise.report.sections.inference import (
    influence_section,
    means_section,
    robust_section,
    tests_section,
)
from nestwise.report.sections.summary import summary
from nestwise.report.sections.variance import context_section
from nestwise.results import conform
from nestwise.vocabulary import ESTIMATES, INFLUENCE, MEANS, TESTS

DERIVED = (
    {"within": "x", "group": "county", "as": "x_within"},
    {"between": "x", "group": "county", "as": "x_mean"},
)
FIT = {"model": "intercepts", "engine": "lmm"}


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def test_without_tests_means_or_influence_there_are_no_sections(record):
    assert [make(record) for make in (tests_section, robust_section, means_section, influence_section)] == [
        None
    ] * 4


def test_tests_name_their_reference_and_say_what_it_means(record):
    rows = [
        {"test": "fixed", "term": "x", "statistic": 9.5, "df_num": 1.0, "df_den": 40.25, "p_value": 0.004}
        | {"reference": "F, Kenward-Roger"},
        {"test": "variance", "term": "(Intercept)", "group": "county", "statistic": 4.0, "p_value": 0.023}
        | {"reference": "0.5 chi2(0) + 0.5 chi2(1)"},
    ]
    frame = pl.DataFrame([FIT | row for row in rows], infer_schema_length=None)
    section = tests_section(replace(record, tests=conform(frame, TESTS)))
    terms, variances = section.blocks
    assert texts(terms) == [["x", "9.50", "1", "40.2", "0.004", "F, Kenward-Roger"]]
    assert texts(variances) == [["intercept", "4.00", "0.023", "½χ²₀ + ½χ²₁"]]
    assert "Kenward-Roger widens" in section.lead
    assert "Satterthwaite" not in section.lead


def test_differences_have_a_p_value_and_means_have_none(record):
    rows = [
        FIT
        | {"grid": "g", "kind": kind, "term": kind, "estimate": 1.234, "std_error": 0.1, "level": 0.9}
        | {"lower": 1.0, "upper": 1.4, "p_value": 0.5}
        for kind in ("mean", "contrast")
    ]
    section = means_section(replace(record, means=conform(pl.DataFrame(rows), MEANS)))
    means, contrasts = section.blocks
    assert means.head[-2:] == ("90% interval", "df")
    assert contrasts.head[-1] == "p"
    assert texts(contrasts) == [["contrast", "1.23", "0.10", "1.00 to 1.40", "–", "0.50"]]


def test_influential_groups_are_marked_and_a_hostile_label_stays_text(record):
    rows = [FIT | {"group": "county", "label": f"<b>{k}", "n": 3, "cook": k / 10} for k in range(10)]
    shown = replace(record, influence=conform(pl.DataFrame(rows), INFLUENCE))
    (table,) = influence_section(shown).blocks
    assert table.rows[0][0].text == "<b>9"
    # 4/J is 0.4: 0.9 to 0.5 lie above, 0.4 does not
    assert [row[2].tone for row in table.rows] == ["attention"] * 5 + [""] * 3
    page = render(shown)
    assert "<b>9" not in page
    assert "&lt;b&gt;9" in page


def test_a_robust_error_stands_beside_the_models_own(record):
    rows = [
        FIT | {"component": component, "term": "x", "estimate": 1.5, "std_error": error}
        for component, error in (("fixed", 0.2), ("robust", 0.3))
    ]
    section = robust_section(replace(record, estimates=conform(pl.DataFrame(rows), ESTIMATES)))
    assert texts(section.blocks[0]) == [["x", "1.50", "0.20", "0.30", "1.5", "–", "–", "–"]]


def test_the_ladder_of_a_singular_fit_is_shown_with_what_is_missing_left_open(record):
    ladder = [
        {
            "formula": "y ~ x + (x || g)",
            "status": "ok",
            "singular": False,
            "log_likelihood": -10.0,
            "aic": 28.0,
        },
        {"formula": "y ~ x + (1 | g)", "status": "failed"},
    ]
    section = fits_section(replace(record, records={("intercepts", "lmm"): {"ladder": ladder}}))
    assert texts(section.blocks[-1]) == [
        ["y ~ x + (x || g)", "ok", "no", "−10.00", "28.0"],
        ["y ~ x + (1 | g)", "failed", "–", "–", "–"],
    ]


def derived(group, **numbers):
    row = FIT | {"component": "derived", "term": "contextual_effect:x", "group": group, "estimate": 0.4}
    return row | {"std_error": 0.1, "statistic": 4.0, "df": 12.3, "p_value": 0.002} | numbers


def test_contextual_effects_of_every_level_are_shown_with_their_test(record):
    study = record.study.model_copy(
        update={"derive": tuple(Derivation.model_validate(part) for part in DERIVED)}
    )
    rows = [
        FIT | {"component": "fixed", "term": term, "estimate": value, "std_error": 0.05}
        for term, value in (("x_within", 0.5), ("x_mean", 0.9))
    ]
    rows += [derived("county", lower=0.2, upper=0.6), derived("state", estimate=-1.0)]
    shown = replace(record, study=study, estimates=conform(pl.DataFrame(rows), ESTIMATES))
    section = context_section(shown)
    assert [row[2:] for row in texts(section.blocks[0])] == [
        ["within", "0.500", "0.050", "", "", "", ""],
        ["between", "0.900", "0.050", "", "", "", ""],
        ["contextual (between − within)", "0.40", "0.10", "0.20 to 0.60", "4.00", "12.3", "0.002"],
        ["contextual (between − within)", "−1.00", "0.10", "–", "4.00", "12.3", "0.002"],
    ]
    assert [row[1].detail for row in section.blocks[0].rows[-2:]] == ["by county", "by state"]
    assert "12.3 df" in section.lead


def test_a_known_error_leaves_no_residual_variance_to_show(folder, study):
    models = study.models | {
        "intercepts": study.models["intercepts"].model_copy(update={"sampling_error": "se"})
    }
    known = collect(folder, study.model_copy(update={"models": models}), "s")
    assert set(known.estimates["component"]) == {"fixed", "sd"}
    findings = " ".join(summary(known).findings)
    assert "Beyond the known errors of the rows, counties differ with an SD of 0.328" in findings
    assert "within" not in findings
