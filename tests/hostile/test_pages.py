"""Hostile studies taken to their report: every step of the workflow in its order, and a page at the end."""

from __future__ import annotations

import re
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(2)>'
ENGINES = ("pooled", "unpooled", "lmm")
N = 40


def columns(**changes):
    rng = np.random.default_rng(21)
    codes = np.repeat(np.arange(8), 5)
    x = rng.normal(size=N).round(3)
    y = (3 + rng.normal(size=8)[codes] + x + rng.normal(size=N)).round(3)
    plain = {"g": [f"g{k}" for k in codes], "x": x, "y": y, "c": ["u" if k % 3 else "v" for k in range(N)]}
    return plain | changes


def study(**changes):
    plain = {
        "title": "A study",
        "data": {"source": "data.csv"},
        "groups": {"g": {}},
        "models": {"m": {"formula": "y ~ x + (1 | g)", "engines": list(ENGINES)}},
    }
    return plain | changes


def page(folder: Path, described, values) -> str:
    """Run a study from its file to its report as the scripts of the workflow do."""
    from nestwise.compare.saved import compare_saved
    from nestwise.config.load import load_study
    from nestwise.data.contract import validate
    from nestwise.data.prepare import load_dataset, prepare, save_dataset
    from nestwise.data.read import read
    from nestwise.data.source import locate
    from nestwise.data.typed import load_typed, save_typed
    from nestwise.data.validation import validation_from_json
    from nestwise.design.description import describe_model
    from nestwise.diagnose.saved import diagnose_saved
    from nestwise.engines import fit_model
    from nestwise.figures.gallery import draw_all
    from nestwise.figures.inputs import gather_inputs
    from nestwise.report.collect import collect
    from nestwise.report.render import render
    from nestwise.results import save_fit
    from nestwise.storage import read_json, write_json, write_parquet
    from nestwise.tables import Tables, save_tables, stack

    pl.DataFrame({name: list(cells) for name, cells in values.items()}).write_csv(folder / "data.csv")
    path = folder / "hostile.yaml"
    path.write_text(yaml.safe_dump(described, sort_keys=False, allow_unicode=True), encoding="utf-8")
    file = load_study(path)
    plan, results = file.study, folder / "results"
    (results / "data").mkdir(parents=True)
    source = locate(plan.data.source, path, ())
    save_typed(
        read(source, plan.data, plan.variables, plan.groups, plan.time), results / "data/typed.parquet"
    )
    typed = load_typed(results / "data/typed.parquet")
    validation = validate(typed, plan, source=plan.data.source)
    write_json(results / "data/validation.json", validation.to_json())
    write_parquet(results / "data/failures.parquet", validation.failures)
    validation = validation_from_json(read_json(results / "data/validation.json"))
    dataset = prepare(typed, validation, file.name, plan.groups, plan.time, plan.derive)
    save_dataset(dataset, results / "data/analysis.parquet")
    dataset = load_dataset(results / "data/analysis.parquet")
    fits, designs = [], []
    for name, model in plan.models.items():
        designs.append(results / f"models/{name}/design.json")
        write_json(designs[-1], describe_model(dataset, name, model))
        for engine in model.engines:
            fits.append(results / f"fits/{name}.{engine}")
            save_fit(fit_model(dataset, name, model, engine, seed=1), fits[-1])
    tables = {table.name: str(results / f"{table.name}.parquet") for table in fields(Tables)}
    save_tables(stack(fits), **tables)
    write_parquet(results / "comparison.parquet", compare_saved(fits))
    write_parquet(results / "checks.parquet", diagnose_saved(fits, designs, dataset))
    draw_all(gather_inputs(results, plan, dataset, 1), results / "figures")
    return render(collect(results, plan, file.name, {"seed": 1}))


class Reader(HTMLParser):
    """What a page holds: its tags, their attributes, and the words between them."""

    def __init__(self):
        super().__init__()
        self.tags, self.words, self.quiet = [], [], 0

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.quiet += tag in ("style", "script")

    def handle_endtag(self, tag):
        self.quiet -= tag in ("style", "script")

    def handle_data(self, data):
        if not self.quiet:
            self.words.append(data)


def check_page(html: str) -> str:
    """A page that runs nothing foreign, fetches nothing, and shows no number that is none."""
    reader = Reader()
    reader.feed(html)
    for tag, attributes in reader.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("src", "href", "xlink:href", "action", "data"):
            target = attributes.get(name) or ""
            assert not re.match(r"(https?:|//|javascript:|file:)", target), (tag, target)
    assert "alert(" not in "".join(re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL))
    words = " ".join(reader.words)
    wrong = re.search(r"(?<![\w'])(nan|NaN|None(?! of)|inf|-inf|Traceback)(?![\w'])", words)
    assert not wrong, words[max(0, wrong.start() - 120) : wrong.end() + 60]
    return words


MARKED = {f"<b>{k}</b>": k for k in range(8)}

STUDIES = {
    "markup_everywhere": (
        study(
            title=SCRIPT,
            groups={"g": {"label": IMAGE}},
            variables={
                "y": {"type": "continuous", "unit": SCRIPT, "label": IMAGE},
                "c": {"type": "categorical", "label": SCRIPT},
            },
            models={"m": {"formula": "y ~ x + c + (1 | g)", "engines": list(ENGINES), "label": IMAGE}},
            report={"question": SCRIPT, "notes": IMAGE},
        ),
        columns(
            g=[f"<b>{k // 5}</b>{SCRIPT if k < 5 else ''}" for k in range(N)],
            c=["<i>u" if k % 3 else IMAGE.replace('"', "'") for k in range(N)],
        ),
        ["<script>alert(1)</script>"],
    ),
    "mathematics_in_names": (
        study(
            groups={"$g_1$": {}},
            variables={"y": {"unit": r"\frac{1}{2}", "label": r"$\alpha_{"}},
            models={"m": {"formula": "y ~ x + (1 | `$g_1$`)", "engines": list(ENGINES)}},
        ),
        {r"$g_1$": [rf"$\beta_{{{k // 5}" for k in range(N)]}
        | {k: v for k, v in columns().items() if k != "g"},
        [],
    ),
    "all_refused": (
        study(models={"m": {"formula": "y ~ x + (1 | g)", "engines": [*ENGINES, "glmm", "gee"]}}),
        columns(y=[5.0] * N),
        ["refused"],
    ),
    "one_group": (study(), columns(g=["only"] * N), ["refused"]),
    "singular": (
        study(models={"m": {"formula": "y ~ 1 + (1 | g)", "engines": list(ENGINES)}}),
        columns(y=[(k % 5) - 2 + 0.01 * (k % 3) for k in range(N)]),
        ["singular"],
    ),
    "some_refused": (
        study(
            models={
                "good": {"formula": "y ~ x + (x | g)", "engines": list(ENGINES)},
                "bad": {"formula": "y ~ log(x) + (1 | g)", "engines": ["lmm"]},
                "absent": {"formula": "y ~ z + (1 | g)", "engines": ["lmm"]},
            }
        ),
        columns(),
        ["log", "there is no column z"],
    ),
    "mostly_missing": (
        study(),
        columns(x=[v if k < 24 else None for k, v in enumerate(columns()["x"])]),
        ["16"],
    ),
    "one_row_a_group": (
        study(models={"m": {"formula": "y ~ x + (1 | g)", "engines": ["pooled", "lmm"]}}),
        columns(g=[f"g{k}" for k in range(N)]),
        ["refused"],
    ),
    "long_words": (
        study(title="w" * 300, groups={"g": {"label": "l" * 2000}}, report={"notes": "n" * 4000}),
        columns(g=["label" * 40 + str(k // 5) for k in range(N)]),
        [],
    ),
    "right_to_left": (
        study(title="\u202eevil\u202c דגימה", report={"question": "😀 \u0000".replace("\u0000", "")}),
        columns(g=[f"קבוצה {k // 5}" for k in range(N)]),
        [],
    ),
}


@pytest.mark.parametrize("name", STUDIES)
def test_page(tmp_path, name):
    described, values, says = STUDIES[name]
    html = page(tmp_path, described, values)
    words = check_page(html)
    for text in says:
        assert text in words, f"{text!r} is not on the page"
    strays = list(tmp_path.rglob("*.partial"))
    assert not strays
