"""Secret texts: long, marked, and kept as digests."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest

from plugins.oauth2_server.opaque_tokens import (
    CODE,
    DEVICE,
    REFRESH,
    SECRET,
    digest,
    family_of,
    is_marked,
    is_well_formed_secret,
    new_id,
    new_refresh,
    new_token,
)


def test_a_text_says_what_it_is_and_holds_256_bits():
    asked = []
    text = new_token(CODE, lambda count: asked.append(count) or "x")
    assert (text, asked) == ("sac_x", [32])
    assert new_token(CODE) != new_token(CODE)
    assert len(new_token(CODE)) == 4 + 43


def test_an_id_holds_128_bits():
    assert len(bytes.fromhex(new_id())) == 16
    assert new_id() != new_id()


def test_a_digest_is_of_the_whole_text_even_where_it_is_no_text():
    assert digest("a") != digest("b")
    assert len(digest("\udc80")) == 64


def test_a_refresh_token_names_its_family_and_is_marked_by_it():
    family, asked = new_id(), []
    text = new_refresh(family, "mark", lambda count: asked.append(count) or b"x" * count)
    assert asked == [32]
    assert text.startswith("srt_")
    assert (family_of(text), is_marked(text, "mark"), is_marked(text, "other")) == (
        family,
        True,
        False,
    )
    assert new_refresh(family, "mark") != new_refresh(family, "mark")


def test_what_is_no_refresh_token_names_no_family():
    for text in ("", "srt_", "x" * 90, "srt_" + "é" * 86, "srt_" + "a" * 85, "srt_" + "=" * 86):
        assert (family_of(text), is_marked(text, "mark")) == (None, False)


@pytest.mark.parametrize("prefix", [SECRET, CODE, REFRESH, DEVICE])
def test_a_prefix_tells_each_kind_from_every_other(prefix):
    """So that a scanner finds one that leaked, and none passes for another."""
    others = {SECRET, CODE, REFRESH, DEVICE} - {prefix}
    assert len(prefix) == 4
    text = new_token(prefix)
    assert text.startswith(prefix)
    assert not any(text.startswith(other) for other in others)


@pytest.mark.parametrize(
    "text",
    [
        "", "scs_", "x" * 47, "scs_" + "a" * 42, "scs_" + "a" * 44, "scs_" + "é" * 43,
        "scs_" + "a" * 42 + "=", "SCS_" + "a" * 43, "sac_" + "a" * 43, " scs_" + "a" * 43,
        "scs_" + "a" * 42 + "\n", "scs_scs_" + "a" * 39 + "\x00",
    ],
)  # fmt: skip
def test_what_has_not_the_shape_of_a_secret_is_none(text):
    assert not is_well_formed_secret(text)


def test_every_secret_that_is_made_has_the_shape_of_one():
    assert all(is_well_formed_secret(new_token(SECRET)) for _ in range(50))


def test_attack_a_refresh_token_moved_to_another_family():
    """Whoever holds one cannot make one of another family out of it."""
    mine, other = new_id(), new_id()
    text = new_refresh(mine, "mark")
    whole = urlsafe_b64decode(text.removeprefix("srt_") + "==")
    moved = "srt_" + urlsafe_b64encode(bytes.fromhex(other) + whole[16:]).rstrip(b"=").decode()
    assert family_of(moved) == other
    assert not is_marked(moved, "mark")


@pytest.mark.parametrize("place", [0, 15, 16, 30, 47, 48, 63])
def test_attack_one_bit_of_a_refresh_token_is_turned(place):
    family = new_id()
    whole = bytearray(urlsafe_b64decode(new_refresh(family, "mark").removeprefix("srt_") + "=="))
    whole[place] ^= 1
    assert not is_marked("srt_" + urlsafe_b64encode(whole).rstrip(b"=").decode(), "mark")


def test_a_mark_is_a_secret_of_its_family():
    text = new_refresh(new_id(), "mark")
    for guess in ("", "Mark", "mark ", text, "0" * 32):
        assert not is_marked(text, guess)


def test_digests_are_sha_256_of_the_text():
    assert digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest("a") != digest("A") != digest("a ")
