"""From an issuer's name to its keys: what the metadata says is checked, not followed."""

from __future__ import annotations

import json

import pytest

from plugins.oauth2.discovery import locate, metadata_url
from secureml.kit.fetch import Fetcher
from secureml.kit.jwks_document import KeysRefused
from tests.outside_issuer import ISSUER


class Documents(Fetcher):
    """Hands out documents instead of fetching them; the checks are the real ones."""

    def __init__(self, documents):
        super().__init__([("id.example.org", 443)])
        self.documents = documents

    def __call__(self, url):
        self.check(url)
        return self.documents[url]


def located(metadata, issuer=ISSUER):
    text = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
    return locate(issuer, Documents({metadata_url(issuer): text}))


def refused(call, *words):
    with pytest.raises(KeysRefused) as error:
        call(*words)
    return str(error.value)


def test_the_keys_are_where_the_metadata_says():
    assert located({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"}) == f"{ISSUER}/keys"


def test_the_metadata_lies_under_the_issuer():
    """OpenID Connect Discovery, 4.1: one slash at the end does not count."""
    assert metadata_url("https://a.example/realms/x").endswith(
        ".example/realms/x/.well-known/openid-configuration"
    )
    assert (
        metadata_url("https://a.example/") == "https://a.example/.well-known/openid-configuration"
    )


@pytest.mark.parametrize(
    "said", [ISSUER + "/", ISSUER.upper(), "https://evil.example", None, [ISSUER], ""]
)
def test_an_issuer_that_calls_itself_otherwise_is_another(said):
    assert refused(located, {"issuer": said, "jwks_uri": f"{ISSUER}/keys"}) == "issuer_differs"


@pytest.mark.parametrize(
    ("uri", "rule"),
    [
        (None, "jwks_uri_url"),
        (7, "jwks_uri_url"),
        ("", "jwks_uri_url"),
        ("/keys", "jwks_uri_url"),
        ("file:///etc/passwd", "jwks_uri_url"),
        ("https://evil.example/keys", "jwks_uri_host_not_pinned"),
        ("https://id.example.org:8443/keys", "jwks_uri_host_not_pinned"),
        ("http://id.example.org:443/keys", "jwks_uri_not_https"),
        ("https://id.example.org@evil.example/keys", "jwks_uri_url"),
        ("https://169.254.169.254/latest/meta-data", "jwks_uri_host_not_pinned"),
    ],
)
def test_keys_elsewhere_are_not_fetched(uri, rule):
    assert refused(located, {"issuer": ISSUER, "jwks_uri": uri}) == rule


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{", b"\xff", b'{"a": 1, "a": 2}', b"[" * 100_000, b'{"a": NaN}']
)
def test_what_is_no_json_object_is_refused(text):
    assert refused(located, text) == "not_json"
