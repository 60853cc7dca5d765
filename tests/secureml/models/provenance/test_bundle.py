"""Bundles: nothing in one is used before its signature is verified, whatever it is made of."""

from __future__ import annotations

import base64
import hashlib
import json
import sys

import pytest

from secureml.config_error import ConfigError
from secureml.models.provenance.bundle import BUNDLE_LIMIT, verified
from tests.bundles import bundle_of, edit_bundle, edit_payload


def names_of(found):
    return [each.identifier for each in found[0].resource_descriptors()]


def test_a_bundle_says_what_it_signs_and_by_which_key(bundle, keys):
    found = verified(bundle, keys.public)

    assert names_of(found) == ["README.md", "model.joblib", "parts/scaler.joblib"]
    assert found[1] == hashlib.sha256(keys.public.read_bytes()).hexdigest()


def test_attack_another_key(bundle, others):
    with pytest.raises(ConfigError, match=r"model\.sig: it cannot be verified .*Key mismatch"):
        verified(bundle, others.public)


def test_attack_another_key_under_the_name_of_the_right_one(model, bundle, keys, others, tmp_path):
    """The name of the key in a bundle is anybody's to write; the signature is not."""
    forged = bundle_of(model, others, tmp_path / "forged.sig")
    hint = json.loads(bundle.read_text())["verificationMaterial"]["publicKey"]
    edit_bundle(forged, lambda content: content["verificationMaterial"].update(publicKey=hint))

    with pytest.raises(ConfigError, match=r"forged\.sig: the signature is of another key"):
        verified(forged, keys.public)


def exchange_digest(payload):
    payload["predicate"]["resources"][0]["digest"] = "0" * 64
    values = b"".join(bytes.fromhex(each["digest"]) for each in payload["predicate"]["resources"])
    payload["subject"][0]["digest"]["sha256"] = hashlib.sha256(values).hexdigest()


def test_attack_an_edited_statement_under_the_old_signature(bundle, keys):
    edit_bundle(bundle, lambda content: edit_payload(content, exchange_digest))

    with pytest.raises(ConfigError, match="or what it signs was changed; fix: get the model"):
        verified(bundle, keys.public)


@pytest.mark.parametrize("first", [True, False])
def test_attack_two_envelopes_in_one_bundle(bundle, keys, first):
    """What is verified is what is used, whichever of the two a reader takes."""

    def add(content):
        genuine = content.pop("dsseEnvelope")
        forged = {"dsseEnvelope": json.loads(json.dumps(genuine))}
        edit_payload(forged, exchange_digest)
        pair = [("dsse_envelope", forged["dsseEnvelope"]), ("dsseEnvelope", genuine)]
        content.update(pair if first else reversed(pair))

    edit_bundle(bundle, add)
    try:
        found = verified(bundle, keys.public)
    except ConfigError:
        return
    digests = [each.digest.digest_hex for each in found[0].resource_descriptors()]
    assert "0" * 64 not in digests


def emptied(content):
    content["dsseEnvelope"]["signatures"] = []


def unsigned_kind(content):
    content["dsseEnvelope"]["payloadType"] = "text/plain"


def other_media(content):
    content["mediaType"] = "application/json"


def no_envelope(content):
    del content["dsseEnvelope"]


def text_for_a_payload(content):
    content["dsseEnvelope"]["payload"] = "!!!"


def a_list_of_signatures(content):
    content["dsseEnvelope"]["signatures"] = [[], {}]


EDITS = [emptied, unsigned_kind, other_media, no_envelope, text_for_a_payload, a_list_of_signatures]


@pytest.mark.parametrize("edit", EDITS)
def test_attack_a_bundle_in_another_shape(bundle, keys, edit):
    edit_bundle(bundle, edit)

    with pytest.raises(ConfigError, match=r"model\.sig: .*; fix: "):
        verified(bundle, keys.public)


GARBAGE = {
    "nothing": b"",
    "no text": b"\xff\xfe\x00",
    "no JSON": b"{",
    "a number": b"7",
    "a number without an end": b"9" * 100_000,
    "an empty object": b"{}",
    "null": b'{"verificationMaterial": null}',
    "a text": b'{"verificationMaterial": "x"}',
    "deep": b"[" * 200_000,
    "deep inside": b'{"verificationMaterial": ' + b'{"a":' * 100_000,
    "a lone surrogate": b'{"mediaType": "\\ud800", "verificationMaterial": {"publicKey": {}}}',
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE.keys())
def test_attack_garbage_is_one_line_and_no_traceback(tmp_path, keys, content):
    file = tmp_path / "garbage.sig"
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=r"garbage\.sig: it cannot be .*; fix: ") as told:
        verified(file, keys.public)
    assert "\n" not in str(told.value)


def test_attack_a_bundle_of_a_hundred_megabytes_is_not_parsed(tmp_path, keys, monkeypatch):
    file = tmp_path / "large.sig"
    with file.open("wb") as opened:
        opened.truncate(100 * 1024**2)
    monkeypatch.setattr(json, "loads", lambda *_: pytest.fail("it was parsed"))

    with pytest.raises(ConfigError, match=f"larger than {BUNDLE_LIMIT} bytes"):
        verified(file, keys.public)


@pytest.mark.parametrize("material", ["certificate", "x509CertificateChain"])
def test_a_bundle_signed_by_an_identity_is_refused_with_what_is_verified_here(
    bundle, keys, material
):
    raw = {"rawBytes": base64.b64encode(b"x").decode()}
    found = raw if material == "certificate" else {"certificates": [raw]}
    edit_bundle(
        bundle,
        lambda content: content.update(verificationMaterial={material: found, "tlogEntries": []}),
    )
    with pytest.raises(ConfigError, match=r"\(keyless\).* only keys are verified here; fix: have"):
        verified(bundle, keys.public)


def test_an_older_bundle_that_names_no_key_is_verified_and_nothing_is_printed(bundle, keys, capsys):
    """The library prints a warning, which would stand in the JSON of a command."""
    edit_bundle(bundle, lambda content: content["verificationMaterial"].update(publicKey={}))

    assert len(names_of(verified(bundle, keys.public))) == 3
    assert capsys.readouterr().out == ""


def test_without_the_library_the_line_that_installs_it_is_told(bundle, keys, monkeypatch):
    monkeypatch.setitem(sys.modules, "model_signing", None)

    with pytest.raises(ConfigError, match="fix: script/extras provenance"):
        verified(bundle, keys.public)
