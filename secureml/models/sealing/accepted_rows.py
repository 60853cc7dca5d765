"""Which rows a model answers beyond those that its table holds, found out by trying.

A table is a sample: it may miss nothing where the pipeline imputes, hold whole prices alone, and
not know every city that the encoder was told to pass over. Each of these is tried on the model,
and a column takes what the model answers. Whoever seals may refuse it, and is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import check_array

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.card import Card, Feature
from secureml.models.rows.reader import RowReader
from secureml.models.rows.refused import RowsRefused
from secureml.models.sealing.answers import ask, first_unfit
from secureml.models.sealing.column_use import read_as_categories
from secureml.models.unpickling.graph import parts

# For each of the three questions: so many trials, and so many columns in all of them together.
_MOST_TRIALS, _MOST_COLUMNS = 200, 100_000
_MANY = 64  # columns, of which a few are tried before all of them by halves
ALL = "*"
_Answer = Literal["allow", "refuse"]


@dataclass(frozen=True)
class RowOptions:
    """What the operator says of rows: ``allow`` or ``refuse`` by column, ``*`` for the others.

    ``missing`` is of null and of names that are left out, ``unknown`` of categories that the table
    has not.
    """

    missing: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)

    def check(self, names: Sequence[str]) -> None:
        """Raise ModelRefused("card") for a column that is none, and for another word."""
        for option, said in (("--missing", self.missing), ("--unknown", self.unknown)):
            for name, word in said.items():
                if name != ALL and name not in names:
                    raise _refuse(
                        f"{option} names {name!r}, which is not a feature of the model",
                        f"the features are {', '.join(map(repr, names[:10]))}",
                    )
                if word not in ("allow", "refuse"):
                    raise _refuse(f"{option} {name}={word}", f"write {name}=allow or {name}=refuse")


def accept_more(
    card: Card,
    estimator: Any,
    rows: Sequence[Sequence[Any]],
    options: RowOptions,
    stated: Mapping[str, str],
    *,
    own_code: bool,
) -> tuple[Feature, ...]:
    """Return the features of a card with what the model answers beyond its table.

    ``rows`` are rows that it answers, ``stated`` the types that are said of columns. Raises
    ModelRefused("card") where the model does not answer what the options allow.
    """
    names = [feature.name for feature in card.features]
    options.check(names)
    _check_table(card, options)
    trial = _Trial(card, estimator, [rows[0], rows[-1]])
    for change in (
        _Fractions(_whole_by_chance(card, estimator, stated, own_code=own_code)),
        _Missing(options.missing, keeps_dtypes=own_code or _calls_functions(estimator)),
        _Unknown(options.unknown),
    ):
        trial.accept(change)
    return trial.card.features


def _check_table(card: Card, options: RowOptions) -> None:
    for feature in card.features:
        if feature.missing == "allow" and options.missing.get(feature.name) == "refuse":
            raise _refuse(
                f"--missing {feature.name}=refuse, and the table misses values there",
                f"leave {feature.name} out of --missing, or give a table in which nothing is "
                "missing in it",
            )


def _calls_functions(estimator: Any) -> bool:
    """Tell whether a step may do anything with what it is given, even if it is NumPy's."""
    functions = (part.func for part in parts(estimator) if type(part) is FunctionTransformer)
    # Histogram boosting has one of its own, which makes float64 of all.
    return any(
        function is not None and getattr(function, "func", None) is not check_array
        for function in functions
    )


def _whole_by_chance(
    card: Card, estimator: Any, stated: Mapping[str, str], *, own_code: bool
) -> frozenset[str]:
    """Return the columns of whole numbers that may be amounts as well: none where it matters."""
    if own_code or card.source == "none":
        return frozenset()
    if card.container == "frame" and _calls_functions(estimator):
        return frozenset()
    whole = [f.name for f in card.features if f.dtype == "integer" and not f.frame_dtype]
    looked_up = read_as_categories(estimator, [feature.name for feature in card.features])
    return frozenset(name for name in whole if name not in looked_up and name not in stated)


class _Fractions:
    """Numbers with a fraction, in columns that are whole in the table."""

    option = ""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def wanted(self, feature: Feature) -> _Answer | None:
        return None if feature.name in self._names else "refuse"

    def changed(self, feature: Feature) -> Feature:
        return replace(feature, dtype="float")

    def cell(self, feature: Feature, cell: Any) -> Any:
        return (cell or 0) + 0.5


class _Missing:
    """Null, and names that are left out."""

    option = "--missing"

    def __init__(self, said: Mapping[str, str], *, keeps_dtypes: bool) -> None:
        self._said, self._keeps_dtypes = said, keeps_dtypes

    def wanted(self, feature: Feature) -> _Answer | None:
        if feature.missing == "allow":
            return "refuse"  # it is so already
        # Where values are missing pandas has other dtypes, and a function may tell them apart.
        changes = feature.dtype == "boolean" or (feature.dtype == "integer" and self._keeps_dtypes)
        return said_of(self._said, feature) or ("refuse" if changes else None)

    def changed(self, feature: Feature) -> Feature:
        kept = "" if feature.dtype == "integer" and not feature.categories else feature.frame_dtype
        return replace(feature, missing="allow", frame_dtype=kept)

    def cell(self, feature: Feature, cell: Any) -> Any:
        return None


class _Unknown:
    """Categories that the table has not."""

    option = "--unknown"

    def __init__(self, said: Mapping[str, str]) -> None:
        self._said = said

    def wanted(self, feature: Feature) -> _Answer | None:
        if feature.categories is None or feature.unknown == "allow":
            return "refuse"
        if feature.frame_dtype == "category" and feature.missing == "refuse":
            return "refuse"  # it would reach the model as missing
        return said_of(self._said, feature)

    def changed(self, feature: Feature) -> Feature:
        return replace(feature, unknown="allow")

    def cell(self, feature: Feature, cell: Any) -> Any:
        known = feature.categories or ()
        if feature.dtype == "integer":
            return max(map(int, known)) + 1
        word = "unknown"
        while word in known:
            word += "_"
        return word


_Change = _Fractions | _Missing | _Unknown


def said_of(said: Mapping[str, str], feature: Feature) -> _Answer | None:
    """Return what is said of a column by its name, or else of all; None for nothing."""
    found = said.get(feature.name) or said.get(ALL)
    return cast("_Answer | None", found)


class _Trial:
    """A model, two rows that it answers, and the card that says what it takes by now."""

    def __init__(self, card: Card, estimator: Any, rows: Sequence[Sequence[Any]]) -> None:
        self.card, self._estimator, self._rows, self._left = card, estimator, rows, 0

    def accept(self, change: _Change) -> None:
        """Take up a change in each column in which the model answers it."""
        wanted = [change.wanted(feature) for feature in self.card.features]
        places = [place for place, word in enumerate(wanted) if word != "refuse"]
        self._left = min(_MOST_TRIALS, max(20, _MOST_COLUMNS // len(wanted)))
        passing = frozenset(self._found(places, self._with(change)))
        for place, word in enumerate(wanted):
            name = self.card.features[place].name
            # What is said of all columns is meant where it can be.
            if word == "allow" and place not in passing and name in _said_by(change):
                raise _refuse(
                    f"{change.option} {name}=allow, and the model does not answer such a row",
                    "fit a pipeline that does (with an imputer, or handle_unknown='ignore'), or "
                    f"leave {name} out of {change.option}",
                )
        self.card = replace(self.card, features=self._features(change, passing))

    def _found(self, places: list[int], answers: Callable[[list[int]], bool]) -> list[int]:
        few = places[:: max(1, len(places) // 8)]
        if len(places) <= _MANY or answers(places) or any(answers([place]) for place in few):
            return self._passing(places, answers)
        return []  # columns that are all alike

    def _passing(self, places: list[int], answers: Callable[[list[int]], bool]) -> list[int]:
        """Return the places at which a change is answered: all at once, or else by halves."""
        if not places or not self._left:
            return []
        self._left -= 1
        if answers(places):
            return places
        half = len(places) // 2
        if not half:
            return []
        return self._passing(places[:half], answers) + self._passing(places[half:], answers)

    def _with(self, change: _Change) -> Callable[[list[int]], bool]:
        def answers(places: list[int]) -> bool:
            chosen = frozenset(places)
            card = replace(self.card, features=self._features(change, chosen))
            rows = [
                [
                    change.cell(feature, cell) if place in chosen else cell
                    for place, (feature, cell) in enumerate(
                        zip(self.card.features, row, strict=True)
                    )
                ]
                for row in self._rows
            ]
            return _is_answered(card, self._estimator, rows)

        return answers

    def _features(self, change: _Change, places: frozenset[int]) -> tuple[Feature, ...]:
        return tuple(
            change.changed(feature) if place in places else feature
            for place, feature in enumerate(self.card.features)
        )


def _said_by(change: _Change) -> Mapping[str, str]:
    return {} if isinstance(change, _Fractions) else change._said  # noqa: SLF001 - of this module


def _is_answered(card: Card, estimator: Any, rows: list[list[Any]]) -> bool:
    try:
        found = ask(card, estimator, RowReader(card).read(rows))
    except MemoryError:
        raise
    except (Exception, RowsRefused):  # noqa: BLE001 - whatever it is, it is no answer
        return False
    expected = (len(rows), card.outputs) if card.outputs else (len(rows),)
    return found.predictions.shape == expected and first_unfit(found) is None


def _refuse(message: str, fix: str) -> ModelRefused:
    return ModelRefused("card", message, fix)
