"""Reading certificates: one certificate is one thumbprint, and anything else is refused."""

from __future__ import annotations

import base64
import hashlib
import subprocess

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from secureml.kit.client_certificate import (
    LONGEST,
    CertificateFault,
    authority_state,
    der_of,
    dns_name,
    from_der,
    from_header,
    from_pem,
    is_issued_by,
    thumbprint,
)
from secureml.testing import START


@pytest.fixture(scope="module")
def authority():
    """The clients' authority."""
    return Authority(START)


@pytest.fixture(scope="module")
def leaf(authority):
    """A good client certificate with one name."""
    return authority.sign()


from tests.made_certificates import DAY, SERVER_AUTH, Authority, named


def reason(call, *words):
    """Return why a text was refused."""
    with pytest.raises(CertificateFault) as refused:
        call(*words)
    return refused.value.reason


def test_a_certificate_is_read_whole(leaf):
    found = from_header(leaf.header)

    assert found.der == leaf.der
    assert (found.begins, found.ends) == (START - DAY, START + 90 * DAY)
    assert found.names == {"batch.example.org"}
    assert found.for_clients
    assert from_pem(leaf.pem) == found == from_der(leaf.der)


def test_the_thumbprint_is_what_openssl_makes_of_it(leaf, tmp_path):
    """RFC 8705, 3.1: SHA-256 of the DER."""
    certificate, _ = leaf.write(tmp_path, "leaf")
    said = subprocess.run(
        ["openssl", "x509", "-in", str(certificate), "-noout", "-fingerprint", "-sha256"],
        capture_output=True, text=True, check=True, timeout=30,
    ).stdout  # fmt: skip
    digest = bytes.fromhex(said.partition("=")[2].strip().replace(":", ""))
    assert digest == hashlib.sha256(leaf.der).digest()
    assert thumbprint(leaf.der) == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert len(thumbprint(leaf.der)) == 43


def test_two_certificates_are_none(leaf, authority):
    """Which of them was proven in the handshake?"""
    other = authority.sign("other.example.org")
    assert reason(from_pem, leaf.pem + other.pem) == "malformed"
    assert reason(from_header, leaf.header + other.header) == "malformed"
    assert reason(from_header, f"{leaf.header},{leaf.header}") == "malformed"


def test_a_key_beside_a_certificate_is_none_of_ours(leaf, tmp_path):
    _, key = leaf.write(tmp_path, "leaf")
    assert reason(from_pem, leaf.pem + key.read_bytes()) == "malformed"
    assert reason(from_pem, key.read_bytes()) == "malformed"


def test_what_is_cut_off_or_continued_is_none(leaf):
    for spoilt in (leaf.der[:-1], leaf.der + b"\0", b"", b"\x30\x00", leaf.der[1:]):
        assert reason(from_der, spoilt) == "malformed"
    assert reason(from_header, leaf.header[:-20]) == "malformed"
    assert reason(from_header, leaf.header.replace("BEGIN", "begin")) == "malformed"


def test_a_text_longer_than_any_certificate_is_not_even_decoded(leaf):
    assert reason(from_header, "%41" * LONGEST) == "too_long"
    assert reason(from_header, leaf.header + "%0A" * LONGEST) == "too_long"


@given(st.text(st.characters(max_codepoint=255), max_size=300) | st.binary().map(repr))
def test_no_garbage_raises_anything_but_our_fault(text):
    assert reason(from_header, text) == "malformed"


# A library that warns today of what it will refuse tomorrow is no fault of ours.
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_flipped_byte_is_another_certificate_or_none(leaf, data):
    place = data.draw(st.integers(0, len(leaf.der) - 1))
    flipped = bytearray(leaf.der)
    flipped[place] ^= data.draw(st.integers(1, 255))
    try:
        found = from_der(bytes(flipped))
    except CertificateFault:
        return
    assert found.thumbprint != thumbprint(leaf.der)


def test_a_certificate_holds_from_its_first_second_to_its_last(leaf):
    found = from_der(leaf.der)
    begins, ends = found.begins, found.ends
    moments = {begins - 1: "early", begins: "active", ends: "active", ends + 1: "expired"}
    assert {moment: found.state(moment) for moment in moments} == moments


def test_a_certificate_for_servers_is_not_for_clients(authority):
    assert not from_der(authority.sign(usage=SERVER_AUTH).der).for_clients
    assert from_der(authority.sign(usage=()).der).for_clients


def test_without_names_there_are_none_and_the_common_name_is_no_name(authority):
    """What a common name says was never checked by anyone (RFC 9525, 2)."""
    assert from_der(authority.sign("batch.example.org", dns=()).der).names == frozenset()


def test_names_are_compared_in_small_letters(authority):
    assert from_der(authority.sign(dns=("Batch.Example.ORG",)).der).names == {"batch.example.org"}


@pytest.mark.parametrize(
    "text",
    ["*.example.org", "a..b", ".a", "a.", "", "a b", "-a", "a-", "a/b", "a\n", "ä.org", "a" * 64],
)
def test_a_name_that_could_be_several_or_none_is_not_bound(text):
    assert dns_name(text) is None


@pytest.mark.parametrize("text", ["batch.example.org", "BATCH", "a_b.example.org", "x" * 63])
def test_a_host_name_may_be_bound(text):
    assert dns_name(text) == text.lower()


def test_who_signed_is_asked_of_the_signature_and_not_of_the_name(authority, leaf):
    twin = Authority(START)  # the same name, another key
    assert is_issued_by(leaf.der, authority.own.der)
    assert not is_issued_by(leaf.der, twin.own.der)
    assert not is_issued_by(twin.sign().der, authority.own.der)
    assert not is_issued_by(leaf.der, leaf.der)


def test_a_leaf_is_no_authority_and_neither_is_one_whose_time_is_over(authority, leaf):
    assert authority_state(authority.own.der, START) == ("", START + 3650 * DAY)
    assert authority_state(leaf.der, START)[0] == "is not a certificate of an authority"
    assert authority_state(b"x", START)[0] == "is not a certificate of an authority"
    assert authority_state(authority.own.der, START + 3651 * DAY)[0] == "does not hold now"
    assert authority_state(authority.own.der, START - 2 * DAY)[0] == "does not hold now"


def test_a_certificate_of_the_first_version_is_no_authority(authority):
    """It cannot say what it is for."""
    plain = authority._builder(named("x"), authority.own.key.public_key(), (-1, 9))
    signed = plain.sign(authority.own.key, hashes.SHA256())
    assert not list(signed.extensions)
    assert (
        authority_state(der_of(signed.public_bytes(Encoding.PEM)), START)[0]
        == "is not a certificate of an authority"
    )
