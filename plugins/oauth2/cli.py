"""``secureml oauth2 issuers list | check URL``: whom we believe, and what would be believed now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from secureml import ConfigError
from secureml.kit import output
from secureml.kit.fetch import FetchFailed
from secureml.kit.jwks import HARMLESS
from secureml.kit.jwks_document import KeysRefused, key_entries
from secureml.kit.urls import UrlRefused, parse_url

from .discovery import locate, metadata_url
from .providers import Provider
from .settings import IssuerTable

Make = Callable[[Mapping[str, Any]], Provider]


def group(providers: Sequence[Provider], make: Make) -> click.Group:
    """Return the commands over the issuers of the settings."""

    @click.group()
    def oauth2() -> None:
        """Look at the identity providers whose tokens count."""

    @oauth2.group()
    def issuers() -> None:
        """List outside issuers, or check one."""

    @issuers.command("list")
    @output.json_option
    def list_issuers(as_json: bool) -> None:
        """List the issuers of the settings and what their tokens may do."""
        rows = [_public(provider.table) for provider in providers]
        lines = [
            f"{row['name']:<16} {row['issuer']}\n    keys {row['keys']}, "
            f"{' '.join(row['algorithms'])}, for {', '.join(row['audience'])}"
            for row in rows
        ]
        output.emit(rows, as_json, "\n".join(lines))

    @issuers.command()
    @click.argument("url")
    @output.json_option
    def check(url: str, as_json: bool) -> None:
        """Fetch what the issuer at URL says of itself, and show what would be trusted.

        An issuer of the settings is judged by its own table, any other by the defaults.
        """
        known = [item for item in providers if item.table["issuer"] == url]
        report = examine(known[0] if known else _stranger(url, make))
        output.emit(report, as_json, _told(report))
        if report["faults"]:
            raise click.exceptions.Exit(1)

    return oauth2


def examine(provider: Provider) -> dict[str, Any]:
    """Return what an issuer publishes, key by key, and every rule it breaks."""
    report: dict[str, Any] = {"issuer": provider.table["issuer"], "keys": [], "faults": []}
    try:
        entries = _entries(provider, report)
    except (FetchFailed, KeysRefused) as fault:
        report["faults"].append(str(fault))
        return report
    for decision in provider.trust(entries).decisions:
        report["keys"].append({**decision._asdict(), "trusted": not decision.rule})
        if decision.rule and decision.rule not in HARMLESS:
            report["faults"].append(f"key_{decision.rule}")
    if not any(key["trusted"] for key in report["keys"]):
        report["faults"].append("no_trusted_key")
    return report


def _entries(provider: Provider, report: dict[str, Any]) -> list[Any]:
    if provider.fetch is None:
        raise KeysRefused("keys_are_in_a_file")
    report["metadata"] = metadata_url(provider.table["issuer"])
    report["jwks_uri"] = locate(provider.table["issuer"], provider.fetch)
    return key_entries(provider.fetch(report["jwks_uri"]))


def _stranger(url: str, make: Make) -> Provider:
    words = {"name": "stranger", "issuer": url, "audience": "-", "client": "-", "scopes": {}}
    try:
        parse_url(url)
        return make(IssuerTable().load(words))
    except UrlRefused:
        raise click.ClickException(f"{url!r} is not an https address") from None
    except ConfigError as error:
        raise click.ClickException(str(error)) from None


def _public(table: Mapping[str, Any]) -> dict[str, Any]:
    words = ("name", "issuer", "audience", "keys", "algorithms", "types", "scopes", "models")
    shown = {word: table[word] for word in words}
    return shown | {"clients": table["client"] or table["clients"]}


def _told(report: Mapping[str, Any]) -> str:
    lines = [f"issuer    {report['issuer']}"]
    lines += [f"{word:<9} {report[word]}" for word in ("metadata", "jwks_uri") if word in report]
    for key in report["keys"]:
        decision = "trusted" if key["trusted"] else f"dropped: {key['rule']}"
        lines.append(f"key       {key['kid'] or '-'}  {key['kty']} {key['alg'] or '-'}  {decision}")
    lines += [f"fault     {fault}" for fault in report["faults"]]
    return "\n".join(lines)
