"""What sealing writes on the card: learned from the estimator, its table and its answers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from sklearn.base import is_classifier, is_clusterer, is_outlier_detector, is_regressor
from sklearn.compose import ColumnTransformer

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.card import NUMBERS, Card, Feature, Golden, Scalar
from secureml.models.card_section import Training
from secureml.models.rows.reader import RowReader, array_dtype
from secureml.models.sealing.missing_words import check_words, explained, words_for_missing
from secureml.models.sealing.reader_comparison import (
    add_answers,
    ask,
    compare,
    compare_alone,
    first_unfit,
)
from secureml.models.sealing.table_file import TableFile, read_table
from secureml.models.sealing.table_notes import notes
from secureml.models.sealing.training_table import choose_columns, learn, read_dtypes
from secureml.models.serving.verification import classes_of, versions_here
from secureml.models.unpickling.allowlist import builtin_names
from secureml.models.unpickling.graph import parts

GOLDEN_ROWS = 20
_NO_GOLDEN = Golden((), (), None)


@dataclass(frozen=True)
class Subject:
    """What a card is of: a version of a name, and the SHA-256 of its files in hex.

    ``digest`` is that of the data form, ``source_digest`` that of the file it was made of.
    """

    name: str
    version: str
    created: str
    digest: str
    source_digest: str


class Learned(NamedTuple):
    """A card without sections, and what was learned beside it.

    ``answers`` is the SHA-256 of all answers that were given meanwhile, to the last bit;
    ``notes`` are what whoever seals should know, each one line.
    """

    card: Card
    answers: str
    training: Training
    notes: tuple[str, ...]


class _Table(NamedTuple):
    """What a table says: columns in the model's order, as values and as text."""

    features: tuple[Feature, ...]
    golden: list[tuple[Any, ...]]
    columns: dict[str, list[Any]]
    cells: dict[str, list[str]]


def learn_model(
    subject: Subject,
    estimator: Any,
    names: frozenset[str],
    *,
    data: TableFile | None,
    target: str | None,
    dtypes: Mapping[str, str] = MappingProxyType({}),
    read_again: bool = True,
) -> Learned:
    """Return what is learned of an estimator; raises ModelRefused when it cannot be served.

    ``names`` are those its data form asks for, ``dtypes`` what is said of columns by name. With
    ``read_again`` every row is also compared with its reading by pandas.
    """
    width, own_code = _width(estimator), not names <= builtin_names()
    table = _features(estimator, width, data, target, dtypes)
    _demand_table(estimator, needed=own_code and data is None)
    card = replace(
        _blank_card(subject, estimator, table.features, own_code=own_code),
        source="none" if data is None else "table",
        globals=tuple(sorted(names)),
    )
    words = words_for_missing(table.features, table.cells)
    if not own_code:
        check_words(estimator, words)
    with explained(words):
        golden, answers = _answers(card, estimator, table.golden)
        card = replace(card, golden=golden)
        if data is not None:
            if own_code:
                compare_alone(card, estimator, table.golden)
            again = data if read_again else None
            dtypes_read = read_dtypes(dtypes, table.columns)
            answers += compare(card, estimator, table.columns, again, dtypes_read)
    training = Training(card, estimator, table.columns)
    return Learned(card, answers, training, tuple(notes(card.features, table.cells)))


def _blank_card(
    subject: Subject, estimator: Any, features: tuple[Feature, ...], *, own_code: bool
) -> Card:
    """Return what the estimator and its columns say, without answers."""
    container = _container(estimator, features, own_code=own_code)
    return Card(
        name=subject.name,
        version=subject.version,
        created=subject.created,
        kind=_kind(estimator),
        features=features,
        classes=_classes(estimator),
        has_probabilities=is_classifier(estimator) and hasattr(estimator, "predict_proba"),
        container=container,
        source="none",
        versions=versions_here(container),
        globals=(),
        digest=subject.digest,
        source_digest=subject.source_digest,
        golden=_NO_GOLDEN,
        # scikit-learn's own code takes 3 and 3.0 for the same; of other code nobody knows.
        array_dtype=array_dtype(features) if own_code and container == "array" else "",
    )


def _demand_table(estimator: Any, *, needed: bool) -> None:
    if needed and getattr(estimator, "feature_names_in_", None) is not None:
        # Code of one's own may tell 3 from 3.0, and only the table knows which it was given.
        raise _refuse(
            "the model was fitted on a data frame and holds code that is not scikit-learn's, so "
            "the dtypes of its columns must be known",
            "give the table it was fitted on with --data",
        )


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
    estimator: Any,
    width: int,
    data: TableFile | None,
    target: str | None,
    dtypes: Mapping[str, str],
) -> _Table:
    """Return the columns, the golden rows, and all values of the table if there is one."""
    fitted = getattr(estimator, "feature_names_in_", None)
    names = None if fitted is None else [str(name) for name in fitted]
    if data is None:
        read_dtypes(dtypes, {})
        plain = tuple(Feature(name) for name in names or [f"x{i}" for i in range(width)])
        return _Table(plain, _made_up(width), {}, {})
    table = read_table(data)
    columns = choose_columns(table, target, names, width, classes_of(estimator))
    dtypes_given = read_dtypes(dtypes, columns)
    learned = [learn(name, cells, dtypes_given.get(name)) for name, cells in columns.items()]
    # Spread over the table, ends included: tables are often sorted by their answer.
    chosen = sorted({round(index) for index in np.linspace(0, table.length - 1, GOLDEN_ROWS)})
    rows = [tuple(values[row] for _, values in learned) for row in chosen]
    features = tuple(feature for feature, _ in learned)
    values = {feature.name: found for feature, found in learned}
    return _Table(features, rows, values, columns)


def _made_up(width: int) -> list[tuple[Any, ...]]:
    # Not random: the same model sealed twice has the same golden rows.
    return [
        tuple(((row * 7 + column * 3) % 11 - 5) * 10.0 ** (row % 4 - 1) for column in range(width))
        for row in range(GOLDEN_ROWS)
    ]


def _container(
    estimator: Any, features: tuple[Feature, ...], *, own_code: bool
) -> Literal["array", "frame"]:
    if getattr(estimator, "feature_names_in_", None) is None:
        return "array"
    by_name = any(isinstance(part, ColumnTransformer) for part in parts(estimator))
    words = any(feature.dtype not in NUMBERS for feature in features)
    # Code of one's own was given a frame, and may ask it for its columns.
    return "frame" if by_name or words or own_code else "array"


def _answers(card: Card, estimator: Any, rows: list[tuple[Any, ...]]) -> tuple[Golden, str]:
    """Return the golden rows with their answers, and the digest of these to the last bit."""
    rows_read = RowReader(card).read([list(row) for row in rows])
    try:
        found = ask(card, estimator, rows_read)
    except MemoryError:
        raise
    except Exception as error:
        raise _raises(card, error) from error
    if found.predictions.shape != (len(rows),):
        raise _several_outputs()
    if first_unfit(found) is not None:
        raise ModelRefused(
            "golden",
            "an answer is not something JSON can carry",
            "fit the model so that it answers finite numbers or labels",
        )
    shares, digest = found.probabilities, hashlib.sha256()
    add_answers(digest, found)
    golden = Golden(
        tuple(rows),
        tuple(found.predictions.tolist()),
        None if shares is None else tuple(map(tuple, shares.tolist())),
    )
    return golden, digest.hexdigest()


def _raises(card: Card, error: Exception) -> ModelRefused:
    if card.source == "none":
        return ModelRefused(
            "golden",
            f"the model raises {type(error).__name__} on made-up numbers: {error}",
            "give the table it was fitted on with --data",
        )
    columns = ", ".join(f"{feature.name!r} {feature.dtype}" for feature in card.features[:12])
    return ModelRefused(
        "golden",
        f"the model raises {type(error).__name__} on rows of the table: {error}; "
        f"its columns are read as {columns}",
        "ask the model in Python about pandas.read_csv of this table: where that raises, too, the "
        "model was fitted on something else; where a column was read with a dtype of its own, "
        "say so with --dtype COLUMN=DTYPE",
    )


def _several_outputs() -> ModelRefused:
    return _refuse(
        "the model answers several outputs a row, and one is supported",
        "fit on a one-dimensional target (y.ravel()), or seal one model an output",
    )


def _refuse(message: str, fix: str) -> ModelRefused:
    return ModelRefused("card", message, fix)
