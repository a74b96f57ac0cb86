"""The workflow stays thin: its scripts load, call one function of the package, and save."""

import ast
from pathlib import Path

import pytest

SCRIPTS = sorted(Path("workflow/scripts").glob("*.py"))
RULES = sorted(Path("workflow/rules").glob("*.smk"))
FORBIDDEN = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.For,
    ast.While,
    ast.If,
    ast.Try,
)


def _lines(path: Path) -> list[str]:
    return [
        line for line in path.read_text().splitlines() if line.strip() and not line.strip().startswith("#")
    ]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_only_loads_calls_and_saves(script):
    tree = ast.parse(script.read_text())
    nodes = list(ast.walk(tree))
    assert len(_lines(script)) <= 25
    assert not [node for node in nodes if isinstance(node, FORBIDDEN)]
    modules = [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    assert modules
    assert all(module.startswith("nestwise.") or module == "pathlib" for module in modules)
    assert not [node for node in nodes if isinstance(node, ast.Import)]
    numbers = [
        node.value for node in nodes if isinstance(node, ast.Constant) and not isinstance(node.value, str)
    ]
    assert all(number == 0 for number in numbers), "numbers belong into the package or the study file"


def test_the_snakefile_is_short():
    assert len(Path("Snakefile").read_text().splitlines()) <= 40


@pytest.mark.parametrize("rules", RULES, ids=lambda path: path.stem)
def test_rules_are_short_and_say_what_they_need(rules):
    text = rules.read_text()
    if rules.stem in ("common", "resources", "restart"):
        assert len(text.splitlines()) <= 120
        assert "\nrule " not in text
        return
    for rule in text.split("\nrule ")[1:]:
        name = rule.split(":")[0]
        for directive in ("log:", "benchmark:", "threads:", "resources:", "message:", "code=", "script:"):
            assert directive in rule, f"rule {name} has no {directive}"


def test_the_package_never_imports_snakemake():
    for path in Path("src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "snakemake" for name in names), path
