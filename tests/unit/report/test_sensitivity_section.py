"""What the report says of the sensitivity to priors."""

from dataclasses import replace

import pytest

from nestwise.report.render import render
from nestwise.report.sections.methods import methods_section, priors_section

QUIET = {"component": "fixed", "group": None, "term": "x", "prior": 0.001, "likelihood": 0.09,
         "diagnosis": "none"}  # fmt: skip
SD = {"component": "sd", "group": "county", "term": "(Intercept)"}


@pytest.fixture
def with_sensitivity(record):
    def build(*rows):
        own = dict(record.records["intercepts", "pymc"]) | {"sensitivity": list(rows)}
        return replace(record, records=dict(record.records) | {("intercepts", "pymc"): own})

    return build


def table_of(record):
    section = priors_section(record)
    tables = [block for block in section.blocks if getattr(block, "caption", "").startswith("Does the prior")]
    assert len(tables) == 1
    return section.lead, tables[0]


def test_data_that_decide_are_said_to(with_sensitivity):
    record = with_sensitivity(QUIET)
    lead, table = table_of(record)
    assert "would change none of its results noticeably" in lead
    assert [cell.text for cell in table.rows[0]] == ["x", "0.001", "0.090", "the data decide"]
    assert any("Kallioinen" in work for work in methods_section(record).blocks[-1].items)


@pytest.mark.parametrize(
    ("prior", "likelihood", "diagnosis", "text"),
    [
        (0.3, 0.2, "prior-data conflict", "prior and data pull different ways"),
        (0.3, 0.01, "strong prior / weak likelihood", "the prior says more than the data"),
    ],
)
def test_a_finding_is_named_in_the_lead_and_in_the_table(
    with_sensitivity, prior, likelihood, diagnosis, text
):
    found = SD | {"prior": prior, "likelihood": likelihood, "diagnosis": diagnosis}
    lead, table = table_of(with_sensitivity(QUIET, found))
    assert "The choice of priors matters for SD of the intercept" in lead
    assert table.rows[1][-1].text == text
    assert table.rows[1][-1].tone == "attention"
    assert table.rows[1][0].detail == "between counties"


def test_no_number_is_no_verdict(with_sensitivity):
    _, table = table_of(with_sensitivity(QUIET | {"prior": None}))
    assert table.rows[0][-1].text.startswith("cannot be computed")


def test_a_fit_without_it_has_its_priors_and_no_such_table(record):
    section = priors_section(record)
    assert not [block for block in section.blocks if "Does the prior" in getattr(block, "caption", "")]
    assert not any("Kallioinen" in work for work in methods_section(record).blocks[-1].items)


def test_the_page_is_made_with_it(with_sensitivity):
    assert "Does the prior matter?" in render(with_sensitivity(QUIET))
