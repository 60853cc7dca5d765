"""One request in the library's shape: its parameters, who authenticated, and what happened.

The address is what the settings say, never what a Host header says. Every parameter stands
once; whoever built the request has seen to that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from authlib.oauth2.rfc6749 import OAuth2Request as AuthlibRequest
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

from .users import User

# What happened, in the words of `secureml.Event`: name, local client, facts.
AddEvent = Callable[..., None]


class ProofKey(NamedTuple):
    """The key of a proof that holds (RFC 9449), and how the proof is used up.

    ``spend`` takes the id of the OAuth client that has been authenticated, and raises what
    refuses the request where the proof was used before.
    """

    thumbprint: str
    spend: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RequestData:
    """What came with a request: parameters, headers, the key of a proof that holds, and the
    address it came from ("" where that is not known).
    """

    uri: str
    method: str
    parameters: Mapping[str, str]
    authorization: str
    key: ProofKey | None
    add_event: AddEvent
    address: str = ""


class OAuth2Request(AuthlibRequest):
    """A request as the library's grants see it."""

    def __init__(self, data: RequestData, user: User | None = None) -> None:
        super().__init__(data.method, data.uri, headers={"Authorization": data.authorization})
        self.payload = BasicOAuth2Payload(dict(data.parameters))
        self.source, self.add_event = data, data.add_event
        self.thumbprint = None if data.key is None else data.key.thumbprint
        self.user = user
        # The family that a code, device code or refresh token stands for; None for a machine.
        self.grant_record: Any = None

    @property
    def form(self) -> dict[str, str]:
        """The parameters, as the library asks for those of a body."""
        found: dict[str, str] = self.payload.data
        return found

    args = form

    def spend_proof(self, oauth_client: str) -> None:
        """Use up the proof of possession, if one was shown; nobody unknown gets so far."""
        if self.source.key is not None:
            self.source.key.spend(oauth_client)
