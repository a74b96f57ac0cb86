"""What the report says of missing data: strategies side by side, and how gaps were imputed."""

from dataclasses import replace

import polars as pl
import pytest

from nestwise.report.blocks import Note, Table
from nestwise.report.render import render
from nestwise.report.sections.missing import missing_section
from nestwise.results import conform
from nestwise.vocabulary import SENSITIVITY

HOSTILE = "<script>alert(9)</script>"


def row(strategy, estimate, verdict, **more):
    """One line of the table of strategies; the interval is 2 to each side."""
    limits = {} if estimate is None else {"lower": estimate - 2, "upper": estimate + 2, "std_error": 1.0}
    return {
        "study": "s", "model": "intercepts", "engine": "lmm", "kind": "coefficient", "term": "x",
        "strategy": strategy, "method": "REML", "estimate": estimate, "level": 0.95, "n_obs": 90,
        "n_groups": 30, "status": "ok", "assumes": f"assumed by {strategy}", "verdict": verdict,
        "scale": "response",
    } | limits | more  # fmt: skip


ROWS = (
    row("observed", 3.0, "reference"),
    row("complete_case", 1.0, "moves"),
    row("mi", 2.9, "holds", fmi=0.3),
    row("wgee", None, "not_compared", status="refused", reason=f"Nothing {HOSTILE}."),
)
VARIABLE = {"variable": "y", "kind": "continuous", "method": "normal", "level": None, "gaps": 53,
            "drawn": 53, "r_hat_mean": 1.02, "r_hat_sd": 1.31, "mixed": False}  # fmt: skip
TERM = {"component": "fixed", "term": "x", "fmi": 0.3, "monte_carlo_error": 0.0123, "imputations_needed": 34}
D1 = {"term": "x", "statistic": 4.2, "df_num": 2.0, "df_den": 31.5, "p_value": 0.024,
      "reference": "F, D1 of Li, Raghunathan and Rubin"}  # fmt: skip


def imputed(m=20, variables=(VARIABLE,), terms=(TERM,), tests=(D1,), failed=()):
    told = {"imputations": m, "chains": m, "iterations": 10, "failed": list(failed)}
    return {
        "imputation": told | {"variables": list(variables)},
        "pooling": {"terms": list(terms)},
        "tests": list(tests),
    }


@pytest.fixture
def section(record):
    def build(told=None, rows=ROWS):
        table = conform(pl.DataFrame(list(rows), infer_schema_length=None), SENSITIVITY)
        found = {} if told is None else {("intercepts", "lmm"): told}
        made = replace(record, sensitivity=table, imputed=found)
        return missing_section(made), render(made)

    return build


def table_of(section, start):
    (found,) = [b for b in section.blocks if isinstance(b, Table) and b.caption.startswith(start)]
    return [[cell.text for cell in line] for line in found.rows], found


def said(section):
    return " ".join(getattr(block, "text", "") for block in section.blocks)


def test_strategies_stand_side_by_side_with_their_verdicts(section):
    lines, found = table_of(section()[0], "`x` under every strategy")
    assert [line[0] for line in lines] == ["all observed rows", "complete cases", "multiple imputation"]
    assert [line[-1] for line in lines] == ["reference", "moves", "holds"]
    assert [line[6] for line in lines][-1] == "30%"
    assert [line[0].tone for line in found.rows] == ["", "quiet", ""]


def test_the_lead_says_whether_the_conclusion_moves(section):
    assert section()[0].lead.endswith(
        "The conclusion moves only under `complete_case`, which are shown as comparators and usually wrong."
    )


def test_a_refused_strategy_is_a_note_with_its_reason_and_nothing_of_it_is_markup(section):
    found, page = section()
    (note,) = [block for block in found.blocks if isinstance(block, Note)]
    assert note.text.startswith("Weighted GEE (lmm): Nothing")
    assert HOSTILE not in page


def test_each_variable_says_how_it_was_imputed(section):
    found, page = section(imputed())
    lines, table = table_of(found, "How each incomplete variable")
    assert lines == [["`y`", "normal mixed model", "row", "53", "53", "1.02", "1.31"]]
    assert [cell.tone for cell in table.rows[0]][-2:] == ["", "attention"]
    assert "The chains disagree about `y`" in said(found)
    assert "How each incomplete variable was imputed" in page


def test_settled_chains_have_no_note(section):
    good = VARIABLE | {"r_hat_sd": 1.0, "mixed": True}
    assert "disagree" not in said(section(imputed(variables=(good,)))[0])


@pytest.mark.parametrize(("m", "text"), [(20, "Standard errors need 34 imputations"), (50, "That is enough")])
def test_a_sentence_says_whether_imputations_suffice(section, m, text):
    found = said(section(imputed(m))[0])
    assert f"{m} imputations were drawn" in found
    assert "30% to 30%" in found
    assert "0.0123 (`x`)" in found
    assert text in found


def test_imputations_that_failed_are_counted(section):
    failed = ({"imputation": 3, "reason": f"singular {HOSTILE}"},)
    found, page = section(imputed(19, failed=failed))
    assert "1 of 20 could not be: singular" in said(found)
    assert HOSTILE not in page


def test_terms_are_tested_by_d1(section):
    lines, _ = table_of(section(imputed())[0], "All columns of a term")
    assert lines == [["`x`", "4.20", "2.00", "31.5", "0.024"]]
    without = section(imputed(tests=()))[0]
    assert not [b for b in without.blocks if getattr(b, "caption", "").startswith("All columns")]


def test_hostile_names_are_text(section):
    told = imputed(
        variables=(VARIABLE | {"variable": HOSTILE, "level": HOSTILE, "method": HOSTILE},),
        terms=(TERM | {"term": HOSTILE},),
        tests=(D1 | {"term": HOSTILE},),
    )
    rows = tuple(each | {"term": HOSTILE, "assumes": HOSTILE} for each in ROWS)
    page = section(told, rows)[1]
    assert HOSTILE not in page
    assert "alert(9)" in page
