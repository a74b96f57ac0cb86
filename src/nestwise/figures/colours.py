"""Colours, markers and line styles: one notion looks the same everywhere, on light and on dark paper.

Text, grid and paper are drawn in sentinel colours, which a page may replace by CSS variables. Nothing here
loads Matplotlib, so that a report knows the colours without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

INK = "#1f2328"
"""Text and the marks that carry no notion of their own."""
MUTED = "#5b6470"
"""Secondary text, axes, raw data; readable on light and on dark paper alike."""
GRID = "#d9dee4"
"""Grid lines and reference lines that should recede."""
PAPER = "#fffffe"
"""The fill of hollow markers and halos: the colour of the page. Backgrounds are transparent."""


@dataclass(frozen=True, slots=True)
class Notion:
    """How one idea looks wherever it appears: never colour alone."""

    label: str
    color: str
    """On light paper."""
    dark: str
    """On dark paper."""
    marker: str
    line: str
    """Matplotlib line style."""
    variable: str
    """CSS variable that may replace `color`."""


# Okabe-Ito's vermillion, blue and green; Tol's purple; orange darkened to 3:1 on white.
NOTIONS: Mapping[str, Notion] = MappingProxyType(
    {
        "no_pooling": Notion("no pooling", "#d55e00", "#ff8c42", "o", "--", "--figure-no-pooling"),
        "complete_pooling": Notion(
            "complete pooling", "#767676", "#a8a8a8", "s", ":", "--figure-complete-pooling"
        ),
        "partial_pooling": Notion(
            "partial pooling", "#0072b2", "#5ab4f0", "D", "-", "--figure-partial-pooling"
        ),
        "lmm": Notion("likelihood (lmm)", "#aa3377", "#e58abb", "P", "-", "--figure-lmm"),
        "mixedlm": Notion("MixedLM", "#b07500", "#e0aa3e", "v", "-.", "--figure-mixedlm"),
        "pymc": Notion("posterior (pymc)", "#009e73", "#3cc79a", "^", "-", "--figure-pymc"),
        "conditional": Notion("typical group", "#8b3fa8", "#c993e0", "h", "-", "--figure-conditional"),
        "integrated": Notion("averaged over groups", "#00798c", "#45c1d4", "X", "--", "--figure-integrated"),
        "marginal": Notion("estimating equations", "#8a6d00", "#cfae3c", "<", ":", "--figure-marginal"),
    }
)

NO, COMPLETE, PARTIAL = (NOTIONS[name] for name in ("no_pooling", "complete_pooling", "partial_pooling"))
ENGINE_NOTIONS: Mapping[str, Notion] = MappingProxyType(
    {
        "pooled": NOTIONS["complete_pooling"],
        "unpooled": NOTIONS["no_pooling"],
        "lmm": NOTIONS["lmm"],
        "mixedlm": NOTIONS["mixedlm"],
        "pymc": NOTIONS["pymc"],
    }
)

CHAIN_COLORS = ("#0072b2", "#d55e00", "#009e73", "#aa3377", "#b07500", "#767676")

VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        INK: "--figure-ink",
        MUTED: "--figure-muted",
        GRID: "--figure-grid",
        PAPER: "--figure-paper",
        **{notion.color: notion.variable for notion in NOTIONS.values()},
    }
)
"""Colour drawn -> CSS variable that may replace it."""

DARK: Mapping[str, str] = MappingProxyType(
    {
        "--figure-ink": "#e6e8eb",
        "--figure-muted": "#9aa4b0",
        "--figure-grid": "#3a414a",
        "--figure-paper": "#14171a",
        **{notion.variable: notion.dark for notion in NOTIONS.values()},
    }
)
"""Values of the CSS variables on dark paper."""
