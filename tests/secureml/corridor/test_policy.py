"""A route that says nothing about who may call stops the start."""

from __future__ import annotations

import functools

import pytest
from flask import Flask
from marshmallow import Schema

from secureml import ConfigError, Policy, public, requires
from secureml.corridor.policy import collect, policy_of


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
    """The doors are plain functions; a coroutine would be answered before it ran."""

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


def test_a_public_route_may_read_forms_and_word_its_refusals():
    """For protocols that have bodies and words of their own."""

    def words(problem, kind, exchange):
        return kind.code, "text/plain"

    policy = policy_of(public(form=True, wording=words)(lambda: ""))

    assert policy == Policy(None, form=True, wording=words)
