"""An issuer's keys over time: rotation is followed, outages outlived, storms not made."""

from __future__ import annotations

import logging

import pytest

from secureml.kit.fetch import FetchFailed
from secureml.kit.jwks import trust
from secureml.kit.jwks_cache import JwksCache, KeysUnavailable, Timing
from secureml.kit.jwks_document import KeysRefused
from secureml.testing import Clock
from tests.outside_issuer import EC, EC_OTHER, jwks


class Provider:
    """What the issuer publishes now, or the fault that meets whoever asks."""

    def __init__(self, *keys):
        self.keys, self.fault, self.asked = list(keys), None, 0

    def load(self):
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        return trust(jwks(*self.keys)["keys"], ("ES256",), 3072)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def provider():
    return Provider(EC)


@pytest.fixture
def source(provider, clock):
    return JwksCache("idp", provider.load, clock, Timing(refresh=300, max_age=3600, again=30))


def test_before_the_first_fetch_there_is_nothing_to_judge_by(source):
    assert not source.reached
    with pytest.raises(KeysUnavailable):
        source.current()


def test_a_known_key_costs_no_fetch(source, provider):
    source.refresh()

    for _ in range(100):
        assert source.current().pick("ec-1", "ES256") is not None
    assert provider.asked == 1


class Meant:
    """What a token says of its key."""

    def __init__(self, kid="ec-1", algorithm="ES256"):
        self.kid, self.algorithm = kid, algorithm


def test_the_key_that_a_token_means_is_found_without_a_fetch_or_a_check(source, provider):
    source.refresh()

    def never():
        raise AssertionError("nothing had to be checked yet")

    keys, key = source.key_for(Meant(), never)
    assert keys is source.current()
    assert key.kid == "ec-1"
    assert provider.asked == 1


def test_a_token_that_could_not_be_good_is_not_worth_a_fetch(source, provider):
    source.refresh()

    def fails():
        raise ValueError("expired")

    with pytest.raises(ValueError, match="expired"):
        source.key_for(Meant("ec-2"), fails)
    assert provider.asked == 1


def test_an_unknown_key_is_fetched_once_and_else_there_is_none(source, provider):
    source.refresh()
    provider.keys.append(EC_OTHER)
    _, key = source.key_for(Meant("ec-2"), lambda: None)
    assert key.kid == "ec-2"
    _, key = source.key_for(Meant("ec-9"), lambda: None)
    assert key is None
    assert provider.asked == 2


def test_made_up_ids_cause_one_fetch_in_thirty_seconds(source, provider, clock):
    source.refresh()

    for _ in range(100):
        source.refreshed()
    assert provider.asked == 2
    clock.advance(29)
    source.refreshed()
    assert provider.asked == 2
    clock.advance(1)
    source.refreshed()
    assert provider.asked == 3


def test_a_rotated_key_is_known_at_its_first_token(source, provider):
    source.refresh()
    provider.keys = [EC, EC_OTHER]

    assert source.refreshed().pick("ec-2", "ES256") is not None


def test_a_withdrawn_key_ends_with_the_next_refresh(source, provider):
    source.refresh()
    provider.keys = [EC_OTHER]
    source.refresh()

    assert source.current().pick("ec-1", "ES256") is None


def test_an_empty_set_withdraws_all(source, provider):
    source.refresh()
    provider.keys = []
    source.refresh()

    assert source.current().trusted == ()


def test_the_same_keys_are_the_same_object(source, provider, clock):
    """So what was proven with them need not be proven again."""
    source.refresh()
    before = source.current()
    clock.advance(300)
    source.refresh()

    assert source.current() is before
    provider.keys = [EC, EC_OTHER]
    source.refresh()
    assert source.current() is not before


@pytest.mark.parametrize("fault", [FetchFailed("too_slow"), KeysRefused("issuer_differs")])
def test_an_outage_is_outlived_with_the_last_good_keys_and_then_closed(
    source, provider, clock, fault
):
    source.refresh()
    provider.fault = fault
    clock.advance(3600)
    source.refresh()

    assert source.current().pick("ec-1", "ES256") is not None
    clock.advance(1)
    with pytest.raises(KeysUnavailable):
        source.current()
    assert source.reached


def test_after_an_outage_all_is_well(source, provider, clock):
    source.refresh()
    provider.fault = FetchFailed("unreachable")
    clock.advance(4000)
    source.refresh()
    provider.fault = None
    source.refresh()

    assert source.current().pick("ec-1", "ES256") is not None


def test_a_refresh_is_due_after_its_period(source, clock):
    assert source.wait() < 0
    source.refresh()
    assert source.wait() == 300
    clock.advance(300)
    assert source.wait() == 0


def test_a_provider_in_trouble_is_asked_less_and_less(source, provider, clock):
    provider.fault = FetchFailed("unreachable")
    waits = []
    for _ in range(5):
        source.refresh()
        waits.append(source.wait())

    assert waits == [60, 120, 240, 240, 240]
    provider.fault = None
    source.refresh()
    assert source.wait() == 300


def test_unknown_keys_wait_longer_for_a_provider_in_trouble(source, provider, clock):
    """A provider that hangs must not hold up a caller every thirty seconds."""
    source.refresh()
    provider.fault = FetchFailed("too_slow")
    source.refreshed()
    asked = provider.asked
    clock.advance(59)
    source.refreshed()

    assert provider.asked == asked


def test_a_clock_set_back_stops_nothing(source, provider, clock):
    source.refresh()
    clock.advance(-1)
    assert source.current() is not None
    clock.advance(-10_000)

    assert source.wait() < 0
    with pytest.raises(KeysUnavailable):
        source.current()


def test_a_fault_of_ours_is_not_hidden(source, provider):
    provider.fault = ZeroDivisionError()

    with pytest.raises(ZeroDivisionError):
        source.refresh()


def test_what_is_dropped_is_told_once(clock, caplog):
    source = JwksCache(
        "idp",
        lambda: trust([EC.as_dict(private=True), {"kty": "EC", "use": "enc"}], ("ES256",), 3072),
        clock,
        Timing(),
    )
    with caplog.at_level(logging.INFO, "secureml.kit.jwks_cache"):
        source.refresh()
        source.refresh()

    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings[0] == "issuer idp: key 'ec-1' is dropped: private"
    assert EC.as_dict(private=True)["d"] not in caplog.text


def test_whoever_comes_while_keys_are_fetched_waits_for_the_same_fetch(source, provider, clock):
    """The first asks, the second joins; joining is the refresher's, so both go through `ask`."""
    joined = []
    source.refresh()

    def ask():
        if not joined:
            joined.append("first")
            source.refreshed()
            source.refresh()
        else:
            joined.append("second")

    source.request_refresh = ask
    source.refreshed()
    source.refreshed()

    assert joined == ["first", "second"]
