"""A token before one issuer: the order of the checks, and what a fetch is worth."""

from __future__ import annotations

import pytest

from plugins.oauth2.claim_mapping import ClaimMapping
from plugins.oauth2.issuer import Issuer, verify
from secureml.kit.access_token import parse
from secureml.kit.fetch import FetchFailed
from secureml.kit.jwks import trust
from secureml.kit.jwks_cache import JwksCache, KeysUnavailable, Timing
from secureml.kit.jwt_claims import InvalidToken, TokenRequirements
from secureml.testing import START, Clock
from tests.outside_issuer import AUDIENCE, EC, EC_OTHER, ISSUER, header, jwks, make_token

RULES = TokenRequirements(
    ISSUER, frozenset({AUDIENCE}), frozenset({"ES256"}), frozenset({"at+jwt"})
)
RIGHTS = ClaimMapping("acme", "azp", {}, "scope", {}, frozenset({"*"}))


class Published:
    def __init__(self, *keys):
        self.keys, self.fetched, self.clock = list(keys), 0, Clock()

    def load(self):
        self.fetched += 1
        return trust(jwks(*self.keys)["keys"], ("ES256",), 3072)


@pytest.fixture
def published():
    return Published(EC)


@pytest.fixture
def issuer(published):
    return Issuer("idp", RULES, RIGHTS, JwksCache("idp", published.load, published.clock, Timing()))


def refused(issuer, token):
    with pytest.raises(InvalidToken) as error:
        verify(parse(token), issuer, START)
    return error.value.reason


def test_a_good_token_is_believed(issuer):
    proven = verify(parse(make_token()), issuer, START)

    assert proven.claims["sub"] == "user-7"
    assert (proven.ends, proven.jkt) == (START + 300, None)
    assert proven.keys is issuer.jwks.current()


def test_nothing_is_fetched_for_a_header_that_is_refused(issuer, published):
    assert refused(issuer, make_token(head=header(alg="none"))) == "alg"
    assert refused(issuer, make_token(head=header(typ="JWT", kid="made-up"))) == "typ"
    assert published.fetched == 0


@pytest.mark.parametrize("changed", [{"exp": START - 1}, {"aud": "other"}, {"sub": None}])
def test_nothing_is_fetched_for_a_token_that_could_not_be_good(issuer, published, changed):
    refused(issuer, make_token(head=header(kid="made-up"), **changed))

    assert published.fetched == 0


def test_an_unknown_key_is_looked_for_once(issuer, published):
    issuer.jwks.refresh()
    published.keys.append(EC_OTHER)
    rotated = make_token(EC_OTHER, header(kid="ec-2"))

    assert verify(parse(rotated), issuer, START).claims
    assert published.fetched == 2
    for number in range(50):
        assert refused(issuer, make_token(head=header(kid=f"made-up-{number}"))) == "key_unknown"
    assert published.fetched == 2


def test_a_known_id_over_another_key_is_a_bad_signature(issuer):
    assert refused(issuer, make_token(EC_OTHER)) == "signature"


def test_a_forged_token_is_refused_for_its_signature_whatever_else_is_wrong(issuer):
    """So that the log does not say of a forgery that it had expired."""
    verify(parse(make_token()), issuer, START)

    assert refused(issuer, make_token(EC_OTHER, exp=START - 1)) == "signature"


def test_without_keys_nobody_can_tell(published):
    def down():
        raise FetchFailed("unreachable")

    issuer = Issuer("idp", RULES, RIGHTS, JwksCache("idp", down, Clock(), Timing()))
    with pytest.raises(KeysUnavailable):
        verify(parse(make_token()), issuer, START)
