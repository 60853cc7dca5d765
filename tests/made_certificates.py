"""Authorities and client certificates, minted on the spot: good ones and every wrong kind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86400.0
CLIENT_AUTH = (ExtendedKeyUsageOID.CLIENT_AUTH,)
SERVER_AUTH = (ExtendedKeyUsageOID.SERVER_AUTH,)


@dataclass(frozen=True)
class Minted:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def header(self) -> str:
        """As Nginx writes $ssl_client_escaped_cert: everything but RFC 3986's unreserved."""
        return quote(self.pem.decode("ascii"), safe="")

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write NAME.crt and NAME.key, and return both."""
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_bytes(self.pem)
        pkcs8 = PrivateFormat.PKCS8
        key.write_bytes(self.key.private_bytes(Encoding.PEM, pkcs8, NoEncryption()))
        return certificate, key


def named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """An authority of one's own; ``at`` is the moment, in epoch seconds, around which it signs."""

    def __init__(self, at: float, name: str = "clients' authority", days: float = 3650) -> None:
        self.at, self.name = at, named(name)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(self.name, key.public_key(), (-1.0, days)).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        usage = x509.KeyUsage(*(False,) * 5, True, True, None, None)  # type: ignore[arg-type]
        builder = builder.add_extension(usage, critical=True)
        self.own = Minted(builder.sign(key, hashes.SHA256()), key)

    def sign(
        self,
        name: str = "batch.example.org",
        *,
        days: tuple[float, float] = (-1.0, 90.0),
        dns: tuple[str, ...] | None = None,
        usage: tuple[Any, ...] = CLIENT_AUTH,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> Minted:
        """Return a leaf that holds from and until so many days after the moment."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(named(name), key.public_key(), days)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(usage)), critical=False)
        names = (name,) if dns is None else dns
        if names:
            entries = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
            builder = builder.add_extension(entries, critical=False)
        return Minted(builder.sign(self.own.key, hashes.SHA256()), key)

    def revoke(self, *leaves: Minted) -> bytes:
        """Return a list of revoked certificates (PEM)."""
        now = datetime.fromtimestamp(self.at, UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(now - timedelta(hours=1))
            .next_update(now + timedelta(days=30))
        )
        for leaf in leaves:
            revoked = x509.RevokedCertificateBuilder().serial_number(leaf.certificate.serial_number)
            builder = builder.add_revoked_certificate(revoked.revocation_date(now).build())
        return builder.sign(self.own.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def _builder(self, subject: x509.Name, key: Any, days: tuple[float, float]) -> Any:
        first, last = (datetime.fromtimestamp(self.at + DAY * each, UTC) for each in days)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(first)
            .not_valid_after(last)
        )


def self_signed(at: float, name: str = "batch.example.org") -> Minted:
    """Return a client's certificate that nobody but itself has signed."""
    own = Authority(at, name)
    return own.sign(name, key=own.own.key)
