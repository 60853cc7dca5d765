"""What sealing writes on the card: learned from the estimator, its table and its answers."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.base import is_classifier, is_clusterer, is_outlier_detector, is_regressor
from sklearn.compose import ColumnTransformer

from .artifact import Artifact, ModelRefused
from .card import NUMBERS, Card, Feature, Golden, Scalar
from .graph import parts
from .proving import classes_of, versions_here
from .referencing import learn_reference
from .rows import RowReader
from .rule_file import check_rules, check_table
from .rules import Rule
from .table import choose_columns, learn, read_table

GOLDEN_ROWS = 20
_NO_GOLDEN = Golden((), (), None)


def learn_card(
    artifact: Artifact,
    estimator: Any,
    names: frozenset[str],
    *,
    data: Path | None,
    target: str | None,
    created: str,
    rules: tuple[Rule, ...] = (),
) -> Card:
    """Return the card of a loaded estimator; raises ModelRefused when it cannot be served."""
    width = _width(estimator)
    features, rows, columns = _features(estimator, width, data, target)
    check_rules(rules, features)
    check_table(rules, features, columns)
    container = _container(estimator, features)
    card = Card(
        name=artifact.name,
        version=artifact.version,
        created=created,
        kind=_kind(estimator),
        features=features,
        classes=_classes(estimator),
        has_probabilities=is_classifier(estimator) and hasattr(estimator, "predict_proba"),
        container=container,
        source="none" if data is None else "table",
        versions=versions_here(container),
        globals=tuple(sorted(names)),
        digest=artifact.digest,
        golden=_NO_GOLDEN,
        rules=rules,
    )
    card = replace(card, golden=_answers(card, estimator, rows))
    table = list(zip(*columns.values(), strict=True))
    return replace(card, reference=learn_reference(card, estimator, table))


def _width(estimator: Any) -> int:
    if not hasattr(estimator, "predict"):
        raise _refuse(
            f"the file holds a {type(estimator).__name__}, which does not predict",
            "seal the fitted estimator or pipeline itself",
        )
    width = getattr(estimator, "n_features_in_", None)
    if not isinstance(width, int) or width < 1:
        raise _refuse(
            "the model does not say how many columns it takes",
            "fit it first; put a text vectoriser into a ColumnTransformer",
        )
    return width


def _kind(estimator: Any) -> str:
    for kind, test in (
        ("classifier", is_classifier),
        ("regressor", is_regressor),
        ("outlier", is_outlier_detector),
        ("cluster", is_clusterer),
    ):
        if test(estimator):
            return kind
    raise _refuse(
        f"{type(estimator).__name__} is of no kind that can be served",
        "seal a classifier, regressor, outlier detector or clusterer",
    )


def _classes(estimator: Any) -> tuple[Scalar, ...] | None:
    if is_classifier(estimator) and isinstance(getattr(estimator, "classes_", None), list):
        raise _several_outputs()
    classes = classes_of(estimator)
    if any(not isinstance(label, Scalar) for label in classes or ()):
        raise _refuse(
            "a class is neither text, number nor truth value", "fit on labels that JSON can carry"
        )
    return classes


def _features(
    estimator: Any, width: int, data: Path | None, target: str | None
) -> tuple[tuple[Feature, ...], list[tuple[Any, ...]], dict[str, list[Any]]]:
    """Return the columns, the golden rows, and all values of the table if there is one."""
    fitted = getattr(estimator, "feature_names_in_", None)
    names = None if fitted is None else [str(name) for name in fitted]
    if data is None:
        plain = tuple(Feature(name) for name in names or [f"x{i}" for i in range(width)])
        return plain, _made_up(width), {}
    table = read_table(data)
    columns = choose_columns(table, target, names, width, classes_of(estimator))
    learned = [learn(name, cells) for name, cells in columns.items()]
    # Spread over the table, ends included: tables are often sorted by their answer.
    chosen = sorted({round(place) for place in np.linspace(0, table.length - 1, GOLDEN_ROWS)})
    rows = [tuple(values[row] for _, values in learned) for row in chosen]
    features = tuple(feature for feature, _ in learned)
    return features, rows, {feature.name: values for feature, values in learned}


def _made_up(width: int) -> list[tuple[Any, ...]]:
    # Not random: the same model sealed twice has the same golden rows.
    return [
        tuple(((row * 7 + column * 3) % 11 - 5) * 10.0 ** (row % 4 - 1) for column in range(width))
        for row in range(GOLDEN_ROWS)
    ]


def _container(estimator: Any, features: tuple[Feature, ...]) -> Literal["array", "frame"]:
    if getattr(estimator, "feature_names_in_", None) is None:
        return "array"
    by_name = any(isinstance(part, ColumnTransformer) for part in parts(estimator))
    words = any(feature.dtype not in NUMBERS for feature in features)
    return "frame" if by_name or words else "array"


def _answers(card: Card, estimator: Any, rows: list[tuple[Any, ...]]) -> Golden:
    asked = RowReader(card).read([list(row) for row in rows])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            predictions = np.asarray(estimator.predict(asked))
            likely = estimator.predict_proba(asked) if card.has_probabilities else None
    except Exception as error:
        hint = "" if card.source == "table" else " on made-up numbers"
        raise ModelRefused(
            "golden",
            f"the model raises {type(error).__name__}{hint}: {error}",
            "give the table it was fitted on with --data",
        ) from error
    if predictions.shape != (len(rows),):
        raise _several_outputs()
    answers = predictions.tolist()
    _check_scalars(answers)
    if likely is None:
        return Golden(tuple(rows), tuple(answers), None)
    shares = [tuple(row) for row in np.asarray(likely).tolist()]
    _check_scalars([share for row in shares for share in row])
    return Golden(tuple(rows), tuple(answers), tuple(shares))


def _check_scalars(answers: list[Any]) -> None:
    for answer in answers:
        if not isinstance(answer, Scalar) or (
            isinstance(answer, float) and not math.isfinite(answer)
        ):
            raise ModelRefused(
                "golden",
                "an answer is not something JSON can carry",
                "fit the model so that it answers finite numbers or labels",
            )


def _several_outputs() -> ModelRefused:
    return _refuse(
        "the model answers several outputs a row, and one is supported",
        "fit on a one-dimensional target (y.ravel()), or seal one model an output",
    )


def _refuse(message: str, fix: str) -> ModelRefused:
    return ModelRefused("card", message, fix)
