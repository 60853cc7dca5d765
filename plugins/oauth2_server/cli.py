"""``secureml oauth2-server clients ...`` and ``users ...``: OAuth clients and resource owners.

A secret is shown once, when it is made.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import click

from secureml import Client, Event
from secureml.kit import output
from secureml.kit.command_types import Label, format_time, scopes_option

from .clients import GRANTS, MACHINE, ClientFault, OAuthClient
from .redirects import RedirectRefused, check
from .server import Server
from .users import UserFault

_WORDS = {grant: word for word, grant in GRANTS.items()}


class CommandContext:
    """What the commands work with."""

    def __init__(
        self,
        server: Server,
        owner: Callable[[str], Client | None],
        emit: Callable[[Event], None],
    ) -> None:
        self.server, self._owner, self._emit = server, owner, emit

    def owner(self, name: str) -> Client:
        """Return a registered client."""
        found = self._owner(name)
        if found is None:
            raise click.ClickException(f"there is no client {name!r}: secureml clients add {name}")
        return found

    def emit(self, name: str, client: str, **facts: Any) -> None:
        """Record what was done before it is reported as done."""
        self._emit(Event(name, client, facts))


_with_context = click.make_pass_decorator(CommandContext)


def group(context: CommandContext) -> click.Group:
    """Return the commands over one server."""

    @click.group(context_settings={"obj": context})
    def oauth2_server() -> None:
        """Manage the OAuth clients and users of the authorization server."""

    clients = (add_client, list_clients, rotate, revoke)
    users = (add_user, list_users, new_password, remove)
    for name, commands, sentence in (
        ("clients", clients, "OAuth clients: programs that may request tokens."),
        ("users", users, "People who may delegate their client's scopes."),
    ):
        oauth2_server.add_command(click.Group(name, commands=list(commands), help=sentence))
    return oauth2_server


class Redirect(click.ParamType[str]):
    """An address a browser may be sent back to."""

    name = "uri"

    def convert(self, value: Any, param: object, ctx: object) -> str:
        try:
            return check(str(value))
        except RedirectRefused as refused:
            raise click.BadParameter(f"{str(value)[:80]!r}: {refused}") from None


@click.command("add")
@click.argument("client")
@click.option(
    "--grant", "grants", multiple=True, required=True, type=click.Choice(sorted(GRANTS)),
    help="What it may ask with; repeatable.",
)  # fmt: skip
@click.option(
    "--redirect", "redirects", multiple=True, type=Redirect(),
    help="Where browsers are sent back to, compared byte for byte; repeatable.",
)  # fmt: skip
@scopes_option("Narrow it to this right; repeatable.")
@click.option("--public", is_flag=True, help="It cannot keep a secret: an app, a page, a device.")
@click.option("--dpop", is_flag=True, help="Its tokens must be bound to a key (RFC 9449).")
@click.option(
    "--name", "label", default="", type=Label(80), help="What people read when they are asked."
)
@output.json_option
@_with_context
def add_client(
    context: CommandContext, /, client: str, as_json: bool, label: str, **words: Any
) -> None:
    """Add a program of CLIENT and show its secret, this once."""
    owner = context.owner(client)
    words["scopes"] = words["scopes"] or None
    words["grants"] = [GRANTS[word] for word in words["grants"]]
    try:
        made, secret = context.server.clients.add(client, label=label, **words)
    except ClientFault as fault:
        raise click.ClickException(str(fault)) from None
    context.emit("user_created", client, oauth_client=made.id)
    beyond = sorted((made.scopes or frozenset()) - owner.scopes)
    if beyond and not as_json:
        click.echo(f"note: {client} itself does not hold {', '.join(beyond)}", err=True)
    _page(made, secret, as_json)


@click.command("list")
@click.option("--client", help="Only the programs of this client.")
@output.json_option
@_with_context
def list_clients(context: CommandContext, client: str | None, as_json: bool) -> None:
    """List programs; secrets are not kept."""
    rows = [_public(made) for made in context.server.clients.list(client)]
    lines = [
        f"{row['id']}  {row['client']:<16} {row['state']:<8} {' '.join(row['grants'])}"
        for row in rows
    ]
    output.emit(rows, as_json, "\n".join(lines) or "no programs yet")


@click.command()
@click.argument("client_id", metavar="ID")
@output.json_option
@_with_context
def rotate(context: CommandContext, client_id: str, as_json: bool) -> None:
    """Give a program another secret; the old one ends at once.

    So do the tokens it was traded for; what people have granted the program goes on.
    """
    try:
        made, secret = context.server.clients.rotate(client_id)
    except ClientFault as fault:
        raise click.ClickException(str(fault)) from None
    ended = context.server.families.end_all(oauth_client=client_id, grant=MACHINE)
    context.emit("authn_password_change", made.client, oauth_client=made.id, families=ended)
    _page(made, secret, as_json)


@click.command()
@click.argument("client_id", metavar="ID")
@output.json_option
@_with_context
def revoke(context: CommandContext, client_id: str, as_json: bool) -> None:
    """End a program and all its tokens, from the next request in every worker."""
    server = context.server
    try:
        made = server.clients.revoke(client_id)
    except ClientFault as fault:
        raise click.ClickException(str(fault)) from None
    ended = server.families.end_all(oauth_client=client_id)
    context.emit("authn_token_revoked", made.client, oauth_client=client_id, families=ended)
    output.emit({"revoked": client_id, "families": ended}, as_json, f"{client_id} is revoked")


@click.command("add")
@click.argument("name")
@click.option("--client", required=True, help="Whose rights this person may grant.")
@click.option("--prompt", is_flag=True, help="Ask for a password instead of making one.")
@output.json_option
@_with_context
def add_user(context: CommandContext, name: str, client: str, prompt: bool, as_json: bool) -> None:
    """Add a person; without --prompt show the password that was made, this once."""
    context.owner(client)
    password = _password(prompt)
    try:
        context.server.users.add(name, client, password)
    except UserFault as fault:
        raise click.ClickException(str(fault)) from None
    context.emit("user_created", client, subject=name)
    _show_password({"name": name, "client": client}, password, prompt, as_json)


@click.command("list")
@output.json_option
@_with_context
def list_users(context: CommandContext, as_json: bool) -> None:
    """List people."""
    rows = [
        {"name": user.name, "client": user.client, "created": format_time(user.created)}
        for user in context.server.users.list()
    ]
    lines = [f"{row['name']:<24} {row['client']}" for row in rows]
    output.emit(rows, as_json, "\n".join(lines) or "nobody yet")


@click.command("password")
@click.argument("name")
@click.option("--prompt", is_flag=True, help="Ask for a password instead of making one.")
@output.json_option
@_with_context
def new_password(context: CommandContext, name: str, prompt: bool, as_json: bool) -> None:
    """Give a person another password, sign them out everywhere, and end what they granted.

    Whoever knew the old one may have granted it.
    """
    password, server = _password(prompt), context.server
    try:
        server.users.set_password(name, password)
    except UserFault as fault:
        raise click.ClickException(str(fault)) from None
    ended = server.end_delegations(name)
    context.emit("authn_password_change", "", subject=name, families=ended)
    _show_password({"name": name}, password, prompt, as_json)


@click.command("remove")
@click.argument("name")
@output.json_option
@_with_context
def remove(context: CommandContext, name: str, as_json: bool) -> None:
    """Forget a person, and end every token in their name."""
    server = context.server
    try:
        server.users.remove(name)
    except UserFault as fault:
        raise click.ClickException(str(fault)) from None
    ended = server.end_delegations(name)
    context.emit("user_deleted", "", subject=name, families=ended)
    output.emit({"removed": name, "families": ended}, as_json, f"{name} is removed")


def _password(prompt: bool) -> str:
    if not prompt:
        return secrets.token_urlsafe(15)
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


def _show_password(facts: dict[str, Any], password: str, prompt: bool, as_json: bool) -> None:
    if prompt:
        output.emit(facts, as_json, f"{facts['name']}: done")
        return
    told = f"{password}\n(password of {facts['name']}; it is shown this once)"
    output.emit(facts | {"password": password}, as_json, told)


def _page(made: OAuthClient, secret: str | None, as_json: bool) -> None:
    data = _public(made) | ({} if secret is None else {"secret": secret})
    shown = "public, no secret" if secret is None else f"secret     {secret}  (shown this once)"
    output.emit(data, as_json, f"client_id  {made.id}\n{shown}")


def _public(made: OAuthClient) -> dict[str, Any]:
    return {
        "id": made.id,
        "client": made.client,
        "name": made.label,
        "state": "active" if made.revoked is None else "revoked",
        "kind": "public" if made.secret is None else "confidential",
        "grants": sorted(_WORDS[grant] for grant in made.grants),
        "redirects": sorted(made.redirects),
        "scopes": None if made.scopes is None else sorted(made.scopes),
        "dpop": made.dpop,
        "created": format_time(made.created),
    }
