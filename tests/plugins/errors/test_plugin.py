"""Errors: RFC 9457 bodies made of the catalogue, the id and places, and of nothing else."""

from __future__ import annotations

import pytest
from flask import Blueprint

from plugins.errors.plugin import Errors
from secureml import ConfigError, Plugin, Principal, Problem, public, requires
from secureml.kit.validation import Fault
from secureml.pipeline.problems import CATALOGUE, MEDIA_TYPE
from secureml.testing import Harness

ID = "f" * 32
SOMEONE = Principal("c", "c", frozenset({"read"}), frozenset({"*"}), "standard", "phase", "k1")


class Check(Plugin):
    """Knows everyone and allows everything."""

    name = "phase"

    def identify(self, exchange):
        return SOMEONE

    def authorize(self, exchange):
        return None


@pytest.fixture
def harness(tmp_path):
    """A folder with a real store."""
    return Harness(tmp_path)


def render(harness, problem):
    """Return the body of one refusal, asked directly."""
    return harness.build(Errors).render(problem, CATALOGUE[problem.code], harness.exchange())


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_refusal_of_the_catalogue_has_the_same_shape(harness, code):
    """type, title, status, code, id: RFC 9457 with two members of our own."""
    body = render(harness, Problem(code, reason="private", headers={"Retry-After": "7"}))

    assert body == {
        "type": f"urn:secureml:problem:{code}",
        "title": CATALOGUE[code].title,
        "status": CATALOGUE[code].status,
        "code": code,
        "id": "0" * 32,
    }


def test_faults_are_places_and_rules(harness):
    """Where, and which rule; there is no member that could hold a value."""
    faults = [Fault("/instances/0/3", "type"), Fault("", "object")]

    assert render(harness, Problem("invalid_input", errors=faults))["errors"] == [
        {"path": "/instances/0/3", "rule": "type"},
        {"path": "", "rule": "object"},
    ]


def test_it_takes_no_settings(harness):
    """An unknown word stops the start, here as everywhere."""
    with pytest.raises(ConfigError, match=r"\[plugins\.errors\] verbose"):
        harness.build(Errors, {"verbose": True})


def views():
    """Routes that refuse and fail."""
    blueprint = Blueprint("test", __name__)

    @blueprint.get("/broken")
    @public()
    def broken():
        raise ValueError("secret detail at /srv/instance/keys")

    @blueprint.get("/refusing")
    @public()
    def refusing():
        raise Problem("rate_limited", reason="secret detail", headers={"Retry-After": "7"})

    @blueprint.get("/unknown-code")
    @public()
    def unknown_code():
        raise Problem("secret.detail")

    @blueprint.get("/guarded")
    @requires("read")
    def guarded():
        return {"ok": True}

    return blueprint


def client_of(harness, *classes):
    """Return a test client of an app with these plugins."""
    app = harness.app([harness.load(cls) for cls in classes], [views()], new_id=lambda: ID)
    return app.test_client()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/broken", 500, "internal_error"),
        ("GET", "/refusing", 429, "rate_limited"),
        ("GET", "/unknown-code", 500, "internal_error"),
        ("GET", "/nowhere", 404, "not_found"),
        ("DELETE", "/healthz", 405, "method_not_allowed"),
    ],
)
def test_a_refusal_over_http_says_its_code_and_id_and_no_more(harness, method, path, status, code):
    """The same body whoever refused, with the media type of problems."""
    answer = client_of(harness, Check, Errors).open(path, method=method)

    assert (answer.status_code, answer.content_type) == (status, MEDIA_TYPE)
    assert answer.json == {
        "type": f"urn:secureml:problem:{code}",
        "title": CATALOGUE[code].title,
        "status": status,
        "code": code,
        "id": ID,
    }
    assert "secret" not in answer.text


def test_headers_of_a_refusal_are_kept(harness):
    """Retry-After and Allow are for machines."""
    client = client_of(harness, Check, Errors)

    assert client.get("/refusing").headers["Retry-After"] == "7"
    assert client.delete("/healthz").headers["Allow"] == "GET, HEAD"


def test_without_it_the_core_is_terse_and_never_talkative(harness):
    """Removing the plugin may not open a mouth."""
    for path in ("/broken", "/refusing", "/nowhere", "/unknown-code"):
        answer = client_of(harness, Check).get(path)
        assert set(answer.json) == {"code", "id"}
        assert answer.json["id"] == ID
        assert answer.content_type == MEDIA_TYPE


def test_an_error_while_wording_an_error_still_answers(harness, caplog):
    """The bare wording stands in, and the log knows both."""

    class Broken(Errors):
        def render(self, problem, kind, exchange):
            raise KeyError("secret detail")

    answer = client_of(harness, Check, Broken).get("/refusing")

    assert (answer.status_code, answer.json) == (429, {"code": "rate_limited", "id": ID})
    (record,) = [item for item in caplog.records if item.exc_info]
    assert ID in record.getMessage()
    assert "secret detail" in str(record.exc_info[1])


def test_an_answer_that_is_no_refusal_is_left_alone(harness):
    """Only problems are worded."""
    assert client_of(harness, Check, Errors).get("/guarded").json == {"ok": True}
