"""Windows of ordinary customers and of attackers, drawn from a generator that is passed in."""

from __future__ import annotations

import numpy as np

from plugins.anomaly.baseline import learn
from plugins.anomaly.window import Fact, Window

PREDICT = "/v1/models/breast-cancer/predict"
SIZE = 500  # bytes of one row


def window(facts):
    """Return one window of facts."""
    made = Window()
    for fact in facts:
        made.add(fact)
    return made


def asked(dice, *, rows=1, status=200, path=PREDICT, labels=None, size=None, flagged=False):
    """Return one request."""
    if labels is None:
        labels = dice.choice([0, 1], p=[0.37, 0.63], size=rows).tolist() if status == 200 else []
    sent = size if size is not None else int(rows * SIZE + dice.integers(0, 40))
    return Fact(status, path, rows if status == 200 else 0, sent, flagged, labels)


def customer(dice):
    """A minute of somebody who uses the service: single rows or batches, now and then a slip."""
    rows = int(dice.choice([1, 1, 1, 10, 50]))
    count = int(dice.integers(10, 120))
    facts = [asked(dice, rows=rows) for _ in range(count)]
    facts += [asked(dice, status=422, size=300) for _ in range(int(dice.poisson(0.3)))]
    if dice.random() < 0.3:
        facts.append(asked(dice, path="/v1/models", size=0, labels=[]))
    return window(facts)


def scanner(dice):
    """Looks for what there might be."""
    return window(
        asked(dice, status=404, path=f"/{word}.php", size=0) for word in dice.integers(0, 999, 60)
    )


def key_guesser(dice):
    """Tries one key after the other."""
    return window(asked(dice, status=401) for _ in range(200))


def fuzzer(dice):
    """Sends what does not fit."""
    sizes = dice.integers(1, 5000, 150).tolist()
    return window(asked(dice, status=422, size=size) for size in sizes)


def flooder(dice):
    """Asks far more often than anybody."""
    return window(asked(dice) for _ in range(20_000))


def prober(dice):
    """Gets one answer only, from inputs a rule finds odd."""
    return window(asked(dice, labels=[1], flagged=True) for _ in range(100))


def hoarder(dice):
    """Takes everything at once."""
    return window(asked(dice, rows=9000, labels=[0, 1] * 16) for _ in range(80))


def crasher(dice):
    """Makes the server fail."""
    return window([asked(dice, status=500) for _ in range(20)])


ATTACKERS = (scanner, key_guesser, fuzzer, flooder, prober, hoarder, crasher)


def vectors(dice, count):
    """Return windows of customers as they are judged."""
    return [customer(dice).features() for _ in range(count)]


def trained(count=1500, *, seed=1, false_alarms=0.001, made=0.0):
    """Return what a site with such customers has learned."""
    dice = np.random.default_rng(seed)
    return learn(vectors(dice, count), made=made, false_alarms=false_alarms)
