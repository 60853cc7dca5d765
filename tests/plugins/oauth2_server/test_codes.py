"""Codes: once, for a minute, as digests."""

from __future__ import annotations

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
