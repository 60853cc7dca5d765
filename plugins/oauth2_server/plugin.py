"""OAuth 2.0 authorization server: issues access tokens to our own clients, and verifies them.

Runs in ADMIT, where a token in a URL is refused even on a public route, in IDENTIFY, and in
RESPOND. Only tokens that name our own issuer are judged here; one of them that does not hold
gets one answer, whatever is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import Blueprint

from secureml import (
    Exchange,
    Host,
    Kind,
    Plugin,
    Principal,
    Problem,
    StoreUnavailable,
)
from secureml.kit import dpop
from secureml.kit.access_token import MAX_TOKEN, parse
from secureml.kit.bearer import CHALLENGE, name_missing_scope, presented_token
from secureml.kit.credential_in_url import carries_credential
from secureml.kit.jwt_claims import InvalidToken, UnverifiedToken
from secureml.kit.proof_replay import Replays, TooManyProofs
from secureml.kit.sender_constraint import (
    SCHEMES,
    HttpRequest,
    SenderConstraint,
    invalid_token_challenge,
)
from secureml.kit.token_cache import TokenCache, digest
from secureml.kit.token_families import FamilyEnded

from . import metadata, page_views, views
from .errors import ERRORS, FOREIGN_FORM
from .opaque_tokens import REFRESH, SECRET
from .request import ProofKey
from .server import build
from .settings import Config
from .store import PROOFS, TOPIC

if TYPE_CHECKING:
    import click
    from werkzeug.datastructures import Headers

# Whatever changes under one of these forgets every verified token.
TOPICS = ("clients", TOPIC, "signing_keys")
PAGES = (metadata.AUTHORIZE, metadata.DEVICE)


class CachedToken(NamedTuple):
    """A token that was verified: for whom, and bound to what key (its thumbprint)."""

    principal: Principal
    jkt: str | None


class OAuth2Server(Plugin):
    """Issues tokens, and names the caller whose token it issued."""

    name = "oauth2_server"
    accepts_secrets = True
    schema = Config
    proof_headers = ("DPoP",)
    credential_header = "Authorization"
    problems = (
        *(Kind(f"oauth2_server.{word}", *error) for word, error in ERRORS.items()),
        Kind("oauth2_server.foreign_form", *FOREIGN_FORM),
    )

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._host = host
        self._server = build(config, host)
        self.issuers = [self._server.issuer]
        origins = [*config["origins"], metadata.origin(self._server.issuer)]
        self._sender = SenderConstraint(origins, Replays(host.store, host.now, PROOFS), host.now)
        self._now = host.now
        self._verified: TokenCache[CachedToken] = TokenCache(host.store.versions, TOPICS)
        self.challenge = f"{CHALLENGE}, {dpop.CHALLENGE}"

    def admit(self, exchange: Exchange) -> None:
        """Refuse a token in the URL, even a good one: by now it stands in every log on the way.

        A page is read by no other origin.
        """
        query: str = exchange.request.environ.get("QUERY_STRING", "")
        if query and carries_credential(query, (REFRESH, SECRET)):
            raise Problem("credential_in_url", reason="oauth2_server.in_url")
        if exchange.request.environ.get("PATH_INFO") in PAGES:
            # Browsers are sent there and no script reads it, whatever origins an operator
            # lists for the service (RFC 9700, 2.6).
            exchange.allow_origin("")

    def identify(self, exchange: Exchange) -> Principal | None:
        """Return whose token this is; None without a token of our own issuer."""
        scheme, token = presented_token(exchange.request.environ, SCHEMES)
        if not scheme:
            return None
        try:
            found = self._find(token)
            if found is None:
                return None
            sent, holder = HttpRequest.of(exchange.request), found.principal.client
            self._sender.check(sent, scheme, token, found.jkt, holder)
        except InvalidToken as refused:
            raise _unauthorized(scheme, refused.reason) from None
        except (TooManyProofs, StoreUnavailable) as error:
            # Nobody can tell now, and what was true a moment ago is no permission.
            raise views.unavailable(error) from error
        return found.principal

    def _find(self, token: str) -> CachedToken | None:
        """Return whom a token names; a verified one costs a digest and a look at the store."""
        if len(token) > MAX_TOKEN:
            raise InvalidToken("too_long")
        verified, key = self._verified.current(), digest(token)
        found = verified.find(key, self._now())
        if found is not None:
            return found
        unverified = parse(token)
        if unverified is None or unverified.issuer != self._server.issuer:
            return None
        found, ends = self._verify(unverified)
        verified.keep(key, ends, found)
        return found

    def _verify(self, token: UnverifiedToken) -> tuple[CachedToken, float]:
        try:
            valid = self._server.resource.validate(token)
        except FamilyEnded as ended:
            raise InvalidToken(ended.reason) from None
        owner = valid.client.owner
        principal = Principal(
            client=owner.name,
            subject=valid.subject,
            scopes=valid.scopes,
            models=valid.models,
            tier=owner.tier,
            method=self.name,
            credential=valid.jti,
            expires=valid.ends,
        )
        return CachedToken(principal, valid.jkt), valid.ends

    def _proof_key(self, exchange: Exchange) -> ProofKey | None:
        """Return the key that a request for tokens proves, if it does."""
        if "HTTP_DPOP" not in exchange.request.environ:
            return None
        try:
            proof = self._sender.key(HttpRequest.of(exchange.request))
        except InvalidToken as refused:
            raise _bad_proof(refused) from None
        return ProofKey(proof.thumbprint, lambda holder: self._spend(proof, holder))

    def _spend(self, proof: dpop.Proof, holder: str) -> None:
        try:
            self._sender.spend(proof, holder)
        except InvalidToken as refused:
            raise _bad_proof(refused) from None
        except TooManyProofs as error:
            raise views.unavailable(error) from error

    def respond(self, exchange: Exchange, headers: Headers) -> None:
        """Name the scope that a token lacks."""
        name_missing_scope(exchange, self.name, headers)

    def ready(self) -> str | None:
        """Return a word while no token can be signed."""
        return self._host.signing.ready()

    def blueprint(self) -> Blueprint:
        """Return the endpoints and pages of the authorization server."""
        made = Blueprint("oauth2_server", __name__)
        signing = self._host.signing
        endpoints = views.Endpoints(self._server, self._proof_key, signing)
        views.add(made, endpoints, self._server.issuer, signing.jwks)
        page_views.add(made, page_views.BrowserFlow(self._server))
        return made

    def commands(self) -> click.Group:
        """Return `secureml oauth2-server ...`."""
        from .cli import CommandContext, group

        return group(CommandContext(self._server, self._host.clients.get, self._host.emit))


def _bad_proof(refused: InvalidToken) -> Problem:
    reason = f"oauth2_server.{refused.reason}"
    return Problem("oauth2_server.invalid_dpop_proof", reason=reason)


def _unauthorized(scheme: str, reason: str) -> Problem:
    """Return the one refusal of every token that does not hold: there is no oracle."""
    headers = {"WWW-Authenticate": invalid_token_challenge(scheme)}
    return Problem("unauthorized", reason=f"oauth2_server.{reason}", headers=headers)
