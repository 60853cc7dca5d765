"""The routes of programs: documents, caching, and faults that are ours."""

from __future__ import annotations

import pytest
from joserfc.jwk import ECKey

from tests.oauth_app import ISSUER, SITE, OAuthApp
from tests.outside_issuer import EC


def test_the_metadata_is_where_the_issuer_says(core):
    answer = core.get("/.well-known/oauth-authorization-server/oauth2")
    assert answer.json["issuer"] == ISSUER
    assert answer.headers["Cache-Control"] == "public, max-age=300"


def test_the_keys_are_the_public_halves(core):
    (key,) = core.get("/oauth2/jwks.json").json["keys"]
    assert key["kid"] == core.signing.active().kid
    assert "d" not in key


def test_every_endpoint_of_the_metadata_is_there(core):
    found = core.get("/.well-known/oauth-authorization-server/oauth2").json
    for name, url in found.items():
        if name.endswith(("_endpoint", "_uri")):
            assert core.get(url.removeprefix(SITE)).status_code != 404, name


def test_without_a_signing_key_nothing_is_used_up(tmp_path):
    core = OAuthApp(tmp_path)
    code = core.code()
    kid = core.signing.active().kid
    (core.harness.folder / "keys/signing" / f"{kid}.pem").unlink()
    core.signing._cached = type(core.signing._cached)(-1, {}, {})
    answer = core.trade(code)
    assert (answer.status_code, answer.json["error"]) == (503, "temporarily_unavailable")
    core.signing.rotate()
    assert core.trade(code).status_code == 200
    core.close()


def test_a_replay_store_that_is_full_is_503(core, monkeypatch):
    from secureml.kit.proof_replay import TooManyProofs

    def full(*_words):
        raise TooManyProofs

    monkeypatch.setattr(core.plugin._sender._replays, "first", full)
    auth = (core.machine, core.machine_secret)
    answer = core.token(auth, {"DPoP": core.dpop(EC)}, grant_type="client_credentials")
    assert (answer.status_code, answer.json["error"]) == (503, "temporarily_unavailable")
    assert answer.headers["Retry-After"] == "30"


@pytest.mark.parametrize(
    "path", ["token", "device_authorization", "introspect", "revoke", "authorize", "device"]
)
def test_attack_a_large_form_is_not_read(core, path):
    """Every form that strangers may send is bounded by what it can hold."""
    for form in ({"token": "x" * 9000}, {f"a{n}": "b" for n in range(2000)}):
        answer = core.http.post(f"/oauth2/{path}", data=form, base_url=SITE)
        assert answer.status_code == 413
    assert core.reason in ("payload.body_limit", "http.RequestEntityTooLarge")


def test_attack_strangers_fill_no_memory_with_proofs(core):
    """A proof is remembered once it is known whose it is: anybody can make one."""
    keys = [ECKey.generate_key("P-256") for _ in range(3)]
    for number in range(12):
        headers = {"DPoP": core.dpop(keys[number % 3], jti=f"p-{number}")}
        for auth, form in (
            (None, {"grant_type": "client_credentials"}),
            ((core.machine, "scs_" + "a" * 43), {"grant_type": "client_credentials"}),
            ((core.web, core.web_secret), {"grant_type": "refresh_token", "refresh_token": "x"}),
            ((core.web, core.web_secret), {"grant_type": "authorization_code", "code": "x"}),
        ):
            assert core.token(auth, headers, **form).status_code in (400, 401)
    assert proofs(core) == 0
    auth, shown = (core.machine, core.machine_secret), {"DPoP": core.dpop(EC)}
    assert core.token(auth, shown, grant_type="client_credentials").status_code == 200
    assert proofs(core) == 1
    answer = core.token(auth, shown, grant_type="client_credentials")
    assert (answer.json["error"], core.reason) == (
        "invalid_dpop_proof",
        "oauth2_server.dpop_replayed",
    )
    token = core.token(auth, {"DPoP": core.dpop(EC, jti="p-x")}, grant_type="client_credentials")
    for number in range(5):
        thief = core.dpop(keys[0], token.json["access_token"], jti=f"t-{number}")
        answer = core.ask(token.json["access_token"], scheme="DPoP", DPoP=thief)
        assert (answer.status_code, core.reason) == (401, "oauth2_server.dpop_other_key")
    assert proofs(core) == 2


def proofs(core):
    with core.harness.store.read() as connection:
        return connection.exec_driver_sql("SELECT count(*) FROM oauth2_server_proofs").scalar()


def test_a_proof_that_is_no_proof_is_told_so(core):
    answer = core.token(headers={"DPoP": ""}, grant_type="client_credentials")
    assert answer.json["error"] == "invalid_dpop_proof"


@pytest.mark.parametrize("path", ["/oauth2/token", "/oauth2/revoke", "/oauth2/introspect"])
def test_a_wrong_method_is_405_in_the_protocols_words(core, path):
    answer = core.get(path)
    assert (answer.status_code, answer.json["error"]) == (405, "invalid_request")
