"""Windows of ordinary customers and of attackers, drawn from a generator that is passed in."""

from __future__ import annotations

import numpy as np

from plugins.anomaly.baseline import train
from plugins.anomaly.window import Observation, Window

PREDICT = "/v1/models/breast-cancer/predict"
SIZE = 500  # bytes of one row


def window(observations):
    """Return one window of observations."""
    found = Window()
    for observation in observations:
        found.add(observation)
    return found


def request(rng, *, rows=1, status=200, path=PREDICT, labels=None, size=None, flagged=False):
    """Return one request."""
    if labels is None:
        labels = rng.choice([0, 1], p=[0.37, 0.63], size=rows).tolist() if status == 200 else []
    sent = size if size is not None else int(rows * SIZE + rng.integers(0, 40))
    return Observation(status, path, rows if status == 200 else 0, sent, flagged, labels)


def customer(rng):
    """A minute of somebody who uses the service: single rows or batches, now and then a slip."""
    rows = int(rng.choice([1, 1, 1, 10, 50]))
    count = int(rng.integers(10, 120))
    observations = [request(rng, rows=rows) for _ in range(count)]
    observations += [request(rng, status=422, size=300) for _ in range(int(rng.poisson(0.3)))]
    if rng.random() < 0.3:
        observations.append(request(rng, path="/v1/models", size=0, labels=[]))
    return window(observations)


def scanner(rng):
    """Looks for routes that there might be."""
    return window(
        request(rng, status=404, path=f"/{word}.php", size=0) for word in rng.integers(0, 999, 60)
    )


def key_guesser(rng):
    """Tries one key after the other."""
    return window(request(rng, status=401) for _ in range(200))


def fuzzer(rng):
    """Sends what does not fit."""
    sizes = rng.integers(1, 5000, 150).tolist()
    return window(request(rng, status=422, size=size) for size in sizes)


def flooder(rng):
    """Asks far more often than anybody."""
    return window(request(rng) for _ in range(20_000))


def prober(rng):
    """Gets one answer only, from inputs a rule finds odd."""
    return window(request(rng, labels=[1], flagged=True) for _ in range(100))


def hoarder(rng):
    """Sends all its rows at once."""
    return window(request(rng, rows=9000, labels=[0, 1] * 16) for _ in range(80))


def crasher(rng):
    """Makes the server fail."""
    return window([request(rng, status=500) for _ in range(20)])


ATTACKERS = (scanner, key_guesser, fuzzer, flooder, prober, hoarder, crasher)


def vectors(rng, count):
    """Return the features of customers' windows."""
    return [customer(rng).features() for _ in range(count)]


def trained(count=1500, *, seed=1, false_alarms=0.001, trained_at=0.0):
    """Return the baseline of a site with such customers."""
    rng = np.random.default_rng(seed)
    return train(vectors(rng, count), trained_at=trained_at, false_alarms=false_alarms)
