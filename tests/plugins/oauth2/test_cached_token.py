"""A verified token counts while the keys it was verified with are trusted."""

from __future__ import annotations

import pytest

from plugins.oauth2.cached_token import CachedToken


class Source:
    """Keys of an outside issuer, believed or withdrawn."""

    def __init__(self, believed):
        self.believed = believed

    def trusts(self, keys):
        return keys in self.believed


class Issuer:
    """An outside issuer."""

    def __init__(self, *believed):
        self.jwks = Source(believed)


@pytest.mark.parametrize(("keys", "counts"), [("old", False), ("new", True)])
def test_attack_a_token_outlives_the_key_that_its_issuer_has_withdrawn(keys, counts):
    assert CachedToken(100.0, "ann", None, Issuer("new"), keys).is_current() is counts
