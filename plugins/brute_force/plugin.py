"""Brute force: slows down whoever guesses credentials, more each time, and nobody else.

Runs in ADMIT and VALIDATE (must this request wait?) and RECORD (was that a wrong guess?): a name
in a form is known no earlier than VALIDATE. An identity waits only at the address it was guessed
from, so nobody can lock another out from elsewhere, and whoever was verified from an address
lately does not wait for other guesses from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, validate
from marshmallow import fields as plain

from secureml import Event, Exchange, Host, Kind, Measure, Plugin, Problem, StoreUnavailable
from secureml.kit import fields
from secureml.kit.networks import host_prefix

from .backoff import BackoffPolicy
from .failure_store import FailureStore
from .identity import (
    claimed_identities,
    form_identities,
    has_credentials,
    identity_digest,
)

if TYPE_CHECKING:
    import click

FAILED = "authn_login_fail"
# Events of endpoints that verify credentials themselves.
_SUCCEEDED = ("authn_login_success", "authn_token_created")
_MAX_TRUSTED = 4096  # pairs that a worker need not store again
_TRUST_AGAIN_AFTER = 3600.0
_NO_IDENTITIES: frozenset[str] = frozenset()


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
            "description": "Form fields that name an identity; a guess counts for each of them."
        },
    )
    free_attempts = fields.StrictInteger(
        load_default=5,
        validate=validate.Range(1, 1000),
        metadata={
            "description": "Wrong guesses at one identity from one address before it must wait."
        },
    )
    free_attempts_per_address = fields.StrictInteger(
        load_default=20,
        validate=validate.Range(1, 100_000),
        metadata={"description": "Wrong guesses of any kind from one address before it must wait."},
    )
    first_wait = fields.Duration(
        load_default=1.0,
        validate=validate.Range(1, 3600),
        metadata={"description": "The first wait; each one after it is twice as long."},
    )
    longest_wait = fields.Duration(
        load_default=900.0,
        validate=validate.Range(1, 86400),
        metadata={"description": "The longest wait."},
    )
    forget_after = fields.Duration(
        load_default=3600.0,
        validate=validate.Range(60, 30 * 86400),
        metadata={"description": "How long after the last wrong guess all are forgotten."},
    )
    trust_for = fields.Duration(
        load_default=30 * 86400.0,
        validate=validate.Range(3600, 365 * 86400),
        metadata={
            "description": "How long an identity is trusted at an address where it was verified."
        },
    )


class BruteForce(Plugin):
    """Makes addresses and identities wait after wrong guesses."""

    name = "brute_force"
    concern = "brute_force"
    schema = Config
    problems = (Kind("brute_force.wait", 429, "Too many wrong credentials; wait and try again"),)

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._headers = tuple(f"HTTP_{h.upper().replace('-', '_')}" for h in config["headers"])
        self._fields = tuple(config["form_fields"])
        self.guards_headers = tuple(config["headers"])
        times = (config["first_wait"], config["longest_wait"], config["forget_after"])
        self._pair, self._address = (
            BackoffPolicy(config["free_attempts"], *times),
            BackoffPolicy(config["free_attempts_per_address"], *times),
        )
        self._failures = FailureStore(host.store, host.now, config["trust_for"])
        self._now, self._tell = host.now, host.emit
        self._recently_trusted: dict[str, float] = {}

    def admit(self, exchange: Exchange) -> None:
        """Raise Problem while this address, or this identity from here, must wait."""
        environ = exchange.request.environ
        if has_credentials(environ, self._headers):
            self._check(claimed_identities(environ, self._headers), exchange)
        elif _is_open_post(exchange) and not _is_open_form(exchange):
            self._check(_NO_IDENTITIES, exchange)

    def validate(self, exchange: Exchange) -> None:
        """Raise Problem while an identity in a form must wait; only now has it been read."""
        if _is_open_form(exchange):
            self._check(self._identities(exchange), exchange)

    def _check(self, identities: frozenset[str], exchange: Exchange) -> None:
        if not exchange.client_address:
            return
        address = host_prefix(exchange.client_address)
        pairs = [_pair(identity, address) for identity in identities]
        try:
            left = max(map(self._failures.wait_of, pairs), default=0.0)
            if not left:
                left = self._failures.wait_of(_address(address))
                if left and pairs and all(map(self._failures.is_trusted, pairs)):
                    left = 0.0
        except StoreUnavailable as error:
            # Nobody knows who must wait, so nobody may try.
            raise Problem("unavailable", reason="brute_force.store") from error
        if left:
            wait = {"Retry-After": str(ceil(left))}
            raise Problem("brute_force.wait", reason="brute_force.wait", headers=wait)

    def record(self, exchange: Exchange) -> None:
        """Count a wrong guess, or store who was verified."""
        if not exchange.client_address:
            return
        address, identities = host_prefix(exchange.client_address), self._identities(exchange)
        failures = [event for event in exchange.events if event.name == FAILED]
        environ = exchange.request.environ
        if failures or (exchange.status == 401 and has_credentials(environ, self._headers)):
            owners = frozenset(identity_digest(event.client) for event in failures if event.client)
            self._count(identities or owners, address)
            return
        for identity in identities & _verified_identities(exchange):
            self._trust(identity, _pair(identity, address))

    def _identities(self, exchange: Exchange) -> frozenset[str]:
        found = claimed_identities(exchange.request.environ, self._headers)
        if not _is_open_form(exchange):
            return found
        return found | form_identities(exchange.payload, self._fields)

    def _count(self, identities: frozenset[str], address: str) -> None:
        waits = [self._failures.add_failure(_address(address), self._address)]
        waits += [
            self._failures.add_failure(_pair(each, address), self._pair)
            for each in sorted(identities)
        ]
        for wait in waits:
            if wait is not None:
                facts: dict[str, str | int] = {
                    "subject": wait.subject,
                    "failures": wait.failures,
                }
                self._tell(Event("authn_login_fail_max", "", facts))

    def _trust(self, identity: str, pair: str) -> None:
        now = self._now()
        if now - self._recently_trusted.get(pair, 0.0) < _TRUST_AGAIN_AFTER:
            return
        if len(self._recently_trusted) >= _MAX_TRUSTED:
            self._recently_trusted.clear()
        self._recently_trusted[pair] = now
        if not self._failures.is_trusted(pair):
            self._failures.trust(identity, pair)

    def measures(self) -> list[Measure]:
        """Return how many must wait."""
        waiting = float(self._failures.waiting())
        return [Measure("brute_force_waiting", waiting, "Addresses and identities that wait.")]

    def commands(self) -> click.Group:
        """Return `secureml brute-force ...`."""
        from .cli import group

        return group(self._failures, self._tell)


def _is_open_post(exchange: Exchange) -> bool:
    policy = exchange.policy
    return policy is not None and policy.public and exchange.request.method == "POST"


def _is_open_form(exchange: Exchange) -> bool:
    return _is_open_post(exchange) and exchange.policy is not None and exchange.policy.form


def _verified_identities(exchange: Exchange) -> set[str]:
    """Return the digests of the identities that this request verified.

    A name that was only claimed beside another credential is not among them.
    """
    names: list[object] = []
    principal = exchange.principal
    if principal is not None:
        names += [principal.credential, principal.client, principal.subject]
    for event in exchange.events:
        if event.name in _SUCCEEDED:
            names += [event.facts.get("subject"), event.facts.get("oauth_client")]
    return {identity_digest(name) for name in names if isinstance(name, str) and name}


def _address(address: str) -> str:
    return f"address:{address}"


def _pair(identity: str, address: str) -> str:
    return f"pair:{identity}@{address}"
