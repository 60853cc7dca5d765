"""``secureml jwt revoke | list``: take tokens back, and see what stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import click

from secureml import Event
from secureml.kit import output
from secureml.kit.command_types import Time, format_time

from .families import Families, Family
from .issuer import LONGEST_ACCESS


class _Record(Protocol):
    @property
    def kid(self) -> str: ...
    def state(self, now: float) -> str: ...


class _Keys(Protocol):
    def list(self) -> list[Any]: ...


def group(
    families: Families,
    keys: _Keys,
    now: Callable[[], float],
    longest: float,
    tell: Callable[[Event], None],
) -> click.Group:
    """Return the commands over one issuer; ``longest`` is the longest life of a token, seconds."""

    @click.group()
    def jwt() -> None:
        """Revoke tokens, and list the families that stand."""

    @jwt.command()
    @click.option("--token", metavar="JTI", help="One token; a refresh token with its family.")
    @click.option("--client", metavar="NAME", help="Every token of a client.")
    @click.option("--origin", metavar="KEY_ID", help="Every token traded for this API key.")
    @click.option(
        "--before",
        metavar="TIME",
        type=Time(now, past_only=True),
        help="All that began until then.",
    )
    @click.option("--key", metavar="KID", help="Everything this signing key has signed.")
    @output.json_option
    def revoke(*, as_json: bool, **which: Any) -> None:
        """Take tokens back, from the next request in every worker; name one kind."""
        named = {word: value for word, value in which.items() if value is not None}
        if len(named) != 1:
            raise click.UsageError("name one: --token, --client, --origin, --before or --key")
        ((word, value),) = named.items()
        ended = _revoke(word, value)
        concerns = str(value) if word == "client" else ""
        tell(Event("authn_token_revoked", concerns, {"which": word, "value": str(value)}))
        what = f"{word} {value}" if word != "before" else f"begun until {format_time(value)}"
        count = {} if ended is None else {"families": ended}
        output.emit({"revoked": word, **count}, as_json, f"revoked: {what}")

    def _revoke(word: str, value: Any) -> int | None:
        if word == "token":
            if len(value) != 32 or value.strip("0123456789abcdef"):
                raise click.BadParameter("a JTI is 32 hex digits, never the token", param_hint=word)
            families.end_token(value, expires=now() + LONGEST_ACCESS)
            return None
        if word == "key":
            _check_key(keys.list(), value, now())
            families.end_key(value, expires=now() + longest)
            return None
        if word == "before":
            return families.end_before(value)
        return families.end_client(value) if word == "client" else families.end_origin(value)

    @jwt.command("list")
    @click.option("--client", help="Only the families of this client.")
    @output.json_option
    def list_families(client: str | None, as_json: bool) -> None:
        """List what was traded and still stands or was revoked; tokens are not kept."""
        rows = [_public(family) for family in families.list(client)]
        lines = [
            f"{row['id']}  {row['client']:<20} {row['state']:<8} until {row['expires']}"
            for row in rows
        ]
        output.emit(rows, as_json, "\n".join(lines) or "no tokens out")

    return jwt


def _check_key(records: list[Any], kid: str, now: float) -> None:
    states = {record.kid: record.state(now) for record in records}
    if kid not in states:
        raise click.ClickException(f"there is no signing key {kid!r}; `secureml signing-keys list`")
    if states[kid] == "active":
        raise click.ClickException(
            "that key is active and would sign what is refused; first: secureml signing-keys rotate"
        )


def _public(family: Family) -> dict[str, Any]:
    return {
        "id": family.id,
        "client": family.client,
        "state": "active" if family.revoked is None else "revoked",
        "scopes": sorted(family.scopes),
        "origin": family.origin,
        "refresh": family.current,
        "created": format_time(family.created),
        "expires": format_time(family.expires),
        "revoked": format_time(family.revoked),
    }
