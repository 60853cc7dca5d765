"""Which columns of an input are features, which pass through, and which nobody has named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from secureml.models.card import Card
from secureml.scoring.refused import NotScored

_SHOWN = 8


class Columns(NamedTuple):
    """Places of columns in a file: of each feature in the card's order, and of those kept.

    A feature that may be missing may have no column: its place is None.
    """

    features: tuple[int | None, ...]
    kept: tuple[int, ...]


def choose(
    file: str, header: Sequence[str], card: Card, keep: Sequence[str], ignore: Sequence[str]
) -> Columns:
    """Return the places of columns; raises NotScored where the header is not what is needed.

    As in the API, a name that is no feature is refused, unless it is kept or ignored.
    """
    _check_header(file, header)
    places = {name: place for place, name in enumerate(header)}
    absent = [
        feature.name
        for feature in card.features
        if feature.name not in places and feature.missing == "refuse"
    ]
    if absent:
        raise NotScored(
            f"{file} lacks {_listed(absent)}, which the model needs",
            "write a file with these columns, named in its first line",
        )
    for option, names in (("--keep", keep), ("--ignore", ignore)):
        unknown = [name for name in names if name not in places]
        if unknown:
            raise NotScored(
                f"{option} names {_listed(unknown)}, and {file} has no such column",
                f"its columns are {_listed(header)}",
            )
    known = {feature.name for feature in card.features} | {*keep, *ignore}
    surplus = [name for name in header if name not in known]
    if surplus:
        raise NotScored(
            f"{file} has {_listed(surplus)}, which the model does not take (unknown_feature)",
            "--keep COLUMN to have it in the output, --ignore COLUMN to leave it out",
        )
    return Columns(
        tuple(places.get(feature.name) for feature in card.features),
        tuple(places[name] for name in keep),
    )


def _check_header(file: str, header: Sequence[str]) -> None:
    if not all(name.strip() for name in header):
        raise NotScored(
            f"{file} has a column without a name",
            "name every column in the first line; of row numbers of pandas: "
            "DataFrame.to_csv(file, index=False)",
        )
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise NotScored(f"{file} has two columns {twice[0]!r}", "give each its own name")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more
