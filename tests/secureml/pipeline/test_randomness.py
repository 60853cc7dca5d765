"""Attack: let two workers draw the same noise. Whoever sees it twice can subtract it."""

from __future__ import annotations

import dataclasses
import json
import os
import random
from functools import partial

import numpy as np
import pytest

from secureml import ConfigError, Plugin
from secureml.pipeline import randomness
from secureml.pipeline.randomness import ProcessGenerator, renew_global_state
from secureml.testing import Harness

# From Python 3.12 on, a fork beside another thread is warned of; here nothing runs in one.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


def in_child(call):
    """Return what a call returns in a process that is forked here, as JSON carries it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, json.dumps(call()).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        found = json.load(said)
    assert os.waitpid(pid, 0)[1] == 0
    return found


def draws(generator):
    """Return what it gives next."""
    return generator().random(4).tolist()


def test_two_workers_draw_different_numbers_of_the_generator_that_is_lent():
    """Though it was used before the fork, as a careless constructor would."""
    lent = ProcessGenerator()
    draws(lent)
    one, two = in_child(lambda: draws(lent)), in_child(lambda: draws(lent))
    assert len({*one, *two, *draws(lent)}) == 12


def test_within_a_process_it_is_one_generator():
    lent = ProcessGenerator()
    assert lent() is lent()


def test_two_workers_draw_different_numbers_of_numpys_own_once_they_began():
    """Python gives its own a new state after a fork, NumPy does not."""

    def work():
        renew_global_state()
        return np.random.random(4).tolist()

    one, two = in_child(work), in_child(work)
    assert len({*one, *two}) == 8
    assert in_child(lambda: np.random.random(4).tolist()) == in_child(
        lambda: np.random.random(4).tolist()
    ), "else nobody would need to renew it"


def test_the_harness_lends_the_same_numbers_each_time(tmp_path):
    one = Harness(tmp_path).host("a").generator().random()
    assert Harness(tmp_path).host("b").generator().random() == one
    assert Harness(tmp_path, seed=1).host("a").generator().random() != one


@dataclasses.dataclass(slots=True)
class Inner:
    """A part of a plugin, in its own module."""

    chance: object


class Open:
    """Another, with a dictionary."""

    def __init__(self, chance):
        self._chance = chance


def keeping(made):
    """Return a plugin that keeps something from its constructor on."""

    class Noise(Plugin):
        name = "noise"

        def __init__(self, config, host):
            self._kept = made(host)

        def shape(self, exchange, result):
            return result

    return Noise


SHARED = {
    "python": lambda host: random.Random(),
    "a seed": lambda host: random.Random(7),
    "numpy": lambda host: np.random.default_rng(),
    "legacy": lambda host: np.random.RandomState(),
    "bits": lambda host: np.random.PCG64(),
    "a method": lambda host: np.random.default_rng().normal,
    "python's method": lambda host: random.Random().gauss,
    "a partial": lambda host: partial(np.random.default_rng().normal, 0, 1),
    "a list": lambda host: [1, random.Random()],
    "a table": lambda host: {"model": {"draw": np.random.default_rng()}},
    "an object with slots": lambda host: Inner(np.random.default_rng()),
    "an object": lambda host: [Open(Inner(random.Random()))],
    "the lent one, kept": lambda host: host.generator(),
}
OWN = {
    "the system's": lambda host: random.SystemRandom(),
    "its method": lambda host: random.SystemRandom().randint,
    "python's own": lambda host: random.random,
    "numpy's own": lambda host: np.random.normal,
    "what is lent": lambda host: host.generator,
    "numbers": lambda host: np.random.default_rng(0).random(3),
    "a circle": lambda host: (found := [], found.append(found))[0],
}


@pytest.mark.parametrize("kind", SHARED)
def test_a_generator_made_in_a_constructor_stops_the_start(tmp_path, kind):
    """In the harness too, so that its author sees it first."""
    with pytest.raises(ConfigError, match=r"Noise keeps a .* in self\._kept.*host\.generator\(\)"):
        Harness(tmp_path).load(keeping(SHARED[kind]))


@pytest.mark.parametrize("kind", OWN)
def test_what_each_process_has_of_its_own_is_nobodys_affair(tmp_path, kind):
    Harness(tmp_path).load(keeping(OWN[kind]))


def test_one_of_the_class_or_of_its_module_stops_the_start(tmp_path, monkeypatch):
    """Made at the import, and so before the fork as well."""
    of_class = type("Noise", (Plugin,), {"name": "noise", "_dice": random.Random()})
    with pytest.raises(ConfigError, match=r"Noise\._dice"):
        Harness(tmp_path).load(of_class)
    monkeypatch.setitem(globals(), "DICE", np.random.default_rng())
    with pytest.raises(ConfigError, match=r"DICE"):
        Harness(tmp_path).load(keeping(OWN["numbers"]))


def test_it_is_looked_for_no_deeper_than_a_plugin_would_hide_it(tmp_path):
    deep = value = []
    for _ in range(40):
        value.append([])
        value = value[0]
    value.append(random.Random())
    Harness(tmp_path).load(keeping(lambda host: deep))
    assert randomness._DEEPEST < 40
