"""What a page is made of: sections hold blocks, and a block is data until the template lays it out.

Text is plain text everywhere: the template escapes it, and sets what stands between backquotes as code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from nestwise.design.markup import Equation
from nestwise.report.record import Picture, ReportRecord


@dataclass(frozen=True)
class Cell:
    """A cell of a table: text, or mathematics; `tone` is good | attention | bad | quiet."""

    text: str = ""
    tone: str = ""
    detail: str = ""
    """A second, smaller line."""
    mathml: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Heading:
    """A heading inside a section; `level` 3 or 4."""

    kind: ClassVar[str] = "heading"
    text: str
    level: int = 3


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    kind: ClassVar[str] = "bullets"
    items: tuple[str, ...]


@dataclass(frozen=True)
class References:
    """Works to cite."""

    kind: ClassVar[str] = "references"
    items: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    kind: ClassVar[str] = "facts"
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Note:
    """A remark set apart; `tone` is quiet | attention | bad."""

    kind: ClassVar[str] = "note"
    text: str
    tone: str = "quiet"


@dataclass(frozen=True)
class Table:
    """A table. The first cell of a row names the row.

    `align` has a letter a column: l, r or c. `note` stands below: what was cut and where all of it lies.
    """

    kind: ClassVar[str] = "table"
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    align: str = ""
    note: str = ""
    groups: tuple[tuple[str, int], ...] = ()
    """A line above the head: titles and how many columns each spans."""


@dataclass(frozen=True)
class Formula:
    """A model's formula as written in the study file."""

    kind: ClassVar[str] = "formula"
    text: str


@dataclass(frozen=True)
class Mathematics:
    """Equations one below the other."""

    kind: ClassVar[str] = "mathematics"
    equations: tuple[Equation, ...]


@dataclass(frozen=True)
class Figure:
    """A figure with its caption."""

    kind: ClassVar[str] = "figure"
    picture: Picture


@dataclass(frozen=True)
class Fold:
    """Blocks behind a line that opens them; what is `bulky` stays closed on paper."""

    kind: ClassVar[str] = "fold"
    title: str
    blocks: tuple[Block, ...]
    bulky: bool = False


type Block = (
    Text | Heading | Bullets | References | Facts | Note | Table | Formula | Mathematics | Figure | Fold
)


@dataclass(frozen=True)
class Section:
    """A section: what the reader learns, in a sentence with the numbers, then the evidence."""

    key: str
    title: str
    lead: str
    blocks: tuple[Block, ...] = field(default=())


def cells(*texts: str | Cell) -> tuple[Cell, ...]:
    """A row of cells from texts."""
    return tuple(text if isinstance(text, Cell) else Cell(text) for text in texts)


def main_first(record: ReportRecord, parts: Mapping[str, Sequence[Block]]) -> tuple[Block, ...]:
    """The blocks of the main model open, those of every other model behind a fold.

    Parameters
    ----------
    record : ReportRecord
        The study.
    parts : mapping of str to sequence of Block
        Model -> its blocks; where the main model has none, the last one is open.
    """
    filled = {model: blocks for model, blocks in parts.items() if blocks}
    if not filled:
        return ()
    chosen = record.main_model if record.main_model in filled else list(filled)[-1]
    folds = [
        Fold(f"The same for {model}", tuple(blocks)) for model, blocks in filled.items() if model != chosen
    ]
    return (*filled[chosen], *folds)


def figures(pictures: Sequence[Picture]) -> list[Block]:
    """A block a picture."""
    return [Figure(picture) for picture in pictures]
