"""The page: whole, safe, self-contained, and honest about what has no answer."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import polars as pl
import pytest

from nestwise.report.collect import collect
from nestwise.report.render import environment, prose, render, sections
from nestwise.report.sections.shrinkage import MOST_GROUPS
from nestwise.report.sections.validation import rows_section
from nestwise.results import conform
from nestwise.vocabulary import CHECKS

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Elements with their attributes, and every text outside `<style>`; fails on tags that do not match."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.texts, self.problems = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(tag)

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    def of(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def html(record):
    return render(record)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_every_element_is_closed_in_order(page):
    assert page.problems == []
    assert page.open == []


def test_hostile_labels_are_text(page):
    assert not page.of("script", "img", "iframe", "object", "embed", "foreignobject", "form")
    assert "<script>alert(1)</script>" in page.text
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_a_template_in_a_label_is_not_run(page):
    assert "{{ 7 * 7 }}" in page.text


def test_nothing_is_loaded_from_anywhere(html, page):
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "data", "action"):
            value = attributes.get(name) or ""
            assert value.startswith(("#", "data:")) or not value, value
    assert "@import" not in html
    assert not re.search(r"url\(\s*['\"]?(?!#)", html)
    (policy,) = [
        attributes["content"]
        for attributes in page.of("meta")
        if "content-security" in str(attributes).lower()
    ]
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy


def test_every_figure_says_what_is_seen(page):
    figures = [attributes for attributes in page.of("svg") if attributes.get("role") == "img"]
    assert figures
    assert len(figures) == len(page.of("svg"))
    assert all(attributes["aria-label"] for attributes in figures)
    assert len(page.of("figcaption")) == len(page.of("figure"))


def test_headings_do_not_skip_a_level_and_every_link_arrives(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {attributes["href"][1:] for attributes in page.of("a")}
    assert targets <= set(ids)


def test_tables_have_captions_and_scopes(page):
    assert len(page.of("caption")) == len(page.of("table"))
    assert all(attributes.get("scope") in ("col", "row", "colgroup") for attributes in page.of("th"))


def test_refused_and_failed_fits_show_their_reason(page):
    assert "There are too few groups <script>alert(1)</script>." in page.text
    assert "The engine broke." in page.text
    assert "Of 6 fits 4 answered without remark; 1 failed and 1 refused" in page.text


def test_the_three_poolings_stand_side_by_side(page):
    assert "`intercepts`" not in page.text
    for words in ("Complete pooling", "No pooling", "Partial pooling", "1.462", "−0.693"):
        assert words in page.text


def test_rule_29_what_differs_is_flagged_with_its_reason(page):
    assert "differs" in page.text
    assert "SD of the intercept: " in page.text


def test_the_reading_is_computed_from_the_numbers(page):
    assert "16% lies between counties (SD 0.328)" in page.text
    assert "more than about 5 observations" in page.text


def test_rows_left_out_are_accounted_for(page):
    assert "11 rows: x is missing <script>alert(1)</script> (1 group lost)" in page.text


def test_models_of_two_outcomes_that_use_every_row_use_the_same_rows(record):
    flow = {"n_source": 9, "n_used": 9, "groups_source": 3, "groups_used": 3, "excluded": []}
    designs = {name: {"row_flow": flow, "analysis_hash": name} for name in ("a", "b")}
    lead = rows_section(replace(record, designs=designs)).lead
    assert lead == "No row was left out of any model; all models used the same rows."


def test_the_ledger_holds_every_warning(record):
    (ledger,) = [section for section in sections(record) if section.key == "ledger"]
    said = " ".join(cell.text for row in ledger.blocks[0].rows for cell in row)
    for words in ("Bad <script>", "A note <script>", "too few groups", "The engine broke"):
        assert words in said


def test_origin_and_licence_of_bundled_data_are_shown(page):
    assert "Licence" in page.text
    assert "public domain" in page.text


def test_figures_that_cannot_be_shown_say_why(page):
    assert "One group <script>" in page.text
    assert "The file cannot be shown: the figure is not well-formed" in page.text


def test_a_study_of_three_thousand_groups_stays_light(make_record):
    record = make_record(n_groups=3000)
    html = render(record)
    assert len(html) < 1_000_000
    assert f"The {MOST_GROUPS // 2} smallest" in Page(html).text
    assert "results/radon/groups.parquet" in html


def test_a_figure_too_large_for_the_page_is_named_instead(make_record):
    path = "".join(f"L {number} {number % 7} " for number in range(90_000))
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 200"><path d="M 0 0 {path}"/></svg>'
    html = render(make_record(svg=svg))
    assert len(html) < 400_000
    assert "figures/intercepts.caterpillar.svg" in html


def test_a_study_without_a_single_file_has_a_report(tmp_path, study):
    page = Page(render(collect(tmp_path, study, "empty")))
    assert page.problems == []
    assert "No fit has been run." in page.text


def test_nothing_undefined_reaches_the_page(html, page):
    assert not re.search(r"\bNone\b(?! of)", page.text)
    assert "nan" not in page.text.split()
    assert "Undefined" not in html


def test_the_same_record_gives_the_same_page(record, html):
    assert render(record) == html


def test_prose_escapes_before_it_marks_code():
    assert prose("`<b>` & <i>") == "<code>&lt;b&gt;</code> &amp; &lt;i&gt;"


def test_templates_escape_and_stop_at_what_is_missing():
    made = environment()
    assert made.from_string("{{ x }}").render(x="<b>") == "&lt;b&gt;"
    with pytest.raises(Exception, match="undefined"):
        made.from_string("{{ absent }}").render()


def test_covariances_come_from_the_record_or_the_draws(folder, study, tmp_path):
    import shutil

    place = tmp_path / "copy"
    shutil.copytree(folder, place)
    draws = pl.DataFrame(
        {"chain": [0, 0, 0], "draw": [0, 1, 2], "fixed|a": [1.0, 2.0, 3.0], "fixed|b": [2.0, 4.0, 6.0]}
    )
    draws.write_parquet(place / "fits" / "intercepts.pymc" / "draws.parquet")
    found = collect(place, study, "radon").covariances
    assert found["intercepts", "pymc"]["a"]["b"] == pytest.approx(2.0)


def test_the_referee_is_quoted_with_what_it_verified(record):
    rows = [
        {
            "study": "s",
            "model": model,
            "engine": "mixedlm",
            "check": check,
            "value": 0.0,
            "limit": 1e-6,
            "ok": ok,
        }
        for model, ok in (("intercepts", True), ("slopes", False))
        for check in ("referee_log_likelihood", "referee_std_error")
    ]
    checks = conform(pl.DataFrame(rows), CHECKS)
    page = Page(render(replace(record, checks=checks)))
    assert "verified 1 of 2 likelihood fits" in page.text
    assert "It differs on slopes : see the checks." in page.text


@pytest.mark.parametrize("model", ["intercepts", "slopes"])
def test_any_model_may_be_the_main_one(record, model):
    report = record.study.report.model_copy(update={"main_model": model})
    study = record.study.model_copy(update={"report": report})
    page = Page(render(replace(record, study=study)))
    assert page.problems == []
