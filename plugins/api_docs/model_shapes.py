"""From a model's card to the shapes of its questions and answers.

A row is a list in the card's order or an object by name, and both say what each column may
hold. Whatever fits these shapes is read by the server; how far beyond the range of training
it still reads is the operator's to say, and is not promised.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Shape = dict[str, Any]
_TYPES = {
    "float": "number",
    "integer": "integer",
    "boolean": "boolean",
    "text": "string",
    "category": "string",
    "date": "string",
}
_SCALARS = {bool: "boolean", int: "integer", float: "number", str: "string"}


def question(card: Mapping[str, Any]) -> Shape:
    """Return the body that asks this model."""
    features = card["features"]
    rows = {"anyOf": [_listed(features), _named(features)]}
    return {
        "type": "object",
        "required": ["instances"],
        "additionalProperties": False,
        "properties": {"instances": {"type": "array", "minItems": 1, "items": rows}},
        "examples": [{"instances": [[_example(feature) for feature in features]]}],
    }


def answer(card: Mapping[str, Any], plain: Shape) -> Shape:
    """Return the plain answer of predictions, narrowed to what this model can say."""
    predictions: Shape = {"type": "array", "items": _prediction(card)}
    return {**plain, "properties": {**plain["properties"], "predictions": predictions}}


def _listed(features: list[Mapping[str, Any]]) -> Shape:
    count = len(features)
    cells = [_cell(feature) for feature in features]
    return {
        "type": "array",
        "title": "A row in the card's order",
        "minItems": count,
        "maxItems": count,
        "prefixItems": cells,
        # There is no value behind these: `maxItems` says so. The draft's `"items": false` says it
        # too, and generators of clients end at it; those that know no `prefixItems` read this.
        "items": {"type": _union(cell["type"] for cell in cells)},
    }


def _union(types: Iterable[str | list[str]]) -> str | list[str]:
    """Return every type once, in order; one alone is no list."""
    each = (one for kind in types for one in ([kind] if isinstance(kind, str) else kind))
    found = list(dict.fromkeys(each))
    return found[0] if len(found) == 1 else found


def _named(features: list[Mapping[str, Any]]) -> Shape:
    return {
        "type": "object",
        "title": "A row by name",
        "required": [f["name"] for f in features if f["missing"] != "allow"],
        "additionalProperties": False,
        "properties": {feature["name"]: _cell(feature) for feature in features},
    }


def _cell(feature: Mapping[str, Any]) -> Shape:
    may_be_missing = feature["missing"] == "allow"
    kind = _TYPES[feature["dtype"]]
    cell: Shape = {"type": [kind, "null"] if may_be_missing else kind}
    cell |= {key: feature[key] for key in ("minimum", "maximum") if key in feature}
    if feature["dtype"] == "date":
        cell["description"] = "ISO 8601 without a zone: 2026-01-31 or 2026-01-31T12:00:00"
    if "categories" in feature and feature.get("unknown") != "allow":
        cell["enum"] = [*feature["categories"], *([None] if may_be_missing else [])]
    return cell


def _example(feature: Mapping[str, Any]) -> Any:
    if feature["dtype"] == "boolean":
        return False
    if "categories" in feature:
        return feature["categories"][0]
    if feature["dtype"] == "date":
        return "2026-01-31"
    if feature["dtype"] == "text":
        return "text"
    middle = (feature.get("minimum", 0) + feature.get("maximum", 0)) / 2
    if feature["dtype"] == "float":
        return middle
    return round(max(feature.get("minimum", middle), min(middle, feature.get("maximum", middle))))


def _prediction(card: Mapping[str, Any]) -> Shape:
    if card["classes"]:
        return _one_of(card["classes"])
    value: Shape = {} if card["kind"] in ("classifier", "other") else {"type": "number"}
    if not card.get("outputs"):
        return value
    count = card["outputs"]
    return {"type": "array", "items": value, "minItems": count, "maxItems": count}


def _one_of(classes: Sequence[Any]) -> Shape:
    """Return a shape for each type of the classes: generators have no list of several types.

    Nor one of fractions, so each of those stands alone.
    """
    by_type: dict[str, list[Any]] = {}
    for one in classes:
        by_type.setdefault(_SCALARS[type(one)], []).append(one)
    shapes: list[Shape] = []
    for name in sorted(by_type):
        if name == "number":
            shapes += [{"type": name, "const": one} for one in by_type[name]]
        else:
            shapes.append({"type": name, "enum": by_type[name]})
    return shapes[0] if len(shapes) == 1 else {"anyOf": shapes}
