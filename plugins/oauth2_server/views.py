"""The routes programs use: tokens, devices, introspection, revocation, metadata and keys.

Forms in, JSON out, errors in the words of RFC 6749; nothing is read from a query string.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from authlib.oauth2 import OAuth2Error
from flask import Blueprint, Response, g

from secureml import Exchange, Problem, StoreUnavailable, public
from secureml.kit.signing import SigningFault

from . import errors
from . import metadata as urls
from .request import OAuth2Request, ProofKey, RequestData
from .server import Server

# The longest form there is: an address of 1 KiB in percent-encoding, or a token of 4 KiB.
FORM_LIMIT = 8 * 1024
COST = 10  # a wrong secret costs us a slow hash
_KEYS_MAX_AGE = 300  # how long an outside verifier may believe a key that was retired here
_BASIC = 'Basic realm="secureml", charset="UTF-8"'
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

# From a request's DPoP header to the key it proves, None without one; raises Problem.
Proofs = Callable[[Exchange], ProofKey | None]
P = ParamSpec("P")
T = TypeVar("T")


def unavailable(error: Exception) -> Problem:
    """Return the refusal while something that must be asked cannot be, and when to come again."""
    reason = f"oauth2_server.{type(error).__name__}"
    return Problem("unavailable", reason=reason, headers={"Retry-After": "30"})


def needs_store(view: Callable[P, T]) -> Callable[P, T]:
    """Refuse while the store is away: a known refusal, and no traceback for each stranger."""

    @wraps(view)
    def guarded(*args: P.args, **words: P.kwargs) -> T:
        try:
            return view(*args, **words)
        except StoreUnavailable as error:
            raise unavailable(error) from error

    return guarded


class Endpoints:
    """What the views ask of the engine, with our refusals for its errors."""

    def __init__(self, server: Server, proofs: Proofs, ring: Any) -> None:
        self._engine, self._proofs, self._ring = server.engine, proofs, ring
        self._base = urls.origin(server.issuer)

    def token(self, exchange: Exchange) -> dict[str, Any]:
        """Return the tokens for a grant."""
        try:
            self._ring.active()  # asked first: a code must not be used up for nothing
            return self._engine.token(self.request_data(exchange, self._proofs(exchange)))
        except OAuth2Error as error:
            raise refusal(error) from None
        except SigningFault as fault:
            raise Problem("unavailable", reason="oauth2_server.no_signing_key") from fault

    def device(self, exchange: Exchange) -> dict[str, Any]:
        """Return the codes for a machine without a browser."""
        try:
            return self._engine.device(self.request_data(exchange), self._base + urls.DEVICE)
        except OAuth2Error as error:
            raise refusal(error) from None

    def endpoint(self, name: str, exchange: Exchange) -> dict[str, Any]:
        """Return what introspection or revocation answers."""
        try:
            request = OAuth2Request(self.request_data(exchange))
            found: dict[str, Any] = self._engine.create_endpoint_response(name, request)[1]
        except OAuth2Error as error:
            raise refusal(error) from None
        return found

    def request_data(self, exchange: Exchange, key: ProofKey | None = None) -> RequestData:
        """Return what came with a request; raises Problem for parameters in the address."""
        request = exchange.request
        if request.environ.get("QUERY_STRING"):
            # RFC 6749, 2.3.1 and 3.2: in the body alone, because addresses end up in logs.
            raise Problem("oauth2_server.invalid_request", reason="oauth2_server.query")
        return RequestData(
            self._base + request.path,
            request.method,
            exchange.payload or {},
            request.environ.get("HTTP_AUTHORIZATION", ""),
            key,
            exchange.add_event,
            exchange.client_address,
        )


def refusal(error: OAuth2Error) -> Problem:
    """Return our refusal for an error of the protocol."""
    word = error.error if error.error in errors.ERRORS else "invalid_request"
    headers = dict(NO_STORE)
    if word == "invalid_client":
        headers["WWW-Authenticate"] = _BASIC
    return Problem(f"oauth2_server.{word}", reason=f"oauth2_server.{word}", headers=headers)


def add(
    views: Blueprint, endpoints: Endpoints, issuer: str, keys: Callable[[], dict[str, Any]]
) -> None:
    """Put the routes on a blueprint."""
    _add_tokens(views, endpoints)
    _add_documents(views, issuer, keys)


def _add_tokens(views: Blueprint, endpoints: Endpoints) -> None:
    opened = public(form=True, body_limit=FORM_LIMIT, cost=COST, wording=errors.protocol)

    @views.post(urls.TOKEN, endpoint="token")
    @opened
    @needs_store
    def token() -> Response:
        return answer(endpoints.token(g.exchange))

    @views.post(urls.DEVICE_AUTHORIZATION, endpoint="device_authorization")
    @opened
    @needs_store
    def device_authorization() -> Response:
        return answer(endpoints.device(g.exchange))

    @views.post(urls.INTROSPECT, endpoint="introspect")
    @opened
    @needs_store
    def introspect() -> Response:
        return answer(endpoints.endpoint("introspection", g.exchange))

    @views.post(urls.REVOKE, endpoint="revoke")
    @opened
    @needs_store
    def revoke() -> Response:
        return answer(endpoints.endpoint("revocation", g.exchange))


def _add_documents(views: Blueprint, issuer: str, keys: Callable[[], dict[str, Any]]) -> None:
    cached = {"Cache-Control": f"public, max-age={_KEYS_MAX_AGE}"}

    @views.get(urls.path(issuer), endpoint="metadata")
    @public()
    def metadata() -> Response:
        return answer(urls.metadata(issuer), cached)

    @views.get(urls.KEYS, endpoint="jwks")
    @public()
    @needs_store
    def jwks() -> Response:
        return answer(keys(), cached)


def answer(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    """Return JSON that nobody keeps, unless the headers say so."""
    return Response(json.dumps(body), content_type=errors.JSON, headers=headers or NO_STORE)
