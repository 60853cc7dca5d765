"""``secureml oauth2 clients ...`` and ``users ...``: programs and people of the authorization
server. A secret is shown once, when it is made.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
from marshmallow import ValidationError

from secureml import Client, Event, fields, output

from .clients import GRANTS, MACHINE, ClientFault, OAuthClient
from .redirects import RedirectRefused, check
from .server import Server
from .users import UserFault

_WORDS = {grant: word for word, grant in GRANTS.items()}


class Office:
    """What the commands work with."""

    def __init__(
        self,
        server: Server | None,
        owner: Callable[[str], Client | None],
        tell: Callable[[Event], None],
    ) -> None:
        self._server, self._owner, self._tell = server, owner, tell

    @property
    def server(self) -> Server:
        """The authorization server, where there is one."""
        if self._server is None:
            raise click.ClickException(
                "no tokens are issued here: write a table [plugins.oauth2.server]"
            )
        return self._server

    def owner(self, name: str) -> Client:
        """Return a client of the application."""
        found = self._owner(name)
        if found is None:
            raise click.ClickException(f"there is no client {name!r}: secureml clients add {name}")
        return found

    def told(self, name: str, client: str, **facts: Any) -> None:
        """Say what was done before it is called done."""
        self._tell(Event(name, client, facts))


_at_office = click.make_pass_decorator(Office)


def groups(office: Office) -> list[click.Group]:
    """Return the commands over one server."""
    made = []
    for name, commands, sentence in (
        (
            "clients",
            (add_client, list_clients, rotate, revoke),
            "Programs that may ask for tokens.",
        ),
        ("users", (add_user, list_users, new_password, remove), "People who may lend rights."),
    ):
        group = click.Group(name, commands=list(commands), help=sentence)
        group.context_settings = {"obj": office}
        made.append(group)
    return made


class Redirect(click.ParamType[str]):
    """An address a browser may be sent back to."""

    name = "uri"

    def convert(self, value: Any, param: object, ctx: object) -> str:
        try:
            return check(str(value))
        except RedirectRefused as refused:
            raise click.BadParameter(f"{str(value)[:80]!r}: {refused}") from None


class Right(click.ParamType[str]):
    """The name of a scope."""

    name = "scope"

    def convert(self, value: Any, param: object, ctx: object) -> str:
        try:
            return str(fields.Scope().deserialize(value))
        except ValidationError as error:
            raise click.BadParameter(f"{value[:80]!r}: {error.messages[0]}") from None


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
@click.option(
    "--scope", "scopes", multiple=True, type=Right(), help="Narrow it to this right; repeatable."
)
@click.option("--public", is_flag=True, help="It cannot keep a secret: an app, a page, a device.")
@click.option("--dpop", is_flag=True, help="Its tokens must be bound to a key (RFC 9449).")
@click.option("--name", "label", default="", help="What people read when they are asked.")
@output.json_option
@_at_office
def add_client(office: Office, /, client: str, as_json: bool, label: str, **words: Any) -> None:
    """Add a program of CLIENT and show its secret, this once."""
    owner = office.owner(client)
    words["scopes"] = words["scopes"] or None
    words["grants"] = [GRANTS[word] for word in words["grants"]]
    if len(label) > 80 or not label.isprintable():
        raise click.BadParameter("a name is up to 80 printable characters", param_hint="--name")
    try:
        made, secret = office.server.clients.add(client, label=label, **words)
    except ClientFault as fault:
        raise click.ClickException(str(fault)) from None
    office.told("user_created", client, oauth_client=made.id)
    beyond = sorted((made.scopes or frozenset()) - owner.scopes)
    if beyond and not as_json:
        click.echo(f"note: {client} itself does not hold {', '.join(beyond)}", err=True)
    _show(made, secret, as_json)


@click.command("list")
@click.option("--client", help="Only the programs of this client.")
@output.json_option
@_at_office
def list_clients(office: Office, client: str | None, as_json: bool) -> None:
    """List programs; secrets are not kept."""
    rows = [_public(made) for made in office.server.clients.list(client)]
    lines = [
        f"{row['id']}  {row['client']:<16} {row['state']:<8} {' '.join(row['grants'])}"
        for row in rows
    ]
    output.emit(rows, as_json, "\n".join(lines) or "no programs yet")


@click.command()
@click.argument("client_id", metavar="ID")
@output.json_option
@_at_office
def rotate(office: Office, client_id: str, as_json: bool) -> None:
    """Give a program another secret; the old one ends at once.

    So do the tokens it was traded for; what people have lent the program goes on.
    """
    try:
        made, secret = office.server.clients.rotate(client_id)
    except ClientFault as fault:
        raise click.ClickException(str(fault)) from None
    ended = office.server.families.end_all(oauth_client=client_id, grant=MACHINE)
    office.told("authn_password_change", made.client, oauth_client=made.id, families=ended)
    _show(made, secret, as_json)


@click.command()
@click.argument("client_id", metavar="ID")
@output.json_option
@_at_office
def revoke(office: Office, client_id: str, as_json: bool) -> None:
    """End a program and all its tokens, from the next request in every worker."""
    server = office.server
    try:
        made = server.clients.revoke(client_id)
    except ClientFault as fault:
        raise click.ClickException(str(fault)) from None
    ended = server.families.end_all(oauth_client=client_id)
    office.told("authn_token_revoked", made.client, oauth_client=client_id, families=ended)
    output.emit({"revoked": client_id, "families": ended}, as_json, f"{client_id} is revoked")


@click.command("add")
@click.argument("name")
@click.option("--client", required=True, help="Whose rights this person may lend.")
@click.option("--prompt", is_flag=True, help="Ask for a password instead of making one.")
@output.json_option
@_at_office
def add_user(office: Office, name: str, client: str, prompt: bool, as_json: bool) -> None:
    """Add a person; without --prompt show the password that was made, this once."""
    office.owner(client)
    password = _password(prompt)
    try:
        office.server.users.add(name, client, password)
    except UserFault as fault:
        raise click.ClickException(str(fault)) from None
    office.told("user_created", client, subject=name)
    _show_password({"name": name, "client": client}, password, prompt, as_json)


@click.command("list")
@output.json_option
@_at_office
def list_users(office: Office, as_json: bool) -> None:
    """List people."""
    rows = [
        {"name": user.name, "client": user.client, "created": _time(user.created)}
        for user in office.server.users.list()
    ]
    lines = [f"{row['name']:<24} {row['client']}" for row in rows]
    output.emit(rows, as_json, "\n".join(lines) or "nobody yet")


@click.command("password")
@click.argument("name")
@click.option("--prompt", is_flag=True, help="Ask for a password instead of making one.")
@output.json_option
@_at_office
def new_password(office: Office, name: str, prompt: bool, as_json: bool) -> None:
    """Give a person another password, sign them out everywhere, and end what they lent.

    Whoever knew the old one may have lent it.
    """
    password, server = _password(prompt), office.server
    try:
        server.users.set_password(name, password)
    except UserFault as fault:
        raise click.ClickException(str(fault)) from None
    ended = server.end_lent_by(name)
    office.told("authn_password_change", "", subject=name, families=ended)
    _show_password({"name": name}, password, prompt, as_json)


@click.command("remove")
@click.argument("name")
@output.json_option
@_at_office
def remove(office: Office, name: str, as_json: bool) -> None:
    """Forget a person, and end every token in their name."""
    server = office.server
    try:
        server.users.remove(name)
    except UserFault as fault:
        raise click.ClickException(str(fault)) from None
    ended = server.end_lent_by(name)
    office.told("user_deleted", "", subject=name, families=ended)
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


def _show(made: OAuthClient, secret: str | None, as_json: bool) -> None:
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
        "created": _time(made.created),
    }


def _time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
