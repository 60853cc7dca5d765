"""Shapley values of the features of a row, by sampling permutations.

Of a function f of a row, and of rows that it is compared with (the background): the value of a
feature is the mean change of f when the feature takes the value that it has in the explained row
instead of that in a row of the background, over all orders in which the features may do so
(Shapley 1953; Strumbelj and Kononenko, "Explaining prediction models and individual predictions
with feature contributions", 2014; the interventional values of the library shap).

Of the orders a sample is taken, each together with its reverse (antithetic sampling, Mitchell et
al., JMLR 2022). Of what is additive in the features, or in pairs of them, the values are exact.
Their sum with the mean of the background is f of the row, always.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
# Asks for f of mixtures: of an array of sources, (rows, features), 0 for the explained row and
# k + 1 for the row k of the background. Returns (rows,).
Ask = Callable[[Array], Array]


class Attribution(NamedTuple):
    """``base`` is the mean of f over the background, ``value`` f of the row.

    ``parts`` are the values of the features, (features,); with ``base`` they add up to ``value``.
    """

    base: float
    value: float
    parts: Array

    def rounded(self, decimals: int | None) -> Attribution:
        """Return it to so many places; None for as it is.

        What rounding takes from the value and the base is taken from the parts first, in equal
        shares: rounded by themselves they would be a second, shifted scale for the exact value.
        """
        if decimals is None:
            return self
        base, value = round(self.base, decimals), round(self.value, decimals)
        gap = (value - base) - (self.value - self.base)
        return Attribution(base, value, np.round(self.parts + gap / len(self.parts), decimals))


@dataclass(frozen=True)
class Sampling:
    """Pairs of a row of the background, (pairs,), and an order of features, (pairs, features).

    ``inner`` are the sources of all rows but the first and the last of the way from the
    background to the row: (pairs, 2, features - 1, features), forwards and backwards.
    """

    background: Array
    orders: Array
    inner: Array

    @property
    def evaluations(self) -> int:
        """How many rows f is asked about, beside the row and the background."""
        return int(np.prod(self.inner.shape[:3]))


def sample(features: int, rows: int, evaluations: int, seed: int) -> Sampling | None:
    """Return the sampling for a background of ``rows``; None where one pair is too much.

    At most ``evaluations`` rows are asked about, and each row of the background as often as each
    other. The same seed gives the same sampling: who asks twice gets the same answer.
    """
    of_one = 2 * (features - 1)
    pairs = evaluations // max(of_one, 1)
    if pairs < 1:
        return None
    if pairs < rows:
        # Spread over the background, which may be sorted.
        background = np.unique(np.linspace(0, rows - 1, pairs).round().astype(np.intp))
    else:
        # One feature has one order: no more is learned of it by asking again.
        times = pairs // rows if features > 1 else 1
        background = np.tile(np.arange(rows), times)
    generator = np.random.default_rng(seed)
    orders = np.array([generator.permutation(features) for _ in background])
    return Sampling(background, orders, _inner(background, orders))


def _inner(background: Array, orders: Array) -> Array:
    features = orders.shape[1]
    steps = np.arange(1, features)[None, None, :, None]
    # Where each feature stands in the order, and in its reverse.
    places = np.argsort(orders, axis=1)
    both = np.stack([places, features - 1 - places], axis=1)[:, :, None, :]
    return np.where(both < steps, 0, 1 + background[:, None, None, None])


def attribute(ask: Ask, of_background: Array, sampling: Sampling) -> Attribution:
    """Return the Shapley values of a row; ``of_background`` is f of the background, (rows,)."""
    pairs, features = sampling.orders.shape
    sources = sampling.inner.reshape(-1, features)
    found = ask(np.concatenate([np.zeros((1, features), dtype=sources.dtype), sources]))
    value, inner = float(found[0]), found[1:].reshape(pairs, 2, features - 1)
    first = of_background[sampling.background]
    ways = np.concatenate(
        [
            np.broadcast_to(first[:, None, None], (pairs, 2, 1)),
            inner,
            np.full((pairs, 2, 1), value),
        ],
        axis=2,
    )
    changes = np.diff(ways, axis=2)
    parts = np.zeros(features)
    np.add.at(parts, sampling.orders, changes[:, 0])
    np.add.at(parts, sampling.orders[:, ::-1], changes[:, 1])
    return Attribution(float(first.mean()), value, parts / (2 * pairs))
