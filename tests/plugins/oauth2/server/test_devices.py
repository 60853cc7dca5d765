"""Devices: the pace of polling, one decision, one use."""

from __future__ import annotations

import pytest

from plugins.oauth2.server import devices as module
from plugins.oauth2.server.devices import DeviceRefused, Devices

SCOPES = frozenset({"predict"})


@pytest.fixture
def devices(harness):
    return Devices(harness.store, harness.clock, 600.0, 1000.0)


def word(devices, text, client="oc_1"):
    with pytest.raises(DeviceRefused) as refused:
        devices.poll(text, client)
    return refused.value.error


def test_what_is_typed_is_read_however_it_is_written(devices):
    _, typed = devices.begin("oc_1", SCOPES)
    assert (len(typed), typed[4]) == (9, "-")
    for way in (typed, typed.lower(), typed.replace("-", " "), f"  {typed.replace('-', '')} "):
        assert devices.look(way).scopes == SCOPES
    assert devices.look("BBBBBBBB" * 100) is None


def test_yes_is_given_once_and_then_names_what_must_end(devices, harness):
    text, typed = devices.begin("oc_1", SCOPES)
    assert word(devices, text) == "authorization_pending"
    assert devices.decide(typed, "ann", allow=True, scopes=SCOPES)
    assert not devices.decide(typed, "eve", allow=False, scopes=SCOPES)
    assert devices.look(typed) is None
    harness.clock.advance(5)
    device = devices.poll(text, "oc_1")
    assert (device.subject, device.scopes) == ("ann", SCOPES)
    with pytest.raises(DeviceRefused) as again:
        devices.poll(text, "oc_1")
    assert (again.value.error, again.value.family) == ("invalid_grant", device.family)


def test_each_early_poll_makes_the_wait_longer(devices, harness):
    text, _ = devices.begin("oc_1", SCOPES)
    said = [word(devices, text)]
    for pause in (4.9, 9.9, 15, 14.9):
        harness.clock.advance(pause)
        said.append(word(devices, text))
    assert said == [
        "authorization_pending", "slow_down", "slow_down", "authorization_pending", "slow_down",
    ]  # fmt: skip


def test_no_too_late_and_not_yours(devices, harness):
    text, typed = devices.begin("oc_1", SCOPES)
    assert word(devices, text, "oc_2") == "invalid_grant"
    assert word(devices, "x") == "invalid_grant"
    devices.decide(typed, "ann", allow=False, scopes=SCOPES)
    assert word(devices, text) == "access_denied"
    harness.clock.advance(600)
    assert word(devices, text) == "expired_token"


def test_so_many_wait_and_no_more(devices, harness, monkeypatch):
    monkeypatch.setattr(module, "MOST", 2)
    for _ in range(2):
        devices.begin("oc_1", SCOPES)
    with pytest.raises(DeviceRefused, match="slow_down"):
        devices.begin("oc_1", SCOPES)
    devices.begin("oc_2", SCOPES)
    harness.clock.advance(600)
    devices.begin("oc_1", SCOPES)
