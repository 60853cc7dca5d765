"""Secret texts: long, marked, and kept as digests."""

from __future__ import annotations

from plugins.oauth2_server.opaque_tokens import (
    CODE,
    digest,
    family_of,
    is_marked,
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
