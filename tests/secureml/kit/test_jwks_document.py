"""A JWK Set as a document: what is none is refused and the rule is named."""

from __future__ import annotations

import json

import pytest

from secureml.kit.jwks import trust
from secureml.kit.jwks_document import (
    KeysRefused,
    json_object,
    key_entries,
    read_file,
    trusted_keys,
)
from tests.outside_issuer import EC, jwks, write_keys


def refused(call, *words):
    with pytest.raises(KeysRefused) as error:
        call(*words)
    return str(error.value)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{", b"\xff", b'{"a": 1, "a": 2}', b"[" * 100_000, b'{"a": NaN}']
)
def test_what_is_no_json_object_is_refused(text):
    assert refused(json_object, text) == "not_json"
    assert refused(key_entries, text) == "not_json"


@pytest.mark.parametrize("document", [{}, {"keys": {}}, {"keys": None}, {"error": "down"}])
def test_what_is_no_key_set_is_refused(document):
    """So an error page in JSON does not count as a provider that withdrew its keys."""
    assert refused(key_entries, json.dumps(document).encode()) == "no_key_set"


def test_an_empty_set_is_a_statement():
    assert key_entries(b'{"keys": []}') == []


def test_a_set_without_end_is_refused():
    assert refused(key_entries, json.dumps({"keys": [{}] * 101}).encode()) == "too_many_keys"
    assert len(key_entries(json.dumps({"keys": [{}] * 100}).encode())) == 100


def test_a_file_is_read_unless_others_may_write_it(tmp_path):
    path = write_keys(tmp_path, EC)
    assert key_entries(read_file(path)) == jwks(EC)["keys"]
    path.chmod(0o662)
    assert refused(read_file, path) == "file_writable_by_others"
    assert refused(read_file, tmp_path / "none.json") == "file_unreadable"


def load(*keys, private=False):
    data = json.dumps(jwks(*keys, private=private)).encode()
    return lambda: trust(key_entries(data), ("ES256",), 3072)


def test_a_set_without_a_trusted_key_is_refused_and_says_why():
    assert len(trusted_keys(load(EC)).trusted) == 1
    assert refused(trusted_keys, load()) == "no key of this set is trusted: it is empty"
    leaked = load(EC, private=True)
    assert refused(trusted_keys, leaked) == "no key of this set is trusted: private"
