"""What each way to prove who one is costs, in process: a credential met first, and met again.

Real credentials of every kind through the real plugin in its real phase; only the clock stands.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import current_app
from joserfc.jwk import ECKey

from plugins.api_keys.plugin import ApiKeys
from plugins.client_certificates.plugin import ClientCertificates
from plugins.jwt.plugin import Jwt
from plugins.oauth2.plugin import OAuth2
from plugins.oauth2_server.clients import MACHINE
from secureml.kit.client_certificate import from_der
from secureml.testing import Harness
from tests import outside_issuer
from tests.made_certificates import Authority
from tests.oauth_app import OAuthApp
from tests.token_app import TokenApp

MET = 300  # credentials of each kind; each is met once, then again
AGAIN = 5


@dataclass(frozen=True)
class Way:
    """One way to prove who one is: the plugin that asks, where it stands, and the credentials."""

    name: str
    plugin: Any
    harness: Harness
    credential: Callable[[int], dict[str, str]]
    met: int = MET


def authorization_ways(folder: Path) -> list[Way]:
    """Return the way whose tokens our own authorization server gives out."""
    core = OAuthApp(folder)
    auth = core.program("acme", grants=[MACHINE])

    def given(_: int) -> dict[str, str]:
        answer = core.token(auth, grant_type="client_credentials")
        return bearer(answer.json["access_token"])

    # A secret costs an Argon2 each time it is shown, so fewer are asked for.
    name = "our authorization server's at+jwt (ES256)"
    return [Way(name, core.plugin, core.harness, given, MET // 5)]


def ways_of_ours(core: TokenApp) -> list[Way]:
    """Return the ways whose credentials this application makes itself."""
    plugins = {loaded.name: loaded.plugin for loaded in core.loaded}
    return [
        Way(
            "API key",
            plugins[ApiKeys.name],
            core.harness,
            lambda _: {"X-API-Key": core.api_key("acme")},
        ),
        Way(
            "our token (ES256)",
            plugins[Jwt.name],
            core.harness,
            lambda _: bearer(core.pair()["access_token"]),
        ),
    ]


def outside_ways(folder: Path) -> list[Way]:
    """Return the ways whose credentials come from another's identity provider."""
    harness = Harness(folder)
    harness.clients.add("acme", scopes=["predict", "models:read"])
    outside_issuer.write_keys(folder, outside_issuer.EC)
    table = {"issuers": [outside_issuer.table()], "origins": [outside_issuer.AUDIENCE]}
    plugin, holder = harness.build(OAuth2, table), ECKey.generate_key("P-256")
    token = outside_issuer.make_token(jti="bound", cnf={"jkt": holder.thumbprint()})
    return [
        Way(
            "an outside issuer's token (ES256)",
            plugin,
            harness,
            lambda number: bearer(outside_issuer.make_token(jti=f"t-{number}")),
        ),
        Way(
            "the same known and bound, a DPoP proof each",
            plugin,
            harness,
            lambda number: bound(holder, token, number),
        ),
    ]


def certificate_ways(folder: Path) -> list[Way]:
    """Return the ways that Nginx proves: a certificate bound itself, and one bound by its name."""
    harness = Harness(folder)
    harness.clients.add("acme", scopes=["predict", "models:read"])
    plugin, authority = harness.build(ClientCertificates), Authority(harness.clock())
    bindings = plugin._bindings
    bindings.bind_name("acme", "batch.example.org", authority.own.der)

    def exact(_: int) -> dict[str, str]:
        minted = authority.sign("exact.example.org")
        bindings.bind_leaf("acme", from_der(minted.der))
        return shown(minted.header)

    return [
        Way("a client certificate, bound itself", plugin, harness, exact),
        Way(
            "a client certificate, bound by name",
            plugin,
            harness,
            lambda _: shown(authority.sign().header),
        ),
    ]


def shown(certificate: str) -> dict[str, str]:
    """Return what Nginx says of a certificate that was shown in the handshake."""
    return {"X-SecureML-Client-Cert": certificate, "X-SecureML-Client-Verify": "SUCCESS"}


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def bound(holder: ECKey, token: str, number: int) -> dict[str, str]:
    """Return the headers of a token bound to a key, with a proof of its own (RFC 9449)."""
    proof = outside_issuer.proof(holder, token, jti=f"p-{number}")
    return {"Authorization": f"DPoP {token}", "DPoP": proof}


def identify(way: Way, headers: dict[str, str]) -> float:
    """Return the microseconds of one answer to: who is it?"""
    exchange = way.harness.exchange("GET", "/v1/models", headers=headers)
    exchange.set_peer(
        address="192.0.2.1", scheme="https", host="ml.example.org", proxy_verified=True
    )
    # A plugin may read the token through a library that looks at Flask's own request.
    with current_app.test_request_context("/v1/models", headers=headers):
        begin = time.perf_counter_ns()
        principal = way.plugin.identify(exchange)
        spent = time.perf_counter_ns() - begin
    if principal is None or principal.client != "acme":
        raise SystemExit(f"{way.plugin.name} did not know the caller")
    return spent / 1000


def measure(way: Way) -> dict[str, Any]:
    """Return the median microseconds of one way, met first and met again."""
    credentials = [way.credential(number) for number in range(way.met)]
    first = statistics.median([identify(way, each) for each in credentials])
    again = None
    if "DPoP" not in credentials[0]:  # a proof of possession is for one request alone
        repeated = [identify(way, each) for each in credentials for _ in range(AGAIN)]
        again = statistics.median(repeated)
    return {"way": way.name, "first": first, "again": again}


def report() -> list[dict[str, Any]]:
    """Print and return what each way costs."""
    print(f"\n{'who is it? microseconds, median':<44}{'first':>10}{'again':>10}")
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder, name) for name in ("ours", "theirs", "shown", "given")]
        for each in places:
            each.mkdir()
        ours, theirs, shown_here, given_here = places
        core = TokenApp(ours)
        found = []
        with core.app.app_context():
            ways = ways_of_ours(core) + authorization_ways(given_here)
            ways += certificate_ways(shown_here) + outside_ways(theirs)
            for way in ways:
                row = measure(way)
                again = "-" if row["again"] is None else f"{row['again']:.1f}"
                print(f"{row['way']:<44}{row['first']:>10.1f}{again:>10}")
                found.append(row)
    return found


if __name__ == "__main__":
    report()
