"""An assessment as a figure."""

from __future__ import annotations

from xml.etree import ElementTree

from secureml.models.assessment.plot import as_svg

from .made_report import FORMS, report

SVG = "{http://www.w3.org/2000/svg}"


def drawn(**changes):
    return ElementTree.fromstring(as_svg(report(**changes)))


def words(root):
    return [each.text for each in root.iter(f"{SVG}text")]


def test_the_figure_has_a_panel_for_each_part_and_names_the_model():
    found = words(drawn())
    assert "What churn version 3 gives away (short assessment)" in found
    assert (
        sum(each.startswith(("Extraction", "Evasion", "Membership", "Inversion")) for each in found)
        == 4
    )
    assert set(FORMS) <= set(found)


def test_a_name_of_a_column_cannot_add_to_the_figure():
    assert 'plan <&> "x"' in words(drawn())


def test_curves_end_where_their_last_point_is():
    root = drawn()
    lines = [line.get("points").split() for line in root.iter(f"{SVG}polyline")]
    curves = [points for points in lines if len(points) == 5]
    assert len(curves) == 6  # three forms, with and without real rows
    for points in curves:
        heights = [float(point.split(",")[1]) for point in points]
        assert heights[-1] < heights[0]  # up is less


def test_everything_is_inside_the_figure():
    root = drawn()
    for line in root.iter(f"{SVG}polyline"):
        for point in line.get("points").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 960
            assert 0 <= y <= 720


def test_a_part_that_was_not_measured_says_why():
    found = words(drawn(membership=None, missing={"membership": "it needs a holdout"}))
    assert "Not measured: it needs a holdout." in found
