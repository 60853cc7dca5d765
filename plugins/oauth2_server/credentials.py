"""How an OAuth client says who it is: by its secret, or as a public client by its id alone.

One way a request (RFC 6749, 2.3), and one answer for every failure: whether a client is not
there, is another's, or gave a wrong secret takes the same time and reads the same.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import unquote_plus

from authlib.oauth2.rfc6749 import InvalidClientError, InvalidRequestError

from .client import ActiveClient, ActiveClients
from .opaque_tokens import is_well_formed_secret
from .passwords import Passwords
from .request import OAuth2Request

BASIC, POST, NONE = "client_secret_basic", "client_secret_post", "none"


class Given(NamedTuple):
    """What a request says of who sent it."""

    method: str
    name: str
    secret: str


class Credentials:
    """Authenticates the client of a request."""

    def __init__(self, active_clients: ActiveClients, passwords: Passwords) -> None:
        self._active_clients, self._passwords = active_clients, passwords

    def authenticate(self, request: OAuth2Request, methods: Collection[str]) -> ActiveClient:
        """Return who asks; raises InvalidClientError or InvalidRequestError."""
        given = read(request)
        client = self._active_clients.get(given.name)
        hashed = None if client is None else client.record.secret
        if given.method == NONE:
            right = client is not None and hashed is None and NONE in methods
        else:
            # A text that is no secret of ours costs no slow hash: whoever sent it knew its shape.
            right = is_well_formed_secret(given.secret) and self._passwords.verify_again(
                given.secret, hashed
            )
        if client is None or not right:
            owner = client.record.client if client is not None else ""
            request.add_event(
                "authn_login_fail", owner, oauth_client=_known(client), by=given.method
            )
            raise InvalidClientError(status_code=401)
        request.client, request.auth_method = client, given.method
        return client


def read(request: OAuth2Request) -> Given:
    """Return the one way a request says who sent it."""
    form, header = request.form, request.source.authorization
    name, secret = form.get("client_id", ""), form.get("client_secret")
    if not header:
        return Given(NONE, name, "") if secret is None else Given(POST, name, secret)
    if secret is not None:
        raise InvalidRequestError("Two ways of client authentication at once.")
    given = _basic(header)
    if name and name != given.name:
        raise InvalidRequestError("Two clients at once.")
    return given


def _basic(header: str) -> Given:
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClientError(status_code=401)
    try:
        name, colon, secret = b64decode(text.strip(), validate=True).decode().partition(":")
        # RFC 6749, 2.3.1: both were form-encoded before they were joined.
        given = Given(
            BASIC, unquote_plus(name, errors="strict"), unquote_plus(secret, errors="strict")
        )
    except (binascii.Error, ValueError):
        raise InvalidClientError(status_code=401) from None
    if not colon:
        raise InvalidClientError(status_code=401)
    return given


def _known(client: ActiveClient | None) -> str:
    return client.record.id if client is not None else ""
