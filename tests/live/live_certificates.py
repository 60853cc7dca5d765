"""A certificate authority and a server certificate for loopback, made on the spot."""

from __future__ import annotations

import datetime
import ipaddress
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path


def _extensions(name: str, key: ec.EllipticCurvePublicKey) -> list[tuple[Any, bool]]:
    """Return what a certificate must say to be believed by strict verifiers, and how strictly."""
    identifier = x509.SubjectKeyIdentifier.from_public_key(key)
    if name == "authority":
        usage = x509.KeyUsage(*(False,) * 5, True, True, None, None)
        return [
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (usage, True),
            (identifier, False),
        ]
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName([x509.DNSName("localhost"), loopback]), False),
        (identifier, False),
    ]


def make_certificates(folder: Path) -> Path:
    """Write server.crt and server.key (P-256, 90 days); return the file of their authority."""
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    signer = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    for name, key in {
        "authority": signer,
        "server": ec.generate_private_key(ec.SECP256R1()),
    }.items():
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(
            issuer, subject, key.public_key(), x509.random_serial_number(),
            start, start + datetime.timedelta(days=90),
        ).add_extension(issuer_id, critical=False)  # fmt: skip
        for extension, critical in _extensions(name, key.public_key()):
            builder = builder.add_extension(extension, critical=critical)
        certificate = builder.sign(signer, hashes.SHA256())
        (folder / f"{name}.crt").write_bytes(certificate.public_bytes(pem))
        secret = key.private_bytes(pem, pkcs8, serialization.NoEncryption())
        (folder / f"{name}.key").write_bytes(secret)
    return folder / "authority.crt"
