"""Scopes: every route's own demand is compared, and a model's name cannot be found by asking."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from flask import Blueprint

from plugins.errors.plugin import Errors
from plugins.scopes.plugin import Scopes
from secureml import ConfigError, Plugin, Policy, Principal, Problem, requires
from secureml.testing import Harness

PREDICT = Policy("predict")
ID = "f" * 32


@pytest.fixture
def harness(tmp_path):
    """A folder with a real store."""
    return Harness(tmp_path)


def caller(*scopes, models=("*",)):
    """Return a principal with these rights."""
    return Principal("a", "a", frozenset(scopes), frozenset(models), "standard", "phase", "k")


def reason(harness, **facts):
    """Return why AUTHORIZE refuses these facts, or None when it agrees."""
    model_name = facts.pop("model_name", "")
    exchange = harness.exchange("POST", "/", **facts)
    exchange.model_name = model_name
    try:
        harness.build(Scopes).authorize(exchange)
    except Problem as refused:
        assert refused.code == "forbidden"
        return refused.reason
    return None


def test_the_scope_must_be_granted(harness):
    """Whole words: a longer or shorter one is another right."""
    assert reason(harness, policy=PREDICT, principal=caller("predict")) is None
    for scopes in ((), ("models:read",), ("predict:all",), ("pre",), ("PREDICT",), ("*",)):
        assert reason(harness, policy=PREDICT, principal=caller(*scopes)) == (
            "scopes.missing:predict"
        )


def test_the_model_must_be_granted(harness):
    """By its whole name, or by the star."""
    for models, granted in (
        (("iris",), True),
        (("*",), True),
        (("iris", "wine"), True),
        ((), False),
        (("wine",), False),
        (("iri",), False),
        (("IRIS",), False),
        (("i*",), False),
    ):
        found = reason(
            harness, policy=PREDICT, principal=caller("predict", models=models), model_name="iris"
        )
        assert found == (None if granted else "scopes.model_not_granted")


def test_the_scope_is_compared_before_the_model(harness):
    """Without the right, nothing is said about models at all."""
    assert (
        reason(harness, policy=PREDICT, principal=caller(models=("wine",)), model_name="iris")
        == "scopes.missing:predict"
    )


@pytest.mark.parametrize(
    "facts",
    [
        {"policy": PREDICT, "principal": None},
        {"policy": None, "principal": caller("predict")},
        {"policy": Policy(None), "principal": caller("predict")},
    ],
)
def test_nothing_to_compare_is_a_refusal(harness, facts):
    """A hole in the pipeline must not look like consent."""
    assert reason(harness, **facts) == "scopes.nothing_to_compare"


def test_it_cannot_be_observed_only(harness):
    """What someone may do cannot be tried out."""
    with pytest.raises(ConfigError, match="always enforced"):
        harness.load(Scopes, {"mode": "observe"})


def app_for(harness, principal, blueprints=()):
    """Return an app whose only caller is this principal."""

    class Check(Plugin):
        name = "phase"

        def identify(self, exchange):
            return principal

    plugins = [harness.load(cls) for cls in (Check, Scopes, Errors)]
    return harness.app(plugins, blueprints, new_id=lambda: ID)


def other_routes():
    """A plugin's routes, one for each right of its own."""
    views = Blueprint("other", __name__)

    @views.delete("/v1/other")
    @requires("other:write")
    def remove():
        return {}

    return views


def test_every_route_of_the_app_demands_its_scope(harness):
    """Walked over the whole map, so that a new route is not forgotten here."""
    demands = {
        "predict": "predict",
        "models": "models:read",
        "model": "models:read",
        "predict_version": "predict",
        "versions": "models:read",
        "version": "models:read",
        "other.remove": "other:write",
    }
    walked = set()
    app = app_for(harness, caller(), [other_routes()])
    for rule in app.url_map.iter_rules():
        endpoint = rule.endpoint.removeprefix("api.")
        if endpoint in ("healthz", "readyz"):
            continue
        path = rule.rule.replace("<model>", "iris").replace("<version>", "1")
        (method,) = rule.methods - {"HEAD", "OPTIONS"}
        everything_else = caller(*(set(demands.values()) - {demands[endpoint]}))
        for principal in (caller(), everything_else):
            client = app_for(harness, principal, [other_routes()]).test_client()
            answer = client.open(path, method=method)
            assert (answer.status_code, answer.json["code"]) == (403, "forbidden"), path
        client = app_for(harness, caller(demands[endpoint]), [other_routes()]).test_client()
        assert client.open(path, method=method).status_code != 403
        walked.add(endpoint)

    assert walked == set(demands)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/models/{}/predict"), ("GET", "/v1/models/{}"), ("DELETE", "/v1/models/{}")],
)
def test_attack_model_names_cannot_be_found_by_asking(harness, monkeypatch, method, path):
    """A model that is not granted and one that does not exist answer alike, byte for byte."""
    monkeypatch.setattr(
        harness.models,
        "get",
        lambda name: SimpleNamespace(version="1") if name == "secret" else None,
    )
    client = app_for(harness, caller("predict", "models:read", models=("iris",))).test_client()

    def answer(name):
        found = client.open(
            path.format(name),
            method=method,
            data=json.dumps({"instances": []}),
            content_type="application/json",
        )
        return found.status, sorted(found.headers), found.data

    assert answer("secret") == answer("nosuch")


def test_a_model_that_was_granted_and_is_gone_is_not_found(harness):
    """Whoever may use it may know that it is not there."""
    client = app_for(harness, caller("models:read", models=("iris",))).test_client()

    assert client.get("/v1/models/iris").status_code == 404
