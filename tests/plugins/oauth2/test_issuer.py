"""A token before one issuer: the order of the checks, and what a fetch is worth."""

from __future__ import annotations

import pytest

from plugins.oauth2.claims import Rules, Unfit, read
from plugins.oauth2.fetch import FetchFailed
from plugins.oauth2.issuer import Issuer, prove
from plugins.oauth2.keys import trust
from plugins.oauth2.keysource import KeySource, KeysUnavailable, Timing
from plugins.oauth2.mapping import Rights
from secureml.testing import START, Clock
from tests.outside_issuer import AUDIENCE, EC, EC_OTHER, ISSUER, header, jwks, mint

RULES = Rules(ISSUER, frozenset({AUDIENCE}), frozenset({"ES256"}), frozenset({"at+jwt"}), 0, 0)
RIGHTS = Rights("acme", "azp", {}, "scope", {}, frozenset({"*"}))


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
    return Issuer("idp", RULES, RIGHTS, KeySource("idp", published.load, published.clock, Timing()))


def refused(issuer, token):
    with pytest.raises(Unfit) as error:
        prove(read(token), issuer, START)
    return error.value.reason


def test_a_good_token_is_believed(issuer):
    proven = prove(read(mint()), issuer, START)

    assert proven.claims["sub"] == "user-7"
    assert (proven.ends, proven.bound) == (START + 300, None)
    assert proven.keys is issuer.source.current()


def test_nothing_is_fetched_for_a_header_that_is_refused(issuer, published):
    assert refused(issuer, mint(head=header(alg="none"))) == "algorithm"
    assert refused(issuer, mint(head=header(typ="JWT", kid="made-up"))) == "type"
    assert published.fetched == 0


@pytest.mark.parametrize("changed", [{"exp": START - 1}, {"aud": "other"}, {"sub": None}])
def test_nothing_is_fetched_for_a_token_that_could_not_be_good(issuer, published, changed):
    refused(issuer, mint(head=header(kid="made-up"), **changed))

    assert published.fetched == 0


def test_an_unknown_key_is_looked_for_once(issuer, published):
    issuer.source.refresh()
    published.keys.append(EC_OTHER)
    rotated = mint(EC_OTHER, header(kid="ec-2"))

    assert prove(read(rotated), issuer, START).claims
    assert published.fetched == 2
    for number in range(50):
        assert refused(issuer, mint(head=header(kid=f"made-up-{number}"))) == "key_unknown"
    assert published.fetched == 2


def test_a_known_id_over_another_key_is_a_bad_signature(issuer):
    assert refused(issuer, mint(EC_OTHER)) == "signature"


def test_a_forged_token_is_refused_for_its_signature_whatever_else_is_wrong(issuer):
    """So that the log does not say of a forgery that it had expired."""
    prove(read(mint()), issuer, START)

    assert refused(issuer, mint(EC_OTHER, exp=START - 1)) == "signature"


def test_without_keys_nobody_can_tell(published):
    def down():
        raise FetchFailed("unreachable")

    issuer = Issuer("idp", RULES, RIGHTS, KeySource("idp", down, Clock(), Timing()))
    with pytest.raises(KeysUnavailable):
        prove(read(mint()), issuer, START)
