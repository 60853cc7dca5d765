"""The routes of tokens: trade, refresh, revoke, and the keys that verify them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any, cast

from flask import Blueprint, Flask, Response, g
from marshmallow import Schema, validate
from marshmallow import fields as plain

from secureml import Exchange, Principal, Problem, public, requires
from secureml.kit import fields
from secureml.kit.jwt_claims import InvalidToken
from secureml.kit.protocols import Clients, SigningKeys
from secureml.kit.scopes import implies_all
from secureml.kit.signing import SigningFault
from secureml.kit.token_families import FamilyEnded

from .issuer import TokenIssuer, TokenPair, VerifiedToken
from .tokens import MAX_BYTES, REFRESH

SCOPE = "token"
# A body holds one token and the name of it, or a list of scopes: whoever sends more means harm.
_TOKEN_BODY, _SCOPES_BODY = 2 * MAX_BYTES, 16 * 1024
# An outside verifier may believe a key for so long after it was retired here.
_KEYS_MAX_AGE = 300
_SCHEME = "Bearer"
_RIGHT = fields.Scope.shape.pattern


class TokenBody(Schema):
    """What a trade may ask for: fewer rights than the client holds (RFC 6749, 3.3)."""

    scope = plain.String(
        load_default=None,
        validate=validate.Regexp(rf"{_RIGHT}( {_RIGHT}){{0,63}}\Z"),
    )


class RefreshBody(Schema):
    """The refresh token to trade for the next pair."""

    refresh_token = plain.String(required=True, validate=validate.Length(1, MAX_BYTES))


class RevokeBody(Schema):
    """The token to take back, of either kind."""

    token = plain.String(required=True, validate=validate.Length(1, MAX_BYTES))


class TokenPairAnswer(Schema):
    """A token for requests, and the one that is traded for the next pair."""

    access_token = plain.String(required=True)
    token_type = plain.String(required=True, validate=validate.Equal(_SCHEME))
    expires_in = plain.Integer(required=True)
    refresh_token = plain.String(required=True)
    refresh_expires_in = plain.Integer(required=True)
    scope = plain.String(required=True)


class RevokedAnswer(Schema):
    """Nothing: whether there was such a token is not told."""


class KeysAnswer(Schema):
    """A JSON Web Key Set (RFC 7517)."""

    keys = plain.List(plain.Dict(), required=True)


class TokenService:
    """What the views need of the issuer, with our refusals for its faults."""

    def __init__(
        self,
        issuer: TokenIssuer,
        clients: Clients,
        unauthorized: Callable[[str], Problem],
        traded: Collection[str],
    ) -> None:
        self._issuer, self._clients = issuer, clients
        self._unauthorized, self._traded = unauthorized, frozenset(traded)

    def trade(self, principal: Principal, scope: str | None) -> TokenPair:
        """Return a pair for whoever proved itself by something stronger than a token."""
        if principal.method not in self._traded:
            # Else a token that was stolen could be kept alive for ever.
            raise Problem("forbidden", reason=f"jwt.not_traded:{principal.method}")
        granted = principal.scopes - {SCOPE}
        wanted = granted if scope is None else frozenset(scope.split())
        if not wanted or not implies_all(granted, wanted):
            raise Problem("forbidden", reason="jwt.scope_not_held")
        try:
            return self._issuer.issue(
                principal.client,
                scopes=wanted,
                origin=principal.credential,
                until=principal.expires,
            )
        except FamilyEnded as ended:
            raise self._unauthorized(ended.reason) from None
        except SigningFault as fault:
            raise Problem("unavailable", reason="jwt.no_signing_key") from fault

    def refresh(self, text: str) -> TokenPair:
        """Return the next pair for a refresh token that is used for the first time."""
        try:
            verified = self._issuer.verify(text, REFRESH)
            self._check_client(verified)
            return self._issuer.refresh(verified)
        except (InvalidToken, FamilyEnded) as refused:
            raise self._unauthorized(refused.reason) from None
        except SigningFault as fault:
            raise Problem("unavailable", reason="jwt.no_signing_key") from fault

    def revoke(self, text: str) -> None:
        """Take a token back; one that does not hold is as good as revoked (RFC 7009, 2.2)."""
        try:
            self._issuer.revoke(text)
        except (InvalidToken, FamilyEnded):
            return

    def _check_client(self, verified: VerifiedToken) -> None:
        client = self._clients.get(verified.client)
        if client is None or not client.enabled:
            raise InvalidToken("client_disabled")


def blueprint(
    service: TokenService, keys: SigningKeys, attach: Callable[[Flask], None]
) -> Blueprint:
    """Return the routes; an app that registers them is prepared by ``attach`` first."""
    views = Blueprint("jwt", __name__)
    views.record_once(lambda state: attach(cast("Flask", state.app)))

    @views.post("/v1/auth/token", endpoint="token")
    @requires(SCOPE, body=TokenBody, body_limit=_SCOPES_BODY, answer=TokenPairAnswer)
    def token() -> Response:
        """Trade an API key for a pair of tokens."""
        exchange: Exchange = g.exchange
        if exchange.principal is None or exchange.payload is None:
            raise RuntimeError("a trade without a principal or a payload")
        pair = service.trade(exchange.principal, exchange.payload["scope"])
        exchange.add_event("authn_token_created", scopes=" ".join(sorted(pair.scopes)))
        return _pair(pair)

    @views.post("/v1/auth/refresh", endpoint="refresh")
    @public(body=RefreshBody, body_limit=_TOKEN_BODY, answer=TokenPairAnswer)
    def refresh() -> Response:
        """Trade a refresh token for the next pair."""
        exchange: Exchange = g.exchange
        try:
            pair = service.refresh(_payload(exchange)["refresh_token"])
        except Problem as refused:
            if refused.reason == "jwt.replayed":
                exchange.add_event("authn_token_reuse")
            raise
        exchange.add_event("authn_token_refreshed")
        return _pair(pair)

    @views.post("/v1/auth/revoke", endpoint="revoke")
    @public(body=RevokeBody, body_limit=_TOKEN_BODY, answer=RevokedAnswer)
    def revoke() -> dict[str, Any]:
        """Take a token back."""
        exchange: Exchange = g.exchange
        service.revoke(_payload(exchange)["token"])
        exchange.add_event("authn_token_revoked", which="token")
        return {}

    @views.get("/.well-known/jwks.json", endpoint="jwks")
    @public(answer=KeysAnswer)
    def jwks() -> Response:
        """Return the keys that verify our tokens."""
        return _json(keys.jwks(), f"public, max-age={_KEYS_MAX_AGE}")

    return views


def _payload(exchange: Exchange) -> dict[str, Any]:
    if exchange.payload is None:
        raise RuntimeError("a body without a payload")
    return exchange.payload


def _pair(pair: TokenPair) -> Response:
    body = {
        "access_token": pair.access,
        "token_type": _SCHEME,
        "expires_in": pair.expires_in,
        "refresh_token": pair.refresh,
        "refresh_expires_in": pair.refresh_expires_in,
        "scope": " ".join(sorted(pair.scopes)),
    }
    return _json(body, "no-store")


def _json(body: dict[str, Any], cache: str) -> Response:
    return Response(
        json.dumps(body), content_type="application/json", headers={"Cache-Control": cache}
    )
