import ast
import shutil
from pathlib import Path

import pytest

from nestwise import provenance
from nestwise.provenance import fingerprint, versions

STEPS = {
    "read": ("nestwise.data.read",),
    "lmm": ("nestwise.engines", "nestwise.fit.lmm"),
    "pymc": ("nestwise.engines", "nestwise.bayes.engine"),
    "figures": ("nestwise.figures",),
    "report": ("nestwise.report",),
}


@pytest.fixture
def touched(tmp_path, monkeypatch):
    """Steps whose fingerprint changes when a file of a copy of the package is edited."""
    source = tmp_path / "nestwise"
    shutil.copytree(provenance.SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "SOURCE", source)

    def edit(file: str) -> set[str]:
        before = {step: fingerprint(*modules) for step, modules in STEPS.items()}
        (source / file).write_text((source / file).read_text() + "\n# edited\n")
        return {step for step, modules in STEPS.items() if fingerprint(*modules) != before[step]}

    return edit


@pytest.mark.parametrize(
    ("file", "steps"),
    [
        ("bayes/engine.py", {"pymc"}),
        ("fit/lmm.py", {"lmm"}),
        ("likelihood/gaussian.py", {"lmm", "pymc"}),
        ("figures/theme.py", {"figures"}),
        ("figures/colours.py", {"figures", "report"}),
        ("report/render.py", {"report"}),
        ("data/source.py", set()),
        ("errors.py", set(STEPS)),
    ],
)
def test_an_edit_touches_the_steps_that_reach_the_file(touched, file, steps):
    assert touched(file) == steps


@pytest.mark.parametrize("path", sorted(provenance.SOURCE.rglob("*.py")), ids=lambda path: path.stem)
def test_imports_read_by_pattern_are_those_of_the_parser(path):
    parsed = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nestwise"):
            parsed |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):  # the form that is not looked for
            assert not [alias.name for alias in node.names if alias.name.startswith("nestwise")]
    # `as` and a name given to what is imported are no modules: they lead nowhere
    found = set(provenance._imports(path))
    assert parsed - {"nestwise"} <= found
    assert not [name for name in found - parsed if provenance._files(name, whole=False)]


def test_a_module_that_does_not_exist_is_an_error():
    with pytest.raises(ModuleNotFoundError, match=r"nestwise\.fit\.magic"):
        fingerprint("nestwise.fit.magic")


def test_compiled_files_do_not_count(touched, tmp_path):
    before = fingerprint("nestwise.figures")
    cache = Path(provenance.SOURCE, "figures", "__pycache__")
    cache.mkdir()
    (cache / "theme.cpython-313.pyc").write_bytes(b"x")
    assert fingerprint("nestwise.figures") == before


def test_versions_name_the_tools():
    found = versions()
    assert {"python", "nestwise", "polars", "pymc", "statsmodels"} <= set(found)
    assert all(found.values())
