"""Which refusals stand with a route."""

from __future__ import annotations

from plugins.api_docs.refusals import problem_shape, responses, statuses
from secureml import Kind
from secureml.pipeline.problems import CATALOGUE

KINDS = tuple(CATALOGUE.values())
PLAIN = {"guarded": False, "takes_body": False, "has_arguments": False}


def test_what_nginx_and_gunicorn_refuse_stands_with_every_route():
    """And what only some routes can give does not."""
    found = statuses(KINDS, **PLAIN)
    assert {400, 413, 414, 421, 429, 431, 500, 502, 503, 504} <= set(found)
    assert not {401, 404, 415, 422} & set(found)


def test_a_body_a_credential_and_an_argument_add_theirs():
    """Each its own."""
    assert 401 in statuses(KINDS, **{**PLAIN, "guarded": True})
    assert {401, 415, 422} <= set(statuses(KINDS, **{**PLAIN, "takes_body": True}))
    assert 404 in statuses(KINDS, **{**PLAIN, "has_arguments": True})


def test_a_plugins_own_status_stands_with_every_route():
    """Its code is told by the dot."""
    assert 409 in statuses([*KINDS, Kind("x.y", 409, "X")], **PLAIN)


def test_every_status_of_the_catalogue_has_its_response_and_waiting_its_header():
    """With all its codes."""
    found = responses(KINDS)
    assert {int(name.removeprefix("Refused")) for name in found} == {k.status for k in KINDS}
    assert "Retry-After" in found["Refused429"]["headers"]
    assert "WWW-Authenticate" in found["Refused401"]["headers"]
    assert "Accept-Encoding" in found["Refused415"]["headers"]


def test_a_body_holds_code_and_id_even_without_the_plugin_that_words_it():
    """So only those are promised."""
    assert problem_shape()["required"] == ["code", "id"]
