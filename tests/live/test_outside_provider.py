"""A certified identity provider from outside: its tokens open the phase, and only they.

Its keys are rotated under us, it goes away and comes back, and what it issues for others or
for other purposes is refused. Our side is the real plugin in a real pipeline, and once the
whole application behind Nginx with two workers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from joserfc.jwk import ECKey
from live_serving import Instance, Served, until
from outside_provider import NODE, SITE, OutsideProvider, installed, too_old

from plugins.oauth2.plugin import OAuth2
from plugins.scopes.plugin import Scopes
from secureml.testing import Harness
from tests.outside_issuer import proof

pytestmark = pytest.mark.live

FIRST, SECOND = (ECKey.generate_key("P-256", {"kid": f"of-{when}"}) for when in ("may", "june"))
HOLDER = ECKey.generate_key("P-256")


class RealTime:
    """The clock on the wall, and what is added to it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture(scope="module")
def provider(tool: Any) -> Iterator[OutsideProvider]:
    node, npm = tool("node", NODE), tool("npm", NODE)
    if too_old(node):
        # Debian 12's own is 18.
        pytest.fail(NODE) if os.environ.get("CI") == "true" else pytest.skip(NODE)
    made = OutsideProvider(node, installed(npm))
    yield made
    made.stop()


@pytest.fixture
def idp(provider: OutsideProvider) -> OutsideProvider:
    """The provider, running with its first key."""
    provider.rotate(FIRST)
    return provider


class Check:
    """Our side: the plugin in a pipeline with scopes."""

    def __init__(self, folder: Any, issuer: str, **changed: Any) -> None:
        harness = Harness(folder, clock=RealTime())  # type: ignore[arg-type]  # it is only called
        harness.clients.add("acme", scopes=["predict", "models:read"])
        self.clock: Any = harness.clock
        self._store = harness.store
        loaded = harness.load(OAuth2, {"issuers": [table(issuer) | changed], "origins": [SITE]})
        self.plugin = loaded.plugin
        self._client = harness.app([loaded, harness.load(Scopes)]).test_client()

    def ask(self, token: str, scheme: str = "Bearer", **headers: str) -> int:
        words = {"Authorization": f"{scheme} {token}", **headers}
        return self._client.get("/v1/models", headers=words).status_code

    def close(self) -> None:
        self.plugin.close()
        self._store.close()


def table(issuer: str) -> dict[str, Any]:
    return {
        "name": "outside",
        "issuer": issuer,
        "audience": SITE,
        "clients": {"machine": "acme"},
        "scopes": {"ml.read": ["models:read"], "ml.predict": ["predict"]},
        "refresh": "1m",
        "max_age": "5m",
    }


@pytest.fixture
def phase(tmp_path: Any, idp: OutsideProvider) -> Iterator[Check]:
    made = Check(tmp_path, idp.issuer)
    yield made
    made.close()


def test_its_token_opens_the_phase(idp: OutsideProvider, phase: Check) -> None:
    assert phase.ask(idp.token(scope="ml.read")) == 200


def test_its_scopes_are_what_the_map_makes_of_them(idp: OutsideProvider, phase: Check) -> None:
    assert phase.ask(idp.token(scope="ml.predict")) == 403


def test_its_token_for_somebody_else_is_refused(idp: OutsideProvider, phase: Check) -> None:
    assert phase.ask(idp.token("https://other.example.org", "ml.read")) == 401


def test_its_id_token_is_refused(idp: OutsideProvider, phase: Check) -> None:
    """Issued to a site that bears our own name, so that even the audience is right."""
    assert phase.ask(idp.id_token()) == 401


def test_its_id_token_is_refused_even_where_types_are_not_compared(
    idp: OutsideProvider, tmp_path: Any
) -> None:
    phase = Check(tmp_path, idp.issuer, types=["", "JWT", "at+jwt"])
    assert phase.ask(idp.token(scope="ml.read")) == 200
    assert phase.ask(idp.id_token()) == 401
    phase.close()


def test_its_token_changed_by_one_letter_is_refused(idp: OutsideProvider, phase: Check) -> None:
    head, payload, signature = idp.token(scope="ml.read").split(".")
    other = "A" if payload[20] != "A" else "B"

    assert phase.ask(f"{head}.{payload[:20]}{other}{payload[21:]}.{signature}") == 401


def test_its_new_key_is_followed_at_the_first_token(idp: OutsideProvider, phase: Check) -> None:
    old = idp.token(scope="ml.read")
    assert phase.plugin.ready() in (None, "oauth2_issuer_unreached")
    assert phase.ask(old) == 200
    phase.clock.ahead += 31  # the first token of all was an unknown key too
    idp.rotate(SECOND, FIRST)
    new = idp.token(scope="ml.read")

    assert phase.ask(new) == 200
    assert phase.ask(old) == 200


def test_a_key_it_withdrew_is_worth_nothing(idp: OutsideProvider, phase: Check) -> None:
    old = idp.token(scope="ml.read")
    assert phase.ask(old) == 200
    phase.clock.ahead += 31
    idp.rotate(SECOND)

    assert phase.ask(idp.token(scope="ml.read")) == 200
    assert phase.ask(old) == 401


def test_its_outage_is_survived_and_has_an_end(idp: OutsideProvider, phase: Check) -> None:
    known, unseen = (idp.token(scope="ml.read") for _ in range(2))
    assert phase.ask(known) == 200
    idp.stop()

    assert phase.ask(known) == 200
    assert phase.ask(unseen) == 200
    phase.clock.ahead += 240
    assert phase.ask(known) == 200
    phase.clock.ahead += 120
    assert phase.ask(known) == 503
    idp.start(FIRST)
    phase.clock.ahead += 61
    assert phase.ask(known) == 200


def test_away_from_the_start_it_is_503_and_then_well(idp: OutsideProvider, phase: Check) -> None:
    token = idp.token(scope="ml.read")
    idp.stop()
    assert phase.ask(token) == 503
    assert phase.plugin.ready() == "oauth2_issuer_unreached"
    idp.start(FIRST)
    phase.clock.ahead += 241  # longer than the longest pause, however often it was tried meanwhile

    assert phase.ask(token) == 200
    assert phase.plugin.ready() is None


def test_its_bound_token_needs_the_key_it_is_bound_to(idp: OutsideProvider, phase: Check) -> None:
    now = int(time.time())
    asked = proof(HOLDER, "", htm="POST", htu=f"{idp.issuer}/token", iat=now, ath=None)
    token = idp.token(scope="ml.read", DPoP=asked)
    shown = proof(HOLDER, token, iat=now)

    assert phase.ask(token) == 401
    assert phase.ask(token, "DPoP") == 401
    assert phase.ask(token, "DPoP", DPoP=shown) == 200
    assert phase.ask(token, "DPoP", DPoP=shown) == 401
    assert phase.ask(token, "DPoP", DPoP=proof(FIRST, token, iat=now, jti="p-2")) == 401


@pytest.mark.slow
def test_the_whole_application_takes_its_tokens(
    idp: OutsideProvider, prepared: Instance, tmp_path: Any, tool: Any
) -> None:
    """Nginx, two workers, and the commands an operator would use."""
    tool("nginx", "apt-get install nginx-light")
    servers = prepared.copy(tmp_path / "i")
    servers.run("clients", "add", "acme")
    settings = servers.folder / "secureml.toml"
    settings.write_text(with_issuer(settings.read_text(), idp.issuer))
    report = servers.run("oauth2", "issuers", "check", idp.issuer)
    assert [key["trusted"] for key in report["keys"]] == [True]
    served = Served(servers.folder)
    try:
        served.ready()
        good = {"Authorization": f"Bearer {idp.token(scope='ml.read')}"}
        wrong = {"Authorization": f"Bearer {idp.token('https://o.example', 'ml.read')}"}
        seen = {served.ask("GET", "/v1/models", **good).status for _ in range(20)}
        assert seen == {200}
        assert served.ask("GET", "/v1/models", **wrong).status == 401
        refusal = served.ask("GET", "/v1/models", **wrong)
        assert refusal.all("WWW-Authenticate") == ['Bearer realm="secureml", error="invalid_token"']
        servers.run("clients", "disable", "acme")
        seen = {served.ask("GET", "/v1/models", **good).status for _ in range(20)}
        assert seen == {401}
        assert until(lambda: served.ask("GET", "/readyz").status == 200)
    finally:
        served.stop()


def with_issuer(settings: str, issuer: str) -> str:
    """Enable the plugin after api_keys and add one issuer."""
    return settings.replace('"api_keys",', '"api_keys", "oauth2",', 1) + (
        f'\n[[plugins.oauth2.issuers]]\nname = "outside"\nissuer = "{issuer}"\n'
        f'audience = "{SITE}"\nclients = {{ machine = "acme" }}\n'
        'scopes = { "ml.read" = ["models:read"], "ml.predict" = ["predict"] }\n'
    )
