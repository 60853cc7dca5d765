"""``secureml api-keys issue | list | rotate | revoke``. A key is shown once, when it is made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

import click

from secureml import Client, fields, output

from .key import Key
from .ring import KeyFault, KeyRecord, KeyRing


class _Clients(Protocol):
    def get(self, name: str) -> Client | None: ...


class Lifetime(click.ParamType[float | None]):
    """A duration such as 90d, or ``never``."""

    name = "duration"

    def convert(self, value: Any, param: object, ctx: object) -> float | None:
        if value == "never":
            return None
        try:
            return fields.seconds(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None


def group(ring: KeyRing, clients: _Clients, now: Callable[[], float]) -> click.Group:
    """Return the commands over one ring; ``now`` is seconds since the epoch."""

    @click.group()
    def api_keys() -> None:
        """Issue, list, rotate and revoke API keys."""

    @api_keys.command()
    @click.argument("client")
    @click.option(
        "--expires",
        type=Lifetime(),
        default="90d",
        show_default=True,
        help="How long it is good for: 30d, 12h, or never.",
    )
    @click.option(
        "--scope",
        "scopes",
        multiple=True,
        help="Narrow the key to this right of its client; repeatable.",
    )
    @output.json_option
    def issue(client: str, expires: float | None, scopes: tuple[str, ...], as_json: bool) -> None:
        """Make a key for CLIENT and show it, this once."""
        _check_order(client, clients.get(client), scopes)
        if expires is not None and expires <= 0:
            raise click.BadParameter("a key is good for some time", param_hint="--expires")
        _show(ring.issue(client, lifetime=expires, scopes=scopes or None), as_json)

    @api_keys.command("list")
    @click.option("--client", help="Only the keys of this client.")
    @output.json_option
    def list_keys(client: str | None, as_json: bool) -> None:
        """List keys by id; the keys themselves are not kept."""
        rows = [_public(record, now()) for record in ring.list(client)]
        lines = [
            f"{row['id']}  {row['client']:<20} {row['state']:<8} {row['expires'] or 'never'}"
            for row in rows
        ]
        output.emit(rows, as_json, "\n".join(lines) or "no keys yet")

    @api_keys.command()
    @click.argument("key_id", metavar="ID")
    @click.option(
        "--overlap",
        type=Lifetime(),
        default="24h",
        show_default=True,
        help="How long the old key goes on beside the new one.",
    )
    @output.json_option
    def rotate(key_id: str, overlap: float | None, as_json: bool) -> None:
        """Replace a key: show a new one, and let the old one end after the overlap."""
        if overlap is None:
            raise click.BadParameter("an overlap ends: 0s, 24h, 7d", param_hint="--overlap")
        try:
            _show(ring.rotate(key_id, overlap=overlap), as_json)
        except KeyFault as fault:
            raise click.ClickException(str(fault)) from None

    @api_keys.command()
    @click.argument("key_id", metavar="ID")
    @output.json_option
    def revoke(key_id: str, as_json: bool) -> None:
        """End a key, from the next request in every worker."""
        try:
            record = ring.revoke(key_id)
        except KeyFault as fault:
            raise click.ClickException(str(fault)) from None
        output.emit(
            {"id": record.id, "revoked": _time(record.revoked)}, as_json, f"{record.id} is revoked"
        )

    return api_keys


def _check_order(name: str, client: Client | None, scopes: tuple[str, ...]) -> None:
    if client is None:
        raise click.ClickException(f"there is no client {name!r}: secureml clients add {name}")
    beyond = sorted(set(scopes) - client.scopes)
    if beyond:
        # It would be handed out, and then fail in the client's hands.
        raise click.ClickException(f"the client {name!r} does not hold {', '.join(beyond)}")


def _show(made: tuple[Key, KeyRecord], as_json: bool) -> None:
    key, record = made
    output.emit(
        {
            "key": key.text,
            "id": record.id,
            "client": record.client,
            "expires": _time(record.expires),
        },
        as_json,
        f"{key.text}\n(key {record.id} of {record.client}, good until "
        f"{_time(record.expires) or 'revoked'}; it is shown this once)",
    )


def _public(record: KeyRecord, now: float) -> dict[str, Any]:
    return {
        "id": record.id,
        "client": record.client,
        "state": record.state(now),
        "scopes": None if record.scopes is None else sorted(record.scopes),
        "created": _time(record.created),
        "expires": _time(record.expires),
        "revoked": _time(record.revoked),
        "successor": record.successor,
    }


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
