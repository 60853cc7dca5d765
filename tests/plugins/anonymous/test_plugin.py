"""Anonymous: running open takes a word, and that word says how far open."""

from __future__ import annotations

import pytest
from flask import Blueprint

from plugins.anonymous.plugin import Anonymous
from plugins.scopes.plugin import Scopes
from secureml import ConfigError, Plugin, Principal, requires
from secureml.testing import Harness


@pytest.fixture
def harness(tmp_path):
    """A folder with a real store."""
    return Harness(tmp_path)


def test_everyone_is_the_same_caller(harness):
    """No credential, no tier of anyone else, whatever the request carries."""
    anonymous = harness.build(Anonymous)

    one = anonymous.identify(harness.exchange("GET", "/"))
    two = anonymous.identify(harness.exchange("POST", "/x", headers={"X-API-Key": "sml_abc"}))

    assert (
        one
        == two
        == Principal(
            client="anonymous",
            subject="anonymous",
            scopes=frozenset({"predict", "models:read"}),
            models=frozenset({"*"}),
            tier="anonymous",
            method="anonymous",
            credential="",
        )
    )


def test_its_rights_are_the_tables(harness):
    """Open need not mean open for everything."""
    principal = harness.build(Anonymous, {"scopes": ["models:read"], "models": ["iris"]}).identify(
        harness.exchange()
    )

    assert principal.scopes == {"models:read"}
    assert principal.may_use("iris")
    assert not principal.may_use("breast-cancer")


def test_defaults_are_nobody_elses(harness):
    """Two tables do not share one list."""
    first, second = Anonymous.schema().load({}), Anonymous.schema().load({})

    assert first["scopes"] is not second["scopes"]
    assert first["models"] is not second["models"]


@pytest.mark.parametrize(
    "table",
    [
        {"scopes": "predict"},
        {"scopes": ["Predict all"]},
        {"scopes": [1]},
        {"models": "*"},
        {"model": ["iris"]},
        {"mode": "observe"},
    ],
)
def test_a_table_that_says_anything_else_stops_the_start(harness, table):
    """A misspelt limit would be no limit."""
    with pytest.raises(ConfigError, match=r"^\[plugins\.anonymous\] "):
        harness.build(Anonymous, table)


def test_it_names_only_whom_no_plugin_before_it_named(harness):
    """Put last in the list, it leaves real callers what they are."""
    known = Principal("alice", "alice", frozenset({"admin"}), frozenset({"*"}), "gold", "b", "b1")

    class Badge(Plugin):
        name = "badge"

        def identify(self, exchange):
            return known if exchange.request.headers.get("X-Badge") else None

    views = Blueprint("test", __name__)

    @views.get("/admin")
    @requires("admin")
    def admin():
        return {"ok": True}

    app = harness.app([harness.load(cls) for cls in (Badge, Anonymous, Scopes)], [views])

    assert app.test_client().get("/admin", headers={"X-Badge": "b"}).status_code == 200
    assert app.test_client().get("/admin").status_code == 403
