"""The section of conditional and marginal effects: the paragraph, the tables, the reasons, refusals."""

from dataclasses import replace

import polars as pl

from nestwise.report.blocks import Bullets, Fold, Note, Table, Text
from nestwise.report.render import render
from nestwise.report.sections.reconciliation import reconciliation_section
from nestwise.results import conform
from nestwise.vocabulary import RECONCILIATION

ANSWERS = {"conditional": -0.4, "integrated": -0.16, "marginal": -0.17}


def answers(scale=1.0):
    return {
        f"{name}{part}": scale * value + shift
        for name, value in ANSWERS.items()
        for part, shift in (("", 0.0), ("_se", 0.05), ("_lower", -0.1), ("_upper", 0.1))
    }


def row(model, kind, **given):
    shared = {
        "study": "radon", "model": model, "kind": kind, "level": 0.95, "conditional_engine": "glmm",
        "conditional_method": "AGQ(25)", "marginal_engine": "gee", "marginal_method": "exchangeable, LZ",
    }  # fmt: skip
    return shared | given


def with_rows(record, *rows, link="logit"):
    frame = conform(pl.DataFrame(list(rows), infer_schema_length=None), RECONCILIATION)
    model = rows[0]["model"]
    family = {"logit": "binomial", "log": "poisson", "identity": "gaussian"}[link]
    kind = {"link": link, "family": family}
    designs = dict(record.designs) | {model: dict(record.designs.get(model, {})) | kind}
    return replace(record, reconciliation=frame, designs=designs)


def coefficient(model, term="x", verdict="agrees", **given):
    usual = {"attenuation": 0.4, "attenuation_rule": 0.39, "left": -0.01, "left_se": 0.01, "left_in_se": -1.0}
    return row(model, "coefficient", term=term, verdict=verdict, **answers(), **usual | given)


def test_without_both_answers_there_is_no_section(record):
    assert reconciliation_section(record) is None


def test_the_paragraph_says_all_three_in_plain_words(record):
    model = record.main_model
    section = reconciliation_section(with_rows(record, coefficient(model)))
    text = next(block.text for block in section.blocks if isinstance(block, Text))
    assert "odds ratio of 0.67" in text
    assert "averaged over all" in text
    assert "0.85" in text
    assert "0.84" in text
    assert "Neither is wrong" in text
    assert "keeps 40% of the effect (rule of thumb: 39%)" in text
    assert "agrees with the estimating equations on every term" in section.lead


def test_what_differs_is_named_and_its_likely_reason_stands_below(record):
    model = record.main_model
    found = with_rows(
        record,
        coefficient(model, "age", "differs", left_in_se=2.3),
        row(
            model,
            "reason",
            term="dispersion",
            verdict="likely",
            reason="The counts vary more than Poisson's.",
        ),
        link="log",
    )
    section = reconciliation_section(found)
    assert "still differs from the estimating equations in `age`" in section.lead
    items = next(block.items for block in section.blocks if isinstance(block, Bullets))
    assert items == ("Overdispersion (likely): The counts vary more than Poisson's.",)
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert table.rows[0][-1].tone == "attention"
    assert "rate ratio" in table.caption


def test_with_an_identity_link_the_two_are_said_to_be_one(record):
    section = reconciliation_section(with_rows(record, coefficient(record.main_model), link="identity"))
    text = next(block.text for block in section.blocks if isinstance(block, Text))
    assert "are one number" in text
    assert "−0.400" in text


def test_contrasts_are_open_and_means_over_time_behind_a_fold(record):
    model = record.main_model
    found = with_rows(
        record,
        coefficient(model),
        row(model, "mean", scale="risk", x=1.0, by="a", **answers(-1)),
        row(model, "difference", scale="risk_difference", by="b", term="b - a", **answers()),
        row(model, "ratio", scale="risk_ratio", x=1.0, by="b", term="b / a"),
    )
    blocks = reconciliation_section(found).blocks
    tables = [block for block in blocks if isinstance(block, Table)]
    assert tables[1].rows[0][0].text == "risk difference"
    assert tables[1].rows[0][1].text == "as observed"
    fold = next(block for block in blocks if isinstance(block, Fold))
    assert [cells[1].text for cells in fold.blocks[0].rows] == ["1", "1"]
    assert "–" in fold.blocks[0].rows[1][2].text


def test_a_refused_pair_is_a_note_and_the_page_holds_the_section(record):
    model = record.main_model
    refused = row(model, "refused", verdict="refused", reason="They were fitted to different rows.")
    section = reconciliation_section(with_rows(record, refused))
    assert [block.text for block in section.blocks if isinstance(block, Note)] == [refused["reason"]]
    assert "could not be reconciled" in section.lead
    page = render(with_rows(record, coefficient(model)))
    assert "Conditional and marginal" in page


def drawn(model, kind="coefficient", **given):
    beside = {"conditional_engine": "pymc", "conditional_method": "NUTS"}
    return row(model, kind, **answers(), **beside | given)


def test_the_posterior_stands_beside_the_likelihood_and_takes_no_part_in_its_verdict(record):
    model = record.main_model
    contrast = {"term": "a - b", "scale": "risk_difference", "by": "a"}
    rows = (drawn(model, term="x", attenuation=0.41), drawn(model, "difference", **contrast))
    plain = reconciliation_section(with_rows(record, coefficient(model)))
    section = reconciliation_section(with_rows(record, coefficient(model), *rows))
    assert section.lead == plain.lead
    fold = next(block for block in section.blocks if isinstance(block, Fold))
    assert fold.title == "The same by the posterior"
    table, contrasts = fold.blocks
    assert len(table.rows) == 1
    assert "0.41" in table.rows[0][3].text
    assert contrasts.note.endswith("Intervals by draws.")
    rest = [block for block in section.blocks if block is not fold]
    assert [type(block) for block in rest] == [type(block) for block in plain.blocks]


def test_a_posterior_without_likelihood_leads(record):
    section = reconciliation_section(with_rows(record, drawn(record.main_model, term="x")))
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert "Typical group (pymc)" in table.head
    assert not any(isinstance(block, Fold) for block in section.blocks)


def test_a_posterior_that_must_not_be_compared_says_why(record):
    model = record.main_model
    refused = row(model, "refused", reason="m by pymc left no draws", conditional_engine="pymc")
    section = reconciliation_section(with_rows(record, coefficient(model), refused))
    assert any(isinstance(block, Note) and "left no draws" in block.text for block in section.blocks)
