"""Puts each row into one bin of each of ten detectors, by the card's quantiles.

Every bin is a question with a known answer for customers, because the signed card has measured
it: at most the shares in ``CUSTOMER`` of their rows fall into the suspicious bins, with room to
spare for customers whose rows are not a fair sample. A row sent twice teaches nothing and is not
judged at all.

Sources: ``mahalanobis`` (Mahalanobis 1936); ``boundary`` by the margin between the best two
answers (HODA: Sadeghzadeh et al., arXiv 2106.11424); ``rayleigh`` is a Rayleigh quotient: noise
goes in all directions alike, rows go in those in which their columns vary together, and that
shows however small the noise is. The detectors that compare rows are in `neighbours`.

A single row is judged with Python's numbers and a batch with NumPy's tables: a table of one row
costs forty calls for nothing. Both agree, which tests/plugins/theft_guard holds them to.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any

import numpy as np

from .batch import EncodedBatch, QueryBatch
from .client_state import ClientState
from .cusum import Bins
from .detectors import BOUNDARY, CENTRAL, DETECTORS, MAHALANOBIS, RAYLEIGH, TAILS
from .feature_space import FeatureSpace
from .neighbours import Neighbours

Numbers = np.ndarray[Any, Any]

# What a quantile bin counts for: 1 beyond the outer edges, 2**16 between the quartiles.
_BIN_WEIGHTS = np.array([1, 0, 0, 1 << 16, 1 << 16, 0, 0, 1])
_NO_ROWS = np.zeros((0, len(DETECTORS)), dtype=np.int8)


class Binner:
    """The card's thresholds, and how rows are put into bins by them."""

    def __init__(self, space: FeatureSpace) -> None:
        profile = space.profile
        self._space, self.width = space, space.width
        least, less, usual, _, most, almost, _ = profile.mahalanobis
        # Beyond what almost no row of the table reached when it was held out.
        self._mahalanobis = (most, almost, almost + (almost - usual))
        self._mahalanobis_low, self._rayleigh = (least, less), profile.rayleigh
        self._tails = tuple(share * profile.columns + 1e-6 for share in profile.tails[2:4])
        self._central = tuple(share * profile.columns + 1e-6 for share in profile.central[2:4])
        self._margins = None if profile.margins is None else profile.margins[0:3:2]
        self._neighbours = Neighbours(space)
        self._classes = len(profile.class_distances)

    def bin_rows(self, queries: QueryBatch, state: ClientState) -> Bins:
        """Return (new rows, detectors) bins, -1 where a detector says nothing; ``state`` learns.

        At most `neighbours.CHUNK` rows; of a single one its bins are a list in a list.
        """
        if len(queries) == 1:
            return self._bin_one(queries, state) if state.is_new(queries.digests[0]) else _NO_ROWS
        fresh = [row for row, digest in enumerate(queries.digests) if state.is_new(digest)]
        if not fresh:
            return _NO_ROWS
        queries = queries if len(fresh) == len(queries) else queries.part(fresh)
        batch = self._encode(queries)
        found = self._bin_independent(batch, queries.margins)
        self._recentre(found, batch, state.centre(self.width))
        self._neighbours.compare(batch, state, found)
        state.keep(batch.rows, batch.labels, batch.bins)
        return found

    def _bin_one(self, queries: QueryBatch, state: ClientState) -> list[list[int]]:
        batch = self._encode(queries)
        found = self._bin_independent_one(batch, queries.margins)
        if found[MAHALANOBIS] > 0 or found[RAYLEIGH] > 0:
            self._recentre_one(found, batch, state.centre(self.width))
        self._neighbours.compare_one(batch, state, found)
        state.keep(batch.rows, batch.labels, batch.bins)
        return [found]

    def _encode(self, queries: QueryBatch) -> EncodedBatch:
        encoded = self._space.encode(queries.rows)
        in_card = len(queries) == 1 and queries.labels[0] < self._classes
        return EncodedBatch(
            rows=encoded,
            bins=self._space.bins(queries.rows, encoded),
            bands=self._space.bands(encoded).tolist(),
            labels=queries.labels if in_card else np.minimum(queries.labels, self._classes - 1),
        )

    def _bin_independent_one(self, batch: EncodedBatch, margins: Numbers | None) -> list[int]:
        mahalanobis, rayleigh = self._space.mahalanobis_one(batch.rows[0])
        row_bins, found = batch.bins.tobytes(), [-1] * len(DETECTORS)
        central = bisect_left(self._central, row_bins.count(3) + row_bins.count(4))
        found[MAHALANOBIS] = bisect_left(self._mahalanobis, mahalanobis)
        found[TAILS] = bisect_left(self._tails, row_bins.count(0) + row_bins.count(7))
        found[CENTRAL] = max(2 - bisect_right(self._mahalanobis_low, mahalanobis), central)
        if margins is not None and self._margins is not None:
            found[BOUNDARY] = 2 - bisect_left(self._margins, float(margins[0]))
        found[RAYLEIGH] = bisect_left(self._rayleigh, rayleigh)
        return found

    def _bin_independent(self, batch: EncodedBatch, margins: Numbers | None) -> Numbers:
        mahalanobis, rayleigh = self._space.mahalanobis(batch.rows)
        ends = np.add.reduce(_BIN_WEIGHTS.take(batch.bins), axis=1)
        found = np.full((len(batch), len(DETECTORS)), -1, dtype=np.int8)
        found[:, MAHALANOBIS] = np.searchsorted(self._mahalanobis, mahalanobis)
        found[:, TAILS] = np.searchsorted(self._tails, ends & 0xFFFF)
        found[:, CENTRAL] = np.maximum(
            2 - np.searchsorted(self._mahalanobis_low, mahalanobis, "right"),
            np.searchsorted(self._central, ends >> 16),
        )
        if margins is not None and self._margins is not None:
            found[:, BOUNDARY] = 2 - np.searchsorted(self._margins, margins)
        found[:, RAYLEIGH] = np.searchsorted(self._rayleigh, rayleigh)
        return found

    def _recentre_one(self, found: list[int], batch: EncodedBatch, centre: Numbers | None) -> None:
        """Measure a row again from the mean of the subject's own rows; the lower bin counts.

        Where all have moved one way, that is drift: a sensor, a season. An attacker's rows are
        odd in all directions.
        """
        if centre is None:
            return
        mahalanobis, rayleigh = self._space.mahalanobis_one(batch.rows[0], centre)
        found[MAHALANOBIS] = min(found[MAHALANOBIS], bisect_left(self._mahalanobis, mahalanobis))
        found[RAYLEIGH] = min(found[RAYLEIGH], bisect_left(self._rayleigh, rayleigh))

    def _recentre(self, found: Numbers, batch: EncodedBatch, centre: Numbers | None) -> None:
        odd = (found[:, MAHALANOBIS] > 0) | (found[:, RAYLEIGH] > 0)
        if centre is None or not odd.any():
            return
        mahalanobis, rayleigh = self._space.mahalanobis(batch.rows[odd], centre)
        _lower(found, MAHALANOBIS, odd, np.searchsorted(self._mahalanobis, mahalanobis))
        _lower(found, RAYLEIGH, odd, np.searchsorted(self._rayleigh, rayleigh))


def _lower(found: Numbers, detector: int, rows: Numbers, bins: Numbers) -> None:
    found[rows, detector] = np.minimum(found[rows, detector], bins)
