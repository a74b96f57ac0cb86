"""SVG made safe for a page: parsed as XML, only what draws is kept, ids unique to the figure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
KEPT = frozenset(
    [
        "svg",
        "g",
        "path",
        "rect",
        "circle",
        "ellipse",
        "line",
        "polyline",
        "polygon",
        "text",
        "tspan",
        "defs",
        "clipPath",
        "use",
        "image",
        "title",
        "desc",
        "linearGradient",
        "radialGradient",
        "stop",
        "pattern",
        "mask",
        "symbol",
    ]
)
"""Elements that only draw; everything else (script, foreignObject, animate, a ...) is dropped."""
_REFERENCE = re.compile(r"url\(\s*['\"]?#([^)'\"]+)['\"]?\s*\)")
_OUTSIDE = re.compile(r"url\((?!\s*['\"]?\s*#)|@import|expression\(|javascript:|\\", re.IGNORECASE)
_LONG = re.compile(r"-?\d+\.\d{3,}(?![\d.]*e)")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")
_FONT = re.compile(r"font-family:[^;]*;?\s*")
FONT = "font-family:'DejaVu Sans','Bitstream Vera Sans',Verdana,Geneva,sans-serif"
NUMBERS = ("d", "points", "x", "y", "x1", "x2", "y1", "y2", "transform")
POINTS_A_REM = 12.0
"""CSS: 16 pixels of 3/4 point."""
SMALLEST = 0.72
"""Share of its natural width below which a figure's labels cannot be read."""
_IMAGE = re.compile(r"^data:image/(png|jpeg);base64,[A-Za-z0-9+/=\s]*$")


class UnsafeSvgError(ValueError):
    """The text is not SVG that can be made safe."""


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _namespace(name: str) -> str:
    return name[1:].partition("}")[0] if name.startswith("{") else ""


def _prune(element: ElementTree.Element) -> None:
    for child in list(element):
        kept = isinstance(child.tag, str) and _local(child.tag) in KEPT and _namespace(child.tag) in ("", SVG)
        if kept:
            _prune(child)
        else:
            _remove(element, child)


def _remove(parent: ElementTree.Element, child: ElementTree.Element) -> None:
    """Drop a child but not the text that follows it."""
    if child.tail and child.tail.strip():
        place = list(parent).index(child)
        if place == 0:
            parent.text = (parent.text or "") + child.tail
        else:
            before = parent[place - 1]
            before.tail = (before.tail or "") + child.tail
    parent.remove(child)


def _allowed(element: ElementTree.Element, name: str, value: str) -> bool:
    local = _local(name)
    if local.lower().startswith("on") or local == "base":
        return False
    if local == "href":
        inside = value.startswith("#")
        return inside or (_local(element.tag) == "image" and bool(_IMAGE.match(value)))
    return not _OUTSIDE.search(value)


def _attributes(element: ElementTree.Element, ids: Mapping[str, str]) -> None:
    """Keep what is allowed; a reference to what is not in the figure leads nowhere."""
    for name, value in list(element.attrib.items()):
        if not _allowed(element, name, value):
            del element.attrib[name]
        elif name == "id":
            element.attrib[name] = ids[value]
        elif _local(name) == "href":
            del element.attrib[name]
            inside = value.startswith("#")
            element.attrib["href"] = f"#{ids.get(value[1:], '')}" if inside else value
        else:
            element.attrib[name] = _REFERENCE.sub(lambda match: f"url(#{ids.get(match.group(1), '')})", value)


def _recolour(element: ElementTree.Element, variables: Mapping[str, str]) -> None:
    for name in ("style", "fill", "stroke"):
        if name in element.attrib:
            element.attrib[name] = _COLOUR.sub(
                lambda match: (
                    f"var({variables[match.group().lower()]})"
                    if match.group().lower() in variables
                    else match.group()
                ),
                element.attrib[name],
            )


def _shorter(element: ElementTree.Element) -> None:
    """Drop what the eye does not miss: hundredths of a point, indentation, a font named in every label."""
    for name in NUMBERS:
        if name in element.attrib:
            text = _LONG.sub(
                lambda match: f"{float(match.group()):.2f}".rstrip("0").rstrip("."), element.attrib[name]
            )
            element.attrib[name] = " ".join(text.split())
    if "style" in element.attrib:
        element.attrib["style"] = _FONT.sub("", element.attrib["style"]).replace("; ", ";").replace(": ", ":")
    if _local(element.tag) not in ("text", "tspan") and not (element.text or "").strip():
        element.text = None
    if not (element.tail or "").strip():
        element.tail = None


def safe_svg(text: str, key: str, alt: str, variables: Mapping[str, str] | None = None) -> str:
    """Make a figure fit to stand inside a page.

    Parameters
    ----------
    text : str
        A whole SVG document; labels in it may be anything a person typed.
    key : str
        Unique to the figure on its page, letters and digits; ids are renamed after it.
    alt : str
        What the figure shows, for those who do not see it.
    variables : mapping of str to str, optional
        Colour, as `#rrggbb` in lower case -> CSS variable to put in its place; the page sets it.

    Returns
    -------
    str
        An `<svg>` element with a `viewBox`, scalable, without scripts, event handlers, foreign
        content, style sheets or links out of the page.

    Raises
    ------
    UnsafeSvgError
        If the text is not well-formed SVG, or declares entities.
    """
    if "<!ENTITY" in text:
        raise UnsafeSvgError("the figure declares entities")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 (no entities: checked above)
    except ElementTree.ParseError as error:
        raise UnsafeSvgError(f"the figure is not well-formed ({error})") from None
    if _local(root.tag) != "svg":
        raise UnsafeSvgError("the figure is not SVG")
    _prune(root)
    names = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    ids = {name: f"{key}-{place}" for place, name in enumerate(dict.fromkeys(names))}
    for element in root.iter():
        _attributes(element, ids)
        _recolour(element, variables or {})
        _shorter(element)
    for child in [child for child in root if _local(child.tag) in ("title", "desc")]:
        root.remove(child)  # a browser shows a title as a tooltip; the label below says it to a reader
    # A style sheet inside a figure would style the page; what matplotlib's says goes onto the figure.
    style = f"stroke-linejoin:round;stroke-linecap:butt;{FONT};{_size(root)}"
    root.attrib.update({"role": "img", "aria-label": alt, "style": style})
    ElementTree.register_namespace("", SVG)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _size(root: ElementTree.Element) -> str:
    """Let the page decide the width between what is legible and the natural one, which becomes CSS."""
    sizes = [re.sub(r"[^0-9.]", "", root.attrib.pop(name, "")) for name in ("width", "height")]
    if "viewBox" not in root.attrib and all(sizes):
        root.attrib["viewBox"] = f"0 0 {sizes[0]} {sizes[1]}"
    box = root.attrib.get("viewBox", "").split()
    try:
        width = float(box[2]) / POINTS_A_REM
    except (IndexError, ValueError):
        raise UnsafeSvgError("the figure has no size") from None
    return f"max-width:{width:.2f}rem;min-width:{width * SMALLEST:.2f}rem"
