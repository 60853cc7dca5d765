"""One X.509 certificate as data: its thumbprint, when it holds, and the names it speaks for.

Everything here is public: a certificate is no secret, its key is, and only a TLS handshake
shows that somebody has it. Reading a certificate therefore proves nothing by itself.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

LONGEST = 16 * 1024  # characters; RSA of 4096 bits with twenty names needs about 4000
_PEM = re.compile(
    rb"-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END CERTIFICATE-----(?:\r?\n)*"
)
# No wildcard: a binding names one machine or one service, and so does the certificate (RFC 8705,
# 2.1.2 compares the whole name).
_DNS = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
# What the library raises for bytes that are no certificate: there is no one word for it.
_UNREADABLE = (
    ValueError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


class CertificateFault(Exception):
    """A text is not one certificate that we can use; ``reason`` is one word for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Leaf:
    """A client's own certificate.

    ``thumbprint`` is x5t#S256 (RFC 8705, 3.1): SHA-256 of the DER, base64url without padding.
    ``begins`` and ``ends`` are epoch seconds, ``names`` its dNSName entries in small letters.
    ``for_clients`` is false where its extended key usage leaves out clientAuth.
    """

    thumbprint: str
    begins: float
    ends: float
    names: frozenset[str]
    for_clients: bool
    der: bytes

    def state(self, now: float) -> str:
        """Return ``active``, ``early`` or ``expired``; the last second is still good."""
        if now < self.begins:
            return "early"
        return "active" if now <= self.ends else "expired"


def from_header(text: str) -> Leaf:
    """Read what Nginx gives as $ssl_client_escaped_cert: a PEM, percent-encoded.

    Raises CertificateFault for anything else, two certificates included: which of them was
    proven in the handshake, nobody could tell.
    """
    if len(text) > LONGEST:
        raise CertificateFault("too_long")
    return from_pem(unquote_to_bytes(text))


def from_pem(data: bytes) -> Leaf:
    """Read the one certificate of a PEM file; raises CertificateFault."""
    return from_der(der_of(data))


def der_of(data: bytes) -> bytes:
    """Return the bytes inside a PEM that holds one certificate and nothing beside it."""
    found = _PEM.fullmatch(data.strip() + b"\n")
    if found is None:
        raise CertificateFault("malformed")
    try:
        return base64.b64decode(b"".join(found[1].split()), validate=True)
    except binascii.Error:
        raise CertificateFault("malformed") from None


def from_der(der: bytes) -> Leaf:
    """Read a certificate; raises CertificateFault where it cannot be read whole."""
    try:
        found = x509.load_der_x509_certificate(der)
        extensions = found.extensions
        begins, ends = _seconds(found.not_valid_before_utc), _seconds(found.not_valid_after_utc)
        names, for_clients = _names(extensions), _for_clients(extensions)
    except _UNREADABLE:
        raise CertificateFault("malformed") from None
    return Leaf(thumbprint(der), begins, ends, names, for_clients, der)


def thumbprint(der: bytes) -> str:
    """Return x5t#S256 of a certificate (RFC 8705, 3.1): 43 characters."""
    return base64.urlsafe_b64encode(sha256(der).digest()).rstrip(b"=").decode("ascii")


def dns_name(text: str) -> str | None:
    """Return the one way to write a host name that may be bound, or None: no wildcard, no dot."""
    small = text.lower()
    return small if _DNS.fullmatch(small) else None


def authority_state(der: bytes, now: float) -> tuple[str, float]:
    """Say why a certificate cannot certify others now, "" where it can; and when it ends."""
    try:
        found = x509.load_der_x509_certificate(der)
        basic = found.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (*_UNREADABLE, x509.ExtensionNotFound):
        return "is not a certificate of an authority", now
    begins, ends = _seconds(found.not_valid_before_utc), _seconds(found.not_valid_after_utc)
    if not basic.ca:
        return "is not a certificate of an authority", ends
    return ("" if begins <= now <= ends else "does not hold now"), ends


def is_issued_by(leaf: bytes, authority: bytes) -> bool:
    """Tell whether the authority's key signed the leaf; both are DER.

    The name of an issuer is a word that anybody can write: the signature is what counts.
    """
    try:
        issuer = x509.load_der_x509_certificate(authority)
        x509.load_der_x509_certificate(leaf).verify_directly_issued_by(issuer)
    except (*_UNREADABLE, TypeError, UnsupportedAlgorithm, InvalidSignature):
        return False
    return True


def _seconds(moment: datetime) -> float:
    return moment.timestamp()


def _names(extensions: x509.Extensions) -> frozenset[str]:
    try:
        found = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(name.lower() for name in found.get_values_for_type(x509.DNSName))


def _for_clients(extensions: x509.Extensions) -> bool:
    try:
        found = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return (
        ExtendedKeyUsageOID.CLIENT_AUTH in found
        or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in found
    )
