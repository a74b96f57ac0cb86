"""Names in sentences: those a person may have meant, several of them, and their plurals."""

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


def several(names: list[str] | tuple[str, ...], most: int = 8) -> str:
    """``a, b and c``; after `most` names only how many more."""
    listed = list(names)
    if len(listed) > most:
        return f"{', '.join(listed[:most])} and {len(listed) - most:,} more"
    return " and ".join([", ".join(listed[:-1]), listed[-1]]) if len(listed) > 1 else "".join(listed)


def plural(noun: str) -> str:
    """The plural of an English noun, alone or after an adjective; ``groups of a:b`` for what is not one."""
    before, space, last = noun.rpartition(" ")
    if space and all(word.isalpha() and word.isascii() for word in noun.split(" ")) and len(last) > 1:
        return f"{before} {plural(last)}"
    if len(noun) == 1 or not noun.isalpha() or not noun.isascii():
        return f"groups of {noun}"
    lower = noun.lower()
    if lower.endswith("y") and lower[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if lower.endswith(("s", "x", "ch", "sh")) else f"{noun}s"


def counted(number: int, noun: str) -> str:
    """`1 county`, `85 counties`."""
    return f"1 {noun}" if number == 1 else f"{number:,} {plural(noun)}"
