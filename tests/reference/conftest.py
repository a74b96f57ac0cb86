"""Cases of the reference tests: their data as a Dataset, their models fitted once."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def _make_data() -> Any:
    spec = importlib.util.spec_from_file_location("make_data", HERE / "make_data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True, eq=False)
class Case:
    """One folder of expected numbers with the data they belong to."""

    name: str
    expected: dict[str, Any]
    folder: Path
    kept: dict[Any, Any] = field(default_factory=dict)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    def csv(self) -> Path:
        """The csv that R read: of a package, or stored beside the numbers."""
        return self.once("csv", self._write_csv)

    def _write_csv(self) -> Path:
        about = self.expected["data"]
        path = self.folder / f"{self.name}.csv"
        if about["package"] is None:
            path.write_bytes((HERE / self.name / "data.csv").read_bytes())
        else:
            path.write_bytes(_make_data().csv_bytes(about["package"], about["dataset"]))
        return path

    def study(self) -> Any:
        """The case as a study file would describe it."""
        from nestwise.config.study import Study

        about = self.expected["data"]
        return Study.model_validate(
            {
                "title": self.name,
                "data": {"source": self.csv().name, "missing_values": ["NA"]},
                "groups": {
                    name: {"within": group["within"]} if group["within"] else {}
                    for name, group in about["groups"].items()
                },
                "variables": {
                    name: {"type": "categorical", "levels": levels}
                    for name, levels in dict(about["levels"] or {}).items()
                },
                "derive": about["derive"],
                "models": {
                    name: {key: said[key] for key in ("formula", "reml", "weights") if key in said}
                    for name, said in self.expected["models"].items()
                },
            }
        )

    def dataset(self) -> Any:
        return self.once("dataset", self._prepare)

    def _prepare(self) -> Any:
        from nestwise.data.contract import validate
        from nestwise.data.prepare import prepare
        from nestwise.data.read import read

        study = self.study()
        typed = read(self.csv(), study.data, study.variables, study.groups, study.time)
        validation = validate(typed, study, source=self.csv().name)
        return prepare(typed, validation, self.name, study.groups, study.time, study.derive)

    def design(self, formula: str, reml: bool, weights: str | None = None) -> Any:
        from nestwise.config.study import Model
        from nestwise.design.build import build_design

        model = Model(formula=formula, reml=reml, weights=weights)
        return self.once((formula, reml, weights), lambda: build_design(self.dataset(), "m", model))

    def fit(self, engine: str, formula: str, reml: bool = True, weights: str | None = None) -> Any:
        function = getattr(import_module(f"nestwise.fit.{engine}"), f"fit_{engine}")
        return self.once(
            (engine, formula, reml, weights), lambda: function(self.design(formula, reml, weights))
        )


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    folder = tmp_path_factory.mktemp("reference")
    return {
        path.parent.name: Case(path.parent.name, content, folder)
        for path in sorted(HERE.glob("*/expected.json"))
        if "models" in (content := json.loads(path.read_text())) and "data" in content
    }
