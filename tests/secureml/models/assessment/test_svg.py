"""The parts of a figure."""

from __future__ import annotations

from xml.etree import ElementTree

from secureml.models.assessment.svg import Panel, figure, text


def test_places_on_the_axes_are_pixels_inside_the_panel():
    panel = Panel(100, 50, 300, 200, "title")
    assert panel.at(0, 0) == (152, 208)
    assert panel.at(1, 1) == (386, 84)


def test_what_a_text_says_is_escaped():
    assert "&lt;script&gt;" in text(0, 0, "<script>")


def test_a_figure_is_well_formed_whatever_its_title():
    panel = Panel(0, 0, 100, 100, '"><b>')
    root = ElementTree.fromstring(figure(200, 100, '"><script>', [panel]))
    assert root.get("aria-label") == '"><script>'


def test_a_bar_is_at_least_one_pixel_high():
    panel = Panel(0, 0, 200, 200, "")
    panel.bar(0.5, 0.2, 0.0, "#000")
    assert 'height="1.0"' in panel.parts[-1]


def test_a_long_sentence_is_in_several_lines():
    panel = Panel(0, 0, 400, 200, "")
    panel.words("word " * 30)
    assert len(panel.parts) > 2
