"""Numbers as they stand in print or in the shared table, to half a unit of their last digit."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

PUBLISHED = json.loads((Path(__file__).parent / "published" / "expected.json").read_text())["rows"]


def unit(number: str) -> float:
    """Half a unit of the last digit printed."""
    return 0.5 * 10.0 ** Decimal(number).as_tuple().exponent


def parts(key: str) -> tuple[str, str | None, str]:
    component, group, *term = key.split("|")
    return component, group or None, "|".join(term)


def quantity(fit, key: str) -> float:
    """One number of a fit, by its name in expected.json."""
    if key == "criterion":
        return -2 * fit.log_likelihood
    if key == "log_likelihood":
        return fit.log_likelihood
    kind, first, term = parts(key)
    found = {(row.component, row.group, row.term): row for row in fit.estimates}
    if kind == "effect":
        rows = {(row["label"], row["term"]): row for row in fit.groups.iter_rows(named=True)}
        return rows[first, term]["random_effect"]
    if kind == "variance":
        row = found["residual", None, "sigma"] if term == "sigma" else found["sd", first, term]
        return row.estimate**2
    if kind == "covariance":
        one, other = term.split(":")
        sds = found["sd", first, one].estimate * found["sd", first, other].estimate
        return sds * found["cor", first, term].estimate
    if kind in ("lower", "upper"):
        return getattr(found[parts(key.split("|", 1)[1])], kind)
    column = {"se": "std_error", "df": "df"}.get(kind, "estimate")
    return getattr(found["fixed" if kind in ("se", "df") else kind, first, term], column)


def optimiser(key: str, number: float) -> float:
    """What two optimisers may differ by: 1e-4 relative, df 1e-2, profile limits 1e-3, likelihoods 1e-4."""
    if key in ("criterion", "log_likelihood"):
        return 2e-4
    share = {"df": 1e-2, "lower": 1e-3, "upper": 1e-3}.get(key.split("|", maxsplit=1)[0], 1e-4)
    return share * abs(number)


@pytest.mark.parametrize("row", PUBLISHED, ids=[f"{r['case']}-{i}" for i, r in enumerate(PUBLISHED)])
def test_published(cases, row):
    fit = cases[row["case"]].fit("lmm", row["formula"], row["reml"])
    wrong = {}
    for key, printed in row["numbers"].items():
        value = quantity(fit, key)
        if value is None or abs(value - float(printed)) > unit(printed) + optimiser(key, float(printed)):
            wrong[key] = (value, printed)
    assert not wrong, f"{row['line']}: {wrong}"
