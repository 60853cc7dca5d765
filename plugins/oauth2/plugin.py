"""OAuth 2.0 resource server: access tokens of outside identity providers name the caller.

Runs in ADMIT, where a token in a URL is refused even on a public route, in IDENTIFY, and in
RESPOND. A token of an issuer that is not in the settings is someone else's to judge; one of
an issuer that is gets one answer for whatever is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from secureml import Exchange, Host, Plugin, Principal, Problem, StoreUnavailable
from secureml.kit import dpop
from secureml.kit.access_token import MAX_TOKEN, parse
from secureml.kit.bearer import CHALLENGE, name_missing_scope, presented_token
from secureml.kit.credential_in_url import carries_credential
from secureml.kit.jwks_cache import JwksRefresher, KeysUnavailable
from secureml.kit.jwt_claims import InvalidToken, text_claim
from secureml.kit.proof_replay import Replays, TooManyProofs
from secureml.kit.scopes import intersect
from secureml.kit.sender_constraint import (
    SCHEMES,
    HttpRequest,
    SenderConstraint,
    invalid_token_challenge,
)
from secureml.kit.token_cache import TokenCache, digest

from .cached_token import CachedToken
from .issuer import Issuer, verify
from .issuer import VerifiedClaims as Outside
from .providers import provider, providers
from .settings import Config
from .store import PROOFS

if TYPE_CHECKING:
    import click
    from werkzeug.datastructures import Headers

# Whatever of ours changes under one of these forgets every verified token.
TOPICS = ("clients",)
_JTI = re.compile(r"[A-Za-z0-9._:~-]{1,64}", re.ASCII)


class OAuth2(Plugin):
    """Names the caller of a token that an outside issuer signed."""

    name = "oauth2"
    schema = Config
    proof_headers = ("DPoP",)
    credential_header = "Authorization"

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._host = host
        self._providers = providers(config["issuers"], host)
        self._issuers = {item.issuer.rules.issuer: item.issuer for item in self._providers}
        self._refreshers = [JwksRefresher(issuer.jwks) for issuer in self._issuers.values()]
        for refresher in self._refreshers:
            refresher.jwks.request_refresh = refresher.request_refresh
        self.issuers = list(self._issuers)
        replays = Replays(host.store, host.now, PROOFS)
        self._sender = SenderConstraint(config["origins"], replays, host.now)
        self._clients, self._store, self._now = host.clients, host.store, host.now
        self._verified: TokenCache[CachedToken] = TokenCache(host.store.versions, TOPICS)
        self.challenge = f"{CHALLENGE}, {dpop.CHALLENGE}" if self._sender.origins else CHALLENGE

    def admit(self, exchange: Exchange) -> None:
        """Refuse a token in the URL, even a good one: by now it stands in every log on the way."""
        query: str = exchange.request.environ.get("QUERY_STRING", "")
        if query and carries_credential(query):
            raise Problem("credential_in_url", reason="oauth2.in_url")

    def identify(self, exchange: Exchange) -> Principal | None:
        """Return whose token this is; None without one, or where no issuer of ours is named."""
        scheme, token = presented_token(exchange.request.environ, SCHEMES)
        if not scheme:
            return None
        try:
            named = self._name(token)
            if named is not None:
                sent, holder = HttpRequest.of(exchange.request), named.principal.client
                self._sender.check(sent, scheme, token, named.jkt, holder)
        except InvalidToken as refused:
            raise _unauthorized(scheme, refused.reason) from None
        except (KeysUnavailable, TooManyProofs, StoreUnavailable) as error:
            # Nobody can tell now, and what was true a moment ago is no permission.
            raise _unavailable(error) from error
        return named.principal if named is not None else None

    def _name(self, token: str) -> CachedToken | None:
        """Return whom a token names; one proven before costs a digest and a look at the store."""
        if len(token) > MAX_TOKEN:
            raise InvalidToken("too_long")
        verified, key = self._verified.current(), digest(token)
        found = verified.find(key, self._now())
        if found is not None and found.is_current():
            return found
        found = self._verify(token, key)
        if found is not None:
            verified.keep(key, found.ends, found)
        return found

    def _verify(self, token: str, key: bytes) -> CachedToken | None:
        taken = parse(token)
        issuer = self._issuers.get(taken.issuer) if taken is not None else None
        if taken is None or issuer is None:
            return None
        self._start()
        proven = verify(taken, issuer, self._now())
        principal = self._principal(issuer, proven, key)
        return CachedToken(proven.ends, principal, proven.jkt, issuer, proven.keys)

    def _principal(self, issuer: Issuer, proven: Outside, key: bytes) -> Principal:
        claims = proven.claims
        client = self._clients.get(issuer.mapping.client_of(claims))
        if client is None or not client.enabled:
            raise InvalidToken("client_disabled")
        jti = claims.get("jti")
        plain_id = isinstance(jti, str) and _JTI.fullmatch(jti)
        return Principal(
            client=client.name,
            subject=text_claim(claims, "sub"),
            # A token never holds more than its client does now.
            scopes=intersect(client.scopes, issuer.mapping.scopes_of(claims)),
            models=issuer.mapping.models_of(client.models),
            tier=client.tier,
            method=self.name,
            credential=str(jti) if plain_id else f"sha256:{key.hex()[:16]}",
            expires=proven.ends,
        )

    def respond(self, exchange: Exchange, headers: Headers) -> None:
        """Name the scope that a token lacks."""
        name_missing_scope(exchange, self.name, headers)

    def ready(self) -> str | None:
        """Return a word while an issuer's keys were never fetched; asking starts the fetching."""
        self._start()
        reached = all(issuer.jwks.reached for issuer in self._issuers.values())
        return None if reached else "oauth2_issuer_unreached"

    def commands(self) -> click.Group:
        """Return `secureml oauth2 ...`."""
        from .cli import group

        return group(self._providers, lambda table: provider(table, self._host))

    def close(self) -> None:
        """End the threads that fetch keys."""
        for refresher in self._refreshers:
            refresher.close()

    def _start(self) -> None:
        for refresher in self._refreshers:
            refresher.start()


def _unavailable(error: Exception) -> Problem:
    reason = f"oauth2.{type(error).__name__}"
    return Problem("unavailable", reason=reason, headers={"Retry-After": "30"})


def _unauthorized(scheme: str, reason: str) -> Problem:
    """Return the one refusal of every token that does not hold: there is no oracle."""
    headers = {"WWW-Authenticate": invalid_token_challenge(scheme)}
    return Problem("unauthorized", reason=f"oauth2.{reason}", headers=headers)
