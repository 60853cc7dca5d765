"""Authlib's authorization server over our records; errors of the protocol are raised.

The library decides in which order a grant is checked; who asks, what is issued and what is
remembered is ours. Framework-free: a request comes in as ``Shown``, an answer goes out as
data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    InvalidClientError,
    InvalidRequestError,
    InvalidScopeError,
    UnauthorizedClientError,
    UnsupportedResponseTypeError,
)

from .client import ActiveClient, ActiveClients
from .clients import DEVICE
from .codes import Codes
from .credentials import BASIC, NONE, POST, Credentials
from .devices import INTERVAL, Devices
from .families import Families
from .grants import CodeGrant, DeviceGrant, MachineGrant, Pkce, RefreshGrant, back
from .issuer import TokenIssuer
from .request import OAuth2Request, RequestData
from .resource_owners import ResourceOwners
from .users import User

ANY = (BASIC, POST, NONE)


class ProofMissing(OAuth2Error):
    """The client's tokens are bound to a key, and no key was shown (RFC 9449, 5)."""

    error = "invalid_dpop_proof"


@dataclass(frozen=True)
class Records:
    """What the engine works with."""

    active_clients: ActiveClients
    credentials: Credentials
    codes: Codes
    devices: Devices
    families: Families
    token_issuer: TokenIssuer
    resource_owners: ResourceOwners


class Engine(AuthorizationServer):
    """Answers at the token endpoint, and asks a person before a code is given."""

    def __init__(self, issuer: str, records: Records) -> None:
        super().__init__()
        self.issuer, self.records = issuer, records
        self.codes, self.devices = records.codes, records.devices
        self.families, self.token_issuer, self.resource_owners = (
            records.families,
            records.token_issuer,
            records.resource_owners,
        )
        self.register_grant(CodeGrant, [Pkce(required=True)])
        for grant in (MachineGrant, RefreshGrant, DeviceGrant):
            self.register_grant(grant)

    # -- what we are asked ---------------------------------------------------------------

    def token(self, data: RequestData) -> dict[str, Any]:
        """Return the tokens for a grant; raises OAuth2Error."""
        _status, body, _headers = self.create_token_response(OAuth2Request(data))
        found: dict[str, Any] = body
        return found

    def consent(self, data: RequestData) -> tuple[OAuth2Request, Any]:
        """Return a request for a code that a person may be asked about, with its grant.

        Raises OAuth2Error; one that names a ``redirect_uri`` may be told there, any other not.
        """
        request = OAuth2Request(data)
        if request.payload.response_type != "code":
            raise self._unsupported(request)
        grant = self.get_consent_grant(request)
        return request, grant

    def authorize(self, request: OAuth2Request, grant: Any, user: User | None) -> str:
        """Return where the browser goes; without a user, with the word that nobody agreed."""
        try:
            _status, _body, headers = self.create_authorization_response(request, user, grant)
        except OAuth2Error as error:
            if not error.redirect_uri:
                raise
            return self.error_redirect(error, request.payload.state)
        return str(dict(headers)["Location"])

    def error_redirect(self, error: OAuth2Error, state: str | None) -> str:
        """Return where a browser goes with an error that its program may be told."""
        return self.back(error.redirect_uri, {"error": error.error}, state)

    def back(self, redirect: str, parameters: dict[str, str], state: str | None) -> str:
        """Return an address of the program with what it is told."""
        return back(redirect, parameters, self.issuer, state)

    def device(self, data: RequestData, page: str) -> dict[str, Any]:
        """Return the codes for a machine without a browser (RFC 8628, 3.2)."""
        request = OAuth2Request(data)
        client = self.records.credentials.authenticate(request, ANY)
        if not client.check_grant_type(DEVICE):
            raise UnauthorizedClientError()
        scopes = client.requested_scopes(request.form.get("scope"))
        if scopes is None:
            raise InvalidScopeError()
        text, typed = self.devices.begin(client.record.id, scopes, request.source.address)
        return {
            "device_code": text,
            "user_code": typed,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={typed}",
            "expires_in": int(self.devices.lifetime),
            "interval": int(INTERVAL),
        }

    # -- what the library asks -----------------------------------------------------------

    def query_client(self, client_id: str) -> ActiveClient | None:
        """Return who has this id."""
        return self.records.active_clients.get(client_id)

    def authenticate_client(
        self, request: OAuth2Request, methods: list[str], endpoint: str = "token"
    ) -> ActiveClient:
        """Return who asks; each may say so in any way that fits what it is."""
        client = self.records.credentials.authenticate(request, ANY)
        if client.record.dpop and request.thumbprint is None:
            # Said before a code is used up for nothing.
            raise ProofMissing()
        return client

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        """Return the request as it is."""
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, Any, Any]:
        """Hand an answer on as it is."""
        return status, body, headers

    def handle_error_response(self, request: OAuth2Request, error: OAuth2Error) -> NoReturn:
        """Raise what the library would have worded."""
        raise error

    def send_signal(self, name: str, *args: Any, **words: Any) -> None:
        """Tell nobody: what happened is noted where it happens."""

    def _unsupported(self, request: OAuth2Request) -> OAuth2Error:
        # The library's own way would echo what was sent, or fail on it.
        client = self.records.active_clients.get(request.payload.client_id)
        uri = request.payload.redirect_uri
        if client is None:
            return InvalidClientError()
        if not uri or not client.check_redirect_uri(uri):
            return InvalidRequestError()
        if not request.payload.response_type:
            return InvalidRequestError(redirect_uri=uri)
        return UnsupportedResponseTypeError("", redirect_uri=uri)
