"""Devices: the pace of polling, one decision, one use."""

from __future__ import annotations

import threading

import pytest

from plugins.oauth2_server import devices as module
from plugins.oauth2_server.devices import DeviceRefused, Devices
from plugins.oauth2_server.opaque_tokens import digest

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
        assert devices.lookup(way).scopes == SCOPES
    assert devices.lookup("BBBBBBBB" * 100) is None


def test_yes_is_given_once_and_then_names_what_must_end(devices, harness):
    text, typed = devices.begin("oc_1", SCOPES)
    assert word(devices, text) == "authorization_pending"
    assert devices.approve(typed, "ann", allow=True, scopes=SCOPES)
    assert not devices.approve(typed, "eve", allow=False, scopes=SCOPES)
    assert devices.lookup(typed) is None
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
    devices.approve(typed, "ann", allow=False, scopes=SCOPES)
    assert word(devices, text) == "access_denied"
    harness.clock.advance(600)
    assert word(devices, text) == "expired_token"


def waiting(harness, where="1"):
    with harness.store.read() as connection:
        query = f"SELECT count(*) FROM oauth2_devices WHERE {where}"
        return connection.exec_driver_sql(query).scalar()


def test_of_one_address_the_oldest_gives_way_and_of_others_none(devices, harness, monkeypatch):
    monkeypatch.setattr(module, "MOST_PER_ADDRESS", 3)
    _, honest = devices.begin("oc_1", SCOPES, "198.51.100.7")
    mine = []
    for _ in range(5):
        harness.clock.advance(1)
        mine.append(devices.begin("oc_1", SCOPES, "192.0.2.1")[1])

    assert [devices.lookup(typed) is not None for typed in mine] == [False, False, True, True, True]
    assert devices.lookup(honest)


def test_the_addresses_of_one_home_are_one(devices, harness, monkeypatch):
    """An IPv6 address costs nothing: a /64 is one home."""
    monkeypatch.setattr(module, "MOST_PER_ADDRESS", 3)
    for number in range(10):
        devices.begin("oc_1", SCOPES, f"2001:db8:1:2::{number:x}")
        devices.begin("oc_2", SCOPES, f"2001:db8:1:2::{number:x}")

    assert waiting(harness) == 3


def test_attack_one_address_ends_device_login_for_nobody_else(devices, harness):
    """As many as it likes, of one program: who waits elsewhere goes on, and more may come."""
    _, before = devices.begin("oc_1", SCOPES, "198.51.100.7")
    for _ in range(300):
        devices.begin("oc_1", SCOPES, "192.0.2.1")
    _, after = devices.begin("oc_1", SCOPES, "198.51.100.8")

    assert devices.lookup(before)
    assert devices.lookup(after)
    assert waiting(harness, "host_prefix = '192.0.2.1'") == module.MOST_PER_ADDRESS


def test_attack_many_homes_of_one_network_push_out_each_other(devices, harness, monkeypatch):
    """Where all places of a program are taken, the network that has most of them gives one up."""
    monkeypatch.setattr(module, "MOST", 20)
    honest = [devices.begin("oc_1", SCOPES, f"198.51.{n}.7")[1] for n in range(5)]
    for number in range(200):
        harness.clock.advance(0.01)
        devices.begin("oc_1", SCOPES, f"2001:db8:1:{number:x}::1")

    assert all(devices.lookup(typed) for typed in honest)
    assert waiting(harness) == 20
    devices.begin("oc_2", SCOPES, "2001:db8:1::1")
    assert waiting(harness) == 21


def test_what_was_decided_has_a_bound_too(devices, harness, monkeypatch):
    """One person with a password, and a program that asks for ever."""
    monkeypatch.setattr(module, "MOST_DECIDED", 5)
    _, other = devices.begin("oc_1", SCOPES, "198.51.100.7")
    assert devices.approve(other, "bob", allow=True, scopes=SCOPES)
    for number in range(30):
        harness.clock.advance(0.01)
        text, typed = devices.begin("oc_1", SCOPES, "192.0.2.1")
        assert devices.approve(typed, "ann", allow=True, scopes=SCOPES)
        if number % 2:
            devices.poll(text, "oc_1")

    assert waiting(harness, "subject = 'ann'") == 5
    assert waiting(harness, "subject = 'bob'") == 1
    harness.clock.advance(600)
    devices.begin("oc_1", SCOPES, "192.0.2.1")
    assert waiting(harness, "state = 'allowed'") == 0


def test_what_a_person_allowed_can_be_taken_back_before_it_is_fetched(devices):
    text, typed = devices.begin("oc_1", SCOPES)
    family = devices.lookup(typed).family
    devices.approve(typed, "ann", allow=True, scopes=SCOPES)
    assert devices.end_all("eve") == []
    assert devices.end_all("ann") == [family]
    assert word(devices, text) == "invalid_grant"


# -- what a person types, and who may decide -------------------------------------------------


def test_what_is_typed_is_hard_to_guess_and_hard_to_misread(devices):
    """RFC 8628, 6.1: consonants without those that look like others; 20 to the power of 8."""
    typed = [devices.begin("oc_1", SCOPES, f"192.0.2.{number}")[1] for number in range(60)]
    assert len(set(typed)) == 60
    letters = set("".join(typed)) - {"-"}
    assert letters <= set("BCDFGHJKLMNPQRSTVWXZ")
    assert len(letters) > 15  # none is left out
    assert len(module._LETTERS) ** module._LENGTH > 2**34


@pytest.mark.parametrize("typed", ["", "-", "BBBB", "B" * 9, "1234-5678", "ÄÖÜß", "\x00", "%" * 99])
def test_what_is_no_code_finds_no_device(devices, typed):
    devices.begin("oc_1", SCOPES)
    assert devices.lookup(typed) is None
    assert not devices.approve(typed, "ann", allow=True, scopes=SCOPES)


def test_the_store_holds_no_device_code(devices, harness):
    text, _ = devices.begin("oc_1", SCOPES)
    written = b"".join(path.read_bytes() for path in harness.folder.glob("secureml.db*"))
    assert digest(text).encode() in written
    assert text[4:].encode() not in written


def test_a_decision_counts_only_while_its_condition_holds(devices):
    """The password that it came of may have been replaced meanwhile; another may still decide."""
    text, typed = devices.begin("oc_1", SCOPES)
    never = {"allow": True, "scopes": SCOPES, "still": lambda _connection: False}
    assert not devices.approve(typed, "ann", **never)
    assert word(devices, text) == "authorization_pending"
    assert devices.approve(typed, "bob", allow=True, scopes=SCOPES)


def test_a_decision_that_comes_late_does_not_count(devices, harness):
    text, typed = devices.begin("oc_1", SCOPES)
    harness.clock.advance(600)
    assert devices.lookup(typed) is None
    assert not devices.approve(typed, "ann", allow=True, scopes=SCOPES)
    assert word(devices, text) == "expired_token"


def test_what_was_allowed_must_be_fetched_in_time(devices, harness):
    text, typed = devices.begin("oc_1", SCOPES)
    assert devices.approve(typed, "ann", allow=True, scopes=SCOPES)
    harness.clock.advance(600)
    assert word(devices, text) == "expired_token"


def test_no_stays_no(devices, harness):
    """However often it is asked, and whoever types the code after that."""
    text, typed = devices.begin("oc_1", SCOPES)
    assert devices.approve(typed, "ann", allow=False, scopes=SCOPES)
    for _ in range(3):
        harness.clock.advance(10)
        assert word(devices, text) == "access_denied"
        assert not devices.approve(typed, "bob", allow=True, scopes=SCOPES)


def test_a_poll_too_early_gives_nothing_and_takes_nothing_away(devices, harness):
    """The yes waits until the device asks at the right pace."""
    text, typed = devices.begin("oc_1", SCOPES)
    assert word(devices, text) == "authorization_pending"
    devices.approve(typed, "ann", allow=True, scopes=SCOPES)
    harness.clock.advance(1)
    assert word(devices, text) == "slow_down"
    harness.clock.advance(10)
    assert devices.poll(text, "oc_1").subject == "ann"


def test_the_pace_of_one_device_is_not_that_of_another(devices):
    first, second = (devices.begin("oc_1", SCOPES)[0] for _ in range(2))
    assert word(devices, first) == "authorization_pending"
    assert word(devices, first) == "slow_down"
    assert word(devices, second) == "authorization_pending"


def test_a_poll_by_another_program_changes_nothing_for_the_right_one(devices):
    """Not even its pace."""
    text, typed = devices.begin("oc_1", SCOPES)
    for _ in range(5):
        assert word(devices, text, "oc_2") == "invalid_grant"
    assert word(devices, text) == "authorization_pending"
    assert devices.lookup(typed)


def test_a_device_gets_what_was_agreed_to_and_not_what_it_asked_for(devices):
    text, typed = devices.begin("oc_1", frozenset({"predict", "models:read"}))
    assert devices.approve(typed, "ann", allow=True, scopes=SCOPES)
    assert devices.poll(text, "oc_1").scopes == SCOPES


def test_attack_two_people_decide_on_one_device_at_once(devices):
    """One of them counts, whoever it is."""
    text, typed = devices.begin("oc_1", SCOPES)
    gate, counted = threading.Barrier(4), []

    def decide(name):
        gate.wait()
        if devices.approve(typed, name, allow=True, scopes=SCOPES):
            counted.append(name)

    threads = [threading.Thread(target=decide, args=(f"p{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted) == 1
    assert devices.poll(text, "oc_1").subject == counted[0]
