"""Refusals: one catalogue, and nothing in an answer that is not from it."""

from __future__ import annotations

import pytest
from werkzeug import exceptions

from secureml import Kind, Problem
from secureml.kit.validation import Fault, invalid_input
from secureml.pipeline.problems import CATALOGUE, Catalogue, bare_body, from_http


def test_the_reason_stays_out_of_the_text():
    """What is printed by accident is the code."""
    assert str(Problem("forbidden", reason="secret")) == "forbidden"


def test_without_a_reason_the_code_is_the_reason():
    """A log line always has one."""
    assert Problem("forbidden").reason == "forbidden"


def test_at_most_twenty_faults_are_told():
    """An error must not be larger than the question."""
    assert len(Problem("invalid_input", errors=[Fault("/a", "b")] * 50).errors) == 20


def test_faulty_input_tells_at_most_twenty_places():
    """As pairs of path and rule."""
    problem = invalid_input([(f"/{n}", "type") for n in range(30)], "why")

    assert (len(problem.errors), problem.errors[0].path) == (20, "/0")


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=str)
def test_codes_are_words_and_titles_are_sentences(kind):
    """Stable, readable, without a full stop."""
    assert kind.code.replace("_", "").isalpha()
    assert kind.title[0].isupper()
    assert not kind.title.endswith(".")
    assert 400 <= kind.status < 600


def test_a_duplicate_code_is_refused():
    """A plugin cannot reword the core."""
    with pytest.raises(ValueError, match="already"):
        Catalogue([Kind("forbidden", 418, "Mine")])


def test_an_added_code_is_known_and_an_unknown_one_is_a_500():
    """A code nobody catalogued is a fault of ours."""
    catalogue = Catalogue([Kind("x.full", 429, "Full")])

    assert catalogue.kind("x.full").status == 429
    assert catalogue.kind("nonsense").code == "internal_error"
    assert len(list(catalogue)) == len(CATALOGUE) + 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (exceptions.NotFound("/srv/secret"), "not_found"),
        (exceptions.BadRequest("secret"), "malformed_request"),
        (exceptions.RequestEntityTooLarge(), "body_too_large"),
        (exceptions.Forbidden(), "forbidden"),
        (exceptions.ServiceUnavailable(), "unavailable"),
        (exceptions.ImATeapot(), "malformed_request"),
        (exceptions.HTTPVersionNotSupported(), "internal_error"),
        (exceptions.HTTPException(), "internal_error"),
    ],
)
def test_werkzeugs_exceptions_become_codes_without_their_text(error, code):
    """The type goes to the log, the description nowhere."""
    problem = from_http(error)

    assert problem.code == code
    assert "secret" not in problem.reason


def test_a_405_says_what_is_allowed_and_never_options():
    """RFC 9110: Allow; OPTIONS is not answered here."""
    problem = from_http(exceptions.MethodNotAllowed(["GET", "OPTIONS", "HEAD"]))

    assert problem.headers == {"Allow": "GET, HEAD"}


def test_the_bare_wording_is_code_and_id():
    """Terse, never talkative."""
    assert bare_body(CATALOGUE["forbidden"], "7") == {"code": "forbidden", "id": "7"}
