"""One quiet look for every figure, and SVG whose colours a page may replace.

Text, grid and paper are drawn in sentinel colours and every notion has one colour, one marker and one
line style everywhere. As they are, the files look right on white paper; `themable` turns the sentinels
into CSS variables for a page with a dark side.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from nestwise.figures.colours import DARK, GRID, INK, MUTED, VARIABLES

WIDTH = 6.8
"""Inches: a column of text on a screen, and nearly the width of a printed page."""

RASTER_ABOVE = 2000
"""Points above which a cloud becomes an image inside the SVG."""

# Verdana has the widths of DejaVu Sans, and what else a machine may fall back to is narrower:
# measured with the one, labels fit with all.
_FONTS = "'DejaVu Sans', 'Bitstream Vera Sans', Verdana, Geneva, sans-serif"

_SETTINGS: Mapping[str, Any] = MappingProxyType(
    {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "text.parse_math": False,
        "text.usetex": False,
        "text.color": INK,
        "axes.formatter.use_mathtext": False,
        "axes.facecolor": "none",
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.labelsize": 9,
        "axes.linewidth": 0.7,
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.titlecolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.xmargin": 0.03,
        "axes.ymargin": 0.05,
        "grid.color": GRID,
        "grid.linewidth": 0.6,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "xtick.minor.size": 0,
        "ytick.minor.size": 0,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "legend.labelcolor": INK,
        "legend.handlelength": 2.2,
        "lines.linewidth": 1.4,
        "lines.markersize": 5,
        "figure.facecolor": "none",
        "figure.edgecolor": "none",
        "figure.constrained_layout.use": False,
        "savefig.facecolor": "none",
        "svg.fonttype": "none",
        "svg.image_inline": True,
        "path.simplify": True,
    }
)


# Matplotlib wraps each mark of a cloud in a group of its own and writes six decimals of a point.
_MARKS = re.compile(
    r'(<g clip-path="[^"]*">)\s*(?:<use [^>]*/>\s*)+</g>(?:\s*\1\s*(?:<use [^>]*/>\s*)+</g>)*'
)
_COORDINATES = re.compile(r'(\s(?:d|x|y|points|transform)=")([^"]*)')
_DECIMALS = re.compile(r"(\.\d\d)\d+")


@contextmanager
def themed() -> Iterator[None]:
    """Draw inside this block with the settings of the house; whatever stood before stands after."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)  # type: ignore[arg-type]
        # A label in a script DejaVu lacks is written as text, and the reader's machine has the glyph.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*missing.*")
        warnings.filterwarnings("ignore", message=".*font family .* not found.*")
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure, its layout settled when it is drawn.

    Parameters
    ----------
    height, width : float
        Inches.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.04, h_pad=0.05, wspace=0.03, hspace=0.04)  # type: ignore[call-arg, union-attr]
    return figure


def svg(figure: Figure, *, name: str, title: str, description: str = "") -> str:
    """Return a figure as SVG text: the same bytes for the same drawing, fit to stand inside a page.

    Parameters
    ----------
    figure : Figure
        What to draw.
    name : str
        Keeps the inner references of several figures on one page apart.
    title, description : str
        For those who do not see it; any text.
    """
    with themed():
        mpl.rcParams["svg.hashsalt"] = f"nestwise.{name}"
        buffer = io.BytesIO()
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        FigureCanvasSVG(figure).print_svg(buffer, metadata=nothing)  # type: ignore[no-untyped-call]
    return _stand_alone(buffer.getvalue().decode("utf-8"), title, description)


def png(figure: Figure, dpi: float = 150) -> bytes:
    """Return a figure as PNG on white paper."""
    with themed():
        buffer = io.BytesIO()
        figure.set_canvas(FigureCanvasAgg(figure))
        figure.savefig(buffer, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def _stand_alone(text: str, title: str, description: str) -> str:
    """Drop what a page cannot hold twice (prolog, ids of groups) and say in words what is drawn."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = text.replace("font-family: 'DejaVu Sans'; ", "")
    text = _MARKS.sub(_one_clip, re.sub(r' transform="rotate\(-0 [^"]*"', "", text))
    text = _COORDINATES.sub(lambda match: match[1] + _DECIMALS.sub(r"\1", match[2]), text)
    start = text.index(">")
    words = f"<title>{escape(title)}</title>"
    if description:
        words += f"<desc>{escape(description)}</desc>"
    head = f'{text[:start]} role="img" aria-label={quoteattr(title)}>'
    inner, end = text[start + 1 :].rsplit("</svg>", 1)
    inner = re.sub(r"\n\s+", "\n", inner).replace(" \nL", "L").replace(' \n"', '"')
    return f'{head}{words}<g style="font-family: {_FONTS}">{inner}</g></svg>{end}'


def _one_clip(match: re.Match[str]) -> str:
    marks = "".join(re.findall(r"<use [^>]*/>", match[0]))
    styles = set(re.findall(r' style="[^"]*"', marks))
    if len(styles) == 1 and marks.count(" style=") == marks.count("<use "):
        style = styles.pop()  # what all marks share is said once
        return f"{match[1][:-1]}{style}>{marks.replace(style, '')}</g>\n"
    return f"{match[1]}{marks}</g>\n"


def themable(text: str) -> str:
    """Put CSS variables where the sentinel colours stand, the colours themselves as fallback.

    Parameters
    ----------
    text : str
        SVG made by `svg`.

    Returns
    -------
    str
        SVG for a page that sets the variables of `VARIABLES`, for instance to `DARK`.
    """

    def replaced(match: re.Match[str]) -> str:
        color = match.group(2).lower()
        variable = VARIABLES.get(color)
        return f"{match.group(1)}var({variable}, {color})" if variable else match.group(0)

    return re.sub(r"((?:fill|stroke|stop-color): ?)(#[0-9a-fA-F]{6})", replaced, text)


def css(dark_selector: str = ":root") -> str:
    """Return the declarations that set every variable for dark paper, to go in a media query."""
    declarations = "".join(f"{name}:{value};" for name, value in DARK.items())
    return f"{dark_selector}{{{declarations}}}"


def quiet(axes: Axes, grid: str = "y") -> None:
    """Keep the grid of one axis only ("x", "y", "both" or "none")."""
    axes.grid(visible=False)
    if grid != "none":
        axes.grid(visible=True, axis=grid)  # type: ignore[arg-type]
