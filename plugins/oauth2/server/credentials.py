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

from .digests import is_made
from .party import Parties, Party
from .passwords import Passwords
from .request import Asked

BASIC, POST, NONE = "client_secret_basic", "client_secret_post", "none"


class Given(NamedTuple):
    """What a request says of who sent it."""

    method: str
    name: str
    secret: str


class Credentials:
    """Authenticates the client of a request."""

    def __init__(self, parties: Parties, passwords: Passwords) -> None:
        self._parties, self._passwords = parties, passwords

    def authenticate(self, asked: Asked, methods: Collection[str]) -> Party:
        """Return who asks; raises InvalidClientError or InvalidRequestError."""
        given = read(asked)
        party = self._parties.get(given.name)
        hashed = None if party is None else party.record.secret
        if given.method == NONE:
            right = party is not None and hashed is None and NONE in methods
        else:
            # A text that is no secret of ours costs no slow hash: whoever sent it knew its shape.
            right = is_made(given.secret) and self._passwords.verify_again(given.secret, hashed)
        if party is None or not right:
            owner = party.record.client if party is not None else ""
            asked.add_event("authn_login_fail", owner, oauth_client=_known(party), by=given.method)
            raise InvalidClientError(status_code=401)
        asked.client, asked.auth_method = party, given.method
        return party


def read(asked: Asked) -> Given:
    """Return the one way a request says who sent it."""
    form, header = asked.form, asked.shown.authorization
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


def _known(party: Party | None) -> str:
    return party.record.id if party is not None else ""
