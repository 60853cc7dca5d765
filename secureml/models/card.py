"""A model's card: what it expects, what it promises, and how to prove it is the same model.

The card is signed with the model, so it has exactly one spelling: reading refuses bytes
that this module would not have written, which also refuses every unknown or missing key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal

from secureml.models.artifact.version_files import ModelRefused

Dtype = Literal["float", "integer", "category", "text", "boolean", "date"]
Scalar = str | int | float | bool
# Keys that a card leaves out where there is nothing to say, and what that means.
_OPTIONAL: dict[str, Any] = {
    "sections": {},
    "array_dtype": "",
    "method": "",
    "outputs": 0,
    "assessment": {},
}
_OPTIONAL_OF_FEATURE: dict[str, Any] = {"unknown": "refuse", "frame_dtype": ""}
# What an array of numbers may be other than float64: as pandas would make one of the table.
ARRAY_DTYPES = frozenset({"", "int64", "bool", "object", "float32"})
# What a column of a frame may be other than what pandas makes of a CSV file.
_WHOLE = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64")
FRAME_DTYPES: dict[str, frozenset[str]] = {
    "float": frozenset({"", "float32"}),
    "integer": frozenset({"", "category", *_WHOLE}),
    "category": frozenset({"", "category"}),
    "text": frozenset({""}),
    "boolean": frozenset({""}),
    "date": frozenset({"", *(f"datetime64[{unit}]" for unit in ("s", "ms", "us", "ns"))}),
}
NUMBERS = frozenset({"float", "integer", "boolean"})
_KINDS = frozenset(
    ("classifier", "regressor", "outlier", "cluster", "density", "transformer", "other")
)
# What a model may be asked by instead of `predict`, where it has no such method.
METHODS = frozenset({"", "transform", "score_samples"})
OUTPUT_LIMIT = 10_000  # numbers that one row is answered with, at most
_CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}")
LIBRARIES = frozenset({"python", "numpy", "scipy", "scikit-learn"})
# Whose version a card has only where the model needs them, by the module that is imported.
OPTIONAL_LIBRARIES = MappingProxyType(
    {
        "catboost": "catboost",
        "imblearn": "imbalanced-learn",
        "lightgbm": "lightgbm",
        "onnxruntime": "onnxruntime",
        "pandas": "pandas",
        "xgboost": "xgboost",
    }
)
_PLUGIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
_PUBLIC = ("name", "version", "kind", "classes", "has_probabilities")


@dataclass(frozen=True, slots=True)
class Feature:
    """One column: its name, what it holds, and how far training went."""

    name: str
    dtype: Dtype = "float"
    minimum: float | None = None
    maximum: float | None = None
    # Of a category, and of whole numbers that are one to pandas; in pandas' order there.
    categories: tuple[str, ...] | tuple[int, ...] | None = None
    missing: Literal["refuse", "allow"] = "refuse"
    unknown: Literal["refuse", "allow"] = "refuse"  # words of a category that are none of it
    frame_dtype: str = ""  # the pandas dtype, where it is not the one that a CSV file gives

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers to the model; booleans are."""
        return self.dtype in NUMBERS


@dataclass(frozen=True, slots=True)
class Section:
    """What one plugin keeps on the card, as JSON; ``public`` is shown to clients, too."""

    public: Mapping[str, Any] = field(default_factory=dict)
    private: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Golden:
    """Rows with the answers the model gave when it was sealed."""

    rows: tuple[tuple[Scalar | None, ...], ...]
    predictions: tuple[Scalar | tuple[Scalar, ...], ...]
    probabilities: tuple[tuple[float, ...], ...] | None


@dataclass(frozen=True)
class Card:
    """Everything known about one version of one model.

    ``digest`` is the SHA-256 of its data form, ``source_digest`` that of the file it was made of.
    """

    name: str
    version: str
    created: str
    kind: str
    features: tuple[Feature, ...]
    classes: tuple[Scalar, ...] | None
    has_probabilities: bool
    # What the model takes: an array (rows, columns), a frame, its one column as (rows,), or
    # `mapping`: a list of objects, each with its names and values, without those that are missing.
    container: Literal["array", "frame", "column", "mapping"]
    source: Literal["table", "none"]
    versions: Mapping[str, str]
    globals: tuple[str, ...]
    digest: str
    source_digest: str
    golden: Golden
    # By the name of the plugin that has learned it.
    sections: Mapping[str, Section] = field(default_factory=dict)
    # NumPy's name for what an array of numbers is made of; empty is float64, which is all the same
    # to scikit-learn's own code and not to functions of one's own: "3" is not "3.0".
    array_dtype: str = ""
    method: str = ""  # the method that is asked, `predict` where it is empty
    outputs: int = 0  # how many values a row is answered with as a list; 0 is one, and no list
    # What the model gives away, as JSON; for operators, never shown to clients.
    assessment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def answers_amounts(self) -> bool:
        """Whether predictions are numbers that may be rounded, and no names of classes."""
        return self.kind in ("regressor", "transformer", "density")

    @property
    def keeps_integers(self) -> bool:
        """Whether whole numbers reach the model as such, and not as float64."""
        words = any(feature.dtype not in NUMBERS for feature in self.features)
        return words or self.container == "frame" or self.array_dtype != ""

    def to_json(self) -> bytes:
        """Return the one spelling of this card; it does not speak of what it has not."""
        raw = asdict(self)
        for name in _OPTIONAL:
            if not raw[name]:
                del raw[name]
        for feature in raw["features"]:
            for name, usual in _OPTIONAL_OF_FEATURE.items():
                if feature[name] == usual:
                    del feature[name]
        return json.dumps(raw, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Card:
        """Read a card strictly; raises ModelRefused("card")."""
        try:
            raw = json.loads(data)
            card = _card(raw)
            if card.to_json() != data:
                raise ValueError("it is not spelled as sealing spells it")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ModelRefused(
                "card",
                f"the card cannot be read ({error})",
                "seal the model again; a card is never edited",
            ) from None
        return card

    def public(self) -> dict[str, Any]:
        """Return what a client may see: enough to ask well, nothing about the inside."""
        public = {key: getattr(self, key) for key in _PUBLIC}
        public["classes"] = None if self.classes is None else list(self.classes)
        if self.outputs:
            public["outputs"] = self.outputs
        public["features"] = [_public_feature(feature) for feature in self.features]
        sections = {name: found.public for name, found in self.sections.items() if found.public}
        return {**public, "sections": sections} if sections else public


def _public_feature(feature: Feature) -> dict[str, Any]:
    public = {key: value for key, value in asdict(feature).items() if value is not None}
    del public["frame_dtype"]  # how it reaches the model is no business of a client's
    if feature.unknown == "refuse":
        del public["unknown"]
    if feature.categories is not None:
        public["categories"] = list(feature.categories)
    return public


def _card(raw: Any) -> Card:
    raw = {**_OPTIONAL, **raw}
    _exact_keys(raw, {field.name for field in fields(Card)}, "the card")
    card = Card(
        **{
            **raw,
            "features": tuple(_feature(item) for item in raw["features"]),
            "classes": None if raw["classes"] is None else tuple(raw["classes"]),
            "globals": tuple(raw["globals"]),
            "golden": _golden(raw["golden"]),
            "sections": {name: _section(item) for name, item in raw["sections"].items()},
        }
    )
    _check(card)
    return card


def _check(card: Card) -> None:
    names = [feature.name for feature in card.features]
    texts = (*names, card.name, card.version, *card.globals, *card.versions.values())
    rules: tuple[tuple[bool, str], ...] = (
        (all(type(text) is str and text for text in texts), "a name is not text"),
        (bool(names) and len(set(names)) == len(names), "feature names are not unique"),
        (_CREATED.fullmatch(card.created) is not None, "created"),
        (_DIGEST.fullmatch(card.digest) is not None, "digest"),
        (_DIGEST.fullmatch(card.source_digest) is not None, "source_digest"),
        (all(map(_PLUGIN_NAME.fullmatch, card.sections)), "sections"),
        (card.kind in _KINDS, "kind"),
        (card.container in ("array", "frame", "column", "mapping"), "container"),
        (card.container != "column" or len(names) == 1, "container"),
        (card.source in ("table", "none"), "source"),
        (card.array_dtype in ARRAY_DTYPES, "array_dtype"),
        (card.method in METHODS, "method"),
        (type(card.assessment) is dict, "assessment"),
        (type(card.outputs) is int and 0 <= card.outputs <= OUTPUT_LIMIT, "outputs"),
        (not (card.outputs and (card.classes or card.has_probabilities)), "outputs"),
        (all(_is_answer(one, card.outputs) for one in card.golden.predictions), "golden"),
        (type(card.has_probabilities) is bool, "has_probabilities"),
        (card.versions.keys() - {*OPTIONAL_LIBRARIES.values()} == LIBRARIES, "versions"),
        (card.classes is None or all(isinstance(one, Scalar) for one in card.classes), "classes"),
        (len(card.golden.rows) == len(card.golden.predictions) > 0, "golden"),
        (
            card.golden.probabilities is None
            or len(card.golden.probabilities) == len(card.golden.rows),
            "golden",
        ),
    )
    for kept, what in rules:
        if not kept:
            raise ValueError(what)


def _feature(raw: Any) -> Feature:
    raw = {**_OPTIONAL_OF_FEATURE, **raw}
    _exact_keys(raw, {field.name for field in fields(Feature)}, "a feature")
    categories = raw["categories"]
    feature = Feature(**{**raw, "categories": None if categories is None else tuple(categories)})
    bounds = (feature.minimum, feature.maximum)
    if feature.frame_dtype not in FRAME_DTYPES.get(feature.dtype, ()):
        raise ValueError("a feature's dtype")
    if {feature.missing, feature.unknown} - {"refuse", "allow"}:
        raise ValueError("a feature's missing or unknown")
    if any(type(bound) not in (float, int, type(None)) for bound in bounds):
        raise ValueError("a feature's range")
    _check_categories(feature)
    return feature


def _check_categories(feature: Feature) -> None:
    kind = int if feature.dtype == "integer" else str
    known = feature.dtype == "category" or (kind is int and feature.frame_dtype == "category")
    if (feature.categories is not None) != known or any(
        type(category) is not kind for category in feature.categories or ()
    ):
        raise ValueError("a feature's categories")


def _golden(raw: Any) -> Golden:
    _exact_keys(raw, {"rows", "predictions", "probabilities"}, "golden")
    probabilities = raw["probabilities"]
    return Golden(
        tuple(tuple(row) for row in raw["rows"]),
        tuple(tuple(one) if type(one) is list else one for one in raw["predictions"]),
        None if probabilities is None else tuple(tuple(row) for row in probabilities),
    )


def _is_answer(answer: Any, outputs: int) -> bool:
    if not outputs:
        return isinstance(answer, Scalar)
    alone = type(answer) is tuple and len(answer) == outputs
    return alone and all(isinstance(each, Scalar) for each in answer)


def _section(raw: Any) -> Section:
    _exact_keys(raw, {"public", "private"}, "a section")
    if type(raw["public"]) is not dict or type(raw["private"]) is not dict:
        raise ValueError("a section is not an object")
    return Section(**raw)


def _exact_keys(raw: Any, expected: set[str], what: str) -> None:
    if type(raw) is not dict or raw.keys() != expected:
        raise ValueError(f"{what} has unknown or missing keys")
