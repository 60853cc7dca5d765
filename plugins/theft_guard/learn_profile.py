"""Learning the reference profile: what is usual, measured the way requests are measured later.

Whatever is compared with a threshold later is measured on rows that were not used for it:
distances by five folds, margins on points between neighbours, because a model is surer of the
very rows it was fitted on than of any it will be asked. Nothing here is random twice: the same
model and table give the same card.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from secureml.kit.protocols import Feature, Training

from .encoding import Encoder
from .feature_space import FeatureSpace, central, rayleigh_quotient, squared, tails
from .reference_profile import (
    BIN_LEVELS,
    DECILES,
    MAHALANOBIS_LEVELS,
    MARGIN_LEVELS,
    NEAREST_LEVELS,
    RAYLEIGH_LEVELS,
    RECENT,
    SHARE_LEVELS,
    ReferenceProfile,
)

MOST_ROWS, LEAST_ROWS = 2000, 30
_MOST_WORDS = 32  # a column of more kinds is not compared: one-hot, it would drown the others
_FOLDS, _SESSIONS, _NEIGHBOURS = 5, 8, 5
_FLOOR = 0.01  # of the mean variance: below it, a direction is noise of the table's own
_MEMORY = 1024  # how many earlier rows a fingerprint is looked up among
_SEED = 7

Rows = np.ndarray[Any, Any]
Row = tuple[Any, ...]


def learn_profile(training: Training) -> ReferenceProfile | None:
    """Return the profile of a table's rows; None where too few of them differ to say much."""
    features = training.card.features
    chance = np.random.default_rng(_SEED)
    distinct = list(dict.fromkeys(training.rows()))
    chance.shuffle(distinct)
    taken = distinct[:MOST_ROWS]
    numbers, words, skipped = _columns(features)
    read = training.read(taken) if numbers or words else None
    if len(taken) < LEAST_ROWS or read is None:
        return None
    centre, scale, bins = _measures(read, numbers)
    encoder = Encoder(features, numbers, words, centre.tolist(), scale.tolist())
    encoded = encoder(read)
    mean, whitening = _whitening(encoded)
    classes = _classes(training, read)
    nearest, class_distances, changed = _distances(encoded, classes, chance)
    # Between two numbers near the end of a double there may be none: then it is None.
    between = training.read(_between(taken, features, encoded, chance))
    draft = ReferenceProfile(
        rows=len(taken),
        numbers=numbers,
        words=words,
        skipped=skipped,
        centre=_short(centre),
        scale=_short(scale),
        bins=tuple(map(_short, bins)),
        mean=_short(mean),
        whitening=tuple(map(_short, whitening)),
        **_held_out(encoded),
        nearest=nearest,
        class_distances=class_distances,
        changed=changed,
        margins=_margins(training, read, between),
        tails=(0.0,) * len(SHARE_LEVELS),
        central=(0.0,) * len(SHARE_LEVELS),
        collisions=0.0,
    )
    return _finished(features, draft, read, encoded)


def _finished(
    features: Sequence[Feature], draft: ReferenceProfile, read: Any, encoded: Rows
) -> ReferenceProfile:
    """Add what is measured in the finished space itself."""
    space = FeatureSpace(features, draft)
    bins = space.bins(read, encoded)
    bands = space.bands(encoded)[:_MEMORY]
    seen: list[set[int]] = [set() for _ in bands[0]]
    met = 0
    for row in bands.tolist():
        met += any(mark in known for mark, known in zip(row, seen, strict=True))
        for mark, known in zip(row, seen, strict=True):
            known.add(mark)
    return replace(
        draft,
        tails=_short(np.quantile(tails(bins), SHARE_LEVELS)),
        central=_short(np.quantile(central(bins), SHARE_LEVELS)),
        collisions=round(met / len(bands), 4),
    )


def _columns(
    features: Sequence[Feature],
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[str, ...]]:
    numbers = tuple(i for i, feature in enumerate(features) if feature.is_number)
    words = tuple(
        i
        for i, feature in enumerate(features)
        if feature.categories is not None and len(feature.categories) <= _MOST_WORDS
    )
    kept = {*numbers, *words}
    return numbers, words, tuple(f.name for i, f in enumerate(features) if i not in kept)


def _measures(read: Any, numbers: Sequence[int]) -> tuple[Rows, Rows, Rows]:
    """Return centre, (numbers,), scale, (numbers,), and bins, (numbers, 7), in the columns' units.

    The median, the interquartile range as a standard deviation (Huber, "Robust Statistics"), and
    quantiles. Where half of the rows have one value, the scale is the plain standard deviation.
    """
    taken = read[:, list(numbers)] if isinstance(read, np.ndarray) else read.iloc[:, list(numbers)]
    table = np.asarray(taken, dtype=np.float64)
    if not len(numbers):
        return np.zeros(0), np.ones(0), np.zeros((0, len(BIN_LEVELS)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        bins = np.nanquantile(table, BIN_LEVELS, axis=0).T
        centre = np.nanmedian(table, axis=0)
        spread = (bins[:, 4] - bins[:, 2]) / 1.349  # the quartiles of a normal distribution
        deviation = np.nanstd(table, axis=0)
    scale = np.where(spread > 1e-3 * deviation, spread, deviation)
    return centre, np.where(scale > 0, scale, 1.0), bins


def _whitening(encoded: Rows) -> tuple[Rows, Rows]:
    """Return the mean, (width,), of rows, (rows, width), and W, (width, width), see `squared`.

    PCA whitening; variances below a floor are raised to it.
    """
    mean = encoded.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(encoded, rowvar=False).reshape(encoded.shape[1], -1))
    floor = max(_FLOOR * float(values.mean()), 1e-9)
    return mean, vectors / np.sqrt(np.maximum(values, floor))


def _held_out(encoded: Rows) -> dict[str, tuple[float, ...]]:
    """Return quantiles of the Mahalanobis distance, the Rayleigh quotient and that of a step.

    No row of ``encoded``, (rows, width), had a part in its own measure: cross-validation in
    folds. The levels are MAHALANOBIS_LEVELS, RAYLEIGH_LEVELS and again those.
    """
    distances, rayleigh, steps = (np.empty(len(encoded)) for _ in range(3))
    for fold in range(_FOLDS):
        out = np.arange(len(encoded)) % _FOLDS == fold
        rows, others = encoded[out], encoded[~out]
        mean, whitening = _whitening(others)
        squares = squared(rows - mean, whitening)
        distances[out], rayleigh[out] = np.sqrt(squares[0]), rayleigh_quotient(*squares)
        gaps = np.linalg.norm(rows[:, None] - others[None, :RECENT], axis=2)
        steps[out] = rayleigh_quotient(*squared(rows - others[gaps.argmin(axis=1)], whitening))
    return {
        "mahalanobis": _short(np.quantile(distances, MAHALANOBIS_LEVELS)),
        "rayleigh": _short(np.quantile(rayleigh, RAYLEIGH_LEVELS)),
        "step": _short(np.quantile(steps, RAYLEIGH_LEVELS)),
    }


def _classes(training: Training, read: Any) -> Rows:
    """Return the place of each row's answer among the classes; all 0 where there are none."""
    indices = {label: index for index, label in enumerate(training.card.classes or ())}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers = np.asarray(training.estimator.predict(read)).tolist()
    return np.array([indices.get(answer, 0) if indices else 0 for answer in answers])


def _distances(
    encoded: Rows, classes: Rows, chance: np.random.Generator
) -> tuple[tuple[float, ...], tuple[tuple[float, ...], ...], float]:
    """Return the profile's ``nearest``, ``class_distances`` and ``changed``.

    As customers would have sent these rows one after another. ``encoded`` is (rows, width),
    ``classes`` (rows,) indices. Distances are Euclidean in the encoded columns, to the nearest of
    the RECENT rows before; ``changed`` is a share of columns.
    """
    nearest: list[Rows] = []
    shares: list[Rows] = []
    by_class: list[list[Rows]] = [[] for _ in range(int(classes.max()) + 1)]
    for _ in range(_SESSIONS):
        order = chance.permutation(len(encoded))[: 4 * RECENT]
        rows, labels = encoded[order], classes[order]
        gaps = np.linalg.norm(rows[:, None] - rows[None], axis=2)
        behind = np.arange(len(rows))[:, None] - np.arange(len(rows))[None]
        gaps[(behind <= 0) | (behind > RECENT)] = np.inf
        index = gaps.argmin(axis=1)
        nearest.append(gaps[np.arange(len(rows)), index][8:])
        shares.append((rows != rows[index]).mean(axis=1)[8:])
        gaps[labels[:, None] != labels[None]] = np.inf
        for label in range(len(by_class)):
            alike = gaps[labels == label].min(axis=1)
            by_class[label].append(alike[np.isfinite(alike)])
    everyone = np.concatenate([part for label in by_class for part in label])
    joined = [np.concatenate(label) for label in by_class]
    deciles = [_short(np.quantile(own if len(own) > 20 else everyone, DECILES)) for own in joined]
    changed = float(np.quantile(np.concatenate(shares), 0.02))
    near = _short(np.quantile(np.concatenate(nearest), NEAREST_LEVELS))
    return near, tuple(deciles), round(changed, 4)


def _between(
    rows: Sequence[Row], features: Sequence[Feature], encoded: Rows, chance: np.random.Generator
) -> list[list[Any]]:
    """Return points between rows and their neighbours: usual, and new to the model.

    As SMOTE makes them (Chawla et al., JAIR 2002).
    """
    made = []
    for index in range(min(len(rows), MOST_ROWS // 2)):
        gaps = np.linalg.norm(encoded - encoded[index], axis=1)
        partner = chance.choice(np.argpartition(gaps, _NEIGHBOURS)[: _NEIGHBOURS + 1])
        part = chance.uniform()
        cells = zip(rows[index], rows[partner], features, strict=True)
        made.append([_mixed(a, b, feature, part) for a, b, feature in cells])
    return made


def _mixed(one: Any, other: Any, feature: Feature, part: float) -> Any:
    if one is None or other is None or feature.dtype not in ("float", "integer"):
        return one if part < 0.5 else other
    value = one + part * (other - one)
    return round(value) if feature.dtype == "integer" else float(value)


def _margins(training: Training, *tables: Any) -> tuple[float, ...] | None:
    """Return quantiles, (5,) at MARGIN_LEVELS, of the best probability less the next.

    Of several tables the smallest, level by level: rather too lenient than too hard.
    """
    card = training.card
    if not card.has_probabilities or len(card.classes or ()) < 2:
        return None
    found = []
    for index, table in enumerate(tables):
        if table is None:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                shares = np.asarray(training.estimator.predict_proba(table))
        except Exception:
            # A code between two codes is none, and an encoder may say so.
            if index == 0:
                raise
            continue
        best = np.partition(shares, -2, axis=1)
        found.append(np.quantile(best[:, -1] - best[:, -2], MARGIN_LEVELS))
    return _short(np.minimum.reduce(found))


def _short(values: Any) -> tuple[float, ...]:
    """Round to six digits: a card need not be a megabyte."""
    return tuple(float(f"{value:.6g}") for value in values)
