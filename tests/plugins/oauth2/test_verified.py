"""What a verified token says counts while the keys it was verified with are believed."""

from __future__ import annotations

import pytest

from plugins.oauth2.verified import Verified


class Source:
    """Keys of an outside issuer, believed or withdrawn."""

    def __init__(self, believed):
        self.believed = believed

    def believes(self, keys):
        return keys in self.believed


class Issuer:
    """An outside issuer."""

    def __init__(self, *believed):
        self.source = Source(believed)


def test_a_token_of_ours_is_watched_by_the_store_alone():
    assert Verified(100.0, "ann", None).still_counts()


@pytest.mark.parametrize(("keys", "counts"), [("old", False), ("new", True)])
def test_attack_a_token_outlives_the_key_that_its_issuer_has_withdrawn(keys, counts):
    assert Verified(100.0, "ann", None, Issuer("new"), keys).still_counts() is counts
