"""Secret texts: long, marked, and kept as digests."""

from __future__ import annotations

from plugins.oauth2.server.digests import CODE, digest, new_id, new_text


def test_a_text_says_what_it_is_and_holds_256_bits():
    asked = []
    text = new_text(CODE, lambda count: asked.append(count) or "x")
    assert (text, asked) == ("sac_x", [32])
    assert new_text(CODE) != new_text(CODE)
    assert len(new_text(CODE)) == 4 + 43


def test_an_id_holds_128_bits():
    assert len(bytes.fromhex(new_id())) == 16
    assert new_id() != new_id()


def test_a_digest_is_of_the_whole_text_even_where_it_is_no_text():
    assert digest("a") != digest("b")
    assert len(digest("\udc80")) == 64
