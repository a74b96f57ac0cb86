"""What a figure function returns, and the words it puts on axes and in captions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from nestwise.data.dataset import VariableInfo
from nestwise.errors import Problem, Refusal
from nestwise.figures.theme import themed
from nestwise.vocabulary import INTERCEPT

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure with the words that read it and the numbers behind it."""

    name: str
    """Of the figure, e.g. `pooling_by_size`; becomes part of a file name."""
    figure: Figure
    caption: str
    """A sentence or two that read the figure, with its numbers."""
    alt: str
    """What is to be seen, for those who do not see it."""
    data: pl.DataFrame
    """Tidy; one row a mark."""


@dataclass(frozen=True)
class Wording:
    """How a study calls its variables and groups.

    Attributes
    ----------
    outcome : str
        Name of the outcome.
    variables : mapping of str to VariableInfo
        Labels and units.
    groups : mapping of str to str
        Label of each grouping factor that has one.
    time : str or None
        The time column.
    scale : str or None
        What coefficients are measured in where it is not the outcome: `log odds`.
    """

    outcome: str
    variables: Mapping[str, VariableInfo] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    time: str | None = None
    scale: str | None = None

    def name(self, variable: str) -> str:
        """What a variable is called."""
        known = self.variables.get(variable)
        return plain(known.label if known and known.label else variable, 40)

    def unit(self, variable: str) -> str | None:
        """Its unit, if any."""
        known = self.variables.get(variable)
        return plain(known.unit, 24) if known and known.unit else None

    def axis(self, variable: str) -> str:
        """What an axis of the variable says: name and unit."""
        unit, known = self.unit(variable), self.variables.get(variable)
        name = plain(known.label if known and known.label else variable, 60)
        return f"{name} ({unit})" if unit else name

    def group(self, factor: str) -> str:
        """What one group of a factor is called."""
        return plain(self.groups.get(factor) or factor, 30)

    def who(self, factor: str, label: str) -> str:
        """Return a group as a sentence names it: `county 70` where the label is a bare number."""
        short = plain(label, 24)
        return f"{self.group(factor)} {short}" if short[:1].isdigit() else short

    def coefficient(self, term: str) -> str:
        """What a coefficient that varies is called."""
        return "intercept" if term == INTERCEPT else f"slope of {plain(term, 30)}"

    def coefficient_axis(self, term: str) -> str:
        """The same with its unit, for an axis."""
        return f"{self.coefficient(term)} ({self.coefficient_unit(term)})"

    def coefficient_unit(self, term: str) -> str:
        """Return the unit of a coefficient: the outcome's, per unit of the predictor."""
        outcome = self.scale or self.unit(self.outcome) or self.name(self.outcome)
        return outcome if term == INTERCEPT else f"{outcome} per {self.unit(term) or 'unit'}"


def plain(text: object, limit: int = 28) -> str:
    """One line of visible characters, shortened with an ellipsis: labels come from strangers' data."""
    visible = "".join(
        " " if character.isspace() else character
        for character in str(text)
        if character.isspace() or unicodedata.category(character)[0] != "C"
    )
    line = " ".join(visible.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def squared(unit: str) -> str:
    """Return the square of a unit: `ms²`, `(log pCi/L)²`."""
    return f"({unit})²" if re.search(r"[\s/*·^-]", unit) else f"{unit}²"


def exact(value: float) -> str:
    """Return a value as a tick or a sentence quotes it from data: no zeros added."""
    return f"{value:.6g}".replace("-", "−")


def cannot(figure: str, why: str) -> Refusal:
    """Return the refusal of a figure that would show nothing, to be raised."""
    return Refusal(Problem(why, where=f"figure {figure}", way_out="the other figures are not affected"))


def column(frame: pl.DataFrame, name: str) -> FloatArray:
    """A column as floats, null as NaN: Matplotlib leaves gaps there."""
    return frame[name].cast(pl.Float64).to_numpy().astype(np.float64)


def span(*values: ArrayLike, margin: float = 0.06) -> tuple[float, float]:
    """Limits that hold every finite value, with a margin; never of zero width."""
    flat = np.concatenate([np.ravel(np.asarray(value, dtype=np.float64)) for value in values])
    flat = flat[np.isfinite(flat)]
    if flat.size == 0:
        return 0.0, 1.0
    low, high = float(flat.min()), float(flat.max())
    width = (high - low) or abs(high) or 1.0
    return low - margin * width, high + margin * width


def evenly(count: int, at_most: int) -> NDArray[np.int64]:
    """Return the indices of at most `at_most` of `count` items, evenly spaced, first and last included."""
    if count <= at_most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, at_most).round().astype(np.int64))


def drawn[**P](function: Callable[P, Drawing]) -> Callable[P, Drawing]:
    """Run a figure function in the theme of the house."""

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Drawing:
        with themed():
            return function(*args, **kwargs)

    return inside
