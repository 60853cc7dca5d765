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
    assert (listed["minItems"], listed["maxItems"]) == (5, 5)
    assert [cell["type"] for cell in listed["prefixItems"]] == [
        "number", ["integer", "null"], ["string", "null"], "string", "boolean",
    ]  # fmt: skip


def test_what_is_in_a_listed_row_is_said_to_generators_that_know_no_places():
    """`"items": false` is valid, and openapi-python-client ends at it."""
    assert rows()[0]["items"] == {"type": ["number", "integer", "null", "string", "boolean"]}
    one = question({**CARD, "features": FEATURES[:1] * 2})
    assert one["properties"]["instances"]["items"]["anyOf"][0]["items"] == {"type": "number"}


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
    assert items(classes=[0, "a", 1])["anyOf"] == [
        {"type": "integer", "enum": [0, 1]},
        {"type": "string", "enum": ["a"]},
    ]
    assert items(classes=[False, True]) == {"type": "boolean", "enum": [False, True]}
    assert items(classes=[0.0, 1.5])["anyOf"] == [
        {"type": "number", "const": 0.0},
        {"type": "number", "const": 1.5},
    ]
    assert items(classes=[0.5]) == {"type": "number", "const": 0.5}
    assert items(kind="regressor", classes=None) == {"type": "number"}
    assert items(classes=None) == {}
