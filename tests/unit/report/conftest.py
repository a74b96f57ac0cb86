"""A finished study on disk with what can go wrong in it: hostile labels, a refused fit, failed checks."""

from __future__ import annotations

import json

import polars as pl
import pytest

from nestwise.config.study import Study
from nestwise.report.collect import collect
from nestwise.results import conform
from nestwise.vocabulary import CHECKS, ESTIMATES, FITS, GROUPS

SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(2)>'
HOSTILE = (SCRIPT, IMAGE, "a & b < c", "`code`", "{{ 7 * 7 }}")

SVG = f"""<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="400pt"
 height="200pt" viewBox="0 0 400 200">
 <defs><style>* {{color: red}}</style><path id="m" d="M 0 0.123456 L 3 3"/>
 <clipPath id="c"><rect width="9" height="9"/></clipPath></defs><script>alert(3)</script>
 <g clip-path="url(#c)" onclick="alert(4)"><use xlink:href="#m" style="fill: #1f2328"/></g>
 <a xlink:href="http://example.org/x"><text>linked</text></a>
 <image xlink:href="http://example.org/y.png"/><foreignObject><p>no</p></foreignObject>
 <text style="font-family: 'DejaVu Sans'; fill: #0072b2">{SCRIPT.replace("<", "&lt;")}</text></svg>"""


@pytest.fixture(scope="session")
def study():
    return Study.model_validate(
        {
            "title": f"Radon {IMAGE}",
            "data": {"source": "dataset:radon"},
            "groups": {"county": {"label": "county"}},
            "variables": {"y": {"type": "continuous", "unit": "log pCi/L", "label": SCRIPT}},
            "models": {
                "intercepts": {"formula": "y ~ x + (1 | county)", "label": SCRIPT},
                "slopes": {"formula": "y ~ x + (x | county)"},
            },
            "report": {"question": f"Which counties? {SCRIPT}", "notes": IMAGE, "main_model": "intercepts"},
        }
    )


def _fits():
    shared = {
        "study": "s",
        "strategy": "observed",
        "n_obs": 919,
        "n_groups": 85,
        "analysis_hash": "h",
        "seconds": 0.1,
    }
    rows = [
        {
            "model": "intercepts",
            "engine": engine,
            "method": method,
            "status": "ok",
            "formula": "y ~ x + (1 | county)",
        }
        for engine, method in (("pooled", "OLS"), ("unpooled", "OLS"), ("lmm", "REML"), ("pymc", "NUTS"))
    ]
    rows += [
        {
            "model": "slopes",
            "engine": "lmm",
            "method": "REML",
            "status": "refused",
            "reason": f"There are too few groups {SCRIPT}.",
            "formula": "y ~ x + (x | county)",
        },
        {
            "model": "slopes",
            "engine": "pymc",
            "method": "",
            "status": "failed",
            "reason": "The engine broke.",
            "formula": "y ~ x + (x | county)",
        },
    ]
    return conform(pl.DataFrame([row | shared for row in rows], infer_schema_length=None), FITS)


def _estimates():
    table = {
        "pooled": [("fixed", "(Intercept)", None, 1.327, 0.03), ("fixed", "x", None, -0.613, 0.07)],
        "unpooled": [("fixed", "x", None, -0.72, 0.074), ("residual", "sigma", None, 0.756, None)],
        "lmm": [
            ("fixed", "(Intercept)", None, 1.4616, 0.0516),
            ("fixed", "x", None, -0.693, 0.0704),
            ("sd", "(Intercept)", "county", 0.3282, None),
            ("residual", "sigma", None, 0.7556, None),
            ("derived", "icc", "county", 0.159, None),
        ],
        "pymc": [
            ("fixed", "(Intercept)", None, 1.4620, 0.0520),
            ("fixed", "x", None, -0.6925, 0.0710),
            ("sd", "(Intercept)", "county", 0.3500, 0.0480),
            ("residual", "sigma", None, 0.7560, 0.0180),
        ],
    }
    rows = [
        {
            "study": "s",
            "model": "intercepts",
            "engine": engine,
            "strategy": "observed",
            "target": "conditional",
            "scale": "response",
            "component": component,
            "term": term,
            "group": group,
            "estimate": value,
            "std_error": error,
            "lower": value - 0.1,
            "upper": value + 0.1,
            "p_value": 1e-9 if term == "x" else None,
        }
        for engine, listed in table.items()
        for component, term, group, value, error in listed
    ]
    return conform(pl.DataFrame(rows, infer_schema_length=None), ESTIMATES)


def _groups(n_groups):
    labels = [*HOSTILE, *(f"county {number}" for number in range(n_groups - len(HOSTILE)))]
    rows = [
        {
            "study": "s",
            "model": "intercepts",
            "engine": "lmm",
            "group": "county",
            "term": "(Intercept)",
            "label": label,
            "n": 1 + place % 60,
            "no_pooling": 1.0 + place % 7 / 5,
            "no_pooling_se": 0.3,
            "complete_pooling": 1.3,
            "partial_pooling": 1.2 + place % 7 / 12,
            "partial_pooling_se": 0.2,
            "pooling_factor": (1 + place % 60) / (6.3 + place % 60),
        }
        for place, label in enumerate(labels)
    ]
    return conform(pl.DataFrame(rows), GROUPS)


def _design(model, names):
    return {
        "model": model,
        "formula": "y ~ x",
        "outcome": "y",
        "n": 919,
        "names": ["(Intercept)", "x"],
        "dropped": [],
        "random": [{"group": "county", "names": names, "correlated": True, "n_groups": 85}],
        "row_flow": {
            "n_source": 930,
            "n_used": 919,
            "groups_source": 86,
            "groups_used": 85,
            "excluded": [{"reason": f"x is missing {SCRIPT}", "rows": 11, "groups": 1}],
        },
        "analysis_hash": "h",
        "notes": [f"A note {SCRIPT}."],
    }


VALIDATION = {
    "n_rows": 930,
    "n_failures": 1,
    "checks": [
        {
            "name": "values.range",
            "level": "warning",
            "passed": False,
            "columns": [IMAGE],
            "sentence": f"Bad {SCRIPT}.",
        },
        {"name": "rows.any", "level": "error", "passed": True, "columns": [], "sentence": "There are rows."},
    ],
    "variables": [
        {
            "name": SCRIPT,
            "type": "continuous",
            "declared": True,
            "unit": IMAGE,
            "missing": 11,
            "missing_share": 0.01,
            "min": -2.3,
            "max": 3.9,
            "mean": 1.2,
            "sd": 0.8,
        },
        {
            "name": "c",
            "type": "categorical",
            "declared": False,
            "levels": {IMAGE: 3},
            "n_levels": 1,
            "missing": 0,
        },
    ],
    "groups": [{"name": "county", "n_groups": 85, "min": 1, "median": 5.0, "max": 116, "singletons": 3}],
    "missingness": [
        {
            "variable": SCRIPT,
            "group": "county",
            "n_groups": 85,
            "groups_complete": 80,
            "groups_partly": 4,
            "groups_wholly": 1,
        }
    ],
    "time": None,
    "notes": [f"Inferred {SCRIPT}."],
}


def write_study(folder, n_groups=85, svg=SVG):
    def put(path, content):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content if isinstance(content, str) else json.dumps(content))

    put("data/validation.json", VALIDATION)
    failure = {"check": "values.range", "column": IMAGE, "row": 7, "value": SCRIPT, "message": IMAGE}
    pl.DataFrame([failure]).write_parquet(folder / "data/failures.parquet")
    put("models/intercepts/design.json", _design("intercepts", ["(Intercept)"]))
    put(
        "models/slopes/design.json",
        {"model": "slopes", "formula": "y ~ x", "refused": f"Not possible {SCRIPT}."},
    )
    for row in _fits().to_dicts():
        parameter = {"component": "sd", "group": "county", "term": "(Intercept)", "mcse_median": 0.001}
        prior = {
            "component": "sd",
            "group": "county",
            "term": "(Intercept)",
            "distribution": "half_student_t",
            "location": 0.0,
            "scale": 2.13,
            "df": 3.0,
            "eta": None,
            "source": "declared",
            "note": SCRIPT,
        }
        record = {"parameters": [parameter], "priors": [prior]} if row["engine"] == "pymc" else {}
        put(f"fits/{row['model']}.{row['engine']}/record.json", record)
    _fits().write_parquet(folder / "fits.parquet")
    _estimates().write_parquet(folder / "estimates.parquet")
    _groups(n_groups).write_parquet(folder / "groups.parquet")
    check = {
        "study": "s",
        "model": "intercepts",
        "engine": "lmm",
        "check": "residual_normality",
        "value": 5.2,
        "limit": 4.0,
        "ok": False,
        "advice": f"Look at the tails {SCRIPT}.",
    }
    conform(pl.DataFrame([check, check | {"check": "few_groups", "ok": True}]), CHECKS).write_parquet(
        folder / "checks.parquet"
    )
    put("figures/intercepts.caterpillar.svg", svg)
    put("figures/intercepts.odd.svg", "<svg this is no xml")
    figure = {
        "name": "caterpillar",
        "model": "intercepts",
        "title": f"Order {SCRIPT}",
        "caption": IMAGE,
        "alt": f"Dots {IMAGE}",
        "file": "intercepts.caterpillar.svg",
        "data": "c.csv",
        "reason": None,
    }
    odd = figure | {"name": "odd", "file": "intercepts.odd.svg"}
    undrawn = figure | {"name": "league", "file": None, "data": None, "reason": f"One group {SCRIPT}."}
    put("figures/figures.json", [figure, odd, undrawn])


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("radon")
    write_study(place)
    return place


PROVENANCE = {
    "versions": {"nestwise": "0.1.0", "python": "3.13.0"},
    "hashes": {"data": SCRIPT},
    "seed": 7,
    "platform": IMAGE,
}


@pytest.fixture(scope="session")
def record(folder, study):
    return collect(folder, study, "radon", PROVENANCE)


@pytest.fixture(scope="session")
def make_record(tmp_path_factory, study):
    def make(**given):
        place = tmp_path_factory.mktemp("study")
        write_study(place, **given)
        return collect(place, study, "radon", PROVENANCE)

    return make
