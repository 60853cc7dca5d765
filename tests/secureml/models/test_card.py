from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.card import LIBRARIES, Card, Feature, Golden

CARD = Card(
    name="iris",
    version="3",
    created="2026-01-01T00:00:00Z",
    kind="classifier",
    features=(
        Feature("petal", "float", 0.5, 2.0),
        Feature("colour", "category", categories=("blue", "red"), missing="allow"),
    ),
    classes=("a", "b"),
    has_probabilities=True,
    container="array",
    source="table",
    versions=dict.fromkeys(sorted(LIBRARIES), "1.0"),
    globals=("numpy.dtype",),
    digest="0" * 64,
    source_digest="1" * 64,
    golden=Golden(((1.0, "red"), (0.5, None)), ("a", "b"), ((0.75, 0.25), (0.1, 0.9))),
)


def changed(**values):
    return json.dumps(
        {**json.loads(CARD.to_json()), **values}, sort_keys=True, separators=(",", ":")
    ).encode()


def refuse(data):
    with pytest.raises(ModelRefused) as refused:
        Card.from_json(data)
    assert refused.value.check == "card"
    return refused.value


def test_a_card_comes_back_as_it_was():
    assert Card.from_json(CARD.to_json()) == CARD


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2),
    st.text(min_size=1),
)
def test_any_number_and_any_name_survive_the_spelling(numbers, name):
    low, high = sorted(numbers)
    card = replace(
        CARD, features=(Feature(name, "float", low, high),), golden=Golden(((low,),), (high,), None)
    )

    assert Card.from_json(card.to_json()) == card


def test_what_a_model_gives_away_is_on_the_card_and_is_not_public():
    card = replace(CARD, assessment={"questions": 7})
    assert Card.from_json(card.to_json()) == card
    assert "assessment" not in card.public()
    assert b"assessment" not in CARD.to_json()


@pytest.mark.parametrize("key", sorted(json.loads(CARD.to_json())))
def test_a_missing_key_is_refused(key):
    raw = json.loads(CARD.to_json())
    del raw[key]
    refuse(json.dumps(raw, sort_keys=True, separators=(",", ":")).encode())


@pytest.mark.parametrize(
    "values",
    [
        {"surplus": 1},
        {"assessment": [1]},
        {"assessment": {}},
        {"name": 1},
        {"name": ""},
        {"created": "yesterday"},
        {"kind": "oracle"},
        {"digest": "abc"},
        {"container": "list"},
        {"source": "guess"},
        {"has_probabilities": 1},
        {"features": []},
        {"features": None},
        {"features": [1]},
        {"versions": {"numpy": "2"}},
        {"versions": []},
        {"classes": [["a"]]},
        {"classes": [None]},
        {"globals": [1]},
        {"golden": None},
        {"golden": {"rows": [], "predictions": [], "probabilities": None}},
        {"golden": {"rows": [[1.0, None]], "predictions": ["a", "b"], "probabilities": None}},
        {"golden": {"rows": [[1.0, None]], "predictions": ["a"], "probabilities": []}},
    ],
)
def test_a_wrong_value_is_refused(values):
    refuse(changed(**values))


@pytest.mark.parametrize(
    "wrong",
    [
        {"dtype": "complex"},
        {"missing": "maybe"},
        {"minimum": "0"},
        {"minimum": True},
        {"categories": ["a"]},
        {"dtype": "category"},
        {"dtype": "category", "categories": [1]},
        {"name": ""},
        {"surplus": 1},
        {"assessment": [1]},
        {"assessment": {}},
    ],
)
def test_a_wrong_feature_is_refused(wrong):
    refuse(changed(features=[{**json.loads(CARD.to_json())["features"][0], **wrong}]))


def test_two_features_of_one_name_are_refused():
    assert (
        "unique" in refuse(changed(features=json.loads(CARD.to_json())["features"][:1] * 2)).message
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"1",
        b"\xff",
        b"[" * 100_000,
        CARD.to_json() + b" ",
        CARD.to_json().replace(b":", b": ", 1),
        CARD.to_json().replace(b'"kind"', b'"kind":"classifier","kind"', 1),
        CARD.to_json().replace(b"0.75", b"NaN"),
        CARD.to_json().replace(b"0.75", b"1e999"),
    ],
)
def test_other_spellings_of_a_card_are_refused(data):
    refuse(data)


def test_a_client_sees_how_to_ask_and_nothing_of_the_inside():
    assert CARD.public() == {
        "name": "iris",
        "version": "3",
        "kind": "classifier",
        "classes": ["a", "b"],
        "has_probabilities": True,
        "features": [
            {
                "name": "petal",
                "dtype": "float",
                "minimum": 0.5,
                "maximum": 2.0,
                "missing": "refuse",
            },
            {
                "name": "colour",
                "dtype": "category",
                "categories": ["blue", "red"],
                "missing": "allow",
            },
        ],
    }


def test_what_a_client_sees_is_json():
    assert json.loads(json.dumps(CARD.public())) == CARD.public()
