"""Imports flow one way: data into designs into fits into comparisons, figures and the report."""

import ast
from pathlib import Path

import pytest

SOURCE = Path("src/nestwise")
LAYERS = (
    {"arrays", "errors", "slurm", "names", "numbers", "storage", "seeds", "environment", "vocabulary"},
    {"missing_vocabulary"},
    {"results", "provenance", "progress", "formula"},
    {"config", "tables", "costs"},
    {"data"},
    {"design"},
    {"likelihood"},
    {"fit"},
    {"missing", "imputation"},
    {"bayes"},
    {"engines"},
    {"impute"},
    {"strategies"},
    {"diagnose", "compare"},
    {"figures"},
    {"report"},
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def _layer(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def _imported(path):
    """Layers that a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "nestwise":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nestwise."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (name.name.split(".")[1] for name in node.names if name.name.startswith("nestwise."))


FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def test_every_part_has_a_layer():
    assert {_layer(path) for path in FILES} == set(RANK)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_import_goes_back(path):
    own = _layer(path)
    back = [name for name in _imported(path) if name != own and RANK[name] >= RANK[own]]
    assert not back, f"{path} stands in {own} and imports {', '.join(back)}"


def test_the_package_knows_nothing_of_snakemake():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if name.split(".")[0] == "snakemake"], path
