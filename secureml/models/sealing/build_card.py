"""What sealing writes on the card: learned from the estimator, its table and its answers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from sklearn.compose import ColumnTransformer

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.card import NUMBERS, OUTPUT_LIMIT, Card, Dtype, Feature, Golden, Scalar
from secureml.models.card_section import Training
from secureml.models.rows.reader import RowReader, array_dtype
from secureml.models.sealing.answers import add_answers, ask, first_unfit
from secureml.models.sealing.estimator_shape import (
    kind_of,
    method_of,
    refuse,
    takes_column,
    takes_texts,
    width_of,
)
from secureml.models.sealing.missing_words import check_words, explained, words_for_missing
from secureml.models.sealing.reader_comparison import compare, compare_alone
from secureml.models.sealing.table_file import TableFile, read_table
from secureml.models.sealing.table_notes import notes
from secureml.models.sealing.training_table import choose_columns, learn, read_dtypes
from secureml.models.serving.estimator_traits import estimator_type
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
    ``notes`` are what an operator should know, each one line.
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
    dtypes: Mapping[str, Dtype]  # what is said of columns, and what the model itself says


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
    method_of(estimator)  # what has none is told so before anything else
    own_code = not names <= builtin_names()
    width = width_of(estimator, by_table=own_code and data is not None and target is not None)
    table = _features(estimator, width, data, target, dtypes)
    _demand_table(estimator, needed=own_code and data is None)
    card = replace(
        _blank_card(subject, estimator, table.features, names, own_code=own_code),
        source="none" if data is None else "table",
        globals=tuple(sorted(names)),
    )
    words = words_for_missing(table.features, table.cells)
    if not own_code:
        check_words(estimator, words)
    with explained(words):
        card, answers = _answered(card, estimator, table.golden)
        if data is not None:
            if own_code:
                compare_alone(card, estimator, table.golden)
            again = data if read_again else None
            answers += compare(card, estimator, table.columns, again, table.dtypes)
    training = Training(card, estimator, table.columns)
    return Learned(card, answers, training, tuple(notes(card.features, table.cells)))


def _blank_card(
    subject: Subject,
    estimator: Any,
    features: tuple[Feature, ...],
    names: frozenset[str],
    *,
    own_code: bool,
) -> Card:
    """Return what the estimator and its columns say, without answers."""
    container = _container(estimator, features, own_code=own_code)
    method = method_of(estimator)
    return Card(
        name=subject.name,
        version=subject.version,
        created=subject.created,
        kind=kind_of(estimator, method),
        features=features,
        classes=_classes(estimator),
        has_probabilities=estimator_type(estimator) == "classifier"
        and hasattr(estimator, "predict_proba"),
        container=container,
        source="none",
        versions=versions_here(container, names),
        globals=(),
        digest=subject.digest,
        source_digest=subject.source_digest,
        golden=_NO_GOLDEN,
        # scikit-learn's own code takes 3 and 3.0 for the same; of other code nobody knows.
        array_dtype=array_dtype(features) if own_code and container == "array" else "",
        method=method,
    )


def _has_probabilities(estimator: Any) -> bool:
    return estimator_type(estimator) == "classifier" and hasattr(estimator, "predict_proba")


def _demand_table(estimator: Any, *, needed: bool) -> None:
    if needed and getattr(estimator, "feature_names_in_", None) is not None:
        # Code of one's own may tell 3 from 3.0, and only the table knows which it was given.
        raise refuse(
            "the model was fitted on a data frame and holds code that is not scikit-learn's, so "
            "the dtypes of its columns must be known",
            "give the table it was fitted on with --data",
        )


def _classes(estimator: Any) -> tuple[Scalar, ...] | None:
    classes = classes_of(estimator)
    if any(not isinstance(label, Scalar) for label in classes or ()):
        raise refuse(
            "a class is neither text, number nor truth value", "fit on labels that JSON can carry"
        )
    return classes


def _features(
    estimator: Any,
    width: int | None,
    data: TableFile | None,
    target: str | None,
    dtypes: Mapping[str, str],
) -> _Table:
    """Return the columns, the golden rows, and all values of the table if there is one."""
    fitted = getattr(estimator, "feature_names_in_", None)
    names = None if fitted is None else [str(name) for name in fitted]
    if data is None:
        read_dtypes(dtypes, {})
        width = width or 0  # which no estimator has here: `width_of` has refused it
        plain = tuple(Feature(name) for name in names or [f"x{i}" for i in range(width)])
        if takes_texts(estimator):
            raise refuse(
                "the model takes texts, and which ones is known from a table alone",
                "give the table it was fitted on with --data: one column of texts, and the answers",
            )
        return _Table(plain, _made_up(width), {}, {}, {})
    table = read_table(data)
    width = len(table.columns) - 1 if width is None else width
    columns = choose_columns(table, target, names, width, classes_of(estimator))
    # A column of few texts is one of categories, but not to a model that takes texts apart.
    texts = dict.fromkeys(columns, "text") if takes_texts(estimator) else {}
    dtypes_given = read_dtypes({**texts, **dtypes}, columns)
    learned = [learn(name, cells, dtypes_given.get(name)) for name, cells in columns.items()]
    # Spread over the table, ends included: tables are often sorted by their answer.
    chosen = sorted({round(index) for index in np.linspace(0, table.length - 1, GOLDEN_ROWS)})
    rows = [tuple(values[row] for _, values in learned) for row in chosen]
    features = tuple(feature for feature, _ in learned)
    values = {feature.name: found for feature, found in learned}
    return _Table(features, rows, values, columns, dtypes_given)


def _made_up(width: int) -> list[tuple[Any, ...]]:
    # Not random: the same model sealed twice has the same golden rows.
    return [
        tuple(((row * 7 + column * 3) % 11 - 5) * 10.0 ** (row % 4 - 1) for column in range(width))
        for row in range(GOLDEN_ROWS)
    ]


def _container(
    estimator: Any, features: tuple[Feature, ...], *, own_code: bool
) -> Literal["array", "frame", "column"]:
    if takes_column(estimator):
        return "column"
    if own_code and getattr(estimator, "n_features_in_", None) is None:
        return "frame"  # a class of somebody's own, that says nothing of what it was given
    if getattr(estimator, "feature_names_in_", None) is None:
        return "array"
    by_name = any(isinstance(part, ColumnTransformer) for part in parts(estimator))
    words = any(feature.dtype not in NUMBERS for feature in features)
    # Code of one's own was given a frame, and may ask it for its columns.
    return "frame" if by_name or words or own_code else "array"


def _answered(card: Card, estimator: Any, rows: list[tuple[Any, ...]]) -> tuple[Card, str]:
    """Return the card with its golden rows, and the digest of their answers to the last bit."""
    rows_read = RowReader(card).read([list(row) for row in rows])
    try:
        card = _with_outputs(card, estimator, rows_read)
        found = ask(card, estimator, rows_read)
    except MemoryError:
        raise
    except Exception as error:
        raise _raises(card, error) from error
    expected = (len(rows), card.outputs) if card.outputs else (len(rows),)
    if found.predictions.shape != expected:
        raise refuse(
            f"{len(rows)} rows are answered with an array of the shape {found.predictions.shape}",
            "fit a model that answers each row with one value, or with one row of values",
        )
    if first_unfit(found) is not None:
        raise ModelRefused(
            "golden",
            "an answer is not something JSON can carry",
            "fit the model so that it answers finite numbers or labels",
        )
    shares, digest = found.probabilities, hashlib.sha256()
    add_answers(digest, found)
    answers = found.predictions.tolist()
    golden = Golden(
        tuple(rows),
        tuple(map(tuple, answers)) if card.outputs else tuple(answers),
        None if shares is None else tuple(map(tuple, shares.tolist())),
    )
    return replace(card, golden=golden), digest.hexdigest()


def _with_outputs(card: Card, estimator: Any, rows: Any) -> Card:
    """Return the card of a model of several outputs a row; probabilities are none of them.

    Those of several outputs are a list of arrays for one estimator and an array for another, and
    mean something else in each.
    """
    shape = ask(replace(card, has_probabilities=False), estimator, rows).predictions.shape
    if len(shape) != 2 or not 1 <= shape[1] <= OUTPUT_LIMIT:
        return card
    return replace(card, outputs=shape[1], classes=None, has_probabilities=False)


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
