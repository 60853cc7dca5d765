"""The detectors and sums against a reference in plain Python, one row and one number at a time.

It takes distances, quantile bins and fingerprints from `feature_space`, which other tests hold.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from plugins.theft_guard.batch import QueryBatch, row_digests
from plugins.theft_guard.binning import Binner
from plugins.theft_guard.client_state import RECORD, ClientState
from plugins.theft_guard.cusum import advance
from plugins.theft_guard.detectors import ATTACKER, BINS, CUSTOMER, DETECTORS
from plugins.theft_guard.neighbours import CHUNK

CAP = 60.0


class Reference:
    """One subject: all its rows are kept in lists, and looked through from the beginning."""

    def __init__(self, space):
        self.space, self.profile = space, space.profile
        self.rows, self.labels, self.sent, self.table = [], [], {}, {}
        self.sums = dict.fromkeys(DETECTORS, 0.0)
        self.counts = {name: [0] * BINS for name in DETECTORS}
        self.decayed = {name: [0.0] * BINS for name in DETECTORS}
        self.mean, self.judged = None, 0

    def ask(self, rows, digests, margins, labels):
        """Judge a request in pieces of CHUNK."""
        for first in range(0, len(rows), CHUNK):
            here = range(first, min(first + CHUNK, len(rows)))
            centre = self.mean if len(self.rows) >= 30 else None
            new = []
            for place in here:
                known = self.sent.setdefault((digests[place] >> 20) % 1024, [])
                if digests[place] not in known:
                    known[:] = [digests[place], *known[:3]]
                    new.append(place)
            for place in new:
                self.one(rows[place : place + 1], margins[place], labels[place], centre)
            self.drift(len(new))

    def one(self, row, margin, label, centre):
        encoded = self.space.encode(row)
        found = self.alone(row, encoded, margin, centre)
        found |= self.compared(encoded, label)
        self.rows.append(encoded[0].astype(np.float32).astype(float))
        self.labels.append(label)
        self.add(found)

    def alone(self, row, encoded, margin, centre):
        profile, bins = self.profile, self.space.bins(row, encoded)[0].tolist()
        median, (most, almost) = profile.mahalanobis[2], profile.mahalanobis[4:6]
        edges = (most, almost, 2 * almost - median)
        found, (strange, rayleigh) = {}, (float(v[0]) for v in self.space.mahalanobis(encoded))
        tame = beyond(-strange, (-profile.mahalanobis[1], -profile.mahalanobis[0]))
        found["mahalanobis"] = beyond(strange, edges)
        found["rayleigh"] = beyond(rayleigh, profile.rayleigh)
        if centre is not None:
            moved, rayleigh_quotient = (
                float(v[0]) for v in self.space.mahalanobis(encoded, centre)
            )
            if found["mahalanobis"] or found["rayleigh"]:
                found["mahalanobis"] = min(found["mahalanobis"], beyond(moved, edges))
                found["rayleigh"] = min(
                    found["rayleigh"], beyond(rayleigh_quotient, profile.rayleigh)
                )
        outer = sum(b in (0, 7) for b in bins) / len(bins)
        inner = sum(b in (3, 4) for b in bins) / len(bins)
        found["tails"] = beyond(outer - 1e-7, profile.tails[2:])
        found["central"] = max(tame, beyond(inner - 1e-7, profile.central[2:]))
        found["boundary"] = 2 - beyond(margin, (profile.margins[0], profile.margins[2]))
        return found

    def compared(self, encoded, label):
        found, met = {}, 0
        for band, mark in enumerate(self.space.bands(encoded)[0].tolist()):
            met = met or int(self.table.get((band, mark % 1024)) == mark)
            self.table[band, mark % 1024] = mark
        if self.profile.collisions < 0.02:
            found["fingerprints"] = met
        row = encoded[0].astype(np.float32).astype(float)
        gaps = [math.dist(row, other) for other in self.rows[-128:]]
        if not gaps:
            return found
        place = gaps.index(min(gaps))
        other, answer = self.rows[-128:][place], self.labels[-128:][place]
        close = 2 - beyond(gaps[place], (self.profile.nearest[0], self.profile.nearest[2]))
        few = min(self.profile.changed * 0.5, 0.34) * len(row)
        if few > 0 and sum(abs(row - other) > 1e-6) <= few:
            close = max(close, 1)
        found |= {"nearest": close, "label_flip": int(close > 0 and answer != label)}
        step = self.space.step((row - other)[None])[1]
        edges = (self.profile.step[0], self.profile.step[2])
        short = gaps[place] < self.profile.nearest[4]
        found["step"] = beyond(float(step[0]), edges) if short else 0
        alike = [g for g, a in zip(gaps, self.labels[-128:], strict=True) if a == label]
        if alike:
            found["prada"] = beyond(min(alike), self.profile.class_distances[label])
        return found

    def drift(self, many):
        kept = len(self.rows)
        if many:
            middle = np.mean(self.rows[-many:], axis=0)
            weight = max(many / kept, 1 - 0.98**many)
            self.mean = middle * weight + (0 if self.mean is None else self.mean * (1 - weight))

    def add(self, found):
        if self.judged % 8 == 0:
            self.steps = {name: step(name, self.decayed[name]) for name in DETECTORS}
        self.judged += 1
        for name in DETECTORS:
            self.decayed[name] = [0.98 * count for count in self.decayed[name]]
            if name in found:
                self.decayed[name][found[name]] += 1
                self.counts[name][found[name]] += 1
                total = self.sums[name] + self.steps[name][found[name]]
                self.sums[name] = min(max(total, 0.0), CAP)


def beyond(value, edges):
    return sum(value > edge for edge in edges)


def step(name, decayed):
    """Return what each bin adds: the logarithm of what is guessed over what is usual."""
    usual, attack = CUSTOMER[name], ATTACKER[name]
    seen = decayed[: len(usual)]
    own = [(8 * a + n) / (8 + sum(decayed)) for a, n in zip(attack, seen, strict=True)]
    if len(usual) < BINS:
        own = [max(o, u) for o, u in zip(own, usual, strict=True)]
        own[0] = max(1 - sum(own[1:]), 1e-3)
        own = [o / sum(own) for o in own]
    return [math.log((a + o) / 2 / u) for a, o, u in zip(attack, own, usual, strict=True)]


def traffic(target, chance):
    """Yield requests of 1 to 150 rows: real, repeated, near copies, noise, and mixtures."""
    real = target.fresh
    for _ in range(40):
        many = int(chance.choice([1, 1, 1, 2, 7, 40, 128, 129, 150]))
        rows = real[chance.integers(len(real), size=many)].copy()
        noise = chance.normal(0, 1, rows.shape) * target.spread
        kind = chance.integers(5, size=(many, 1))
        rows += np.select([kind == 1, kind == 2, kind == 3], [0.01 * noise, 0.3 * noise, noise], 0)
        one_column = (kind == 4) * (np.arange(rows.shape[1]) == chance.integers(rows.shape[1]))
        yield rows + one_column * noise


@pytest.mark.parametrize("seed", range(6))
def test_the_plugin_and_the_reference_count_the_same_and_their_sums_agree(target, space, seed):
    chance = np.random.default_rng(seed)
    binner, state, slow = (
        Binner(space),
        ClientState(np.zeros(1, RECORD)),
        Reference(space),
    )
    for rows in traffic(target, chance):
        labels = chance.integers(2, size=len(rows))
        margins = chance.uniform(size=len(rows)) ** 3
        queries = QueryBatch(rows, margins, labels, row_digests(rows, b"key"))
        slow.ask(rows, queries.digests, margins, labels.tolist())
        for first in range(0, len(rows), CHUNK):
            piece = queries.part(range(first, min(first + CHUNK, len(rows))))
            found = binner.bin_rows(piece, state)
            if len(found):
                advance(state, found, CAP)

    assert len(slow.rows) > 200
    counted = {name: state.counts[place][:BINS].tolist() for place, name in enumerate(DETECTORS)}
    assert counted == slow.counts
    assert state.record["sums"].tolist() == pytest.approx(list(slow.sums.values()), abs=1e-3)
    assert int(state.record["judged"]) == slow.judged == len(slow.rows)


def test_the_reference_would_notice_an_increment_that_is_off(target):
    """Its own name: whoever turns a share over must not stay unseen."""
    assert step("nearest", [0.0] * BINS) != step("nearest", [0.0, 50.0, *[0.0] * (BINS - 2)])
    assert step("rayleigh", [0.0] * BINS)[-1] > 1 > 0 > step("rayleigh", [0.0] * BINS)[0]
