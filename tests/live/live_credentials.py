"""A credential of every kind in every state, over the store of one instance.

They are issued by the plugins themselves in this process, at a clock of our own, into the store
that the server reads: what has expired was issued two hours ago.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from made_certificates import Authority, Minted

from plugins.api_keys.key import new_key
from plugins.api_keys.keyring import Keyring
from plugins.api_keys.plugin import ApiKeys
from plugins.client_certificates.bindings import Bindings
from plugins.jwt.plugin import Jwt
from plugins.oauth2_server.clients import CODE, DEVICE, MACHINE, OAuthClients
from plugins.oauth2_server.opaque_tokens import CODE as CODE_TEXT
from plugins.oauth2_server.opaque_tokens import DEVICE as DEVICE_TEXT
from plugins.oauth2_server.opaque_tokens import REFRESH as REFRESH_TEXT
from plugins.oauth2_server.opaque_tokens import new_token
from plugins.oauth2_server.passwords import Passwords
from plugins.oauth2_server.plugin import OAuth2Server
from plugins.oauth2_server.sessions import Sessions
from plugins.oauth2_server.users import Users
from plugins.scopes.plugin import Scopes
from secureml.kit.client_certificate import from_pem
from secureml.testing import Clock, Harness
from tests.outside_issuer import EC, EC_OTHER, make_token, proof

SITE = "https://ml.example.org"
BACK = "https://app.example.org/back"
JWT = {"issuer": SITE, "audience": "ml"}
GATEWAY = {"issuer": "https://gateway.example.org", "audience": "ml"}
SERVER = {"issuer": f"{SITE}/oauth2", "audience": SITE}
RIGHTS = ["predict", "explain", "models:read", "metrics", "token", "something:else"]
# The clients that the credentials belong to, and what makes each of them what it is.
CLIENTS: dict[str, dict[str, Any]] = {
    "matrix-good": {"scopes": RIGHTS},
    "matrix-scope": {"scopes": ["something:else"]},
    "matrix-model": {"scopes": ["predict", "models:read"], "models": ["another"]},
    "matrix-model-token": {"scopes": ["predict", "models:read", "token"], "models": ["another"]},
    "matrix-disabled": {"scopes": RIGHTS},
}
# What an outside issuer calls them; see the settings in test_access_matrix.
OUTSIDE = {name.replace("matrix", "app"): name for name in CLIENTS}
OUTSIDE_RIGHTS = {
    "ml.predict": ["predict"],
    "ml.explain": ["explain"],
    "ml.read": ["models:read"],
    "ml.metrics": ["metrics"],
}
LONG_AGO = 2 * 3600.0

Headers = Callable[[str, str], dict[str, str]]  # of a method and a path


@dataclass(frozen=True)
class Presented:
    """What goes with a request: its headers, or the certificate of its connection."""

    headers: Headers
    certificate: Minted | None = None


def fixed(**words: str) -> Presented:
    """Return a credential that reads the same with every request."""
    return Presented(lambda _method, _path: words)


def bearer(token: str) -> Presented:
    return fixed(Authorization=f"Bearer {token}")


def proven(token: str) -> Presented:
    """Return a bound token with a fresh proof of its key for each request (RFC 9449)."""

    def headers(method: str, path: str) -> dict[str, str]:
        words = {
            "htm": method,
            "htu": f"{SITE}{path.partition('?')[0]}",
            "jti": secrets.token_hex(),
        }
        shown = proof(EC, token, iat=int(time.time()), **words)
        return {"Authorization": f"DPoP {token}", "DPoP": shown}

    return Presented(headers)


def damaged(token: str) -> str:
    """Return a token whose signature is another's."""
    head, _, signature = token.rpartition(".")
    return f"{head}.{signature[::-1]}"


class Issuing:
    """The plugins that issue, in this process, over an instance's own store."""

    def __init__(self, folder: Path, at: float) -> None:
        self.harness = Harness(folder, clock=Clock(at))
        loaded = [
            self.harness.load(ApiKeys),
            self.harness.load(Jwt, JWT),
            self.harness.load(OAuth2Server, SERVER),
            self.harness.load(Scopes),
        ]
        store, clock = self.harness.store, self.harness.clock
        self.keys, self.bindings = Keyring(store, clock), Bindings(store, clock)
        self.programs = OAuthClients(store, clock, Passwords().hash)
        self.users = Users(store, clock, Passwords().hash)
        self.sessions = Sessions(store, clock, 1800.0)
        self._http = self.harness.app(loaded).test_client()

    def close(self) -> None:
        self.harness.store.close()

    def key(self, client: str, lifetime: float | None = None) -> str:
        return self.keys.issue(client, lifetime=lifetime)[0].text

    def traded(self, client: str, **body: str) -> dict[str, str]:
        """Return a pair of tokens for a key."""
        headers = {"X-API-Key": self.key(client)}
        return self._posted("/v1/auth/token", json=body, headers=headers)

    def program(self, client: str, *grants: str) -> tuple[str, str]:
        """Return the id and secret of a new program."""
        redirects = [BACK] if CODE in grants else []
        made, secret = self.programs.add(client, grants=grants, redirects=redirects)
        assert secret is not None
        return made.id, secret

    def issued(self, client: str, scope: str = "", key: Any = None) -> str:
        """Return an access token of the authorization server, bound to a key where one is given."""
        name, secret = self.program(client, MACHINE)
        form = {"grant_type": MACHINE, "client_id": name, "client_secret": secret}
        headers = {}
        if key is not None:
            words = {"htm": "POST", "htu": f"{SITE}/oauth2/token", "jti": secrets.token_hex()}
            now = int(self.harness.clock())
            headers["DPoP"] = proof(key, "", iat=now, **{**words, "ath": None})
        if scope:
            form["scope"] = scope
        return self._posted("/oauth2/token", data=form, headers=headers)["access_token"]

    def taken_back(self, token: str) -> str:
        """Return a pair's access token after it was revoked."""
        self._posted("/v1/auth/revoke", json={"token": token})
        return token

    def _posted(self, path: str, **words: Any) -> dict[str, str]:
        answer = self._http.post(path, base_url=SITE, **words)
        assert answer.status_code == 200, answer.text
        found: dict[str, str] = answer.json
        return found


def every_credential(folder: Path, authority: Authority) -> dict[tuple[str, str], Presented]:
    """Return each kind of credential in each state; the clients are made as well."""
    with closing(Issuing(folder, time.time() - LONG_AGO)) as before:
        before.harness.signing.rotate()
        for name, words in CLIENTS.items():
            before.harness.clients.add(name, **words)
        late = bearer(before.traded("matrix-good")["access_token"])
        late_ours = bearer(before.issued("matrix-good"))
    with closing(Issuing(folder, time.time())) as now:
        made = {("none", "none"): fixed()}
        parts = (_keys(now), _traded(now, late), _issued(now, late_ours), _programs(now))
        for part in (*parts, _certificates(now, authority), _outside(), _behind_a_gateway()):
            made |= part
        now.harness.clients.set_enabled("matrix-disabled", enabled=False)
    return made


def _keys(now: Issuing) -> dict[tuple[str, str], Presented]:
    texts = {
        "bad": new_key(secrets.token_bytes).text,
        "expired": now.key("matrix-good", lifetime=0),
        "revoked": now.key("matrix-good"),
        "disabled": now.key("matrix-disabled"),
        "scope": now.key("matrix-scope"),
        "model": now.key("matrix-model"),
        "good": now.key("matrix-good"),
    }
    now.keys.revoke(texts["revoked"].split("_")[1])
    return {("api_keys", state): fixed(**{"X-API-Key": text}) for state, text in texts.items()}


def _traded(now: Issuing, late: Presented) -> dict[tuple[str, str], Presented]:
    good = now.traded("matrix-good")
    texts = {
        "bad": damaged(good["access_token"]),
        "refresh token": good["refresh_token"],
        "revoked": now.taken_back(now.traded("matrix-good")["access_token"]),
        "disabled": now.traded("matrix-disabled")["access_token"],
        "scope": now.traded("matrix-good", scope="something:else")["access_token"],
        "model": now.traded("matrix-model-token")["access_token"],
        "good": good["access_token"],
    }
    found = {("jwt", state): bearer(text) for state, text in texts.items()}
    return found | {("jwt", "expired"): late}


def _issued(now: Issuing, late: Presented) -> dict[tuple[str, str], Presented]:
    bound, good = now.issued("matrix-good", key=EC), now.issued("matrix-good")
    revoked, secret = now.program("matrix-good", MACHINE)
    now.programs.revoke(revoked)
    found = {
        "bad": bearer(damaged(good)),
        "expired": late,
        "disabled": bearer(now.issued("matrix-disabled")),
        "scope": bearer(now.issued("matrix-good", "something:else")),
        "model": bearer(now.issued("matrix-model")),
        "unproven": bearer(bound),
        "proven": proven(bound),
        "good": bearer(good),
        # What is traded for tokens is none itself.
        "refresh token": bearer(new_token(REFRESH_TEXT)),
        "code": bearer(new_token(CODE_TEXT)),
        "device code": bearer(new_token(DEVICE_TEXT)),
        "secret": bearer(secret),
    }
    return {("oauth2_server", state): shown for state, shown in found.items()}


def _programs(now: Issuing) -> dict[tuple[str, str], Presented]:
    """A program by its secret, which counts where tokens are asked for; and a person's browser."""
    pair = now.program("matrix-good", MACHINE, DEVICE)
    text = base64.b64encode(":".join(pair).encode()).decode()
    now.users.add("ann", "matrix-good", secrets.token_urlsafe())
    session = now.sessions.begin("ann")
    return {
        ("oauth2_server", "program"): fixed(Authorization=f"Basic {text}"),
        ("oauth2_server", "session"): fixed(Cookie=f"__Host-secureml-oauth2={session}"),
    }


def _certificates(now: Issuing, authority: Authority) -> dict[tuple[str, str], Presented]:
    def bound(client: str, **words: Any) -> tuple[Minted, str]:
        leaf = authority.sign()
        return leaf, now.bindings.bind_leaf(client, from_pem(leaf.pem), **words).id

    revoked, binding = bound("matrix-good")
    now.bindings.end(binding)
    leaves = {
        "bad": authority.sign(),
        "revoked": revoked,
        "expired": authority.sign(days=(-9.0, -1.0)),
        "disabled": bound("matrix-disabled")[0],
        "scope": bound("matrix-good", scopes=["something:else"])[0],
        "model": bound("matrix-model")[0],
        "good": bound("matrix-good")[0],
    }
    return {
        ("client_certificates", state): Presented(lambda _method, _path: {}, leaf)
        for state, leaf in leaves.items()
    }


def _outside() -> dict[tuple[str, str], Presented]:
    now = int(time.time())
    rights = " ".join(OUTSIDE_RIGHTS)

    def token(client: str, key: Any = EC, **changed: Any) -> str:
        words = {"client_id": client, "scope": rights, "iat": now, "exp": now + 600, **changed}
        return make_token(key, jti=secrets.token_hex(), **words)

    bound = token("app-good", cnf={"jkt": EC.thumbprint()})
    found = {
        "bad": bearer(token("app-good", EC_OTHER)),
        "expired": bearer(token("app-good", iat=now - 900, exp=now - 300)),
        "disabled": bearer(token("app-disabled")),
        "scope": bearer(token("app-good", scope="openid")),
        "model": bearer(token("app-model")),
        "unproven": bearer(bound),
        "proven": proven(bound),
        "good": bearer(token("app-good")),
        "other issuer": bearer(token("app-good", iss="https://third.example.org")),
    }
    return {("oauth2", state): shown for state, shown in found.items()}


def _behind_a_gateway() -> dict[tuple[str, str], Presented]:
    now = int(time.time())

    def signed(client: str, key: Any = EC, **changed: Any) -> Presented:
        words = {"iss": GATEWAY["issuer"], "aud": GATEWAY["audience"], "sub": client}
        times = {"iat": now, "exp": now + 300, "client_id": None, "scope": None}
        head = {"typ": "JWT", "alg": "ES256", "kid": "ec-1"}
        token = make_token(key, head, **{**words, **times, **changed})
        return fixed(**{"X-Gateway-Identity": token})

    found = {
        "bad": signed("matrix-good", EC_OTHER),
        "expired": signed("matrix-good", iat=now - 600, exp=now - 300),
        "disabled": signed("matrix-disabled"),
        "scope": signed("matrix-scope"),
        "model": signed("matrix-model"),
        "good": signed("matrix-good"),
    }
    return {("gateway", state): shown for state, shown in found.items()}
