"""Two models' cards and a caller, for descriptions."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from plugins.api_docs.plugin import ApiDocs
from secureml import Plugin, Principal
from secureml.models.card import Card, Feature, Golden
from secureml.models.serving.served_model import ServedModel
from secureml.testing import Harness


def card(name, *features, kind="classifier", classes=("yes", "no")):
    """Return a card with these columns."""
    golden = Golden(((1.0,),), ("yes",), None)
    words = (name, "1", "2026-01-01T00:00:00Z", kind, features, classes, True)
    return Card(*words, "array", "none", {}, (), "0" * 64, "1" * 64, golden)


class Caller(Plugin):
    """Names whoever sends a name; its scopes and models stand in the header."""

    name = "caller"
    credential_header = "X-Caller"

    def identify(self, exchange):
        """Read `scope,scope model,model`."""
        said = exchange.request.headers.get("X-Caller")
        if said is None:
            return None
        scopes, models = (frozenset(part.split(",")) for part in said.split(" "))
        return Principal("c", "c", scopes, models, "standard", "caller", "1")


@pytest.fixture
def harness(tmp_path):
    """An application with two models: `loan`, of every kind of column, and `secret`."""
    harness = Harness(tmp_path)
    columns = (
        Feature("income", "float", 0.0, 10.0),
        Feature("age", "integer", 18, 99, missing="allow"),
        Feature("home", "category", categories=("rent", "own")),
        Feature("note", "text"),
        Feature("married", "boolean"),
    )
    cards = [card("loan", *columns), card("secret", Feature("classified"))]
    for one in cards:
        handle = SimpleNamespace(card=one, version="1")
        harness.models._serving[one.name] = ServedModel(handle, {"1": handle})
    return harness


@pytest.fixture
def describe(harness):
    """Return a function that asks for the description: (status, headers, document)."""

    def ask(caller="models:read,predict *", table=None, plugins=(), blueprints=()):
        loaded = [harness.load(Caller), harness.load(ApiDocs, table), *map(harness.load, plugins)]
        app = harness.app(loaded, blueprints)
        headers = {"X-Caller": caller} if caller else {}
        answer = app.test_client().get("/openapi.json", headers=headers)
        return answer.status_code, answer.headers, answer.get_json()

    return ask
