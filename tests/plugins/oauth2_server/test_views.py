"""The routes of programs: documents, caching, and faults that are ours."""

from __future__ import annotations

import base64
import re

import pytest
from joserfc.jwk import ECKey

from tests.oauth_app import ISSUER, PASSWORD, SITE, OAuthApp
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


# -- every answer ----------------------------------------------------------------------------

ENDPOINTS = ("token", "device_authorization", "introspect", "revoke")


def test_no_answer_with_a_token_or_about_one_is_kept(core):
    """RFC 6749, 5.1, and RFC 9700, 4.2.4: not by a proxy, not by a browser's history."""
    pair = core.pair()
    answers = [
        core.token((core.machine, core.machine_secret), grant_type="client_credentials"),
        core.refresh(pair["refresh_token"]),
        core.introspect(pair["access_token"]),
        core.revoke(pair["access_token"]),
        core.post("/oauth2/device_authorization", client_id=core.device_program()),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Pragma"] == "no-cache"
        assert answer.mimetype == "application/json"


REFUSED = [
    ({}, {}),
    ({"grant_type": "x"}, {}),
    ({"grant_type": "password", "username": "ann", "password": PASSWORD}, {}),
    ({"grant_type": "authorization_code"}, {}),
    ({"grant_type": "authorization_code", "code": "x"}, {}),
    ({"grant_type": "refresh_token"}, {}),
    ({"grant_type": "refresh_token", "refresh_token": "srt_x"}, {}),
    ({"grant_type": "client_credentials", "scope": "root"}, {}),
    ({"grant_type": "client_credentials", "client_id": "x"}, {}),
    ({"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}, {}),
    ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "a.b.c"}, {}),
    ({"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange"}, {}),
    ({"grant_type": "client_credentials"}, {"DPoP": "x"}),
    ({"grant_type": "client_credentials"}, {"Authorization": "Bearer x"}),
    ({"grant_type": "client_credentials"}, {"Content-Type": "text/plain"}),
]


@pytest.mark.parametrize(("form", "headers"), REFUSED, ids=range(len(REFUSED)))
def test_every_refusal_is_that_of_rfc_6749(shared, form, headers):
    """5.2: JSON, a code of the protocol, nobody's cache; and no word of what was sent."""
    auth = (shared.machine, shared.machine_secret)
    answer = shared.token(auth, headers, **form) if "Authorization" not in headers else (
        shared.token(None, headers, **form)
    )  # fmt: skip
    assert answer.status_code in (400, 401, 415)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.mimetype == "application/json"
    assert set(answer.json) == {"error", "error_description", "id"}
    assert re.fullmatch(r"[a-z_]+", answer.json["error"])
    assert re.fullmatch(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+", answer.json["error_description"])
    assert ("WWW-Authenticate" in answer.headers) is (answer.status_code == 401)


NAMES = (
    "grant_type", "scope", "code", "redirect_uri", "code_verifier", "refresh_token",
    "device_code", "client_id", "token", "token_type_hint", "resource", "x",
)  # fmt: skip


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_attack_nothing_that_was_sent_comes_back(shared, endpoint):
    """Neither in the body nor in a header: a refusal is no mirror."""
    marker = "m4rk3r<script>\"'"
    for name in NAMES:
        form = {"grant_type": "authorization_code", "token": "x", name: marker}
        auth = None if name == "client_id" else (shared.web, shared.web_secret)
        answer = shared.post(f"/oauth2/{endpoint}", auth, **form)
        assert "m4rk3r" not in answer.text + str(answer.headers), name


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    "body",
    [
        b"grant_type=client_credentials&grant_type=client_credentials",
        b"token=x&token=y",
        b"client_id=a&client_id=",
        b"scope=%ff",
        b"scope=%ed%a0%80",
        b"\xff=x",
        b"a=" + b"b" * 9000,
        b"&".join(b"a%d=b" % number for number in range(2000)),
    ],
    ids=range(8),
)
def test_attack_a_form_that_two_readers_would_read_apart(shared, endpoint, body):
    """RFC 6749, 3.2: each parameter once; and in text that there is."""
    media_type = "application/x-www-form-urlencoded"
    headers = {"Content-Type": media_type, "Authorization": basic(shared)}
    answer = shared.http.post(f"/oauth2/{endpoint}", data=body, headers=headers, base_url=SITE)
    assert answer.status_code in (400, 413)
    assert answer.json["error"] == "invalid_request"


def basic(core):
    pair = f"{core.machine}:{core.machine_secret}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def test_attack_two_proofs_at_once(core):
    """RFC 9449, 4.3: one header, one proof; a reader must not choose."""
    form = {
        "grant_type": "client_credentials", "client_id": core.machine,
        "client_secret": core.machine_secret,
    }  # fmt: skip
    headers = [("DPoP", core.dpop(EC, jti=name)) for name in ("one", "two")]
    answer = core.http.post("/oauth2/token", data=form, headers=headers, base_url=SITE)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_dpop_proof")
    assert proofs(core) == 0


@pytest.mark.parametrize(
    "path", ["/.well-known/oauth-authorization-server/oauth2", "/oauth2/jwks.json"]
)
def test_attack_a_document_that_believes_the_host_header(shared, path):
    """RFC 8414, 3.3: the issuer is the one of the settings, byte for byte."""
    ours = shared.get(path).json
    for site in ("https://evil.example", "http://ml.example.org", "https://ml.example.org:8443"):
        answer = shared.http.get(path, base_url=site)
        assert answer.json == ours
        assert "evil" not in answer.text
    headers = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    assert shared.http.get(path, headers=headers, base_url=SITE).json == ours


def test_the_keys_hold_no_private_part(core):
    """Of any key there is, of either kind."""
    for algorithm in ("EdDSA", "ES256"):
        core.signing.rotate(algorithm)
    keys = core.get("/oauth2/jwks.json").json["keys"]
    assert len(keys) >= 3
    for key in keys:
        assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & set(key)
        assert key["use"] == "sig"


# -- the store is away -----------------------------------------------------------------------


def test_while_the_store_is_away_nothing_is_given_and_nothing_used_up(core, caplog):
    """A code or refresh token that met the outage is as good as before; each refusal is a known
    one, with the time to come again, and no traceback for whoever sends a request.
    """
    auth, code, pair = (core.machine, core.machine_secret), core.code(), core.pair()
    program = core.device_program()
    core.sign_in()
    store = core.harness.folder / "secureml.db"
    store.rename(store.with_suffix(".away"))
    requests = {
        "machine": lambda: core.token(auth, grant_type="client_credentials"),
        "bound": lambda: core.token(auth, {"DPoP": core.dpop(EC)}, grant_type="client_credentials"),
        "code": lambda: core.trade(code),
        "refresh": lambda: core.refresh(pair["refresh_token"]),
        "device": lambda: core.post("/oauth2/device_authorization", client_id=program),
        "introspect": lambda: core.introspect(pair["access_token"]),
        "revoke": lambda: core.revoke(pair["access_token"]),
        "authorize": lambda: core.get(core.request()),
        "decide": lambda: core.http.post(core.request(), data={"step": "allow"}, base_url=SITE),
        "page": lambda: core.get("/oauth2/device"),
        "typed": lambda: core.http.post("/oauth2/device", data={"step": "look"}, base_url=SITE),
        "keys": lambda: core.get("/oauth2/jwks.json"),
        "access": lambda: core.ask(pair["access_token"]),
    }
    for what, request in requests.items():
        answer = request()
        assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "30"), what
        assert "Location" not in answer.headers, what
        assert core.reason == "oauth2_server.StoreUnavailable", what
    assert [record.message for record in caplog.records if record.exc_info] == []
    store.with_suffix(".away").rename(store)
    assert core.trade(code).status_code == 200
    assert core.refresh(pair["refresh_token"]).status_code == 200
    assert core.introspect(pair["access_token"]).json["active"] is True
