"""The house stays small and plain: short files and functions, nothing that runs text or names a machine."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

FILES = sorted(Path("src/nestwise").rglob("*.py"))
MOST_LINES = 340
MOST_LINES_OF_A_FUNCTION = 60
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}
FORBIDDEN_CALLS = {"eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads", "__import__"}
ELSEWHERE = re.compile(
    r"/(?:home|Users|root|work|mnt)/\w+"  # a path of one machine
    r"|--(?:extra-)?index[-]url[ =]\S|index[-]url *= *\S"
    r"|https?://[^\s/]*(?:pypi|pythonhosted|conda\.anaconda|artifactory|nexus)[^\s]*"
)


def named(path):
    return str(path.relative_to("src/nestwise"))


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_file_is_read_at_one_sitting(path):
    assert len(path.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_function_is_seen_at_one_glance(path):
    functions = (
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in functions
        if node.end_lineno - node.lineno + 1 > MOST_LINES_OF_A_FUNCTION
    }
    assert not long


@pytest.mark.parametrize("path", FILES, ids=named)
def test_nothing_runs_text(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in FORBIDDEN_CALLS, f"line {node.lineno}"
        elif isinstance(node, ast.Import):
            assert not {alias.name for alias in node.names} & FORBIDDEN_MODULES
        elif isinstance(node, ast.ImportFrom):
            assert node.module not in FORBIDDEN_MODULES


@pytest.mark.parametrize("path", FILES, ids=named)
def test_compiled_code_on_disk_calls_its_own_file_only(path):
    """A cached function is not compiled again when a function of another file that it calls has changed."""
    tree = ast.parse(path.read_text())
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nestwise")
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(
            "cache=True" in ast.unparse(decorator) for decorator in node.decorator_list
        ):
            called = {ast.unparse(call.func) for call in ast.walk(node) if isinstance(call, ast.Call)}
            assert not {name for name in called if name.split(".")[0] in imported}, node.name


@pytest.mark.parametrize("path", FILES, ids=named)
def test_compiled_code_does_not_depend_on_what_was_compiled_before(path):
    """numba gives a function without `fastmath` or `error_model` those of the caller that compiles it first.

    The machine code, and the last digits of the results, would then depend on which study ran first.
    """
    calls = [
        {keyword.arg for keyword in node.keywords}
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("njit")
    ]
    for option in ("fastmath", "error_model"):
        stated = [
            option in names or "inline" in names for names in calls
        ]  # inlined code has no code of its own
        assert all(stated) or not any(option in names for names in calls), option


def test_names_of_files_say_what_they_hold():
    assert not [path for path in FILES if re.search(r"util|helper|misc|common", path.stem)]


def test_a_package_lists_its_modules():
    for init in (path for path in FILES if path.name == "__init__.py" and path.parent.name != "nestwise"):
        text = init.read_text()
        modules = [path.stem for path in init.parent.glob("*.py") if path.stem != "__init__"]
        missing = [module for module in modules if f"`{module}`" not in text]
        assert not missing, f"{init} does not name {', '.join(missing)}"


def test_tracked_files_name_no_machine_and_no_registry():
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a checkout")
    for name in filter(None, listed.stdout.split("\0")):
        path = Path(name)
        if path.suffix in {".parquet", ".png", ".svg"} or not path.is_file() or path == Path(__file__):
            continue
        if path.name == "test_house.py":
            continue
        found = ELSEWHERE.search(path.read_text(encoding="utf-8", errors="replace"))
        assert found is None, f"{name} holds {found.group()}"
