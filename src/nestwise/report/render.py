"""From a record to one page that needs nothing but itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from nestwise.report.blocks import Block, Figure, Fold, Section
from nestwise.report.record import ReportRecord
from nestwise.report.sections.coefficients import coefficients_section
from nestwise.report.sections.data import data_section
from nestwise.report.sections.diagnostics import diagnostics_section
from nestwise.report.sections.engines import engines_section
from nestwise.report.sections.fits import comparison_section, fits_section, ledger_section
from nestwise.report.sections.glossary import glossary_section
from nestwise.report.sections.inference import (
    influence_section,
    means_section,
    robust_section,
    tests_section,
)
from nestwise.report.sections.marginal import marginal_section
from nestwise.report.sections.methods import (
    methods_section,
    priors_section,
    provenance_section,
)
from nestwise.report.sections.missing import missing_section
from nestwise.report.sections.models import models_section
from nestwise.report.sections.pooling import pooling_section
from nestwise.report.sections.profiles import bootstrap_section, profiles_section
from nestwise.report.sections.reconciliation import reconciliation_section
from nestwise.report.sections.residuals import residuals_section
from nestwise.report.sections.shrinkage import shrinkage_section
from nestwise.report.sections.summary import summary
from nestwise.report.sections.validation import rows_section, validation_section
from nestwise.report.sections.variance import context_section, variance_section

TEMPLATES = Path(__file__).parent / "templates"
SECTIONS: tuple[Callable[[ReportRecord], Section | None], ...] = (
    data_section,
    validation_section,
    rows_section,
    models_section,
    coefficients_section,
    pooling_section,
    variance_section,
    shrinkage_section,
    context_section,
    means_section,
    reconciliation_section,
    marginal_section,
    missing_section,
    residuals_section,
    tests_section,
    profiles_section,
    bootstrap_section,
    robust_section,
    influence_section,
    engines_section,
    diagnostics_section,
    comparison_section,
    fits_section,
    ledger_section,
    priors_section,
    methods_section,
    provenance_section,
    glossary_section,
)
_CODE = re.compile(r"`([^`]+)`")


def prose(text: str) -> Markup:
    """Escape a text, and set what stands between backquotes as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped before)


def flat(blocks: Iterable[Block]) -> Iterator[Block]:
    """All blocks, those behind folds too."""
    for block in blocks:
        yield block
        if isinstance(block, Fold):
            yield from flat(block.blocks)


def sections(record: ReportRecord) -> tuple[Section, ...]:
    """The sections of a record that have something to say, in the order of the page.

    Figures that no section has a place for are shown with the diagnostics.
    """
    made = {make: make(record) for make in SECTIONS if make is not diagnostics_section}
    shown = {
        (block.picture.model, block.picture.name)
        for section in made.values()
        if section is not None
        for block in flat(section.blocks)
        if isinstance(block, Figure)
    }
    rest = tuple(each for each in record.pictures if (each.model, each.name) not in shown)
    made[diagnostics_section] = diagnostics_section(replace(record, pictures=rest))
    return tuple(section for make in SECTIONS if (section := made[make]) is not None)


def environment() -> jinja2.Environment:
    """Templates that escape everything and stop at what is not defined."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["prose"] = prose
    found.filters["drawn"] = Markup  # MathML and SVG are made safe where they are made
    return found


def render(record: ReportRecord) -> str:
    """Lay a record out as one self-contained HTML page.

    Parameters
    ----------
    record : ReportRecord
        From `collect`.

    Returns
    -------
    str
        HTML that loads nothing: styles, figures and mathematics are inside, scripts there are none.
    """
    from nestwise.figures.colours import DARK, VARIABLES

    page = environment().get_template("report.html.j2")
    return page.render(
        record=record,
        summary=summary(record),
        sections=sections(record),
        figure_light={variable: color for color, variable in VARIABLES.items()},
        figure_dark=dict(DARK),
    )
