"""SVG made safe for a page: parsed as XML, only what draws is kept, ids unique to the figure."""

from __future__ import annotations

import re
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


def _own(value: str, prefix: str) -> str:
    return _REFERENCE.sub(lambda match: f"url(#{prefix}{match.group(1)})", value)


def _attributes(element: ElementTree.Element, prefix: str) -> None:
    for name, value in list(element.attrib.items()):
        if not _allowed(element, name, value):
            del element.attrib[name]
        elif name == "id":
            element.attrib[name] = f"{prefix}{value}"
        elif _local(name) == "href" and value.startswith("#"):
            del element.attrib[name]
            element.attrib["href"] = f"#{prefix}{value[1:]}"
        elif _local(name) == "href":
            del element.attrib[name]
            element.attrib["href"] = value
        else:
            element.attrib[name] = _own(value, prefix)


def safe_svg(text: str, key: str, alt: str) -> str:
    """Make a figure fit to stand inside a page.

    Parameters
    ----------
    text : str
        A whole SVG document; labels in it may be anything a person typed.
    key : str
        Unique to the figure on its page; inner references are renamed with it.
    alt : str
        What the figure shows, for those who do not see it.

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
    prefix = re.sub(r"[^A-Za-z0-9_-]", "_", key) + "-"
    for element in root.iter():
        _attributes(element, prefix)
    _size(root)
    for child in [child for child in root if _local(child.tag) in ("title", "desc")]:
        root.remove(child)  # a browser shows a title as a tooltip; the label below says it to a reader
    # A style sheet inside a figure would style the page; what matplotlib's says goes onto the figure.
    style = "stroke-linejoin: round; stroke-linecap: butt"
    root.attrib.update({"role": "img", "aria-label": alt, "style": style})
    ElementTree.register_namespace("", SVG)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _size(root: ElementTree.Element) -> None:
    """Let the page decide the width; keep the natural one as the largest."""
    width, height = root.attrib.pop("width", ""), root.attrib.pop("height", "")
    if "viewBox" not in root.attrib and width and height:
        sizes = [re.sub(r"[^0-9.]", "", size) for size in (width, height)]
        root.attrib["viewBox"] = f"0 0 {sizes[0]} {sizes[1]}"
    root.attrib["preserveAspectRatio"] = "xMidYMid meet"
