"""Figures from strangers' labels stand in a page without harm."""

from xml.etree import ElementTree

import pytest

from nestwise.report.svg import UnsafeSvgError, safe_svg

HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 400 200"'
)


def safe(inside, attributes="", **given):
    return safe_svg(f"{HEAD} {attributes}>{inside}</svg>", "f1", "What is seen", **given)


@pytest.mark.parametrize(
    ("inside", "gone"),
    [
        ("<script>alert(1)</script>", "alert"),
        ('<g onload="alert(1)"/>', "alert"),
        ("<foreignObject><p>text</p></foreignObject>", "text"),
        ('<image xlink:href="http://example.org/x.png"/>', "example"),
        ('<image href="data:image/svg+xml;base64,AAAA"/>', "svg+xml"),
        ('<use href="other.svg#a"/>', "other"),
        ('<a href="javascript:alert(1)"><text>t</text></a>', "javascript"),
        ('<rect style="fill: url(http://example.org)"/>', "example"),
        ('<rect style="fill: u\\72l(http://example.org)"/>', "example"),
        ("<style>@import 'http://example.org'</style>", "example"),
        ("<animate attributeName='href' to='x'/>", "animate"),
        ('<set attributeName="onclick" to="alert(1)"/>', "alert"),
        ("<!-- remark --><text>t</text>", "remark"),
    ],
)
def test_what_could_act_or_load_is_dropped(inside, gone):
    assert gone not in safe(inside)


def test_what_draws_is_kept():
    drawn = safe('<text x="1">5 &lt; 6 &amp; 7</text><image href="data:image/png;base64,AAAA"/>')
    assert "5 &lt; 6 &amp; 7" in drawn
    assert "data:image/png;base64,AAAA" in drawn


def test_ids_are_unique_to_the_figure_and_references_follow():
    inside = '<clipPath id="c"/><path id="m"/><g clip-path="url(#c)"><use xlink:href="#m"/></g>'
    first, second = (safe_svg(f"{HEAD}>{inside}</svg>", key, "a") for key in ("f1", "f2"))
    ids = [
        {element.attrib["id"] for element in ElementTree.fromstring(text).iter() if "id" in element.attrib}
        for text in (first, second)
    ]
    assert len(ids[0]) == 2
    assert not ids[0] & ids[1]
    for text, own in zip((first, second), ids, strict=True):
        root = ElementTree.fromstring(text)
        uses = [element.attrib["href"] for element in root.iter() if element.tag.endswith("use")]
        clips = [element.attrib["clip-path"] for element in root.iter() if "clip-path" in element.attrib]
        assert {use[1:] for use in uses} | {clip[5:-1] for clip in clips} == own


def test_it_says_what_is_seen_and_fits_the_page():
    root = ElementTree.fromstring(safe("<title>tooltip</title>", 'width="400pt" height="200pt"'))
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == "What is seen"
    assert "width" not in root.attrib
    assert "max-width:33.33rem" in root.attrib["style"]
    assert not list(root)


def test_sentinel_colours_become_variables_of_the_page():
    text = safe(
        '<path style="stroke: #1F2328; fill: #abcdef" fill="#1f2328"/>', variables={"#1f2328": "--figure-ink"}
    )
    assert text.count("var(--figure-ink)") == 2
    assert "#abcdef" in text


def test_numbers_are_shortened_but_not_changed():
    assert 'd="M 1.12 2.5 L 3 -0.99"' in safe('<path d="M 1.123456 2.5&#10;L 3.0004 -0.987654"/>')


@pytest.mark.parametrize(
    "text",
    [
        "no xml",
        "<svg",
        "<html/>",
        '<!DOCTYPE svg [<!ENTITY a "b">]><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1">&a;</svg>',
        '<svg xmlns="http://www.w3.org/2000/svg"/>',
    ],
)
def test_what_is_no_figure_is_refused(text):
    with pytest.raises(UnsafeSvgError):
        safe_svg(text, "f1", "a")
