"""An identity provider in miniature: its keys, its documents, its tokens, and servers for them.

Tokens are signed by the `cryptography` package through joserfc's own front; attacks that no
honest library would sign are put together by hand.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey

from secureml.testing import START

ISSUER = "https://id.example.org"
AUDIENCE = "https://ml.example.org"
EC = ECKey.generate_key("P-256", {"kid": "ec-1"})
EC_OTHER = ECKey.generate_key("P-256", {"kid": "ec-2"})
EC_384 = ECKey.generate_key("P-384", {"kid": "ec-384"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed-1"})


def rsa(bits: int = 2048, **members: str) -> RSAKey:
    """Make an RSA key; slow, so a test names what it needs."""
    return RSAKey.generate_key(bits, members)


def b64(data: bytes | str) -> str:
    """Write base64url without padding."""
    raw = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(**changed: Any) -> dict[str, Any]:
    """Return whole claims; a change of None leaves one out."""
    whole = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user-7",
        "client_id": "their-app",
        "scope": "ml.predict openid",
        "iat": START,
        "exp": START + 300,
        "jti": "t-1",
    }
    return {name: value for name, value in (whole | changed).items() if value is not None}


def header(**changed: Any) -> dict[str, Any]:
    """Return an honest header; a change of None leaves a member out."""
    whole = {"typ": "at+jwt", "alg": "ES256", "kid": "ec-1"}
    return {name: value for name, value in (whole | changed).items() if value is not None}


def sign(head: dict[str, Any], payload: Any, key: Any = EC) -> str:
    """Sign anything, whatever the header says."""
    body = payload if isinstance(payload, str | bytes) else json.dumps(payload)
    registry = jws.JWSRegistry(algorithms=list(jws.JWSRegistry.algorithms))
    registry.strict_check_header = False
    registry.check_header = lambda _header: None  # type: ignore[method-assign]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return jws.serialize_compact(head, body, key, registry=registry)


def forge(head: dict[str, Any], payload: Any, secret: bytes) -> str:
    """Put a MAC under a token with any secret at all, as honest libraries refuse to."""
    covered = f"{b64(json.dumps(head))}.{b64(json.dumps(payload))}"
    digest = {"HS384": "sha384", "HS512": "sha512"}.get(head["alg"], "sha256")
    return f"{covered}.{b64(hmac.new(secret, covered.encode(), digest).digest())}"


def make_token(key: Any = EC, head: dict[str, Any] | None = None, **changed: Any) -> str:
    """Return an honest token, but for the changes."""
    return sign(head or header(), claims(**changed), key)


def jwks(*keys: Any, private: bool = False) -> dict[str, Any]:
    """Return a JWK Set."""
    return {"keys": [key.as_dict(private=private) for key in keys]}


def table(**changed: Any) -> dict[str, Any]:
    """Return one `[[plugins.oauth2.issuers]]` table over a key file."""
    whole = {
        "name": "idp",
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "keys": "file:jwks.json",
        "clients": {"their-app": "acme"},
        "scopes": {"ml.predict": ["predict"], "ml.read": ["models:read"]},
    }
    return {name: value for name, value in (whole | changed).items() if value is not None}


def write_keys(folder: Path, *keys: Any, name: str = "jwks.json") -> Path:
    """Write a JWK Set into an instance folder, as an operator would."""
    path = folder / name
    path.write_text(json.dumps(jwks(*keys)))
    path.chmod(0o640)
    return path


def proof(key: Any, token: str, head: dict[str, Any] | None = None, **changed: Any) -> str:
    """Return a DPoP proof (RFC 9449) for a request of the tests, but for the changes."""
    whole = {
        "jti": "p-1",
        "htm": "GET",
        "htu": f"{AUDIENCE}/v1/models",
        "iat": START,
        "ath": b64(hashlib.sha256(token.encode()).digest()),
    }
    kept = {name: value for name, value in (whole | changed).items() if value is not None}
    public = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    return sign(head if head is not None else public, kept, key)


class Answering:
    """A loopback server that answers each connection with the next bytes it was given.

    The last answer is given again; a callable answers over the connection itself.
    """

    def __init__(self, *answers: Any, tls: Any = None) -> None:
        self._answers, self._tls = list(answers), tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.asked: list[str] = []
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Answering:
        self._thread.start()
        return self

    def __exit__(self, *_what: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(10)
            try:
                if self._tls is not None:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                with closing(connection):
                    self._answer(connection)
            except OSError:
                connection.close()

    def _answer(self, connection: socket.socket) -> None:
        request = connection.recv(65536).decode()
        self.asked.append(request.split(" ")[1])
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        answer(connection) if callable(answer) else connection.sendall(answer)


def http(body: bytes | str, status: str = "200 OK", *lines: str) -> bytes:
    """Return an HTTP answer as bytes; without lines of its own, one of JSON."""
    raw = body.encode() if isinstance(body, str) else body
    head = lines or ("Content-Type: application/json",)
    top = [f"HTTP/1.1 {status}", *head, f"Content-Length: {len(raw)}", "Connection: close"]
    return "\r\n".join([*top, "", ""]).encode() + raw
