"""A route that says nothing about who may call stops the start."""

from __future__ import annotations

import functools

import pytest
from flask import Flask
from marshmallow import Schema

import secureml
from secureml import ConfigError, Policy, public, requires
from secureml.pipeline.policy import HEALTH_ROUTES, collect, health_check, policy_of


def test_a_view_carries_what_it_demands():
    """The mark is on the view, not in a table elsewhere."""

    @requires("predict", cost=3)
    def view():
        """Answer."""

    assert policy_of(view) == Policy("predict", cost=3)
    assert not policy_of(view).public


def test_open_takes_a_word():
    """public() is that word."""
    assert policy_of(public()(lambda: None)).public


def test_an_empty_scope_is_no_way_to_be_open():
    """It would look guarded."""
    with pytest.raises(ValueError, match="public"):
        requires("")


def test_every_endpoint_has_its_policy():
    """By endpoint, as the pipeline asks."""
    app = Flask("test", static_folder=None)
    app.add_url_rule("/a", "a", requires("x")(lambda: ""))
    app.add_url_rule("/b", "b", public()(lambda: ""))

    assert collect(app) == {"a": Policy("x"), "b": Policy(None)}


def test_a_public_route_may_have_a_body_too():
    """Read as strictly as any other."""
    policy = policy_of(public(body=Schema, body_limit=10, cost=2)(lambda: ""))

    assert policy == Policy(None, Schema, 10, 2)
    assert policy.public


def test_a_route_without_a_policy_stops_the_start():
    """It names the route and the fix."""
    app = Flask("test", static_folder=None)
    app.add_url_rule("/forgotten", "forgotten", lambda: "")

    with pytest.raises(ConfigError, match=r"/forgotten .*requires"):
        collect(app)


def test_flasks_own_static_route_would_stop_the_start():
    """Pitfall 5, from the other side."""
    with pytest.raises(ConfigError, match="static"):
        collect(Flask("test"))


def test_a_view_that_nobody_would_await_stops_the_start():
    """The phases are plain functions; a coroutine would be answered before it ran."""

    async def view():
        return ""

    def yields():
        yield ""

    for never in (view, yields, functools.partial(view), functools.wraps(view)(lambda: "")):
        app = Flask("test", static_folder=None)
        app.add_url_rule("/a", "a", requires("x")(never))
        with pytest.raises(ConfigError, match=r"the view of /a .*write it with def"):
            collect(app)


def test_a_wording_that_nobody_would_await_stops_the_start():
    """It would leave the refusals of its route without a word."""

    async def words(problem, kind, exchange):
        return kind.code, "text/plain"

    app = Flask("test", static_folder=None)
    app.add_url_rule("/a", "a", public(form=True, wording=words)(lambda: ""))
    with pytest.raises(ConfigError, match=r"the wording of /a .* is async def"):
        collect(app)


def test_a_presentation_that_nobody_would_await_stops_the_start():
    """It would be an answer that cannot be sent."""

    async def present(exchange):
        return {}

    app = Flask("test", static_folder=None)
    app.add_url_rule("/a", "a", requires("predict", present=present)(lambda: ""))
    with pytest.raises(ConfigError, match=r"the presentation of /a .* is async def"):
        collect(app)


def test_a_public_route_may_read_forms_and_word_its_refusals():
    """For protocols that have bodies and words of their own."""

    def words(problem, kind, exchange):
        return kind.code, "text/plain"

    policy = policy_of(public(form=True, wording=words)(lambda: ""))

    assert policy == Policy(None, form=True, wording=words)


def test_the_health_checks_are_the_cores_and_nobody_elses():
    """Bans and limits do not hold there, so a public route of a plugin cannot become one."""
    app = Flask("test", static_folder=None)
    app.add_url_rule("/healthz", "healthz", health_check()(lambda: ""))
    assert collect(app)["healthz"].health

    app.add_url_rule("/oauth2/token", "token", health_check()(lambda: ""), methods=["POST"])
    with pytest.raises(ConfigError, match=r"/oauth2/token .*health check.*public"):
        collect(app)


@pytest.mark.parametrize(
    "words", [{"methods": ["POST"]}, {"methods": ["GET", "POST"]}, {"rule": "/readyz/<path:rest>"}]
)
def test_a_health_check_takes_nothing_from_strangers(words):
    """Neither a body nor a path of their choice."""
    app = Flask("test", static_folder=None)
    rule = words.pop("rule", "/readyz")
    app.add_url_rule(rule, "readyz", health_check()(lambda **_: ""), **words)

    with pytest.raises(ConfigError, match="health check"):
        collect(app)


def test_public_says_nothing_of_health():
    """The word for strangers is no word for being let off limits."""
    assert not policy_of(public()(lambda: None)).health
    assert not hasattr(secureml, "health_check")
    assert {"/healthz", "/readyz"} == HEALTH_ROUTES
