"""What a token of a gateway is bound to, in isolation."""

from __future__ import annotations

import hashlib

import pytest

from plugins.gateway.signed_identity import Sent, TokenPolicy, body_digest, check_request
from secureml.kit.jwt_claims import InvalidToken
from tests.outside_issuer import b64

BODY = b'{"instances": []}'
CLAIMS = {"htm": "POST", "path": "/v1/x", "body_sha256": body_digest(BODY)}


def policy(*binds):
    return TokenPolicy(None, None, "sub", frozenset(binds), 1000)


def sent(method="POST", path="/v1/x", body=BODY):
    return Sent(method, path, lambda _most: body)


def test_the_digest_is_sha_256_in_base64url():
    assert body_digest(BODY) == b64(hashlib.sha256(BODY).digest())


def test_what_is_bound_is_compared_and_nothing_else():
    check_request(CLAIMS, policy("method", "path", "body"), sent())
    check_request({}, policy(), sent())

    def never(_most):
        raise AssertionError("the body was read for nothing")

    check_request(CLAIMS, policy("method", "path"), Sent("POST", "/v1/x", never))


@pytest.mark.parametrize("claim", [None, "", 7, [body_digest(BODY)], "\xe9", body_digest(b"x")])
def test_attack_a_digest_that_is_missing_or_of_another_body(claim):
    with pytest.raises(InvalidToken, match="bound_body"):
        check_request({**CLAIMS, "body_sha256": claim}, policy("body"), sent())


@pytest.mark.parametrize(("bind", "claim"), [("method", "htm"), ("path", "path")])
@pytest.mark.parametrize("value", [None, "", "post", "/V1/x", ["POST"], 1])
def test_attack_a_token_that_names_another_request_or_none(bind, claim, value):
    with pytest.raises(InvalidToken, match=f"bound_{bind}"):
        check_request({**CLAIMS, claim: value}, policy(bind), sent())
