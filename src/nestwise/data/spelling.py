"""Names of columns: those that cannot be, and those a person may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from nestwise.data.dataset import ROW
from nestwise.errors import Problem


def near_names(name: str, names: Iterable[str]) -> str:
    """A hint at the name a person may have meant: `did you mean 'x'`, or the empty string."""
    listed = list(names)
    same = [other for other in listed if other.strip().casefold() == name.strip().casefold()]
    near = same or get_close_matches(name, listed, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}" if near else ""


def reserved_names(names: Iterable[str], where: str) -> list[Problem]:
    """Columns that cannot keep their name: `.row` is ours, and Polars takes `*` and `^...$` for patterns."""
    return [
        Problem(f"a column is called {name!r}, a name that is taken", where, "rename it")
        for name in names
        if name in (ROW, "*") or (name.startswith("^") and name.endswith("$"))
    ]
