"""A client of SecureML's authorization server, with Authlib over requests.

    pip install authlib requests
    export CLIENT_ID=... CLIENT_SECRET=...         # `secureml oauth2 clients add` shows them
    python oauth2_client.py machine https://ml.example.org/oauth2
    python oauth2_client.py person  https://ml.example.org/oauth2 http://127.0.0.1:8484/back

A private authority is believed with REQUESTS_CA_BUNDLE=ca.crt.
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import requests
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session

SCOPE = "models:read"


def discover(issuer: str) -> dict[str, str]:
    """Return what the server says of itself (RFC 8414); it must say our issuer."""
    parts = urlsplit(issuer)
    place = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path}"
    found: dict[str, str] = requests.get(place, timeout=10).json()
    if found["issuer"] != issuer:
        raise SystemExit("the metadata is another server's")
    return found


def session(server: dict[str, str], **words: str) -> OAuth2Session:
    """Return a session that gets and sends tokens."""
    return OAuth2Session(
        os.environ["CLIENT_ID"],
        os.environ.get("CLIENT_SECRET"),
        token_endpoint=server["token_endpoint"],
        token_endpoint_auth_method="client_secret_basic",  # noqa: S106 - a method's name
        code_challenge_method="S256",
        scope=SCOPE,
        **words,
    )


def machine(issuer: str) -> dict[str, object]:
    """Ask for oneself: client credentials."""
    client = session(discover(issuer))
    client.fetch_token(grant_type="client_credentials")
    return models(client, issuer)


def person(issuer: str, redirect: str) -> dict[str, object]:
    """Ask a person: authorization code with PKCE, then refresh, then give all back."""
    server, verifier = discover(issuer), generate_token(64)
    client = session(server, redirect_uri=redirect)
    address, state = client.create_authorization_url(
        server["authorization_endpoint"], code_verifier=verifier
    )
    print("open", address, flush=True)
    back = wait_for_browser(redirect)
    told = {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}
    if told.get("iss") != issuer:  # RFC 9207: else the answer is from another server
        raise SystemExit("the answer is not from the server that was asked")
    client.fetch_token(authorization_response=back, state=state, code_verifier=verifier)
    seen = models(client, issuer)
    client.refresh_token()
    models(client, issuer)  # the next pair is accepted as well
    client.revoke_token(server["revocation_endpoint"], token=client.token["refresh_token"])
    return seen


def wait_for_browser(redirect: str) -> str:
    """Return the address the browser was sent back to."""
    seen: list[str] = []

    class Back(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"You can close this page.")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Print nothing: the address holds the code."""

    parts = urlsplit(redirect)
    with HTTPServer((parts.hostname or "", parts.port or 0), Back) as server:
        server.handle_request()
    return f"https://{parts.netloc}{seen[0]}"  # Authlib reads https alone


def models(client: OAuth2Session, issuer: str) -> dict[str, object]:
    """Return the models we may use."""
    parts = urlsplit(issuer)
    answer = client.get(f"{parts.scheme}://{parts.netloc}/v1/models", timeout=10)
    answer.raise_for_status()
    found: dict[str, object] = answer.json()
    return found


if __name__ == "__main__":
    print(json.dumps({"machine": machine, "person": person}[sys.argv[1]](*sys.argv[2:])))
