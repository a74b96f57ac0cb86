"""The functions a formula may call: this list is the whole of what a formula can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Kind = Literal["arithmetic", "basis", "factor", "offset", "outcome", "membership"]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes and what it makes.

    Attributes
    ----------
    kind : str
        `arithmetic` makes one column and may stand inside others; `basis` makes several;
        `factor` makes levels; `offset`, `outcome` and `membership` stand in one place only.
    arguments : int
        Number of arguments that are expressions of columns; the least number with `many`.
    numbers : mapping of str to (int, int)
        Options that are whole numbers, with the smallest and largest value, in R's order.
    flags : tuple of str
        Options that are TRUE or FALSE.
    many : bool
        Whether there may be more arguments; options are then given by name.
    matrices : tuple of str
        Options that are columns bound together, `cbind(a, b)`.
    """

    kind: Kind
    arguments: int = 1
    numbers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    many: bool = False
    matrices: tuple[str, ...] = ()


MATHEMATICS = ("log", "exp", "sqrt", "abs", "log2", "log10", "log1p")

FUNCTIONS: Mapping[str, Signature] = MappingProxyType(
    {name: Signature("arithmetic") for name in MATHEMATICS}
    | {
        "I": Signature("arithmetic"),
        "scale": Signature("arithmetic", flags=("center", "scale")),
        "center": Signature("arithmetic"),
        "poly": Signature("basis", numbers={"degree": (1, 10)}, flags=("raw",)),
        "bs": Signature("basis", numbers={"df": (1, 50), "degree": (1, 5)}),
        "ns": Signature("basis", numbers={"df": (1, 50)}),
        "factor": Signature("factor"),
        "as.factor": Signature("factor"),
        "offset": Signature("offset"),
        "cbind": Signature("outcome", arguments=2, many=True),
        "mm": Signature("membership", arguments=2, flags=("scale",), many=True, matrices=("weights",)),
    }
)
