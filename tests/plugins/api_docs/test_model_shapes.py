"""A row's shape says what the reader of rows accepts, and no more."""

from __future__ import annotations

from plugins.api_docs.model_shapes import answer, question

FEATURES = [
    {"name": "income", "dtype": "float", "minimum": 0.0, "maximum": 10.0, "missing": "refuse"},
    {"name": "age", "dtype": "integer", "minimum": 18, "maximum": 19, "missing": "allow"},
    {"name": "home", "dtype": "category", "categories": ["rent"], "missing": "allow"},
    {"name": "note", "dtype": "text", "missing": "refuse"},
    {"name": "married", "dtype": "boolean", "missing": "refuse"},
]
CARD = {"name": "loan", "kind": "classifier", "classes": ["yes"], "features": FEATURES}


def rows():
    """Return the two shapes of a row."""
    return question(CARD)["properties"]["instances"]["items"]["anyOf"]


def test_a_listed_row_has_each_column_in_its_place_and_no_more():
    """One too many or too few is refused."""
    listed = rows()[0]
    assert (listed["minItems"], listed["maxItems"], listed["items"]) == (5, 5, False)
    assert [cell["type"] for cell in listed["prefixItems"]] == [
        "number", ["integer", "null"], ["string", "null"], "string", "boolean",
    ]  # fmt: skip


def test_a_missing_value_is_null_only_where_the_card_allows_it():
    """A category's list of values has it too."""
    named = rows()[1]["properties"]
    assert named["home"]["enum"] == ["rent", None]
    assert named["income"] == {"type": "number", "minimum": 0.0, "maximum": 10.0}


def test_the_example_is_a_row_within_the_ranges():
    """A whole number stays one."""
    (row,) = question(CARD)["examples"][0]["instances"]
    assert row == [5.0, 18, "rent", "text", False]
    assert type(row[1]) is int


def test_predictions_are_the_classes_or_a_number():
    """Classes of several kinds are said to be so."""
    plain = {"type": "object", "properties": {"predictions": {"type": "array"}, "id": {}}}

    def items(**card):
        return answer({**CARD, **card}, plain)["properties"]["predictions"]["items"]

    assert items() == {"type": "string", "enum": ["yes"]}
    assert items(classes=[0, "a"])["type"] == ["integer", "string"]
    assert items(kind="regressor", classes=None) == {"type": "number"}
    assert items(classes=None) == {}
