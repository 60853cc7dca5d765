"""The grants: Authlib's, with every default that is too kind closed.

PKCE is demanded where a code is asked for and of every client, with S256 alone; a code and a
device code are used up by whoever shows them first; a refresh token that was spent ends its
family. The library's own errors echo what was sent, so what could be echoed is judged here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlencode

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import (
    AccessDeniedError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
)
from authlib.oauth2.rfc6749.grants import (
    AuthorizationCodeGrant,
    ClientCredentialsGrant,
    RefreshTokenGrant,
)
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import (
    AuthorizationPendingError,
    DeviceCodeGrant,
    ExpiredTokenError,
    SlowDownError,
)

from secureml.kit.token_families import FamilyEnded

from .client import ActiveClient
from .clients import CODE, DEVICE, MACHINE, REFRESH
from .codes import Code, CodeRefused
from .devices import Device, DeviceRefused
from .families import Family
from .issuer import TokenSpec
from .request import OAuth2Request
from .resource import delegated_by
from .users import User

_DIGEST = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)  # SHA-256 in base64url
_POLLS: dict[str, type[OAuth2Error]] = {
    "authorization_pending": AuthorizationPendingError,
    "slow_down": SlowDownError,
    "expired_token": ExpiredTokenError,
    "access_denied": AccessDeniedError,
    "invalid_grant": InvalidGrantError,
}


class _Grant:
    """What all grants share: tokens come from our token issuer, which keeps the record."""

    request: OAuth2Request
    server: Any

    def save_token(self, token: dict[str, Any]) -> None:
        """Do nothing: the token issuer has the record already."""

    def replayed(self, family: str) -> NoReturn:
        """End what came of a code that is shown again."""
        client: ActiveClient = self.request.client
        self.server.families.end(family)
        self.request.add_event("authn_token_reuse", client.record.client, family=family)
        raise InvalidGrantError()

    def resource_owner(self, name: str) -> User:
        """Return who said yes, if they still may; raises InvalidGrantError."""
        user: User | None = self.server.resource_owners.active(name)
        if user is None:
            raise InvalidGrantError()
        return user


class MachineGrant(_Grant, ClientCredentialsGrant):
    """Client credentials: a program asks for itself."""

    GRANT_TYPE = MACHINE

    def generate_token(self, scope: str | None = None, **_words: Any) -> dict[str, Any]:
        """Issue an access token and no more."""
        scopes = self.request.client.requested_scopes(scope)
        if scopes is None:
            raise InvalidScopeError()
        return self.server.token_issuer.issue(  # type: ignore[no-any-return]
            self.request, TokenSpec(MACHINE, scopes, "", None, refresh=False)
        )


class CodeGrant(_Grant, AuthorizationCodeGrant):
    """Authorization code: a person grants rights to a program."""

    GRANT_TYPE = CODE

    @staticmethod
    def validate_authorization_redirect_uri(request: OAuth2Request, client: ActiveClient) -> str:
        """Return the address of the request where it is registered, byte for byte."""
        uri: str | None = request.payload.redirect_uri
        if not uri or not client.check_redirect_uri(uri):
            raise InvalidRequestError("The redirect_uri is not registered.")
        return uri

    def create_authorization_response(
        self, redirect_uri: str, grant_user: User | None
    ) -> tuple[int, str, list[tuple[str, str]]]:
        """Return where the browser goes with its code; raises AccessDeniedError."""
        if grant_user is None:
            raise AccessDeniedError(redirect_uri=redirect_uri)
        rights = self.server.resource_owners.rights(grant_user)
        scopes = frozenset(self.request.scope.split()) & rights
        if not scopes:
            raise AccessDeniedError(redirect_uri=redirect_uri)
        data = self.request.payload.data
        code = self.server.codes.issue(
            self.request.client.record.id,
            redirect=redirect_uri,
            subject=grant_user.name,
            scopes=scopes,
            challenge=data["code_challenge"],
            jkt=data.get("dpop_jkt"),
            still=self.server.resource_owners.unchanged(grant_user),
        )
        if code is None:
            raise AccessDeniedError(redirect_uri=redirect_uri)
        location = self.server.back(redirect_uri, {"code": code}, data.get("state"))
        return 303, "", [("Location", location)]

    def query_authorization_code(self, code: str, client: ActiveClient) -> Code:
        """Use a code up; raises InvalidGrantError for one that is not this client's."""
        try:
            found: Code = self.server.codes.redeem(code)
        except CodeRefused as refused:
            if refused.family:
                self.replayed(refused.family)
            raise InvalidGrantError() from None
        if found.oauth_client != client.record.id:
            raise InvalidGrantError()
        if found.jkt is not None and found.jkt != self.request.thumbprint:
            raise InvalidGrantError()
        if found.redirect != self.request.form.get("redirect_uri"):
            raise InvalidGrantError()
        self.request.grant_record = found
        return _RedeemedCode(found)  # type: ignore[return-value]  # what the library asks of a code

    def authenticate_user(self, authorization_code: Any) -> User:
        """Return who agreed."""
        return self.resource_owner(self.request.grant_record.subject)

    def generate_token(self, user: User, include_refresh_token: bool, **_: Any) -> dict[str, Any]:
        """Issue what was agreed to."""
        code: Code = self.request.grant_record
        spec = TokenSpec(CODE, code.scopes, code.family, user, refresh=include_refresh_token)
        return self.server.token_issuer.issue(self.request, spec)  # type: ignore[no-any-return]

    def delete_authorization_code(self, authorization_code: Any) -> None:
        """Do nothing: it was used up before anything about it was judged."""


@dataclass(frozen=True, slots=True)
class _RedeemedCode:
    code: Code

    def get_redirect_uri(self) -> str:
        return self.code.redirect

    def get_scope(self) -> str:
        return " ".join(sorted(self.code.scopes))


class Pkce(CodeChallenge):
    """PKCE (RFC 7636) for every client, by S256, from the first step on (RFC 9700, 2.1.1)."""

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]

    def validate_code_challenge(self, grant: CodeGrant, redirect_uri: str) -> None:
        """Refuse a request for a code without a challenge, or with one that hides nothing."""
        data = grant.request.payload.data
        # Without a method RFC 7636 would mean `plain`.
        if data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE with code_challenge_method S256 is required.")
        if not _DIGEST.fullmatch(data.get("code_challenge", "")):
            raise InvalidRequestError("The code_challenge is not that of S256.")
        if not _DIGEST.fullmatch(data.get("dpop_jkt", "A" * 43)):
            raise InvalidRequestError("The dpop_jkt is not a thumbprint.")
        if data.get("response_mode", "query") != "query":
            raise InvalidRequestError("The response_mode is not supported.")

    def get_authorization_code_challenge(self, authorization_code: _RedeemedCode) -> str:
        """Return the challenge that was shown when the code was asked for."""
        return authorization_code.code.challenge

    def get_authorization_code_challenge_method(self, authorization_code: _RedeemedCode) -> str:
        """Return the only method there is."""
        return "S256"


class RefreshGrant(_Grant, RefreshTokenGrant):
    """Refresh: the next pair for a token that is used once."""

    GRANT_TYPE = REFRESH

    def _validate_request_token(self, client: ActiveClient) -> Family:
        text = self.request.form.get("refresh_token")
        if text is None:
            raise InvalidRequestError("Missing 'refresh_token' in request.")
        try:
            family: Family = self.server.families.for_refresh_token(text)
        except FamilyEnded as ended:
            if ended.reason == "replayed":
                self.request.add_event("authn_token_reuse", client.record.client)
            raise InvalidGrantError() from None
        if family.oauth_client != client.record.id:
            raise InvalidGrantError()
        self._check_key(client, family)
        return family

    def _check_key(self, client: ActiveClient, family: Family) -> None:
        """Demand the key a family is bound to (RFC 9449, 5)."""
        if family.jkt is None:
            return
        shown = self.request.thumbprint
        # A program with a secret is bound by that; its proof may come from another key.
        if shown is None or (client.record.secret is None and shown != family.jkt):
            raise InvalidGrantError()

    def _validate_token_scope(self, token: Family) -> None:
        scope = self.request.form.get("scope")
        if scope and not frozenset(scope.split()) <= token.scopes:
            raise InvalidScopeError()

    def authenticate_user(self, refresh_token: Family) -> User:
        """Return who agreed; somebody else who bears the name by now has granted nothing."""
        user = self.resource_owner(refresh_token.subject)
        if not delegated_by(user, refresh_token):
            raise InvalidGrantError()
        return user

    def issue_token(self, user: User, refresh_token: Family) -> dict[str, Any]:
        """Issue the next pair, with no right that was lost meanwhile."""
        scope = self.request.form.get("scope")
        scopes = frozenset(scope.split()) if scope else refresh_token.scopes
        rights = self.request.client.rights & self.server.resource_owners.rights(user)
        spent = self.request.form["refresh_token"]
        return self.server.token_issuer.refresh(  # type: ignore[no-any-return]
            self.request, refresh_token, spent, scopes & rights
        )

    def revoke_old_credential(self, refresh_token: Family) -> None:
        """Do nothing: it was spent in the moment its successor was made."""


class DeviceGrant(_Grant, DeviceCodeGrant):
    """Device: a machine asks whether somebody has said yes."""

    GRANT_TYPE = DEVICE

    def query_device_credential(self, device_code: str) -> _PolledDevice:
        """Ask once more; raises the protocol's word for whatever it is that is not yes."""
        try:
            found = self.server.devices.poll(device_code, self.request.client.record.id)
        except DeviceRefused as refused:
            if refused.family:
                self.replayed(refused.family)
            raise _POLLS[refused.error]() from None
        self.request.grant_record = found
        return _PolledDevice(found)

    def validate_device_credential(self, credential: _PolledDevice) -> User:
        """Return who said yes."""
        return self.resource_owner(credential.device.subject)

    def generate_token(self, user: User, include_refresh_token: bool, **_: Any) -> dict[str, Any]:
        """Issue what was agreed to."""
        device: Device = self.request.grant_record
        spec = TokenSpec(DEVICE, device.scopes, device.family, user, refresh=include_refresh_token)
        return self.server.token_issuer.issue(self.request, spec)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class _PolledDevice:
    device: Device

    def get_client_id(self) -> str:
        return self.device.oauth_client

    def get_scope(self) -> str:
        return " ".join(sorted(self.device.scopes))


def back(redirect: str, parameters: dict[str, str], issuer: str, state: str | None) -> str:
    """Return where a browser goes back to; who sends it says so (RFC 9207)."""
    words = {**parameters, **({"state": state} if state else {}), "iss": issuer}
    return f"{redirect}{'&' if '?' in redirect else '?'}{urlencode(words)}"
