"""An outline says of an app what the app does."""

from __future__ import annotations

import pytest
from flask import Blueprint, Flask

from secureml import Kind, Plugin, public, requires
from secureml.kit.description import describe_app
from secureml.testing import Harness


class Token(Plugin):
    """Reads one header."""

    name = "token"
    credential_header = "Authorization"
    problems = (Kind("token.odd", 403, "Odd"),)

    def identify(self, exchange):
        """Name nobody."""


class Everyone(Plugin):
    """Needs no header."""

    name = "everyone"

    def identify(self, exchange):
        """Name nobody either."""


@pytest.fixture
def found(tmp_path):
    """The outline of a small app."""
    harness = Harness(tmp_path)
    views = Blueprint("shop", __name__)

    @views.get("/shop/<int:number>/<name>", endpoint="item")
    @requires("buy")
    def item(number, name):
        """Show an item.

        With more to say.
        """

    views.post("/shop", endpoint="sell")(public()(lambda: {"sold": 1}))
    loaded = [harness.load(plugin) for plugin in (Token, Everyone)]
    return describe_app(harness.app(loaded, [views]))


def test_a_route_is_its_path_methods_arguments_policy_and_first_words(found):
    """HEAD is GET without its body."""
    (route,) = [route for route in found.routes if route.endpoint == "shop.item"]
    assert route.path == "/shop/{number}/{name}"
    assert (route.methods, route.arguments) == (("GET",), ("name", "number"))
    assert (route.policy.scope, route.summary) == ("buy", "Show an item")


def test_routes_stand_in_order_and_none_is_left_out(found):
    """The core's as well."""
    paths = [route.path for route in found.routes]
    assert paths == sorted(paths)
    assert {"/healthz", "/shop", "/v1/models/{model}/predict"} <= set(paths)


def test_credentials_and_refusals_are_those_of_the_plugins(found):
    """And whether one may come without any."""
    assert found.credential_headers == ("Authorization",)
    assert found.open_to_all
    assert "token.odd" in {kind.code for kind in found.problems}


def test_an_app_without_a_pipeline_has_none():
    """It is not ours."""
    with pytest.raises(KeyError):
        describe_app(Flask("other", static_folder=None))


def test_a_connection_is_a_credential_and_not_an_open_phase(tmp_path):
    """Who has a certificate is not everybody."""
    by_it = type("ByIt", (Everyone,), {"name": "by_it", "identifies_by_connection": True})
    harness = Harness(tmp_path)
    found = describe_app(harness.app([harness.load(each) for each in (Token, by_it)], []))
    assert not found.open_to_all
    assert found.identifies_by_connection
    assert found.credential_headers == ("Authorization",)
