"""What plugin authors test with is the real thing, but for the clock."""

from __future__ import annotations

import sys
import threading

import pytest
from flask import Blueprint

from plugins.anonymous.plugin import Anonymous
from plugins.scopes.plugin import Scopes
from secureml import ConfigError, Plugin, Problem, public
from secureml.testing import START, Clock, Harness


class Ban(Plugin):
    """Keeps one address out."""

    name = "ban"

    def admit(self, exchange):
        if exchange.client_address == "192.0.2.7":
            raise Problem("forbidden", reason="ban.address")


class Tired(Plugin):
    """Is never ready, and has a route."""

    name = "tired"

    def ready(self):
        return "tired"

    def blueprint(self):
        found = Blueprint("tired", __name__)
        found.get("/nap")(public()(lambda: {"for": "an hour"}))
        return found


@pytest.fixture
def harness(tmp_path):
    made = Harness(tmp_path)
    yield made
    made.close()


class Busy(Plugin):
    """Has a thread until it is closed."""

    name = "busy"

    def __init__(self, config, host):
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.ended.wait)

    def admit(self, exchange):
        self.thread.start()

    def close(self):
        self.ended.set()


def test_what_the_plugins_of_a_harness_have_begun_ends_with_it(tmp_path):
    harness = Harness(tmp_path)
    one, other = harness.build(Busy), harness.load(Busy).plugin
    harness.build(Ban)  # has nothing to close
    for plugin in (one, other):
        plugin.admit(harness.exchange())
    harness.close()
    for plugin in (one, other):
        plugin.thread.join(10)
        assert not plugin.thread.is_alive()
    assert harness.store.version("clients") is not None  # opened again
    harness.close()


def test_the_clock_stands_until_it_is_told():
    clock = Clock()
    assert clock() == clock() == START
    clock.advance(1.5)
    assert clock() == START + 1.5


def test_a_plugin_is_asked_directly(harness):
    ban = harness.build(Ban)
    assert ban.admit(harness.exchange("GET", "/healthz", address="192.0.2.8")) is None
    with pytest.raises(Problem):
        ban.admit(harness.exchange("GET", "/healthz", address="192.0.2.7"))


def test_an_exchange_is_a_request_of_ones_own(harness):
    exchange = harness.exchange("POST", "/x", json={"a": 1}, headers={"X-A": "b"})
    assert (exchange.request.method, exchange.request.path) == ("POST", "/x")
    assert (exchange.request.json, exchange.request.headers["X-A"]) == ({"a": 1}, "b")
    assert exchange.started == START


def test_what_is_lent_is_what_the_core_lends(harness, tmp_path):
    host = harness.host("ban")
    assert (host.name, host.folder, host.instance) == ("ban", tmp_path / "ban", tmp_path)
    assert (host.store, host.clients, host.now()) == (harness.store, harness.clients, START)
    assert host.signing is harness.signing


def test_shape_and_table_are_checked_as_at_the_start(harness):
    class Misspelt(Ban):
        def authorise(self, exchange):
            """Stand nowhere."""

    with pytest.raises(ConfigError, match="did you mean 'authorize'"):
        harness.build(Misspelt)
    with pytest.raises(ConfigError, match=r"\[plugins.ban\] adress"):
        harness.build(Ban, {"adress": 1})


def test_the_pipeline_is_the_real_one(harness):
    loaded = [harness.load(cls) for cls in (Anonymous, Scopes, Tired)]
    extra = Blueprint("extra", __name__)
    extra.get("/extra")(public()(lambda: {"extra": True}))
    caller = harness.app(loaded, [extra], new_id=lambda: "f" * 32).test_client()
    assert caller.get("/v1/models").json == {"models": []}
    assert caller.get("/nap").json == {"for": "an hour"}
    assert caller.get("/extra").json == {"extra": True}
    assert caller.get("/readyz").json == {"status": "not_ready", "reasons": ["tired"]}
    missing = caller.get("/nowhere")
    assert (missing.status_code, missing.json["id"]) == (404, "f" * 32)


def test_a_route_without_a_policy_is_refused_here_too(harness):
    bare = Blueprint("bare", __name__)
    bare.get("/bare")(dict)
    with pytest.raises(ConfigError, match="/bare"):
        harness.app([harness.load(Anonymous), harness.load(Scopes)], [bare])


def test_the_module_needs_no_test_library():
    """Plugin authors choose their own."""
    assert "pytest" not in vars(sys.modules["secureml.testing"])
