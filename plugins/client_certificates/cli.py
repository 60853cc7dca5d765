"""``secureml certificates add | list | end``: which certificate speaks for which client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from secureml import Event
from secureml.kit import output
from secureml.kit.client_certificate import CertificateFault, der_of, dns_name, from_pem
from secureml.kit.command_types import Label, format_time, scopes_option
from secureml.kit.protocols import Clients

from .binding import NAME, Binding
from .bindings import BindingFault, Bindings

_LARGEST = 64 * 1024  # bytes of a file that is said to hold one certificate


@dataclass(frozen=True)
class CommandContext:
    """What the commands work with; ``now`` is seconds since the epoch."""

    bindings: Bindings
    clients: Clients
    now: Callable[[], float]
    emit: Callable[[Event], None]


pass_context = click.make_pass_decorator(CommandContext)


def group(context: CommandContext) -> click.Group:
    """Return the commands over one list of bindings."""

    @click.group("client-certificates", commands=[add, list_bindings, end])
    @click.pass_context
    def certificates(ctx: click.Context) -> None:
        """Bind client certificates to clients, list them, and end them."""
        ctx.obj = context

    return certificates


class DnsName(click.ParamType[str]):
    """A host name without wildcard."""

    name = "name"

    def convert(self, value: Any, param: object, ctx: object) -> str:
        found = dns_name(value)
        if found is None:
            raise click.BadParameter(f"{value[:80]!r} is not a host name such as batch.example.org")
        return found


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("client")
@click.option("--certificate", type=_FILE, help="Bind this very certificate (PEM).")
@click.option("--subject-dns", "name", type=DnsName(), help="Bind a dNSName in certificates of")
@click.option("--authority", type=_FILE, help="this authority, which must have signed (PEM).")
@click.option("--label", default="", type=Label(200), help="A word for people.")
@scopes_option("Narrow the certificate to this right of its client; repeatable.")
@output.json_option
@pass_context
def add(
    context: CommandContext,
    client: str,
    certificate: Path | None,
    name: str | None,
    authority: Path | None,
    label: str,
    scopes: tuple[str, ...],
    as_json: bool,
) -> None:
    """Let a certificate speak for CLIENT.

    Either one exact certificate, or a name in every certificate that one authority signs.
    """
    if context.clients.get(client) is None:
        raise click.ClickException(f"there is no client {client!r}: secureml clients add {client}")
    words: dict[str, Any] = {"label": label, "scopes": scopes or None}
    try:
        if certificate is not None and name is None and authority is None:
            made = context.bindings.bind_leaf(client, from_pem(_bytes(certificate)), **words)
        elif certificate is None and name is not None and authority is not None:
            signer = der_of(_bytes(authority))
            made = context.bindings.bind_name(client, name, signer, **words)
        else:
            raise click.UsageError("give --certificate, or --subject-dns with --authority")
    except CertificateFault:
        raise click.ClickException("the file does not hold one certificate in PEM") from None
    except BindingFault as fault:
        raise click.ClickException(str(fault)) from None
    facts = {"credential": made.id, "kind": made.kind, "subject": made.subject}
    context.emit(Event("authn_certificate_bound", made.client, facts))
    output.emit(_public(made, context.now()), as_json, _line(made, context.now()))


@click.command("list")
@click.option("--client", help="Only the certificates of this client.")
@output.json_option
@pass_context
def list_bindings(context: CommandContext, client: str | None, as_json: bool) -> None:
    """List what is bound, by id; nothing shown is secret."""
    now = context.now()
    found = context.bindings.list(client)
    text = "\n".join(_line(each, now) for each in found)
    output.emit([_public(each, now) for each in found], as_json, text or "no certificates yet")


@click.command()
@click.argument("binding_id", metavar="ID")
@output.json_option
@pass_context
def end(context: CommandContext, binding_id: str, as_json: bool) -> None:
    """End a binding, from the next request in every worker."""
    try:
        found = context.bindings.end(binding_id)
    except BindingFault as fault:
        raise click.ClickException(str(fault)) from None
    context.emit(Event("authn_certificate_ended", found.client, {"credential": found.id}))
    output.emit(
        {"id": found.id, "ended": format_time(found.ended)}, as_json, f"{found.id} has ended"
    )


def _bytes(file: Path) -> bytes:
    with file.open("rb") as source:
        return source.read(_LARGEST)


def _line(found: Binding, now: float) -> str:
    said = f"{found.id}  {found.client:<20} {found.state(now):<8} {found.kind:<12}"
    ends = f"until {format_time(found.expires)}" if found.expires is not None else ""
    signer = f"signed by {found.signer()}" if found.kind == NAME else ""
    return " ".join(filter(None, [said, found.subject, signer, ends, found.label]))


def _public(found: Binding, now: float) -> dict[str, Any]:
    return {
        "id": found.id,
        "client": found.client,
        "state": found.state(now),
        "kind": found.kind,
        "subject": found.subject,
        "authority": found.signer() or None,
        "label": found.label,
        "scopes": None if found.scopes is None else sorted(found.scopes),
        "created": format_time(found.created),
        "expires": format_time(found.expires),
        "ended": format_time(found.ended),
    }
