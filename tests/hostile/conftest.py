"""A study nobody should write, driven from its file to its fits the way the workflow does it."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

STUDY: dict[str, Any] = {
    "title": "Six groups of five",
    "data": {"source": "data.csv"},
    "groups": {"g": {}},
    "models": {"m": {"formula": "y ~ x + (1 | g)", "engines": ["pooled", "unpooled", "lmm"]}},
}
SECONDS = 40
"""No hostile study may take longer: a study that hangs a run is as bad as one that breaks it."""

SPOKEN_BY_MACHINES = ("Traceback", "pydantic", "polars.", "numpy.", "Error(", "object at 0x", "site-packages")


def columns() -> dict[str, list[Any]]:
    """A decent study's data: 30 rows."""
    rng = np.random.default_rng(7)
    codes = np.repeat(np.arange(6), 5)
    x = rng.normal(size=30).round(3)
    y = (5 + rng.normal(size=6)[codes] + 0.7 * x + rng.normal(scale=0.5, size=30)).round(3)
    return {
        "g": [f"g{code}" for code in codes],
        "t": [int(t) for t in np.tile(np.arange(5), 6)],
        "x": x.tolist(),
        "y": y.tolist(),
        "c": ["u" if k % 3 else "v" for k in range(30)],
    }


def csv_of(values: Mapping[str, list[Any]]) -> bytes:
    lines = [",".join(values)]
    lines += [",".join(str(cell) for cell in row) for row in zip(*values.values(), strict=True)]
    return ("\n".join(lines) + "\n").encode()


def changed(study: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Copy of a study with dotted keys replaced; the value `...` takes a key out."""
    copy = deepcopy(dict(study))
    for key, value in changes.items():
        *path, last = key.split("/")
        place = copy
        for part in path:
            place = place.setdefault(part, {})
        if value is ...:
            place.pop(last, None)
        else:
            place[last] = value
    return copy


@dataclass
class Ending:
    """How a study ended: stopped by problems, or with a fit an engine."""

    problems: list[Any] = field(default_factory=list)
    fits: dict[tuple[str, str], Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        if self.problems:
            return "stopped"
        statuses = {str(fit.status) for (_, engine), fit in self.fits.items() if engine in ("lmm", "pymc")}
        return "refused" if statuses <= {"refused", "failed"} else "answered"

    @property
    def words(self) -> str:
        said = [str(problem) for problem in self.problems]
        for fit in self.fits.values():
            said += [fit.reason or "", *fit.warnings]
        return "\n".join(said)


@contextmanager
def within(seconds: int) -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError(f"took longer than {seconds} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def write_study(folder: Path, case: Mapping[str, Any]) -> Path:
    """Write the files of a hostile study; give the path of the study file."""
    home = folder / "studies"
    home.mkdir()
    values = columns() | case.get("columns", {})
    (home / "data.csv").write_bytes(csv_of({k: v for k, v in values.items() if v is not ...}))
    for name, content in case.get("files", {}).items():
        (home / name).write_bytes(content)
    for name, target in case.get("links", {}).items():
        (home / name).symlink_to(target)
    path = home / case.get("name", "hostile.yaml")
    raw = case.get("raw")
    study = changed(STUDY, case.get("study", {}))
    path.write_bytes(raw if raw is not None else yaml.safe_dump(study, sort_keys=False).encode())
    return path


def run(path: Path, results: Path, engines: tuple[str, ...]) -> Ending:
    """Go through the house: study file, data, fits, saved tables."""
    from nestwise.errors import NestwiseError

    ending = Ending()
    try:
        study, dataset = prepared(path, results)
    except NestwiseError as error:
        ending.problems = list(error.problems)
        assert ending.problems, "an error without a problem"
        return ending
    from nestwise.engines import fit_model
    from nestwise.results import save_fit

    for name, model in study.models.items():
        for engine in model.engines:
            if engine in engines:
                fit = fit_model(dataset, name, model, engine)
                save_fit(fit, results / f"{name}.{engine}")
                ending.fits[name, engine] = fit
    return ending


def prepared(path: Path, results: Path) -> tuple[Any, Any]:
    """The study and its data, saved and read again as the workflow does."""
    from nestwise.config.load import load_study

    file = load_study(path)
    study = file.study
    from nestwise.data.contract import validate
    from nestwise.data.prepare import load_dataset, prepare, save_dataset
    from nestwise.data.read import read
    from nestwise.data.relation import read_relations
    from nestwise.data.source import locate, locate_relations

    source = locate(study.data.source, path, ())
    relations = read_relations(study.groups, locate_relations(study.groups, path, ()))
    typed = read(source, study.data, study.variables, study.groups, study.time)
    validation = validate(typed, study, source=source.name)
    about = (study.groups, study.time, study.derive)
    dataset = prepare(typed, validation, file.name, *about, relations=relations)
    save_dataset(dataset, results / "analysis.parquet")
    return study, load_dataset(results / "analysis.parquet")


def check_sentences(ending: Ending) -> None:
    for problem in ending.problems:
        assert problem.what.strip(), f"a problem without words: {problem!r}"
        assert problem.where.strip(), f"no place: {problem!r}"
        assert problem.way_out.strip(), f"no way out: {problem!r}"
        check_sentence(str(problem))
    for fit in ending.fits.values():
        if str(fit.status) in ("refused", "failed"):
            assert fit.reason, f"{fit.engine} {fit.status} without a reason"
            check_sentence(fit.reason)
            assert "The engine broke" not in fit.reason, fit.reason
            assert not fit.estimates


def check_sentence(text: str) -> None:
    assert text.endswith((".", "?")), text
    assert "\n" not in text, text
    assert len(text) < 1200, f"{len(text)} characters: {text[:300]}"
    assert not any(word in text for word in SPOKEN_BY_MACHINES), text


def check_tables(results: Path) -> None:
    """NaN is never an answer (rule 33), and nothing half-written is left."""
    for path in results.rglob("*"):
        assert not path.name.endswith(".partial"), f"left behind: {path}"
        if path.suffix == ".parquet" and path.parent != results:
            for series in pl.read_parquet(path).select(pl.selectors.float()):
                wrong = [value for value in series if value is not None and not math.isfinite(value)]
                assert not wrong, f"{path.parent.name}/{path.name}: {series.name} holds {wrong[:3]}"


def check_fits(ending: Ending) -> None:
    for (name, engine), fit in ending.fits.items():
        if str(fit.status) in ("ok", "singular"):
            assert fit.estimates, f"{name} by {engine} is {fit.status} without estimates"
            assert fit.n_obs > 0
        if str(fit.status) == "not_converged":
            assert fit.reason or fit.warnings, f"{name} by {engine} did not converge and does not say why"


def bare(text: str) -> str:
    """Words without their quotation marks, which are the writer's choice."""
    return text.lower().translate(str.maketrans("", "", "`'\""))


@pytest.fixture
def end(tmp_path: Path) -> Any:
    """Run a hostile study and give its end, after the checks that hold for every end."""

    def ends(case: Mapping[str, Any]) -> Ending:
        path = write_study(tmp_path, case)
        results = tmp_path / "results"
        results.mkdir()
        before = sorted(tmp_path.rglob("*"))
        with within(SECONDS):
            ending = run(path, results, case.get("engines", ("pooled", "unpooled", "lmm")))
        check_sentences(ending)
        check_fits(ending)
        check_tables(results)
        strays = [p for p in tmp_path.rglob("*") if p not in before and results not in p.parents]
        assert not strays, f"written outside the results: {strays}"
        allowed = case.get("ends", ("stopped",))
        assert ending.kind in allowed, f"ended {ending.kind}: {ending.words}"
        for words in case.get("says", ()):
            assert bare(words) in bare(ending.words), f"{words!r} is not in: {ending.words}"
        return ending

    return ends
