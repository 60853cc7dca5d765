"""Brute force: whoever guesses credentials waits, longer each time; nobody else does.

Stands in ADMIT and VALIDATE (must this one wait?) and RECORD (was that a wrong guess?): a name
in a form is known no earlier than VALIDATE. An identity waits only where it was guessed from,
so nobody can lock another out from elsewhere, and whoever has proven itself from an address
lately does not wait for its neighbours' guesses.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, validate
from marshmallow import fields as plain

from secureml import (
    Event,
    Exchange,
    Host,
    Kind,
    Measure,
    Plugin,
    Problem,
    StoreUnavailable,
    fields,
)

from .identity import claimed, filled_in, named, offers, place
from .ledger import Ledger
from .waits import Rules

if TYPE_CHECKING:
    import click

FAILED = "authn_login_fail"
# What is told when somebody has shown who they are at an endpoint of their own.
_SUCCEEDED = ("authn_login_success", "authn_token_created")
_SEEN = 4096  # proven pairs that a worker need not write down again
_AGAIN = 3600.0
_NOBODY: frozenset[str] = frozenset()


class Config(Schema):
    """The ``[plugins.brute_force]`` table."""

    headers = plain.List(
        fields.HeaderName(),
        load_default=lambda: ["X-API-Key", "Authorization"],
        validate=validate.Length(min=1),
        metadata={"description": "The headers that carry credentials."},
    )
    form_fields = plain.List(
        plain.String(validate=validate.Length(1, 64)),
        load_default=lambda: ["name", "client_id"],
        metadata={
            "description": "The fields of open forms that say who it is; a guess counts for all."
        },
    )
    free = fields.StrictInteger(
        load_default=5,
        validate=validate.Range(1, 1000),
        metadata={"description": "Wrong guesses at one identity from one address at no cost."},
    )
    free_address = fields.StrictInteger(
        load_default=20,
        validate=validate.Range(1, 100_000),
        metadata={"description": "Wrong guesses of any kind from one address at no cost."},
    )
    first = fields.Duration(
        load_default=1.0,
        validate=validate.Range(1, 3600),
        metadata={"description": "The first wait; each one after it is twice as long."},
    )
    longest = fields.Duration(
        load_default=900.0,
        validate=validate.Range(1, 86400),
        metadata={"description": "The longest wait."},
    )
    forget = fields.Duration(
        load_default=3600.0,
        validate=validate.Range(60, 30 * 86400),
        metadata={"description": "After how long without a wrong guess all are forgotten."},
    )
    remember = fields.Duration(
        load_default=30 * 86400.0,
        validate=validate.Range(3600, 365 * 86400),
        metadata={"description": "How long whoever proved itself from an address is known there."},
    )


class BruteForce(Plugin):
    """Keeps those who guess waiting."""

    name = "brute_force"
    schema = Config
    problems = (Kind("brute_force.wait", 429, "Too many wrong credentials; wait and try again"),)

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._headers = tuple(f"HTTP_{h.upper().replace('-', '_')}" for h in config["headers"])
        self._fields = tuple(config["form_fields"])
        self.guards_headers = tuple(config["headers"])
        times = (config["first"], config["longest"], config["forget"])
        self._pair, self._address = (
            Rules(config["free"], *times),
            Rules(config["free_address"], *times),
        )
        self._ledger = Ledger(host.store, host.now, config["remember"])
        self._now, self._tell = host.now, host.emit
        self._seen: dict[str, float] = {}

    def admit(self, exchange: Exchange) -> None:
        """Raise Problem while this address, or this identity from here, must wait."""
        environ = exchange.request.environ
        if offers(environ, self._headers):
            self._check(claimed(environ, self._headers), exchange)
        elif _is_open_post(exchange) and not _is_open_form(exchange):
            self._check(_NOBODY, exchange)

    def validate(self, exchange: Exchange) -> None:
        """Raise Problem while whom a form names must wait; only now has it been read."""
        if _is_open_form(exchange):
            self._check(self._identities(exchange), exchange)

    def _check(self, identities: frozenset[str], exchange: Exchange) -> None:
        if not exchange.client_address:
            return
        address = place(exchange.client_address)
        pairs = [_pair(identity, address) for identity in identities]
        try:
            left = max(map(self._ledger.waits, pairs), default=0.0)
            if not left:
                left = self._ledger.waits(_address(address))
                if left and pairs and all(map(self._ledger.proven, pairs)):
                    left = 0.0
        except StoreUnavailable as error:
            # Who must wait cannot be asked, so nobody may try.
            raise Problem("unavailable", reason="brute_force.store") from error
        if left:
            wait = {"Retry-After": str(ceil(left))}
            raise Problem("brute_force.wait", reason="brute_force.wait", headers=wait)

    def record(self, exchange: Exchange) -> None:
        """Count a wrong guess, or remember who proved itself."""
        if not exchange.client_address:
            return
        address, identities = place(exchange.client_address), self._identities(exchange)
        told = [event for event in exchange.events if event.name == FAILED]
        if told or (exchange.status == 401 and offers(exchange.request.environ, self._headers)):
            owners = frozenset(named(event.client) for event in told if event.client)
            self._count(identities or owners, address)
            return
        for identity in identities & _proven_names(exchange):
            self._remember(identity, _pair(identity, address))

    def _identities(self, exchange: Exchange) -> frozenset[str]:
        found = claimed(exchange.request.environ, self._headers)
        return (
            found | filled_in(exchange.payload, self._fields) if _is_open_form(exchange) else found
        )

    def _count(self, identities: frozenset[str], address: str) -> None:
        waits = [self._ledger.fail(_address(address), self._address)]
        waits += [
            self._ledger.fail(_pair(each, address), self._pair) for each in sorted(identities)
        ]
        for wait in waits:
            if wait is not None:
                facts: dict[str, str | int] = {
                    "subject": wait.subject,
                    "failures": wait.failures,
                }
                self._tell(Event("authn_login_fail_max", "", facts))

    def _remember(self, identity: str, pair: str) -> None:
        now = self._now()
        if now - self._seen.get(pair, 0.0) < _AGAIN:
            return
        if len(self._seen) >= _SEEN:
            self._seen.clear()
        self._seen[pair] = now
        if not self._ledger.proven(pair):
            self._ledger.succeed(identity, pair)

    def measures(self) -> list[Measure]:
        """Return how many wait."""
        waiting = float(self._ledger.waiting())
        return [Measure("brute_force_waiting", waiting, "Addresses and identities that wait.")]

    def commands(self) -> click.Group:
        """Return `secureml brute-force ...`."""
        from .cli import group

        return group(self._ledger, self._tell)


def _is_open_post(exchange: Exchange) -> bool:
    policy = exchange.policy
    return policy is not None and policy.public and exchange.request.method == "POST"


def _is_open_form(exchange: Exchange) -> bool:
    return _is_open_post(exchange) and exchange.policy is not None and exchange.policy.form


def _proven_names(exchange: Exchange) -> set[str]:
    """Return whom this request has proven to be, in the shape of `claimed`.

    A name that was only said beside another credential is not among them.
    """
    names: list[object] = []
    principal = exchange.principal
    if principal is not None:
        names += [principal.credential, principal.client, principal.subject]
    for event in exchange.events:
        if event.name in _SUCCEEDED:
            names += [event.facts.get("subject"), event.facts.get("oauth_client")]
    return {named(name) for name in names if isinstance(name, str) and name}


def _address(address: str) -> str:
    return f"address:{address}"


def _pair(identity: str, address: str) -> str:
    return f"pair:{identity}@{address}"
