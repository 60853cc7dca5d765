"""OAuth 2.0: callers prove who they are with tokens of named identity providers, or of ours.

Stands in ADMIT, where a token in a URL is refused even on a public route, in IDENTIFY, and in
RESPOND. A token of an issuer that is not in the settings is someone else's to judge; one of
an issuer that is gets one answer for whatever is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import Blueprint

from secureml import (
    ConfigError,
    Exchange,
    Host,
    Kind,
    Plugin,
    Principal,
    Problem,
    SigningFault,
    StoreUnavailable,
    intersect,
)
from secureml.kit.token_cache import TokenCache, digest

from . import dpop
from .claims import MAX_TOKEN, Token, Unfit, read, text
from .in_url import carries_credential
from .issuer import Issuer, prove
from .issuer import Proven as Outside
from .keysource import KeysUnavailable
from .providers import provider, providers
from .refresher import Refresher
from .replay import Replays, TooManyProofs
from .sender import Sender, Sent
from .server import metadata, page_views, views
from .server.families import Ended
from .server.request import ShownKey
from .server.server import Server, build
from .server.wording import ERRORS, FOREIGN_FORM
from .settings import Config
from .verified import TOPICS, Verified

if TYPE_CHECKING:
    import click
    from werkzeug.datastructures import Headers

CHALLENGE = 'Bearer realm="secureml"'
_DPOP = f'DPoP algs="{" ".join(dpop.ALGORITHMS)}"'
_JTI = re.compile(r"[A-Za-z0-9._:~-]{1,64}", re.ASCII)


class OAuth2(Plugin):
    """Names the caller whose token counts, and issues tokens where it is told to."""

    name = "oauth2"
    schema = Config
    proof_headers = ("DPoP",)
    credential_header = "Authorization"
    problems = (
        *(Kind(f"oauth2.{word}", *said) for word, said in ERRORS.items()),
        Kind("oauth2.foreign_form", *FOREIGN_FORM),
    )

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._host = host
        if not config["issuers"] and config["server"] is None:
            raise ConfigError(
                "there is nothing to do: no outside issuer is named, and none is issued here",
                fix="write [[plugins.oauth2.issuers]] or [plugins.oauth2.server]",
            )
        self._providers = providers(config["issuers"], host)
        self._issuers = {item.issuer.rules.issuer: item.issuer for item in self._providers}
        self._refreshers = [Refresher(issuer.source) for issuer in self._issuers.values()]
        for refresher in self._refreshers:
            refresher.source.ask = refresher.ask
        self._server = build(config["server"], host) if config["server"] else None
        self.issuers = [*self._issuers, *([self._server.issuer] if self._server else [])]
        if len(set(self.issuers)) < len(self.issuers):
            raise ConfigError(
                "an outside issuer is named like our own",
                key="server.issuer",
                fix="give ours another path of this service's address",
            )
        ours = [metadata.origin(self._server.issuer)] if self._server else []
        replays = Replays(host.store, host.now)
        self._sender = Sender([*config["origins"], *ours], replays, host.now)
        self._clients, self._store, self._now = host.clients, host.store, host.now
        self._verified: TokenCache[Verified] = TokenCache(host.store.versions, TOPICS)
        self.challenge = f"{CHALLENGE}, {_DPOP}" if self._sender.origins else CHALLENGE

    def admit(self, exchange: Exchange) -> None:
        """Refuse a token in the URL, even a good one: by now it stands in every log on the way."""
        query: str = exchange.request.environ.get("QUERY_STRING", "")
        if query and carries_credential(query):
            raise Problem("credential_in_url", reason="oauth2.in_url")

    def identify(self, exchange: Exchange) -> Principal | None:
        """Return whose token this is; None without one, or where no issuer of ours is named."""
        header: str = exchange.request.environ.get("HTTP_AUTHORIZATION", "")
        scheme, _, token = header.partition(" ")
        scheme, token = scheme.lower(), token.strip(" ")
        if scheme not in ("bearer", "dpop"):
            return None
        try:
            named = self._name(token)
            if named is not None:
                holder = named.principal.client
                self._sender.check(_sent(exchange), scheme, token, named.bound, holder)
        except Unfit as refused:
            raise _unauthorized(scheme, refused.reason) from None
        except (KeysUnavailable, TooManyProofs, StoreUnavailable) as error:
            # Nobody can tell now, and what was true a moment ago is no permission.
            raise _unavailable(error) from error
        return named.principal if named is not None else None

    def _name(self, token: str) -> Verified | None:
        """Return whom a token names; one proven before costs a digest and a look at the store."""
        if len(token) > MAX_TOKEN:
            raise Unfit("too_long")
        verified, key = self._verified.current(), digest(token)
        found = verified.find(key, self._now())
        if found is not None and found.still_counts():
            return found
        found = self._prove(token, key)
        if found is not None:
            verified.keep(key, found.ends, found)
        return found

    def _prove(self, token: str, key: bytes) -> Verified | None:
        taken = read(token)
        if taken is not None and self._server and taken.issuer == self._server.issuer:
            return self._own(self._server, taken)
        issuer = self._issuers.get(taken.issuer) if taken is not None else None
        if taken is None or issuer is None:
            return None
        self._start()
        proven = prove(taken, issuer, self._now())
        principal = self._principal(issuer, proven, key)
        return Verified(proven.ends, principal, proven.bound, issuer, proven.keys)

    def _own(self, server: Server, taken: Token) -> Verified:
        try:
            believed = server.resource.believe(taken)
        except Ended as ended:
            raise Unfit(ended.reason) from None
        owner = believed.party.owner
        principal = Principal(
            client=owner.name,
            subject=believed.subject,
            scopes=believed.scopes,
            models=believed.models,
            tier=owner.tier,
            method=self.name,
            credential=believed.jti,
            expires=believed.ends,
        )
        return Verified(believed.ends, principal, believed.jkt)

    def _principal(self, issuer: Issuer, proven: Outside, key: bytes) -> Principal:
        claims = proven.claims
        client = self._clients.get(issuer.rights.client_of(claims))
        if client is None or not client.enabled:
            raise Unfit("client_disabled")
        jti = claims.get("jti")
        plain_id = isinstance(jti, str) and _JTI.fullmatch(jti)
        return Principal(
            client=client.name,
            subject=text(claims, "sub"),
            # A token never holds more than its client does now.
            scopes=intersect(client.scopes, issuer.rights.scopes_of(claims)),
            models=issuer.rights.models_of(client.models),
            tier=client.tier,
            method=self.name,
            credential=str(jti) if plain_id else f"sha256:{key.hex()[:16]}",
            expires=proven.ends,
        )

    def _shown_key(self, exchange: Exchange) -> ShownKey | None:
        """Return the key that a request for tokens proves, if it does."""
        if "HTTP_DPOP" not in exchange.request.environ:
            return None
        try:
            proof = self._sender.key(_sent(exchange))
        except Unfit as refused:
            raise _bad_proof(refused) from None
        return ShownKey(proof.thumbprint, lambda holder: self._spend(proof, holder))

    def _spend(self, proof: dpop.Proof, holder: str) -> None:
        try:
            self._sender.spend(proof, holder)
        except Unfit as refused:
            raise _bad_proof(refused) from None
        except TooManyProofs as error:
            raise _unavailable(error) from error

    def respond(self, exchange: Exchange, headers: Headers) -> None:
        """Tell a token that lacks the right which one it lacks (RFC 6750, 3.1)."""
        problem, principal, policy = exchange.problem, exchange.principal, exchange.policy
        if problem is None or problem.code != "forbidden" or principal is None or policy is None:
            return
        if principal.method == self.name and policy.scope not in principal.scopes:
            headers["WWW-Authenticate"] = (
                f'{CHALLENGE}, error="insufficient_scope", scope="{policy.scope}"'
            )

    def ready(self) -> str | None:
        """Return a word while an issuer has never been reached, or no token can be signed.

        Asking starts the fetching.
        """
        self._start()
        if self._server is not None:
            try:
                self._host.signing.active()
            except SigningFault:
                return "no_signing_key"
            except StoreUnavailable:
                return "store_unavailable"
        reached = all(issuer.source.reached for issuer in self._issuers.values())
        return None if reached else "oauth2_issuer_unreached"

    def blueprint(self) -> Blueprint:
        """Return the routes of the authorization server; none where it is not one."""
        made = Blueprint("oauth2", __name__)
        if self._server is not None:
            signing = self._host.signing
            desk = views.Desk(self._server, self._shown_key, signing)
            views.add(made, desk, self._server.issuer, signing.jwks)
            page_views.add(made, page_views.Reception(self._server))
        return made

    def commands(self) -> click.Group:
        """Return `secureml oauth2 ...`."""
        from .cli import group
        from .server.cli import Office, groups

        made = group(self._providers, lambda table: provider(table, self._host))
        for more in groups(Office(self._server, self._clients.get, self._host.emit)):
            made.add_command(more)
        return made

    def close(self) -> None:
        """End the threads that fetch keys."""
        for refresher in self._refreshers:
            refresher.close()

    def _start(self) -> None:
        for refresher in self._refreshers:
            refresher.start()


def _sent(exchange: Exchange) -> Sent:
    request = exchange.request
    return Sent(request.method, request.path, request.environ.get("HTTP_DPOP", ""))


def _bad_proof(refused: Unfit) -> Problem:
    return Problem("oauth2.invalid_dpop_proof", reason=f"oauth2.{refused.reason}")


def _unavailable(error: Exception) -> Problem:
    reason = f"oauth2.{type(error).__name__}"
    return Problem("unavailable", reason=reason, headers={"Retry-After": "30"})


def _unauthorized(scheme: str, reason: str) -> Problem:
    """Return the one refusal of every token that does not hold: there is no oracle."""
    challenge = f"{_DPOP}, " if scheme == "dpop" else f"{CHALLENGE}, "
    headers = {"WWW-Authenticate": f'{challenge}error="invalid_token"'}
    return Problem("unauthorized", reason=f"oauth2.{reason}", headers=headers)
