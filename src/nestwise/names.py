"""Names that do not exist, and those a person may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name a person may have meant: the same but for capitals and spaces, else a similar one.

    Parameters
    ----------
    name : str
        What was written.
    names : iterable of str
        What there is.
    """
    listed = list(names)
    same = [other for other in listed if other.strip().casefold() == name.strip().casefold()]
    near = same or get_close_matches(name, listed, n=1, cutoff=0.6)
    return near[0] if near else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The hint of an error, `did you mean 'x'`; the empty string where nothing is near."""
    near = nearest(name, names)
    return f"did you mean {near!r}" if near is not None else ""
