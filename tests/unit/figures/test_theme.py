import re
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from nestwise.figures import theme
from nestwise.figures.colours import DARK, INK, NOTIONS, VARIABLES
from nestwise.figures.drawing import plain
from nestwise.figures.theme import new_figure, svg, themable, themed


def drawing_with(text):
    with themed():
        figure = new_figure(2.0)
        axes = figure.subplots()
        axes.plot([1, 2], [1, 2], marker="D", color=NOTIONS["partial_pooling"].color, label=text)
        axes.set_title(text)
        axes.set_xlabel(text)
        if text:
            axes.legend()
    return figure


def test_the_same_drawing_has_the_same_bytes():
    first, second = (svg(drawing_with("speed"), name="a", title="t") for _ in range(2))
    assert first == second


def test_drawing_the_same_figure_twice_changes_nothing():
    figure = drawing_with("speed")
    assert svg(figure, name="a", title="t") == svg(figure, name="a", title="t")


def test_inner_references_of_two_figures_on_a_page_do_not_meet():
    first, second = (svg(drawing_with("speed"), name=name, title="t") for name in ("a", "b"))
    ids = [set(re.findall(r'id="([^"]+)"', text)) for text in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_hostile_labels_are_text(hostile):
    text = svg(
        drawing_with(plain(hostile, 80)), name="a", title=hostile.replace("\x1b", ""), description="<b>&"
    )
    root = ElementTree.fromstring(text)
    assert not [element for element in root.iter() if element.tag.endswith("script")]
    words = ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")]
    assert any("<script>alert('$x_1$')</script> &" in word for word in words)
    assert any("Łódź" in word for word in words)


@pytest.mark.parametrize("text", ["$x", "$\\frac{", "a_b^c", "50% & $5$", "日本語", "🙂", ""])
def test_no_label_is_read_as_mathematics(text):
    assert "<svg" in svg(drawing_with(text), name="a", title="t")


def test_svg_stands_in_a_page_without_date_or_prolog():
    text = svg(drawing_with("a"), name="a", title="A & B")
    assert text.startswith("<svg")
    assert 'aria-label="A &amp; B"' in text
    assert "<title>A &amp; B</title>" in text
    assert not re.search(r"<\?xml|<!DOCTYPE|<metadata|dc:date|matplotlib v", text, re.IGNORECASE)


def test_every_color_drawn_can_be_replaced():
    text = themable(svg(drawing_with("a"), name="a", title="t"))
    assert f"var(--figure-ink, {INK})" in text
    assert "var(--figure-partial-pooling, #0072b2)" in text
    left = set(re.findall(r"(?:fill|stroke): ?(#[0-9a-f]{6})", text))
    assert not left & set(VARIABLES)
    assert set(VARIABLES.values()) == set(DARK)


def test_notions_differ_in_more_than_color():
    assert len({notion.marker for notion in NOTIONS.values()}) == len(NOTIONS)
    assert len({notion.color for notion in NOTIONS.values()}) == len(NOTIONS)
    pooling = [NOTIONS[name].line for name in ("no_pooling", "complete_pooling", "partial_pooling")]
    assert len(set(pooling)) == 3


def luminance(color):
    values = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", list(NOTIONS))
def test_colors_stand_out_on_light_and_dark_paper(name):
    notion = NOTIONS[name]
    assert contrast(notion.color, "#ffffff") >= 3
    assert contrast(notion.dark, DARK["--figure-paper"]) >= 3


def test_text_is_legible_on_light_and_dark_paper():
    assert contrast(INK, "#ffffff") >= 7
    assert contrast(theme.MUTED, "#ffffff") >= 4.5
    for name in ("--figure-ink", "--figure-muted"):
        assert contrast(DARK[name], DARK["--figure-paper"]) >= 4.5


def test_the_theme_leaves_matplotlib_as_it_was():
    before = mpl.rcParams["axes.grid"], mpl.rcParams["font.size"]
    with themed():
        assert mpl.rcParams["axes.grid"]
    assert (mpl.rcParams["axes.grid"], mpl.rcParams["font.size"]) == before


def test_png_is_a_png():
    assert theme.png(drawing_with("a"), dpi=40).startswith(b"\x89PNG")


def test_marks_share_one_clip_and_short_numbers():
    with themed():
        figure = new_figure(2.0)
        axes = figure.subplots()
        axes.scatter(range(50), [k / 7 for k in range(50)])
    text = svg(figure, name="a", title="t")
    assert text.count("<use") >= 50
    assert text.count("<g clip-path") == 1
    assert not re.search(r' [xy]="[0-9]+\.[0-9]{3,}', text)
