"""An application that issues tokens, and a forge that writes any token with its real keys."""

from __future__ import annotations

import base64
import json

from jwt.algorithms import get_default_algorithms

from plugins.api_keys.plugin import ApiKeys
from plugins.errors.plugin import Errors
from plugins.jwt.plugin import Jwt
from plugins.scopes.plugin import Scopes
from secureml import Plugin
from secureml.testing import Harness

ISSUER, AUDIENCE = "https://ml.example.org", "ml"
CHALLENGE = 'Bearer realm="secureml", error="invalid_token"'
TABLE = {"issuer": ISSUER, "audience": AUDIENCE}


class Witness(Plugin):
    """Keeps the private reason of the last refusal."""

    name = "witness"
    reasons: list[str]

    def __init__(self, config, host):
        self.reasons = []

    def record(self, exchange):
        self.reasons.append(exchange.problem.reason if exchange.problem else "")


class TokenApp:
    """An app with API keys, tokens and scopes, and one client that may trade."""

    def __init__(self, folder, *, more=(), blueprints=(), **table):
        self.harness = Harness(folder)
        self.clock, self.signing = self.harness.clock, self.harness.signing
        loaded = [self.harness.load(ApiKeys), self.harness.load(Jwt, {**TABLE, **table})]
        self.jwt = loaded[1].plugin
        loaded += [self.harness.load(cls) for cls in (Scopes, Errors, Witness, *more)]
        self.loaded = loaded
        self._keyring, self._witness = loaded[0].plugin._keyring, loaded[4].plugin
        self.signing.rotate()
        self.harness.clients.add("acme", scopes=["token", "predict", "models:read"])
        self.key = self.api_key("acme")
        self.app = self.harness.app(loaded, blueprints)
        self.http = self.app.test_client()

    def api_key(self, client, **words):
        """Return the text of a new key."""
        return self._keyring.issue(client, lifetime=None, **words)[0].text

    @property
    def reason(self):
        """Why the last request was refused, "" when it was not."""
        return self._witness.reasons[-1]

    def trade(self, body=None, key=None):
        """Return the answer to a trade."""
        return self.http.post(
            "/v1/auth/token", json=body or {}, headers={"X-API-Key": key or self.key}
        )

    def pair(self, **body):
        """Return a fresh pair of tokens."""
        answer = self.trade(body)
        assert answer.status_code == 200, answer.json
        return answer.json

    def ask(self, token, path="/v1/models", scheme="Bearer"):
        """Return the answer to a request that carries this token."""
        return self.http.get(path, headers={"Authorization": f"{scheme} {token}"})

    def refresh(self, token):
        """Return the answer to a refresh."""
        return self.http.post("/v1/auth/refresh", json={"refresh_token": token})

    def revoke(self, token):
        """Return the answer to a revocation."""
        return self.http.post("/v1/auth/revoke", json={"token": token})

    def forge(self, token, *, header=None, claims=None, drop=(), key=None, alg=None, raw=None):
        """Return a good token with parts changed or dropped, signed anew with the real key."""
        head, body, _ = token.split(".")
        new_header = {**unpack(head), **(header or {})}
        new_claims = {**unpack(body), **(claims or {})}
        for name in drop:
            new_header.pop(name, None)
            new_claims.pop(name, None)
        parts = [pack(json.dumps(part).encode()) for part in (new_header, new_claims)]
        if raw is not None:
            parts[1] = pack(raw.encode())
        return sign(".".join(parts), key or self.signing.active().private, alg or "ES256")


def sign(text, key, algorithm="ES256"):
    """Return a signing input with its signature, by the library's own primitive."""
    signature = get_default_algorithms()[algorithm].sign(text.encode(), key)
    return f"{text}.{pack(signature)}"


def pack(content):
    """Write bytes as base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def unpack(part):
    """Read one part of a token."""
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def refused(core, text, reason=None):
    """Ask with a token and demand the one refusal, with nothing in it about the cause."""
    answer = core.ask(text)
    assert (answer.status_code, answer.json["code"]) == (401, "unauthorized")
    assert set(answer.json) == {"type", "title", "status", "code", "id"}
    if reason is not None:
        assert core.reason == reason
        assert answer.headers["WWW-Authenticate"] == CHALLENGE
    return True
