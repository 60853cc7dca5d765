"""Families: opened, turned once, ended whole; spent tokens known, made-up ones not."""

from __future__ import annotations

import pytest

from plugins.oauth2_server.families import Families, Family
from plugins.oauth2_server.opaque_tokens import digest, new_refresh
from secureml.kit.token_families import FamilyEnded

A, B, C = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def families(harness):
    return Families(harness.store, harness.clock, most=3)


@pytest.fixture
def made(harness):
    """Make a family, but for the changes."""

    def make(name="f", **changed):
        now = harness.clock()
        words = {
            "id": name, "oauth_client": "oc_1", "client": "acme", "subject": "ann",
            "grant": "code", "scopes": frozenset({"predict"}), "jkt": None, "created": now,
            "expires": now + 100, "current": None, "revoked": None,
        }  # fmt: skip
        return Family(**{**words, **changed})

    return make


def ended(call, *words, **more):
    with pytest.raises(FamilyEnded) as why:
        call(*words, **more)
    return why.value.reason


def test_a_family_stands_until_it_is_over(families, made, harness):
    families.open(made())
    assert families.require_active("f", "j") == made()
    harness.clock.advance(100)
    assert ended(families.require_active, "f", "j") == "family_expired"


def test_what_is_not_on_record_does_not_stand(families):
    assert ended(families.require_active, "f", "j") == "family_unknown"
    assert ended(families.for_refresh_digest, A) == "family_unknown"


def test_a_refresh_token_is_turned_once(families, made):
    family = made(current=A)
    families.open(family)
    assert families.for_refresh_digest(A) == family
    assert families.rotate(family.id, A, B).current == B
    assert families.for_refresh_digest(B).current == B
    assert ended(families.for_refresh_digest, A) == "family_unknown"  # looking ends nothing
    assert families.for_refresh_digest(B)


def test_a_made_up_one_ends_nothing(families, made):
    families.open(made(current=A))
    assert ended(families.for_refresh_digest, C) == "family_unknown"
    assert families.for_refresh_digest(A)


def test_a_family_that_was_ended_before_it_began_never_begins(families, made):
    """Its code was shown twice while the first was still being traded."""
    assert families.end("f") is False
    assert ended(families.open, made()) == "replayed"
    assert ended(families.require_active, "f", "j") == "family_revoked"


def test_ending_one_or_all(families, made):
    for name, words in (
        ("1", {}), ("2", {"oauth_client": "oc_2"}), ("3", {"oauth_client": "oc_3", "subject": ""}),
    ):  # fmt: skip
        families.open(made(name, **words))
    assert families.end("1") is True
    assert families.end("1") is False
    assert families.end_all(subject="ann") == 1
    assert families.end_all(oauth_client="oc_3") == 1
    assert families.list(["oc_1", "oc_2", "oc_3"]) == []


def test_a_list_holds_what_stands(families, made, harness):
    families.open(made("1"))
    harness.clock.advance(1)
    families.open(made("2"))
    assert [family.id for family in families.list(["oc_1"])] == ["1", "2"]
    assert families.list(["oc_2"]) == []


def test_a_client_has_only_so_many_of_one_kind(families, made, harness):
    families.open(made("delegated", grant="refresh"))
    for number in range(5):
        harness.clock.advance(1)
        families.open(made(str(number)))
    assert ended(families.require_active, "0", "j") == "family_unknown"
    assert families.require_active("4", "j")
    assert families.require_active("delegated", "j")  # another kind does not push it out


def test_what_is_over_is_forgotten(families, made, harness):
    families.open(made(current=A))
    families.end_token("j", harness.clock() + 10, "f")
    harness.clock.advance(200)
    families.open(made("new"))
    assert ended(families.for_refresh_digest, A) == "family_unknown"
    assert (rows(harness, "oauth2_families"), rows(harness, "oauth2_revoked")) == (1, 0)


def rows(harness, table):
    with harness.store.read() as connection:
        return connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()


def refreshed(families, made, harness, times):
    """Return all refresh tokens of one family, the last of which counts."""
    name, mark = "f" * 32, "the mark"
    texts = [new_refresh(name, mark)]
    long = harness.clock() + 1e6
    families.open(made(name, current=digest(texts[0]), mark=mark, expires=long))
    for _ in range(times):
        texts.append(new_refresh(name, mark))
        family = families.for_refresh_token(texts[-2])
        families.rotate(family.id, digest(texts[-2]), digest(texts[-1]))
    return texts


@pytest.mark.parametrize("which", [0, 1, 298, 299])
def test_attack_a_thief_refreshes_until_the_owner_is_forgotten(families, made, harness, which):
    """However many came after it: whoever shows a spent one ends the family."""
    texts = refreshed(families, made, harness, 300)
    assert ended(families.for_refresh_token, texts[which]) == "replayed"
    assert ended(families.for_refresh_token, texts[-1]) == "family_revoked"


def test_attack_a_made_up_refresh_token_signs_nobody_out(families, made, harness):
    """The id of a family is no secret; its mark is."""
    texts = refreshed(families, made, harness, 3)
    good = texts[1]
    for text in (
        new_refresh("f" * 32, "another mark"), new_refresh("e" * 32, "the mark"), good[:-1],
        good[:-2] + ("AA" if good[-2:] != "AA" else "BA"), good + "A", "srt_" + "f" * 86,
        "srt_" + "é" * 86, "srt_", "",
    ):  # fmt: skip
        assert ended(families.for_refresh_token, text) == "family_unknown"
    assert families.for_refresh_token(texts[-1])


def test_what_a_secret_was_traded_for_ends_without_what_people_lent(families, made):
    families.open(made("machine", grant="client_credentials", subject=""))
    families.open(made("granted"))
    assert families.end_all(oauth_client="oc_1", grant="client_credentials") == 1
    assert ended(families.require_active, "machine", "j") == "family_revoked"
    assert families.require_active("granted", "j")
