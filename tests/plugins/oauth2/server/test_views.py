"""The routes of programs: documents, caching, and faults that are ours."""

from __future__ import annotations

import pytest

from plugins.oauth2.plugin import OAuth2
from plugins.scopes.plugin import Scopes
from tests.oauth_house import ISSUER, SITE, OAuthHouse
from tests.outside_issuer import EC, table, write_keys


def test_the_metadata_is_where_the_issuer_says(house):
    answer = house.get("/.well-known/oauth-authorization-server/oauth2")
    assert answer.json["issuer"] == ISSUER
    assert answer.headers["Cache-Control"] == "public, max-age=300"


def test_the_keys_are_the_public_halves(house):
    (key,) = house.get("/oauth2/jwks.json").json["keys"]
    assert key["kid"] == house.signing.active().kid
    assert "d" not in key


def test_every_endpoint_of_the_metadata_is_there(house):
    found = house.get("/.well-known/oauth-authorization-server/oauth2").json
    for name, url in found.items():
        if name.endswith(("_endpoint", "_uri")):
            assert house.get(url.removeprefix(SITE)).status_code != 404, name


def test_without_a_signing_key_nothing_is_used_up(tmp_path):
    house = OAuthHouse(tmp_path)
    code = house.code()
    kid = house.signing.active().kid
    (house.harness.folder / "keys/signing" / f"{kid}.pem").unlink()
    house.signing._cached = type(house.signing._cached)(-1, {}, {})
    answer = house.trade(code)
    assert (answer.status_code, answer.json["error"]) == (503, "temporarily_unavailable")
    house.signing.rotate()
    assert house.trade(code).status_code == 200
    house.close()


def test_a_replay_store_that_is_full_is_503(house, monkeypatch):
    from plugins.oauth2.replay import TooManyProofs

    def full(*_words):
        raise TooManyProofs

    monkeypatch.setattr(house.plugin._sender._replays, "first", full)
    answer = house.token(headers={"DPoP": house.dpop(EC)}, grant_type="client_credentials")
    assert (answer.status_code, answer.json["error"]) == (503, "temporarily_unavailable")
    assert answer.headers["Retry-After"] == "30"


def test_a_proof_that_is_no_proof_is_told_so(house):
    answer = house.token(headers={"DPoP": ""}, grant_type="client_credentials")
    assert answer.json["error"] == "invalid_dpop_proof"


def test_where_no_tokens_are_issued_there_are_no_routes(harness):
    write_keys(harness.folder, EC)
    loaded = harness.load(OAuth2, {"issuers": [table()]})
    app = harness.app([loaded, harness.load(Scopes)])
    assert not [rule for rule in app.url_map.iter_rules() if "oauth2" in rule.rule]
    loaded.plugin.close()


@pytest.mark.parametrize("path", ["/oauth2/token", "/oauth2/revoke", "/oauth2/introspect"])
def test_a_wrong_method_is_405_in_the_protocols_words(house, path):
    answer = house.get(path)
    assert (answer.status_code, answer.json["error"]) == (405, "invalid_request")
