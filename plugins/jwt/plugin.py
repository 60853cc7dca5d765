"""Tokens of our own: an API key is traded for a short token that can be taken back.

Runs in ADMIT, where a token in a URL is refused even on a public route, in IDENTIFY, and
in RESPOND. A bearer token that says someone else issued it is someone else's to judge; every
other one is proven here or refused with one answer, whatever was wrong with it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import current_app, g
from marshmallow import Schema, ValidationError, validate, validates
from marshmallow import fields as plain

from secureml import (
    ConfigError,
    Event,
    Exchange,
    Host,
    Plugin,
    Principal,
    Problem,
    StoreUnavailable,
)
from secureml.kit import fields
from secureml.kit.bearer import CHALLENGE, name_missing_scope
from secureml.kit.credential_in_url import carries_credential
from secureml.kit.jwt_claims import InvalidToken
from secureml.kit.scopes import intersect
from secureml.kit.token_cache import TokenCache, digest
from secureml.kit.token_families import FamilyEnded

from .families import TOPIC, Families
from .issuer import LONGEST_ACCESS, TokenIssuer, VerifiedToken
from .tokens import ACCESS, REFRESH, TokenPolicy, is_jws
from .views import TokenService, blueprint

if TYPE_CHECKING:
    import click
    from flask import Blueprint
    from werkzeug.datastructures import Headers

_TOPICS = ("clients", "signing_keys", TOPIC)
# What another plugin's callers were named by, when it has ended: nothing traded for it goes on.
_CREDENTIAL_ENDED = ("authn_key_revoked", "authn_certificate_ended")


_IN_QUERY = ("access_token=", "refresh_token=")  # parameters meant for tokens


class Config(Schema):
    """The ``[plugins.jwt]`` table."""

    issuer = plain.String(
        required=True,
        validate=validate.Regexp(r"https://[^\s?#]{1,200}\Z"),
        metadata={
            "description": "What tokens name as their issuer: an https address of this service. "
            "No other issuer may share it.",
            "example": "https://ml.example.org",
        },
    )
    audience = fields.audience("Whom tokens are for: the name of this service.", example="ml")
    access_lifetime = fields.access_lifetime(LONGEST_ACCESS)
    refresh_lifetime = fields.Duration(
        load_default=30 * 86400.0,
        validate=validate.Range(60, 30 * 86400.0),
        metadata={"description": "Life of all that comes of one trade, however often refreshed."},
    )
    leeway = fields.Duration(
        load_default=5.0,
        validate=validate.Range(0, 60),
        metadata={
            "description": "How far in the future `iat` and `nbf` of a token may lie: a clock is "
            "set back, hosts differ. `exp` has none."
        },
    )
    families = fields.most_families("Most trades of one client that stand; the oldest give way.")
    traded = plain.List(
        fields.PluginName(),
        load_default=lambda: ["api_keys"],
        validate=validate.Length(min=1),
        metadata={
            "description": "The plugins whose callers may trade for tokens; never `jwt`, "
            "`oauth2` or `oauth2_server`, whose callers present tokens."
        },
    )

    @validates("traded")
    def _no_tokens(self, value: list[str], **_words: Any) -> None:
        # A stolen one could be kept alive, and one that is bound to a key would be set free.
        if {"jwt", "oauth2", "oauth2_server"} & set(value):
            raise ValidationError("A token cannot be traded for a token.")


class Jwt(Plugin):
    """Issues tokens and names the caller whose token holds."""

    name = "jwt"
    accepts_secrets = True
    schema = Config
    challenge = CHALLENGE
    credential_header = "Authorization"
    # A command that ends a key is not done before the tokens of that key are: see `on_event`.
    vital = True

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        lifetimes = {ACCESS: config["access_lifetime"], REFRESH: config["refresh_lifetime"]}
        _check_keys_outlive(lifetimes[REFRESH], host)
        policy = TokenPolicy(config["issuer"], config["audience"], lifetimes, config["leeway"])
        self.issuers = (policy.issuer,)
        self._clients, self._store, self._now = host.clients, host.store, host.now
        self._signing, self._lifetimes = host.signing, lifetimes
        self._tell = host.emit
        self._families = Families(host.store, host.now, _new_id, config["families"])
        self._issuer = TokenIssuer(
            policy, host.signing, self._families, now=host.now, new_id=_new_id, refuse=_answer
        )
        self._service = TokenService(self._issuer, host.clients, _unauthorized, config["traded"])
        self._verified: TokenCache[Principal] = TokenCache(host.store.versions, _TOPICS)

    def admit(self, exchange: Exchange) -> None:
        """Refuse a token in the URL, even a good one: by now it stands in every log on the way."""
        query: str = exchange.request.environ.get("QUERY_STRING", "")
        if query and carries_credential(query, parameters=_IN_QUERY):
            raise Problem("credential_in_url", reason="jwt.in_url")

    def identify(self, exchange: Exchange) -> Principal | None:
        """Return whose token this is; None without one, or where another issuer is named."""
        header: str = exchange.request.environ.get("HTTP_AUTHORIZATION", "")
        if header[:7].lower() != "bearer ":
            return None
        try:
            return self._name(header[7:])
        except (InvalidToken, FamilyEnded) as refused:
            raise _unauthorized(refused.reason) from None
        except StoreUnavailable as error:
            # What was true a moment ago is no permission now.
            raise Problem("unavailable", reason="jwt.store") from error

    def _name(self, text: str) -> Principal | None:
        """Return who a token names; one proven before costs a digest and a look at the store."""
        cached, key = self._verified.current(), digest(text)
        principal = cached.find(key, self._now())
        if principal is not None:
            return principal
        verified = self._issuer.verify_ours(text) if is_jws(text) else None
        if verified is None:
            return None
        principal = self._principal(verified)
        cached.keep(key, verified.ends, principal)
        return principal

    def _principal(self, verified: VerifiedToken) -> Principal:
        client = self._clients.get(verified.client)
        if client is None or not client.enabled:
            raise InvalidToken("client_disabled")
        return Principal(
            client=client.name,
            subject=client.name,
            # A token never holds more than its client does now.
            scopes=intersect(client.scopes, verified.scopes),
            models=client.models,
            tier=client.tier,
            method=self.name,
            credential=verified.jti,
        )

    def on_event(self, event: Event) -> None:
        """End what was traded for a key or a certificate together with it."""
        credential = event.facts.get("credential")
        if not isinstance(credential, str):
            return
        if event.name in _CREDENTIAL_ENDED:
            self._families.end_origin(credential, ended=True)
        elif event.name == "authn_key_rotated":
            ends = event.facts.get("ends")
            self._families.limit_origin(credential, float(ends or 0))

    def respond(self, exchange: Exchange, headers: Headers) -> None:
        """Name the scope that a token lacks."""
        name_missing_scope(exchange, self.name, headers)

    def ready(self) -> str | None:
        """Return why no token can be issued now, if so."""
        return self._signing.ready()

    def blueprint(self) -> Blueprint:
        """Return the routes of tokens."""
        return blueprint(self._service, self._signing, self._issuer.attach)

    def commands(self) -> click.Group:
        """Return `secureml jwt ...`."""
        from .cli import group

        longest = max(self._lifetimes.values())
        return group(self._families, self._signing, self._now, longest, self._tell)


def _check_keys_outlive(refresh_lifetime: float, host: Host) -> None:
    if host.signing.schedule.retire_after < refresh_lifetime:
        raise ConfigError(
            "refresh tokens would outlive the keys that sign them",
            key="refresh_lifetime",
            fix="make [signing_keys] retire_after at least as long",
        )


def _unauthorized(reason: str) -> Problem:
    """Return the one refusal of every token that does not hold: there is no oracle."""
    headers = {"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'}
    return Problem("unauthorized", reason=f"jwt.{reason}", headers=headers)


def _answer(word: str) -> Any:
    """Answer for the library's error handlers, in the pipeline's words and on its record."""
    exchange: Exchange | None = g.get("exchange")
    if exchange is not None and exchange.refusal is not None:
        # It was thrown in a phase and is on record as a fault of ours: it stays one.
        return current_app.handle_user_exception(exchange.refusal.problem)
    return current_app.handle_user_exception(_unauthorized(f"library.{word}"))


def _new_id() -> str:
    return secrets.token_hex(16)
