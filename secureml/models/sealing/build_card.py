"""What sealing writes on the card: learned from the estimator, its table and its answers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from sklearn.compose import ColumnTransformer

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.card import NUMBERS, OUTPUT_LIMIT, Card, Feature, Golden, Scalar
from secureml.models.card_section import Training
from secureml.models.rows.reader import RowReader, array_dtype
from secureml.models.sealing.accepted_rows import RowOptions, accept_more
from secureml.models.sealing.answers import add_answers, ask, first_unfit
from secureml.models.sealing.estimator_shape import (
    kind_of,
    method_of,
    refuse,
    takes_column,
    takes_mapping,
    width_of,
)
from secureml.models.sealing.missing_words import check_words, explained, words_for_missing
from secureml.models.sealing.model_columns import ModelColumns, columns_of
from secureml.models.sealing.pandas_reading import PandasReading
from secureml.models.sealing.reader_comparison import compare, compare_alone
from secureml.models.sealing.table_file import TableFile
from secureml.models.sealing.table_notes import acceptance_notes, notes
from secureml.models.serving.estimator_traits import estimator_type
from secureml.models.serving.verification import classes_of, versions_here
from secureml.models.unpickling.allowlist import builtin_names
from secureml.models.unpickling.graph import parts

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


@dataclass(frozen=True)
class TableOptions:
    """What is said of a table: the column of answers, types of columns by name, and its rows."""

    target: str | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    rows: RowOptions = field(default_factory=RowOptions)


class _Answered(NamedTuple):
    """A card with its golden rows, the digest of their answers, and how its table is read."""

    card: Card
    answers: str
    columns: ModelColumns


def learn_model(
    subject: Subject,
    estimator: Any,
    names: frozenset[str],
    *,
    data: TableFile | None,
    options: TableOptions = TableOptions(),
    read_again: bool = True,
) -> Learned:
    """Return what is learned of an estimator; raises ModelRefused when it cannot be served.

    ``names`` are those its data form asks for. With ``read_again`` every row is also compared with
    its reading by pandas.
    """
    method_of(estimator)  # what has none is told so before anything else
    own_code = not names <= builtin_names()
    by_table = own_code and data is not None and options.target is not None
    width = width_of(estimator, by_table=by_table)
    columns = columns_of(estimator, width, data, options.target, options.types)
    _demand_table(estimator, needed=own_code and data is None)
    words = words_for_missing(columns.features, columns.texts())
    if not own_code:
        check_words(estimator, words)
    with explained(words):
        first = _first_reading(subject, estimator, columns, names, own_code=own_code)
        found = _with_more(first, estimator, options.rows, own_code=own_code)
        card, answers, columns = found
        if data is not None:
            if own_code:
                compare_alone(card, estimator, columns.golden)
            again = PandasReading(data, columns.dialect, columns.types) if read_again else None
            answers += compare(card, estimator, columns.values, again)
    told = (
        *columns.notes,
        *acceptance_notes(first.card.features, card.features),
        *notes(card.features, columns.texts()),
    )
    return Learned(card, answers, Training(card, estimator, columns.values), told)


def _first_reading(
    subject: Subject,
    estimator: Any,
    columns: ModelColumns,
    names: frozenset[str],
    *,
    own_code: bool,
) -> _Answered:
    """Return the first reading of the columns that the model answers.

    Raises ModelRefused for the plain one where it answers none.
    """
    refused: ModelRefused | None = None
    for reading in columns.readings():
        card = replace(
            _blank_card(subject, estimator, reading.features, names, own_code=own_code),
            source="table" if columns.cells else "none",
            globals=tuple(sorted(names)),
        )
        try:
            return _Answered(*_answered(card, estimator, reading.golden), reading)
        except ModelRefused as error:
            if error.__cause__ is None:  # it answers, and what it says cannot be served
                raise
            refused = refused or error
    assert refused is not None  # noqa: S101 - there is one reading at least
    raise refused


def _with_more(
    found: _Answered, estimator: Any, options: RowOptions, *, own_code: bool
) -> _Answered:
    """Return a card that takes all that the model answers, unless its answers change by that."""
    card, columns = found.card, found.columns
    features = accept_more(
        card, estimator, columns.golden, options, columns.stated, own_code=own_code
    )
    if features == card.features:
        return found
    more, answers = _answered(replace(card, features=features), estimator, columns.golden)
    return found if answers != found.answers else _Answered(more, answers, columns)


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


def _container(
    estimator: Any, features: tuple[Feature, ...], *, own_code: bool
) -> Literal["array", "frame", "column", "mapping"]:
    if takes_column(estimator):
        return "column"
    if takes_mapping(estimator):
        return "mapping"
    if own_code and getattr(estimator, "n_features_in_", None) is None:
        return "frame"  # a class of somebody's own, that says nothing of what it was given
    if getattr(estimator, "feature_names_in_", None) is None:
        return "array"
    by_name = any(isinstance(part, ColumnTransformer) for part in parts(estimator))
    words = any(feature.dtype not in NUMBERS for feature in features)
    kept = any(feature.frame_dtype for feature in features)
    # Code of one's own was given a frame, and may ask it for its columns.
    return "frame" if by_name or words or kept or own_code else "array"


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
        "say so with --types COLUMN=TYPE",
    )
