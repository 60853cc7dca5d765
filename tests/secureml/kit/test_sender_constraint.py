"""Senders: a bound token needs its key, a bearer's needs none, and a proof counts once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from plugins.oauth2.store import PROOFS
from secureml.kit.jwt_claims import InvalidToken
from secureml.kit.proof_replay import Replays
from secureml.kit.sender_constraint import (
    HttpRequest,
    SenderConstraint,
    invalid_token_challenge,
)
from secureml.testing import START, Harness
from tests.outside_issuer import AUDIENCE, EC, EC_OTHER, proof


@pytest.fixture
def sender(tmp_path):
    harness = Harness(tmp_path)
    yield SenderConstraint([AUDIENCE], Replays(harness.store, harness.clock, PROOFS), harness.clock)
    harness.store.close()


def sent(key=EC, token="t", **changed):
    return HttpRequest("GET", "/v1/models", proof(key, token, **changed))


def why(call, *words):
    with pytest.raises(InvalidToken) as refused:
        call(*words)
    return refused.value.reason


def test_a_bearers_token_needs_no_proof_and_no_other_scheme(sender):
    sender.check(HttpRequest("GET", "/", ""), "bearer", "t", None, "acme")
    assert why(sender.check, sent(), "dpop", "t", None, "acme") == "not_bound"


def test_a_bound_token_needs_its_key_once(sender):
    bound = EC.thumbprint()
    assert why(sender.check, sent(), "bearer", "t", bound, "acme") == "bound_token_as_bearer"
    assert why(sender.check, sent(EC_OTHER), "dpop", "t", bound, "acme") == "dpop_other_key"
    sender.check(sent(), "dpop", "t", bound, "acme")
    assert why(sender.check, sent(), "dpop", "t", bound, "acme") == "dpop_replayed"


def test_a_request_for_tokens_may_show_any_key_once(sender):
    words = {"htm": "POST", "htu": f"{AUDIENCE}/t", "ath": None, "iat": START}
    asked = HttpRequest("POST", "/t", proof(EC_OTHER, "", **words))
    shown = sender.key(asked)
    assert shown.thumbprint == EC_OTHER.thumbprint()
    assert sender.key(asked) == shown  # nothing is kept of it before it is known who asks
    sender.spend(shown, "oc_1")
    assert why(sender.spend, shown, "oc_1") == "dpop_replayed"
    assert why(sender.spend, shown, "oc_2") == "dpop_replayed"
    assert why(sender.key, HttpRequest("POST", "/t", "")) == "dpop_malformed"


def test_a_request_is_taken_with_its_proof():
    environ = {"HTTP_DPOP": "a.b.c"}
    request = SimpleNamespace(method="GET", path="/v1/models", environ=environ)
    assert HttpRequest.of(request) == ("GET", "/v1/models", "a.b.c")
    environ.clear()
    assert HttpRequest.of(request).proof == ""


def test_a_token_that_does_not_hold_is_told_in_the_scheme_it_came_in():
    assert invalid_token_challenge("bearer") == 'Bearer realm="secureml", error="invalid_token"'
    assert invalid_token_challenge("dpop") == (
        'DPoP algs="ES256 ES384 EdDSA PS256", error="invalid_token"'
    )
