"""CUSUM: how strong the evidence is that the rows of a subject are not a customer's.

Each detector has a sum of log likelihood ratios, in nats, that never falls below zero (CUSUM,
Page, Biometrika 1954). The customer's side of each ratio is a bound and not a guess: a share that
no customer's rows exceed by the card, with room. Under it e to the sum grows by at most one a row
on average, so a sum passes h once in e**h rows at the earliest (Lorden 1971; Shin, Ramdas,
Rinaldo, "E-detectors", arXiv 2203.03532, also for the mean of several, which ``score`` is).
"""

from __future__ import annotations

import math
from array import array
from typing import Any

import numpy as np

from .client_state import ClientState
from .detectors import ATTACKER, BINS, CUSTOMER, DETECTORS

Numbers = np.ndarray[Any, Any]
Sums = Numbers | memoryview
Bins = Numbers | list[list[int]]

_DECAY = 0.98  # a row: what came fifty rows ago weighs a third
_REFRESH = 8  # rows between two estimates of what this subject itself is like
_PRIOR = 8.0  # rows of its own before a subject's shares outweigh the attacker's above


def _table(shares: dict[str, tuple[float, ...]], filler: float) -> Numbers:
    rows = [[*shares[name], *[filler] * (BINS - len(shares[name]))] for name in DETECTORS]
    return np.array(rows)


_CUSTOMER, _ATTACKER = _table(CUSTOMER, 1.0), _table(ATTACKER, 0.0)
_HAS_USUAL_BIN = np.array([len(CUSTOMER[name]) < BINS for name in DETECTORS])[:, None]
_ALL = np.arange(len(DETECTORS))
_PRIOR_ROWS, _HALF = _ATTACKER * _PRIOR, 0.5 * _ATTACKER
_FLOOR = np.where(_CUSTOMER < 1.0, _CUSTOMER, 0.0)


def increments(decayed: Numbers) -> Numbers:
    """Return the log likelihood ratio of each bin, (..., detectors, BINS + 1), in nats.

    ``decayed``, (..., detectors, BINS), counts the subject's rows by bin, older ones weighing
    less. The last bin returned is for detectors that say nothing, and adds 0.

    The attacker's side of the ratio is half of what attackers do and half of what this subject
    did so far, estimated before a row is seen: that keeps the ratio an e-value.
    """
    total = np.add.reduce(decayed, axis=-1)[..., None]
    own = (_PRIOR_ROWS + decayed) / (_PRIOR + total)
    # Fewer suspicious rows than a customer may send are no evidence of anything.
    suspect = np.maximum(own, _FLOOR)
    rest = 1.0 - np.add.reduce(suspect[..., 1:], axis=-1)
    suspect[..., 0] = np.maximum(rest, 1e-3)
    suspect /= np.add.reduce(suspect, axis=-1)[..., None]
    guess = _HALF + 0.5 * np.where(_HAS_USUAL_BIN, suspect, own)
    table = np.zeros((*decayed.shape[:-1], BINS + 1))
    np.log(guess / _CUSTOMER, out=table[..., :BINS], where=guess > 0)
    return table


def advance(state: ClientState, bins: Bins, cap: float) -> None:
    """Add the increments of some rows, (rows, detectors) bins, to the sums; none exceeds ``cap``.

    A batch ends where its rows, one after another, would have ended.
    """
    judged = state.values["judged"][0]
    if len(bins) == 1:
        _advance_one(state, list(bins[0]), judged, cap)
    else:
        _advance_many(state, np.asarray(bins, dtype=np.intp), judged, cap)
    state.values["judged"][0] = judged + len(bins)


def _advance_one(state: ClientState, bins: list[int], judged: int, cap: float) -> None:
    if judged % _REFRESH == 0:
        state.increments[...] = increments(state.decayed[:, :BINS])
    state.decayed *= _DECAY
    step, sums, counts, decayed = (
        state.increment_view, state.sum_view, state.count_view, state.decayed_view,
    )  # fmt: skip
    for detector, index in enumerate(bins):
        total = sums[detector] + step[detector, index]
        # Also where a damaged record holds no number: that is no evidence.
        sums[detector] = min(cap, total) if total > 0.0 else 0.0
        # Written over at 2**32, and nothing depends on it but what `show` prints.
        counts[detector, index] = (counts[detector, index] + 1) & 0xFFFFFFFF
        decayed[detector, index] += 1.0


def _advance_many(state: ClientState, bins: Numbers, judged: int, cap: float) -> None:
    rows, order = len(bins), np.arange(len(bins))
    one_hot = np.zeros((rows, len(DETECTORS), BINS + 1))
    one_hot[order[:, None], _ALL, bins] = 1.0
    state.counts += one_hot.sum(axis=0).astype(np.uint32)
    # The decayed counts whenever increments are estimated anew, and at the end.
    refreshes = np.arange(-judged % _REFRESH, rows, _REFRESH)
    times = np.append(refreshes, rows)
    age = times[:, None] - 1 - order
    weights = np.where(age < 0, 0.0, _DECAY ** np.maximum(age, 0))
    then = (weights @ one_hot.reshape(rows, -1)).reshape(-1, *state.decayed.shape)
    then += (_DECAY**times)[:, None, None] * state.decayed
    tables = np.concatenate([state.increments[None], increments(then[:-1, :, :BINS])])
    added = tables[refreshes.searchsorted(order, "right")[:, None], _ALL, bins]
    sums = state.sum_view.tolist()
    for row in added.tolist():
        sums = [
            min(cap, total) if (total := was + more) > 0.0 else 0.0
            for was, more in zip(sums, row, strict=False)
        ]
    state.sum_view[:] = array("d", sums)
    state.decayed[...], state.increments[...] = then[-1], tables[-1]


def score(sums: Sums) -> float:
    """Return one number for all detectors, in nats: the logarithm of the mean of e to each sum."""
    values = sums.tolist()
    top = max(values)
    return float(top + math.log(sum(math.exp(value - top) for value in values) / len(values)))


def reasons(sums: Numbers, at_least: float) -> list[str]:
    """Return the names of the detectors whose sum is at least so high, the highest first."""
    order = np.argsort(-sums)
    return [DETECTORS[index] for index in order if sums[index] >= at_least]
