"""From the settings to issuers that can judge tokens; a mistake stops the start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secureml import ConfigError, Host
from secureml.kit.fetch import Fetcher
from secureml.kit.jwks import Keys, trust
from secureml.kit.jwks_cache import JwksCache, Timing
from secureml.kit.jwks_document import KeysRefused, key_entries, read_file, trusted_keys
from secureml.kit.jwt_claims import TokenRequirements
from secureml.kit.networks import is_loopback
from secureml.kit.urls import parse_url, pin

from .claim_mapping import ClaimMapping
from .discovery import locate
from .issuer import Issuer
from .settings import DISCOVERY, FILE


@dataclass(frozen=True)
class Provider:
    """One issuer with what it was made of; without ``fetch`` its keys are in a file."""

    issuer: Issuer
    table: Mapping[str, Any]
    fetch: Fetcher | None
    trust: Callable[[list[Any]], Keys]


def providers(tables: Sequence[Mapping[str, Any]], host: Host) -> list[Provider]:
    """Return the issuers of the settings; raises ConfigError."""
    for key in ("name", "issuer"):
        values = [table[key] for table in tables]
        for value in values:
            if values.count(value) > 1:
                raise ConfigError(
                    f"{value!r} is there twice", key=f"issuers.{key}", fix="one table for each"
                )
    return [provider(table, host) for table in tables]


def provider(table: Mapping[str, Any], host: Host) -> Provider:
    """Return one issuer; a key file is read at once, so that a bad one stops the start."""

    def believed(entries: list[Any]) -> Keys:
        return trust(entries, table["algorithms"], table["rsa_bits"])

    plain_http = _check_scheme(table, host)
    file = table["keys"].removeprefix(FILE) if table["keys"] != DISCOVERY else ""
    fetch = None if file else _fetcher(table, host, plain_http)

    def load() -> Keys:
        if fetch is None:
            return believed(key_entries(read_file(host.instance / file)))
        return believed(key_entries(fetch(locate(table["issuer"], fetch))))

    timing = Timing(table["refresh"], table["max_age"])
    jwks = JwksCache(table["name"], load, host.now, timing)
    if fetch is None:
        _check_file(load, host.instance / file)
        jwks.refresh()
    return Provider(_issuer(table, jwks), table, fetch, believed)


def _issuer(table: Mapping[str, Any], jwks: JwksCache) -> Issuer:
    rules = TokenRequirements(
        issuer=table["issuer"],
        audiences=frozenset(table["audience"]),
        algorithms=frozenset(table["algorithms"]),
        types=frozenset(word.lower() for word in table["types"]),
        expiry_leeway=table["leeway"],
        clock_skew=table["leeway"],
    )
    mapping = ClaimMapping(
        client=table["client"],
        client_claim=table["client_claim"],
        clients=table["clients"],
        scope_claim=table["scope_claim"],
        scopes={theirs: frozenset(ours) for theirs, ours in table["scopes"].items()},
        models=frozenset(table["models"]),
    )
    return Issuer(table["name"], rules, mapping, jwks)


def _check_scheme(table: Mapping[str, Any], host: Host) -> bool:
    """Return whether plain HTTP to loopback is allowed; raise where the issuer needs more."""
    own, development = parse_url(table["issuer"]), host.profile == "development"
    if own.scheme == "http" and not (development and is_loopback(own.host)):
        raise ConfigError(
            f"the issuer {table['name']!r} is not reached over https",
            key="issuers.issuer",
            fix="name an https address; http is for loopback in the development profile",
        )
    return development


def _fetcher(table: Mapping[str, Any], host: Host, plain_http: bool) -> Fetcher:
    ca = None
    if table["ca"] is not None:
        ca = host.instance / table["ca"]
        if not ca.is_file():
            raise ConfigError(
                "there is no such file", key="issuers.ca", file=str(ca), fix="put the CA there"
            )
    pins = [pin(word) for word in table["hosts"]] or [parse_url(table["issuer"]).pin]
    return Fetcher(pins, ca=None if ca is None else str(ca), plain_http=plain_http)


def _check_file(load: Callable[[], Keys], path: Path) -> None:
    try:
        trusted_keys(load)
    except KeysRefused as refused:
        raise ConfigError(
            f"the issuer's keys cannot be used: {refused}",
            key="issuers.keys",
            file=str(path),
            fix="write a JWK Set of public keys there, mode 0640; what a key must be is in "
            "plugins/oauth2/README.md",
        ) from None
