"""The authorization server as a plugin: whose token is its to judge, and what it answers."""

from __future__ import annotations

import importlib

import pytest
from joserfc.jwk import ECKey

from plugins.oauth2.plugin import OAuth2
from plugins.oauth2_server.plugin import OAuth2Server
from plugins.scopes.plugin import Scopes
from plugins.transport.plugin import Transport
from secureml import Principal, Problem, StoreUnavailable
from tests.oauth_app import ISSUER, SITE, TABLE, OAuthApp
from tests.outside_issuer import EC, make_token, table, write_keys

module = importlib.import_module("plugins.oauth2_server.plugin")
WRONG = 'Bearer realm="secureml", error="invalid_token"'


def exchange(core, authorization=None, path="/v1/models", **more):
    headers = {} if authorization is None else {"Authorization": authorization}
    return core.harness.exchange("GET", path, headers=headers | more)


def identify(core, token, scheme="Bearer", **more):
    return core.plugin.identify(exchange(core, f"{scheme} {token}", **more))


def refused(core, token, scheme="Bearer", **more):
    with pytest.raises(Problem) as error:
        identify(core, token, scheme, **more)
    return error.value


def test_a_token_names_the_client_of_its_program(core):
    made = core.machine_token()
    found = identify(core, made["access_token"])

    assert found == Principal(
        client="partner",
        subject=core.machine,
        scopes=frozenset({"predict", "models:read", "other"}),
        models=frozenset({"*"}),
        tier="standard",
        method="oauth2_server",
        credential=found.credential,
        expires=core.clock() + 900,
    )


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Basic eA==", "Bearer a.b.c", "DPoP x"]
)
def test_what_is_no_token_of_ours_is_left_to_other_plugins(core, authorization):
    assert core.plugin.identify(exchange(core, authorization)) is None


def test_a_token_of_another_issuer_is_left_to_other_plugins(core):
    assert identify(core, make_token()) is None


def test_attack_a_token_that_names_our_issuer_and_was_signed_by_another_key(core):
    problem = refused(core, make_token(iss=ISSUER, aud=SITE))

    assert problem.code == "unauthorized"
    assert problem.headers["WWW-Authenticate"] == WRONG


def test_every_refusal_is_the_same_and_only_the_log_learns_why(core):
    token = core.machine_token()["access_token"]
    core.clock.advance(901)
    problems = [refused(core, token), refused(core, "x" * 9000)]

    assert {problem.headers["WWW-Authenticate"] for problem in problems} == {WRONG}
    assert [problem.reason for problem in problems] == [
        "oauth2_server.expired",
        "oauth2_server.too_long",
    ]


def test_a_verified_token_is_not_verified_again(core, monkeypatch):
    token, calls, real = core.machine_token()["access_token"], [], module.parse
    monkeypatch.setattr(module, "parse", lambda text: calls.append(1) or real(text))

    assert identify(core, token) is identify(core, token)
    assert len(calls) == 1


def test_the_cache_ends_with_the_token(core):
    token = core.machine_token()["access_token"]
    assert identify(core, token)
    core.clock.advance(900)

    assert refused(core, token).reason == "oauth2_server.expired"


@pytest.mark.parametrize("change", ["client", "program", "signing key"])
def test_attack_a_cached_token_outlives_what_it_stands_on(core, change):
    token = core.machine_token()["access_token"]
    assert identify(core, token)
    if change == "client":
        core.clients.set_enabled("partner", enabled=False)
    elif change == "program":
        core.server.clients.revoke(core.machine)
    else:
        core.signing.retire(core.signing.active().kid)

    assert refused(core, token).code == "unauthorized"


def test_a_store_that_is_unavailable_refuses_verified_tokens_too(core):
    token = core.machine_token()["access_token"]
    assert identify(core, token)
    folder = core.harness.folder
    (folder / "secureml.db").rename(folder / "elsewhere.db")
    problem = refused(core, token)

    assert (problem.code, problem.reason) == ("unavailable", "oauth2_server.StoreUnavailable")


# -- proof of possession -----------------------------------------------------------------


def bound(core, key):
    auth = (core.machine, core.machine_secret)
    answer = core.token(auth, {"DPoP": core.dpop(key)}, grant_type="client_credentials")
    return answer.json["access_token"]


def test_a_bound_token_needs_a_proof_by_its_key(core):
    key = ECKey.generate_key("P-256")
    token = bound(core, key)

    assert identify(core, token, "DPoP", DPoP=core.dpop(key, token, jti="a")).client == "partner"
    assert refused(core, token).reason == "oauth2_server.bound_token_as_bearer"
    other = refused(core, token, "DPoP", DPoP=core.dpop(EC, token, jti="b"))
    assert other.reason == "oauth2_server.dpop_other_key"


def test_attack_a_proof_is_used_twice(core):
    key = ECKey.generate_key("P-256")
    token = bound(core, key)
    once = core.dpop(key, token, jti="a")
    assert identify(core, token, "DPoP", DPoP=once)

    problem = refused(core, token, "DPoP", DPoP=once)
    assert problem.reason == "oauth2_server.dpop_replayed"
    assert problem.headers["WWW-Authenticate"].startswith('DPoP algs="ES256 ')


def test_a_bearer_token_is_refused_under_the_scheme_of_bound_ones(core):
    token = core.machine_token()["access_token"]
    problem = refused(core, token, "DPoP", DPoP=core.dpop(EC, token, jti="a"))

    assert problem.reason == "oauth2_server.not_bound"


def test_a_proof_may_name_any_address_of_the_settings(tmp_path):
    core = OAuthApp(tmp_path, origins=["https://other.example.org"])
    key = ECKey.generate_key("P-256")
    token = bound(core, key)
    proofs = [
        core.dpop(key, token, jti="a"),
        core.dpop(key, token, jti="b", htu="https://other.example.org/v1/models"),
    ]
    for proof in proofs:
        assert identify(core, token, "DPoP", DPoP=proof)
    third = core.dpop(key, token, jti="c", htu="https://third.example.org/v1/models")
    reason = refused(core, token, "DPoP", DPoP=third).reason
    core.close()

    assert reason == "oauth2_server.dpop_address"


# -- in its phases -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    ["access_token=x", "client_secret=x", "t=eyJhbGciOi.eyJpc3MiOi", "x=srt_" + "a" * 86,
     "x=scs_" + "a" * 43],
)  # fmt: skip
def test_a_token_or_secret_in_the_url_is_refused_under_any_name(core, query):
    with pytest.raises(Problem) as error:
        core.plugin.admit(exchange(core, path=f"/v1/models?{query}"))

    assert error.value.code == "credential_in_url"


def test_other_queries_pass(core):
    core.plugin.admit(exchange(core, path="/v1/models?page=2&q=eyJ&r=srt_short"))
    core.plugin.admit(exchange(core))


@pytest.mark.parametrize("path", ["/oauth2/authorize", "/oauth2/device"])
def test_attack_a_page_is_read_by_a_script_of_an_allowed_origin(core, path):
    """RFC 9700, 2.6: no CORS where browsers are sent, whatever the operator lists for the rest.

    `transport` allows an origin in ADMIT, where it stands before all others.
    """
    asked = exchange(core, path=path)
    asked.allow_origin("https://app.example.org")
    core.plugin.admit(asked)
    assert not asked.allowed_origin
    assert "admit" in Transport.first_at


@pytest.mark.parametrize("path", ["/oauth2/token", "/oauth2/jwks.json", "/v1/models"])
def test_programs_in_a_browser_may_ask_for_tokens_where_their_origin_is_listed(core, path):
    asked = exchange(core, path=path)
    asked.allow_origin("https://app.example.org")
    core.plugin.admit(asked)
    assert asked.allowed_origin == "https://app.example.org"


def test_the_challenge_names_both_schemes(core):
    assert core.plugin.challenge.startswith('Bearer realm="secureml", DPoP algs="ES256 ')


def test_it_is_not_ready_without_a_key(harness):
    plugin = harness.build(OAuth2Server, TABLE)
    assert plugin.ready() == "no_signing_key"
    harness.signing.rotate()
    assert plugin.ready() is None


def test_it_is_not_ready_without_the_store(harness, monkeypatch):
    plugin = harness.build(OAuth2Server, TABLE)

    def away():
        raise StoreUnavailable("away")

    monkeypatch.setattr(harness.signing, "active", away)
    assert plugin.ready() == "store_unavailable"


def test_a_token_that_lacks_a_right_is_told_which(core):
    text = core.machine_token(scope="predict")["access_token"]
    answer = core.ask(text)
    assert answer.status_code == 403
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer realm="secureml", error="insufficient_scope", scope="models:read"'
    )


def test_other_answers_are_left_alone(core):
    headers = {}
    core.plugin.respond(exchange(core), headers)

    assert headers == {}


# -- beside the resource server ------------------------------------------------------------


def test_its_issuer_is_declared_so_that_no_other_plugin_takes_it(core):
    """The core refuses to start with two plugins for one issuer."""
    assert core.plugin.issuers == [ISSUER]


def test_with_both_plugins_each_judges_the_tokens_of_its_own_issuer(harness):
    write_keys(harness.folder, EC)
    harness.signing.rotate()
    harness.clients.add("acme", scopes=["predict", "models:read"])
    loaded = [
        harness.load(OAuth2, {"issuers": [table()]}),
        harness.load(OAuth2Server, TABLE),
        harness.load(Scopes),
    ]
    server = loaded[1].plugin._server
    made, secret = server.clients.add("acme", grants=["client_credentials"])
    app = harness.app(loaded).test_client()
    form = {"grant_type": "client_credentials", "client_id": made.id, "client_secret": secret}
    ours = app.post("/oauth2/token", data=form, base_url=SITE).json["access_token"]
    answers = [
        app.get("/v1/models", headers={"Authorization": f"Bearer {token}"}, base_url=SITE)
        for token in (
            ours,
            make_token(scope="ml.read"),
            make_token(iss="https://third.example.org"),
        )
    ]
    loaded[0].plugin.close()

    assert [answer.status_code for answer in answers] == [200, 200, 401]
