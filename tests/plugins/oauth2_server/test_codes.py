"""Codes: once, for a minute, as digests."""

from __future__ import annotations

import threading

import pytest

from plugins.oauth2_server import codes as module
from plugins.oauth2_server.codes import CodeRefused, Codes
from plugins.oauth2_server.opaque_tokens import digest


@pytest.fixture
def codes(harness):
    return Codes(harness.store, harness.clock, 60.0, 1000.0)


def give(codes):
    return codes.issue(
        "oc_1",
        redirect="https://a.example/",
        subject="ann",
        scopes=frozenset({"predict"}),
        challenge="c" * 43,
        jkt=None,
    )


def why(codes, text):
    with pytest.raises(CodeRefused) as refused:
        codes.redeem(text)
    return refused.value


def test_a_code_stands_for_what_was_agreed_to(codes):
    code = codes.redeem(give(codes))
    assert (code.oauth_client, code.redirect, code.subject) == ("oc_1", "https://a.example/", "ann")
    assert (code.scopes, code.challenge, code.jkt) == ({"predict"}, "c" * 43, None)
    assert len(code.family) == 32


def test_a_second_use_names_what_must_end(codes):
    text = give(codes)
    family = codes.redeem(text).family
    assert (why(codes, text).reason, why(codes, text).family) == ("code_replayed", family)


def test_a_late_or_unknown_code_is_refused_and_ends_nothing(codes, harness):
    text = give(codes)
    harness.clock.advance(60)
    assert (why(codes, text).reason, why(codes, text).reason) == ("code_expired", "code_replayed")
    assert (why(codes, "x").reason, why(codes, "x").family) == ("code_unknown", "")


def test_a_replay_is_known_for_as_long_as_its_tokens_live(codes, harness):
    text = give(codes)
    codes.redeem(text)
    harness.clock.advance(999)
    give(codes)
    assert why(codes, text).reason == "code_replayed"
    harness.clock.advance(1)
    give(codes)
    assert why(codes, text).reason == "code_unknown"


def test_the_store_holds_no_code(codes, harness):
    text = give(codes)
    written = b"".join(path.read_bytes() for path in harness.folder.glob("secureml.db*"))
    assert digest(text).encode() in written  # the log of the database is among the files
    assert text[4:].encode() not in written


def held(harness):
    with harness.store.read() as connection:
        return connection.exec_driver_sql("SELECT count(*) FROM oauth2_codes").scalar()


def test_attack_agreeing_for_ever_fills_no_table(codes, harness, monkeypatch):
    """Of one person and program the newest are kept, and a code just given is among them."""
    monkeypatch.setattr(module, "MOST", 5)
    for _ in range(20):
        harness.clock.advance(1)
        text = give(codes)

    assert held(harness) == 5
    assert codes.redeem(text)


def test_what_a_person_agreed_to_can_be_taken_back_before_it_is_traded(codes, harness):
    text, used = give(codes), give(codes)
    family = codes.redeem(used).family
    assert codes.end_all("eve") == []
    assert family in codes.end_all("ann")
    assert why(codes, text).reason == "code_unknown"
    assert held(harness) == 0


def test_nothing_is_given_where_the_condition_does_not_hold(codes, harness):
    """The person's password may have been replaced while they agreed."""
    words = {
        "redirect": "https://a.example/", "subject": "ann", "scopes": frozenset({"predict"}),
        "challenge": "c" * 43, "jkt": None,
    }  # fmt: skip
    assert codes.issue("oc_1", **words, still=lambda _connection: False) is None
    assert held(harness) == 0
    asked = []
    assert codes.issue("oc_1", **words, still=lambda connection: asked.append(connection) or True)
    assert len(asked) == 1


def test_attack_one_code_used_by_many_at_once(codes):
    text, gate, found = give(codes), threading.Barrier(6), []

    def use():
        gate.wait()
        try:
            found.append(codes.redeem(text).family)
        except CodeRefused as refused:
            found.append((refused.reason, refused.family))

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (family,) = [each for each in found if isinstance(each, str)]
    assert found.count(("code_replayed", family)) == 5


def test_one_program_or_person_pushes_out_no_code_of_another(codes, monkeypatch):
    monkeypatch.setattr(module, "MOST", 3)
    words = {"redirect": "https://a.example/", "challenge": "c" * 43, "jkt": None}
    scopes = frozenset({"predict"})
    mine = codes.issue("oc_1", subject="ann", scopes=scopes, **words)
    others = [
        codes.issue("oc_2", subject="ann", scopes=scopes, **words),
        codes.issue("oc_1", subject="bob", scopes=scopes, **words),
    ]
    for _ in range(10):
        codes.issue("oc_2", subject="bob", scopes=scopes, **words)
    assert all(codes.redeem(text) for text in (mine, *others))


def test_a_persons_codes_are_ended_and_no_other_persons(codes, harness):
    """The families named are those that could begin of a trade that is under way."""
    words = {"redirect": "https://a.example/", "challenge": "c" * 43, "jkt": None}
    old = codes.issue("oc_1", subject="ann", scopes=frozenset({"predict"}), **words)
    harness.clock.advance(121)
    new, other = (
        codes.issue("oc_1", subject=name, scopes=frozenset({"predict"}), **words)
        for name in ("ann", "bob")
    )
    assert len(codes.end_all("ann")) == 1
    for text in old, new:
        assert why(codes, text).reason == "code_unknown"
    assert codes.redeem(other).subject == "bob"
    assert codes.end_all("nobody") == []


def test_a_code_that_was_traded_is_among_what_a_new_password_ends(codes):
    """Its tokens may not be on record yet."""
    text = give(codes)
    family = codes.redeem(text).family
    assert codes.end_all("ann") == [family]


@pytest.mark.parametrize("text", ["", "sac_", "sac_" + "a" * 43, "\x00", "\udc80", "x" * 9000])
def test_what_is_no_code_is_unknown(codes, text):
    give(codes)
    assert (why(codes, text).reason, why(codes, text).family) == ("code_unknown", "")


def test_two_codes_of_one_consent_are_two(codes):
    first, second = give(codes), give(codes)
    assert first != second
    assert codes.redeem(first).family != codes.redeem(second).family


def test_what_a_code_is_bound_to_comes_back_as_it_was_given(codes):
    text = codes.issue(
        "oc_1", redirect="com.example.app:/b?x=1&y", subject="ann",
        scopes=frozenset({"b", "a"}), challenge="-" * 43, jkt="_" * 43,
    )  # fmt: skip
    code = codes.redeem(text)
    assert (code.redirect, code.challenge, code.jkt) == (
        "com.example.app:/b?x=1&y", "-" * 43, "_" * 43,
    )  # fmt: skip
    assert code.scopes == {"a", "b"}
