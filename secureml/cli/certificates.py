"""A certificate authority of one's own for development, and a server certificate from it.

P-256 keys, as Mozilla's intermediate profile recommends; the server certificate lives at
most 366 days. Production certificates come from a public authority, never from here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from secureml.config_error import ConfigError
from secureml.layout import write_new

SERVER_DAYS = 365
AUTHORITY_DAYS = 3650
_FRESH = "delete server.* in that folder and run `secureml init` for a new pair"
_OF_ONES_OWN = (
    "put your own certificate and key there (`secureml init` makes none for production), or run "
    "the service with systemd behind the machine's Nginx (docs/install.md)"
)


def make(folder: Path, hosts: list[str], now: datetime) -> bool:
    """Make ca.crt, ca.key, server.crt and server.key where missing; tell whether any was."""
    if _both(folder, "server"):
        return False
    authority_key, authority = _authority(folder, now)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign_server(key, hosts, authority_key, authority, now)
    write_new(folder / "server.key", _pem(key), 0o600)
    write_new(folder / "server.crt", certificate.public_bytes(Encoding.PEM), 0o644)
    return True


def check(certificate: Path, key: Path, now: datetime, *, production: bool = False) -> datetime:
    """Return when the certificate expires; raise ConfigError when the pair cannot serve."""
    fix = _OF_ONES_OWN if production else _FRESH
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        private = load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"certificate or key cannot be read ({type(error).__name__})",
            file=str(certificate),
            fix=fix,
        ) from None
    if private.public_key() != found.public_key():
        raise ConfigError("the key does not belong to the certificate", file=str(key), fix=fix)
    if not found.not_valid_before_utc <= now < found.not_valid_after_utc:
        raise ConfigError(
            f"valid only until {found.not_valid_after_utc:%Y-%m-%d}, "
            f"from {found.not_valid_before_utc:%Y-%m-%d} on",
            file=str(certificate),
            fix=fix,
        )
    return found.not_valid_after_utc


def _both(folder: Path, stem: str) -> bool:
    """Tell whether the pair is there; half a pair is a fault, never quietly completed."""
    there = [(folder / f"{stem}.{end}").exists() for end in ("crt", "key")]
    if any(there) and not all(there):
        raise ConfigError(
            f"of {stem}.crt and {stem}.key, which belong together, one is missing",
            file=str(folder),
            fix=f"delete {stem}.* and run `secureml init`",
        )
    return all(there)


def _authority(folder: Path, now: datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key_file, certificate_file = folder / "ca.key", folder / "ca.crt"
    if _both(folder, "ca"):
        return _read_authority(key_file, certificate_file)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("SecureML development authority")
    certificate = (
        _builder(name, name, key.public_key(), now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_new(key_file, _pem(key), 0o600)
    write_new(certificate_file, certificate.public_bytes(Encoding.PEM), 0o644)
    return key, certificate


def _read_authority(
    key_file: Path, certificate_file: Path
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    try:
        key = load_pem_private_key(key_file.read_bytes(), None)
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        ours = key.public_key() == certificate.public_key()
        if ours and isinstance(key, ec.EllipticCurvePrivateKey):
            return key, certificate
    except (ValueError, TypeError):
        pass
    raise ConfigError(
        "this is not the EC key of ca.crt",
        file=str(key_file),
        fix=f"delete {key_file.parent} and run `secureml init`",
    )


def _sign_server(
    key: ec.EllipticCurvePrivateKey,
    hosts: list[str],
    authority_key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    now: datetime,
) -> x509.Certificate:
    names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    server_auth = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return (
        # Clients read the names below; this one has room for 64 characters (X.520).
        _builder(_name(hosts[0][:64]), authority.subject, key.public_key(), now, SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(server_auth, critical=False)
        .add_extension(names, critical=False)
        .add_extension(issuer, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    start = now - timedelta(minutes=5)  # a client whose clock is a little behind
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def utc_now() -> datetime:
    """Return the present moment; the one place in this folder that asks the clock."""
    return datetime.now(UTC)
