"""The authorization server put together: from the settings to what the phases and views use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secureml import ConfigError, Host

from .client import ActiveClients
from .clients import OAuthClients
from .codes import Codes
from .credentials import Credentials
from .devices import Devices
from .endpoints import Finder, Introspection, Revocation
from .engine import Engine, Records
from .families import Families
from .issuer import TokenIssuer
from .passwords import Passwords
from .resource import Resource
from .resource_owners import ResourceOwners
from .sessions import Sessions
from .tokens import Tokens
from .users import Users


@dataclass(frozen=True)
class Server:
    """All parts of the authorization server; nothing is open before it is used."""

    table: Mapping[str, Any]
    clients: OAuthClients
    users: Users
    families: Families
    sessions: Sessions
    resource_owners: ResourceOwners
    active_clients: ActiveClients
    devices: Devices
    resource: Resource
    engine: Engine

    @property
    def issuer(self) -> str:
        """What our tokens name as ``iss``."""
        return str(self.table["issuer"])

    def end_delegations(self, name: str) -> int:
        """End whatever comes of a person's password; return how many families stood.

        Sessions come first, then codes and devices that were said yes to: nothing may begin of
        them any more, not even where a trade is under way.
        """
        self.sessions.end_all(name)
        begun = [*self.engine.codes.end_all(name), *self.devices.end_all(name)]
        return sum(map(self.families.end, begun)) + self.families.end_all(subject=name)


def build(table: Mapping[str, Any], host: Host) -> Server:
    """Return the server of a checked table; raises ConfigError."""
    if host.signing.schedule.retire_after < table["access_lifetime"]:
        raise ConfigError(
            "access tokens would outlive the keys that sign them",
            key="access_lifetime",
            fix="make [signing_keys] retire_after at least as long",
        )
    store, now, passwords = host.store, host.now, Passwords()
    clients = OAuthClients(store, now, passwords.hash)
    users = Users(store, now, passwords.hash)
    active_clients = ActiveClients(clients, host.clients.get)
    resource_owners = ResourceOwners(users, passwords, host.clients.get)
    families = Families(store, now, table["families"])
    keep = table["refresh_lifetime"]
    devices = Devices(store, now, table["device_lifetime"], keep)
    lifetime = table["access_lifetime"]
    tokens = Tokens(table["issuer"], table["audience"], lifetime, host.signing, now)
    resource = Resource(tokens, families, active_clients, resource_owners)
    records = Records(
        active_clients,
        Credentials(active_clients, passwords),
        Codes(store, now, table["code_lifetime"], keep),
        devices,
        families,
        TokenIssuer(tokens, families, now, table["refresh_lifetime"]),
        resource_owners,
    )
    engine = Engine(table["issuer"], records)
    finder = Finder(resource, families)
    engine.register_endpoint(Introspection(engine, finder, tokens.issuer, tokens.audience))
    engine.register_endpoint(Revocation(engine, finder))
    sessions = Sessions(store, now, table["session_lifetime"])
    parts = (clients, users, families, sessions, resource_owners, active_clients, devices)
    return Server(table, *parts, resource, engine)
