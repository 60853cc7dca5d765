"""Senders: a bound token needs its key, a bearer's needs none, and a proof counts once."""

from __future__ import annotations

import pytest

from plugins.oauth2.claims import Unfit
from plugins.oauth2.replay import Replays
from plugins.oauth2.sender import Sender, Sent
from secureml.testing import START, Harness
from tests.outside_issuer import AUDIENCE, EC, EC_OTHER, proof


@pytest.fixture
def sender(tmp_path):
    harness = Harness(tmp_path)
    yield Sender([AUDIENCE], Replays(harness.store, harness.clock), harness.clock)
    harness.store.close()


def sent(key=EC, token="t", **changed):
    return Sent("GET", "/v1/models", proof(key, token, **changed))


def why(call, *words):
    with pytest.raises(Unfit) as refused:
        call(*words)
    return refused.value.reason


def test_a_bearers_token_needs_no_proof_and_no_other_scheme(sender):
    sender.check(Sent("GET", "/", ""), "bearer", "t", None)
    assert why(sender.check, sent(), "dpop", "t", None) == "not_bound"


def test_a_bound_token_needs_its_key_once(sender):
    bound = EC.thumbprint()
    assert why(sender.check, sent(), "bearer", "t", bound) == "bound_token_as_bearer"
    assert why(sender.check, sent(EC_OTHER), "dpop", "t", bound) == "dpop_other_key"
    sender.check(sent(), "dpop", "t", bound)
    assert why(sender.check, sent(), "dpop", "t", bound) == "dpop_replayed"


def test_a_request_for_tokens_may_show_any_key_once(sender):
    words = {"htm": "POST", "htu": f"{AUDIENCE}/t", "ath": None, "iat": START}
    asked = Sent("POST", "/t", proof(EC_OTHER, "", **words))
    assert sender.key(asked) == EC_OTHER.thumbprint()
    assert why(sender.key, asked) == "dpop_replayed"
    assert why(sender.key, Sent("POST", "/t", "")) == "dpop_malformed"
