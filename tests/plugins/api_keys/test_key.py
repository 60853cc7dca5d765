"""The text of a key: any text is a key or none, and nothing in between."""

from __future__ import annotations

import hashlib
import re
import secrets
import string

from hypothesis import example, given
from hypothesis import strategies as st

from plugins.api_keys.key import Key, new_key, parse

SCANNER = re.compile(r"sml_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}")  # as the docs give it
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
KEYS = st.builds(
    lambda id_bytes, secret: new_key({16: id_bytes, 32: secret}.__getitem__),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=32, max_size=32),
)


@given(KEYS)
@example(new_key(bytes))
@example(new_key(lambda count: b"\xff" * count))
def test_every_key_made_is_a_key_that_scanners_find(key):
    assert parse(key.text) == key
    assert len(key.text) == 66
    assert SCANNER.findall(f"x = '{key.text}'") == [key.text]


@given(KEYS, st.integers(0, 65), st.characters())
def test_a_key_with_any_one_character_changed_is_no_key(key, place, other):
    changed = key.text[:place] + other + key.text[place + 1 :]
    assert parse(changed) is None or changed == key.text


@given(KEYS, st.integers(0, 64))
def test_a_key_with_neighbours_exchanged_is_no_key(key, place):
    text = key.text
    changed = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    assert parse(changed) is None or changed == text


@given(st.one_of(st.text(), st.text(BASE62 + "_", min_size=60, max_size=70).map("sml_".__add__)))
@example("")
@example("sml_")
@example("sml_" + "\0" * 62)
@example("sml_" + "٣" * 12 + "_" + "٣" * 49)
@example("\udc80")
def test_any_other_text_is_no_key_and_no_error(text):
    found = parse(text)
    assert found is None or found.text == text


@given(KEYS, st.sampled_from(["\n", " ", "\0", "\r\n", ",", "x"]))
def test_a_key_with_something_around_it_is_no_key(key, more):
    assert parse(key.text + more) is None
    assert parse(more + key.text) is None


@given(st.binary(min_size=32, max_size=32))
def test_no_bit_of_the_secret_is_lost(secret):
    """43 digits of base 62 hold 256 bits, so two secrets are never one key."""
    text = new_key({16: bytes(16), 32: secret}.__getitem__).text
    number = 0
    for digit in text[17:60]:
        number = number * 62 + BASE62.index(digit)
    assert number.to_bytes(32) == secret


def test_what_is_stored_is_sha_256_of_the_whole_text():
    key = new_key(secrets.token_bytes)
    assert key.digest() == hashlib.sha256(key.text.encode()).hexdigest()


def test_a_key_does_not_print_itself():
    key = new_key(secrets.token_bytes)
    assert repr(key) == str(key) == f"Key({key.id})"
    assert isinstance(key, Key)
    assert key.text[17:] not in f"{[key]}"
