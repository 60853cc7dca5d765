"""Routes are found once, and the store is looked at once, without anybody noticing."""

from __future__ import annotations

import pytest

from secureml import Plugin
from secureml.testing import Harness


class Looks(Plugin):
    """Looks at the store in two phases, and writes between them where it is told to."""

    name = "looks"

    def __init__(self, config, host):
        self._store, self.seen, self.meanwhile = host.store, [], lambda: None

    def admit(self, exchange):
        self.seen.append(self._store.version("looks"))
        self.meanwhile()

    def respond(self, exchange, headers):
        self.seen.append(self._store.version("looks"))


@pytest.fixture
def core(tmp_path):
    harness = Harness(tmp_path)
    loaded = harness.load(Looks)
    app = harness.app([loaded])
    yield harness, loaded.plugin, app
    harness.store.close()


def change(harness):
    with harness.store.begin() as connection:
        harness.store.touch(connection, "looks")


def elsewhere(harness):
    """Have another process change the store."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(harness.folder / "secureml.db")) as other, other:
        other.execute(
            "INSERT INTO changes VALUES ('looks', 1) "
            "ON CONFLICT (topic) DO UPDATE SET version = version + 1"
        )


def test_all_phases_see_the_store_as_the_first_did_and_the_next_request_sees_the_change(core):
    harness, plugin, app = core
    plugin.meanwhile = lambda: elsewhere(harness)
    for _ in range(2):
        app.test_client().get("/healthz")
    assert plugin.seen == [0, 0, 1, 1]


def test_what_a_request_writes_itself_it_sees(core):
    harness, plugin, app = core
    plugin.meanwhile = lambda: change(harness)
    app.test_client().get("/healthz")
    assert plugin.seen == [0, 1]


def test_outside_a_request_the_store_is_asked_each_time(core):
    harness, _, app = core
    app.test_client().get("/healthz")
    elsewhere(harness)
    assert harness.store.version("looks") == 1
    elsewhere(harness)
    assert harness.store.version("looks") == 2


def test_a_request_that_fails_leaves_no_glance_behind(core):
    harness, plugin, app = core

    def fail():
        raise KeyError("x")

    plugin.meanwhile = fail
    assert app.test_client().get("/healthz").status_code == 500
    elsewhere(harness)
    assert harness.store.version("looks") == 1


@pytest.mark.parametrize("path", ["/v1/models/a", "/v1/models/b"])
def test_a_route_found_before_is_found_with_the_arguments_of_this_request(core, path):
    _, _, app = core
    for _ in range(2):
        with app.test_request_context(path) as context:
            assert context.request.view_args == {"model": path[-1]}
            context.request.view_args["model"] = "spoiled"


def test_what_is_not_found_is_not_remembered(core):
    _, _, app = core
    caller = app.test_client()
    before = app._find.cache_info().currsize
    for number in range(50):
        caller.get(f"/nowhere/{number}")
        caller.delete("/healthz")
    assert app._find.cache_info().currsize == before
