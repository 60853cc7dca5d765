"""From the settings to gateways; a mistake stops the start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from secureml import ConfigError, Host
from secureml.kit.client_certificate import CertificateFault, authority_state, der_of, dns_name
from secureml.kit.fetch import Fetcher
from secureml.kit.jwks import Keys, trust
from secureml.kit.jwks_cache import JwksCache, Timing
from secureml.kit.jwks_document import KeysRefused, key_entries, read_file, trusted_keys
from secureml.kit.jwt_claims import TokenRequirements
from secureml.kit.networks import is_loopback
from secureml.kit.urls import parse_url

from .gateway import CertificatePolicy, Gateway
from .settings import FILE
from .signed_identity import TokenPolicy


def gateways(tables: Sequence[Mapping[str, Any]], host: Host) -> list[Gateway]:
    """Return the gateways of the settings; raises ConfigError."""
    _check_each_once(tables)
    return [_gateway(table, host) for table in tables]


def _check_each_once(tables: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a name or a proof that two gateways share: which of them sent it, nobody could say."""
    for key in ("name", "issuer", "certificates", "certificate_names"):
        values = [each for table in tables for each in _listed(table[key])]
        for value in values:
            if values.count(value) > 1:
                raise ConfigError(
                    f"{value!r} is there twice",
                    key=f"gateways.{key}",
                    fix="give it to one gateway, and once",
                )


def _listed(value: Any) -> list[str]:
    return list(value) if isinstance(value, list) else [value] * bool(value)


def _gateway(table: Mapping[str, Any], host: Host) -> Gateway:
    return Gateway(
        name=table["name"],
        tokens=_tokens(table, host) if table["issuer"] else None,
        certificates=_certificates(table, host),
        clients=table["clients"] or {},
        known_clients=table["known_clients"],
        scopes=frozenset(table["scopes"]),
        models=frozenset(table["models"]),
    )


def _tokens(table: Mapping[str, Any], host: Host) -> TokenPolicy:
    rules = TokenRequirements(
        issuer=table["issuer"],
        audiences=frozenset(table["audience"]),
        algorithms=frozenset(table["algorithms"]),
        types=frozenset(word.lower() for word in table["types"]),
        expiry_leeway=table["leeway"],
        clock_skew=table["leeway"],
        max_age=table["lifetime"],
    )
    return TokenPolicy(
        rules, _jwks(table, host), table["claim"], frozenset(table["binds"]), table["most_body"]
    )


def _jwks(table: Mapping[str, Any], host: Host) -> JwksCache:
    """Return the keys of a gateway; a file is read at once, an address at the first need."""

    def trusted(data: bytes) -> Keys:
        return trust(key_entries(data), table["algorithms"], table["rsa_bits"])

    timing = Timing(table["refresh"], table["max_age"])
    if not table["keys"].startswith(FILE):
        url, fetch = table["keys"], _fetcher(table, host)
        return JwksCache(table["name"], lambda: trusted(fetch(url)), host.now, timing)
    path = host.instance / table["keys"].removeprefix(FILE)
    jwks = JwksCache(table["name"], lambda: trusted(read_file(path)), host.now, timing)
    _check_file(lambda: trusted(read_file(path)), path)
    jwks.refresh()
    return jwks


def _check_file(load: Callable[[], Keys], path: Path) -> None:
    try:
        trusted_keys(load)
    except KeysRefused as refused:
        raise ConfigError(
            f"the gateway's keys cannot be used: {refused}",
            key="gateways.keys",
            file=str(path),
            fix="write a JWK Set of its public keys there, mode 0640",
        ) from None


def _fetcher(table: Mapping[str, Any], host: Host) -> Fetcher:
    found = parse_url(table["keys"])
    development = host.profile == "development"
    if found.scheme == "http" and not (development and is_loopback(found.host)):
        raise ConfigError(
            f"the keys of {table['name']!r} are not fetched over https",
            key="gateways.keys",
            fix="name an https address, or a file; http is for loopback in the development profile",
        )
    ca = None if table["ca"] is None else host.instance / table["ca"]
    if ca is not None and not ca.is_file():
        raise ConfigError(
            "there is no such file", key="gateways.ca", file=str(ca), fix="put the authority there"
        )
    return Fetcher([found.pin], ca=ca and str(ca), plain_http=development)


def _certificates(table: Mapping[str, Any], host: Host) -> CertificatePolicy | None:
    if not table["certificates"] and not table["certificate_names"]:
        return None
    authorities = () if table["authority"] is None else (_authority(table, host),)
    names = (dns_name(name) for name in table["certificate_names"])
    return CertificatePolicy(
        frozenset(table["certificates"]), frozenset(filter(None, names)), authorities
    )


def _authority(table: Mapping[str, Any], host: Host) -> bytes:
    path = host.instance / table["authority"]
    try:
        der = der_of(path.read_bytes())
        fault, _ends = authority_state(der, host.now())
    except OSError:
        fault = "cannot be read"
    except CertificateFault:
        fault = "is not one certificate in PEM"
    if fault:
        raise ConfigError(
            f"the authority {fault}",
            key="gateways.authority",
            file=str(path),
            fix="write the certificate there that signs the gateway's, mode 0640",
        )
    return der
