"""Attackers who want one row answered otherwise, by asking: decision-based and score-based.

Plain versions of the published attacks, for many seeds in process; over HTTP the originals of
adversarial-robustness-toolbox run. Each yields rows, is sent (labels, probabilities or None),
and tells the ``diary`` its nearest other-answered row for each target.
"""

from __future__ import annotations

import numpy as np
from subjects import Subject, fit_to

STEPS_A_TARGET = 400


class Diary:
    """How near each target was brought: distance in deviations over that to a real other row."""

    def __init__(self, target: Subject) -> None:
        self._target = target
        self.best: dict[int, float] = {}

    def write(self, place: int, row, found, start) -> None:
        gap = np.linalg.norm((found - row) / self._target.spread)
        whole = np.linalg.norm((start - row) / self._target.spread)
        self.best[place] = min(self.best.get(place, 1.0), float(gap / max(whole, 1e-12)))

    def successes(self) -> int:
        """Return how many targets were brought to half the way, or nearer."""
        return sum(gap <= 0.5 for gap in self.best.values())


def _starts(target: Subject, chance, held):
    """Yield each held row with a row of another answer, the attacker having asked for both."""
    labels, _ = yield held
    labels = np.array(labels)
    if len(set(labels.tolist())) < 2:
        return [(row, None, label) for row, label in zip(held, labels, strict=True)]
    return [
        (row, held[chance.choice(np.flatnonzero(labels != label))], label)
        for row, label in zip(held, labels, strict=True)
    ]


def _ask(target, row):
    labels, shares = yield fit_to(target, row[None])
    return labels[0], None if shares is None else shares[0]


def _bisect(target, row, start, label, times):
    """Halve the way between a row and one of another answer."""
    low, high = 0.0, 1.0
    for _ in range(times):
        middle = (low + high) / 2
        answer, _ = yield from _ask(target, row + middle * (start - row))
        low, high = (low, middle) if answer != label else (middle, high)
    return row + high * (start - row)


def hopskip(target: Subject, chance, held, diary):
    """B: HopSkipJump (Chen, Jordan, Wainwright 2020): bisect, estimate the normal, step."""
    for place, (row, start, label) in enumerate((yield from _starts(target, chance, held))):
        if start is None:
            continue
        found = yield from _bisect(target, row, start, label, 8)
        diary.write(place, row, found, start)
        for turn in range(8):
            width = 0.1 * np.linalg.norm((found - row) / target.spread) / (turn + 1)
            noise = chance.normal(size=(20, len(row)))
            noise /= np.linalg.norm(noise, axis=1, keepdims=True)
            signs = []
            for direction in noise:
                answer, _ = yield from _ask(target, found + width * direction * target.spread)
                signs.append(1.0 if answer != label else -1.0)
            normal = (np.array(signs) - np.mean(signs)) @ noise
            away = found + 2 * width * normal / max(np.linalg.norm(normal), 1e-9) * target.spread
            answer, _ = yield from _ask(target, away)
            if answer != label:
                found = yield from _bisect(target, row, away, label, 6)
                diary.write(place, row, found, start)


def boundary(target: Subject, chance, held, diary):
    """B: Boundary Attack (Brendel et al. 2018): a random walk along the boundary."""
    for place, (row, start, label) in enumerate((yield from _starts(target, chance, held))):
        if start is None:
            continue
        found, step = start.copy(), 0.1
        for _ in range(STEPS_A_TARGET):
            size = np.linalg.norm((found - row) / target.spread)
            aside = chance.normal(size=len(row))
            aside *= step * size / np.linalg.norm(aside)
            tried = found + aside * target.spread + step * (row - found)
            answer, _ = yield from _ask(target, tried)
            if answer != label:
                found = tried
                diary.write(place, row, found, start)
                step = min(step * 1.1, 0.3)
            else:
                step = max(step * 0.9, 0.01)


def zoo(target: Subject, chance, held, diary):
    """B: ZOO (Chen et al. 2017): coordinate differences; without scores it walks by answers."""
    for place, (row, start, label) in enumerate((yield from _starts(target, chance, held))):
        if start is None:
            continue
        found = row.copy()
        for _ in range(STEPS_A_TARGET // 2):
            column = chance.integers(len(row))
            tips = []
            for sign in (1.0, -1.0):
                tried = found.copy()
                tried[column] += sign * 0.05 * target.spread[column]
                answer, shares = yield from _ask(target, tried)
                tips.append(float(answer != label) if shares is None else 1.0 - max(shares))
                if answer != label:
                    diary.write(place, row, tried, start)
            found[column] += 0.3 * target.spread[column] * (1.0 if tips[0] >= tips[1] else -1.0)


def square(target: Subject, chance, held, diary):
    """B: Square (Andriushchenko et al. 2020): random blocks of columns pushed, best kept."""
    for place, (row, start, label) in enumerate((yield from _starts(target, chance, held))):
        if start is None:
            continue
        found, best = row.copy(), 0.0
        for _ in range(STEPS_A_TARGET // 2):
            tried = found.copy()
            many = max(1, len(row) // 4)
            columns = chance.choice(len(row), many, replace=False)
            tried[columns] = (row + chance.choice([-1.0, 1.0], len(row)) * target.spread)[columns]
            answer, shares = yield from _ask(target, tried)
            gain = float(answer != label) if shares is None else 1.0 - max(shares)
            if answer != label:
                diary.write(place, row, tried, start)
            if gain >= best:
                found, best = tried, gain


def lines(target: Subject, chance, held, diary):
    """B: bisects between its own rows, again and again: where is the boundary?"""
    pairs = yield from _starts(target, chance, held)
    for place, (row, start, label) in enumerate(pairs):
        if start is None:
            continue
        found = yield from _bisect(target, row, start, label, 12)
        diary.write(place, row, found, start)


ATTACKS = {
    "HopSkipJump": hopskip,
    "Boundary": boundary,
    "ZOO": zoo,
    "Square": square,
    "line search": lines,
}
