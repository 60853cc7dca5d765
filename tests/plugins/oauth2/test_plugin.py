"""OAuth 2.0 in its phases: whose token is ours to judge, what it is worth, and what is said."""

from __future__ import annotations

import importlib

import pytest

from plugins.oauth2.plugin import OAuth2
from plugins.scopes.plugin import Scopes
from secureml import Principal, Problem
from secureml.kit.token_cache import Verified as Entries
from secureml.testing import START, Harness
from tests.outside_issuer import (
    AUDIENCE,
    EC,
    EC_OTHER,
    Answering,
    header,
    http,
    make_token,
    proof,
    sign,
    table,
    write_keys,
)

# The package offers its class under the name of the module.
module = importlib.import_module("plugins.oauth2.plugin")
WRONG = 'Bearer realm="secureml", error="invalid_token"'


@pytest.fixture
def harness(tmp_path):
    harness = Harness(tmp_path)
    harness.clients.add("acme", scopes=["predict", "models:read"])
    write_keys(tmp_path, EC)
    yield harness
    harness.store.close()


@pytest.fixture
def build(harness):
    """Build the plugin; its threads end with the test."""
    built = []

    def make(origins=(), **changed):
        made = harness.build(OAuth2, {"issuers": [table(**changed)], "origins": list(origins)})
        built.append(made)
        return made

    yield make
    for made in built:
        made.close()


@pytest.fixture
def plugin(build):
    return build()


def exchange(harness, authorization=None, path="/v1/models", **more):
    headers = {} if authorization is None else {"Authorization": authorization}
    return harness.exchange("GET", path, headers=headers | more)


def named(harness, plugin, token, scheme="Bearer", **more):
    return plugin.identify(exchange(harness, f"{scheme} {token}", **more))


def refused(harness, plugin, token, scheme="Bearer", **more):
    with pytest.raises(Problem) as error:
        named(harness, plugin, token, scheme, **more)
    return error.value


def test_a_token_names_its_caller(harness, plugin):
    assert named(harness, plugin, make_token()) == Principal(
        client="acme",
        subject="user-7",
        scopes=frozenset({"predict"}),
        models=frozenset({"*"}),
        tier="standard",
        method="oauth2",
        credential="t-1",
        expires=START + 300,
    )


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer  "])
def test_the_scheme_has_no_case(harness, plugin, scheme):
    assert named(harness, plugin, make_token(), scheme) is not None


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwdw==",
        "Bearer sml_x",
        "Bearer a.b.c",
        "Token x",
        "DPoP x",
    ],
)
def test_what_is_no_token_of_ours_is_someone_elses(harness, plugin, authorization):
    assert plugin.identify(exchange(harness, authorization)) is None


@pytest.mark.parametrize("iss", ["https://other.example.org", None, 1, ["https://id.example.org"]])
def test_another_issuers_token_is_someone_elses(harness, plugin, iss):
    assert named(harness, plugin, make_token(iss=iss)) is None


def test_every_refusal_says_the_same(harness, plugin):
    emitted = {
        (problem.code, problem.headers["WWW-Authenticate"])
        for problem in (
            refused(harness, plugin, make_token(exp=START - 100)),
            refused(harness, plugin, make_token(EC_OTHER)),
            refused(harness, plugin, make_token(client_id="stranger")),
            refused(harness, plugin, make_token(head=header(alg="none"))),
            refused(harness, plugin, "x" * 9000),
        )
    }

    assert emitted == {("unauthorized", WRONG)}


def test_the_log_learns_why(harness, plugin):
    assert refused(harness, plugin, make_token(exp=START - 100)).reason == "oauth2.expired"
    assert refused(harness, plugin, make_token(client_id="x")).reason == "oauth2.client_unmapped"


def test_a_long_token_is_not_even_parsed(harness, plugin, monkeypatch):
    monkeypatch.setattr(module, "parse", lambda _text: pytest.fail("it was parsed"))

    assert refused(harness, plugin, make_token() + "A" * 8192).reason == "oauth2.too_long"


def test_a_token_for_a_client_that_is_gone_or_off_is_refused(harness, plugin):
    token = make_token()
    assert named(harness, plugin, token)
    harness.clients.set_enabled("acme", enabled=False)

    assert refused(harness, plugin, token).reason == "oauth2.client_disabled"
    harness.clients.set_enabled("acme", enabled=True)
    assert named(harness, plugin, token)


def test_a_client_that_was_never_added_is_refused(harness, build):
    plugin = build(clients={"their-app": "nobody"})

    assert refused(harness, plugin, make_token()).reason == "oauth2.client_disabled"


def test_a_token_never_grants_more_than_its_client_has(harness, build):
    harness.clients.add("reader", scopes=["models:read"], models=["iris"])
    plugin = build(clients={"their-app": "reader"}, models=["iris", "wine"])
    found = named(harness, plugin, make_token(scope="ml.predict ml.read"))

    assert found.scopes == {"models:read"}
    assert found.models == {"iris"}


@pytest.mark.parametrize("jti", [None, "a b", "x" * 65, 'a"\n', 7, "é"])
def test_an_id_unfit_for_a_log_is_replaced(harness, plugin, jti):
    credential = named(harness, plugin, make_token(jti=jti)).credential

    assert credential.startswith("sha256:")
    assert len(credential) == 23


# -- the cache ---------------------------------------------------------------------------


def counted(monkeypatch):
    calls, real = [], module.verify
    monkeypatch.setattr(module, "verify", lambda *words: calls.append(1) or real(*words))
    return calls


def test_a_proven_token_is_not_proven_again(harness, plugin, monkeypatch):
    calls, token = counted(monkeypatch), make_token()

    assert named(harness, plugin, token) is named(harness, plugin, token)
    assert len(calls) == 1


def test_the_cache_ends_with_the_token(harness, plugin):
    token = make_token()
    named(harness, plugin, token)
    harness.clock.advance(330)

    assert refused(harness, plugin, token).reason == "oauth2.expired"


def test_the_cache_ends_with_the_keys(harness, plugin):
    token = make_token()
    named(harness, plugin, token)
    write_keys(harness.folder, EC_OTHER)
    plugin._providers[0].issuer.jwks.refresh()

    assert refused(harness, plugin, token).reason == "oauth2.key_unknown"


def test_the_cache_outlives_a_refresh_that_changed_nothing(harness, plugin, monkeypatch):
    calls, token = counted(monkeypatch), make_token()
    named(harness, plugin, token)
    plugin._providers[0].issuer.jwks.refresh()
    named(harness, plugin, token)

    assert len(calls) == 1


def test_refused_tokens_are_not_kept(harness, plugin, monkeypatch):
    """Strangers choose them."""
    kept = []
    monkeypatch.setattr(Entries, "keep", lambda self, *entry: kept.append(entry))
    refused(harness, plugin, make_token(EC_OTHER))

    assert kept == []


def test_keys_too_old_close_the_phase_for_proven_tokens_too(harness, build):
    plugin, token = build(max_age="10m", leeway="0s"), make_token(exp=START + 10_000)
    named(harness, plugin, token)
    (harness.folder / "jwks.json").unlink()
    harness.clock.advance(601)
    problem = refused(harness, plugin, token)

    assert (problem.code, problem.reason) == ("unavailable", "oauth2.KeysUnavailable")
    assert problem.headers["Retry-After"] == "30"


def test_a_store_that_is_away_closes_the_phase(harness, plugin):
    token = make_token()
    named(harness, plugin, token)
    (harness.folder / "secureml.db").rename(harness.folder / "elsewhere.db")

    assert refused(harness, plugin, token).code == "unavailable"


# -- possession --------------------------------------------------------------------------


def bound(**changed):
    return make_token(cnf={"jkt": EC_OTHER.thumbprint()}, **changed)


def test_a_bound_token_with_its_proof_names_its_caller(harness, build):
    token = bound()
    found = named(harness, build([AUDIENCE]), token, "DPoP", DPoP=proof(EC_OTHER, token))

    assert found.client == "acme"


def test_a_proof_is_good_once(harness, build):
    plugin, token = build([AUDIENCE]), bound()
    once = proof(EC_OTHER, token)
    named(harness, plugin, token, "DPoP", DPoP=once)
    problem = refused(harness, plugin, token, "DPoP", DPoP=once)

    assert problem.reason == "oauth2.dpop_replayed"
    assert problem.headers["WWW-Authenticate"].startswith('DPoP algs="ES256 ')
    assert 'error="invalid_token"' in problem.headers["WWW-Authenticate"]
    assert named(harness, plugin, token, "DPoP", DPoP=proof(EC_OTHER, token, jti="p-2"))


def test_another_worker_knows_the_proof(harness, build):
    token = bound()
    once = proof(EC_OTHER, token)
    named(harness, build([AUDIENCE]), token, "DPoP", DPoP=once)

    assert refused(harness, build([AUDIENCE]), token, "DPoP", DPoP=once)


def test_a_bound_token_is_no_bearers(harness, build):
    """The downgrade: a thief has the token and not the key."""
    plugin, token = build([AUDIENCE]), bound()

    assert refused(harness, plugin, token).reason == "oauth2.bound_token_as_bearer"
    reason = refused(harness, plugin, token, DPoP=proof(EC_OTHER, token)).reason
    assert reason == "oauth2.bound_token_as_bearer"


def test_a_bound_token_without_proof_is_refused_each_time(harness, build):
    plugin, token = build([AUDIENCE]), bound()
    named(harness, plugin, token, "DPoP", DPoP=proof(EC_OTHER, token))

    assert refused(harness, plugin, token, "DPoP").reason == "oauth2.dpop_malformed"
    other = refused(harness, plugin, token, "DPoP", DPoP=proof(EC, token, jti="x"))
    assert other.reason == "oauth2.dpop_other_key"


def test_a_bearers_token_is_not_dressed_up(harness, build):
    token = make_token()

    problem = refused(harness, build([AUDIENCE]), token, "DPoP", DPoP=proof(EC, token))
    assert problem.reason == "oauth2.not_bound"


def test_without_an_origin_bound_tokens_are_refused(harness, plugin):
    token = bound()

    reason = refused(harness, plugin, token, "DPoP", DPoP=proof(EC_OTHER, token)).reason
    assert reason == "oauth2.dpop_address"


def test_a_token_bound_to_a_certificate_is_refused(harness, plugin):
    """RFC 8705: we are not shown the certificate, so nobody has checked."""
    assert refused(harness, plugin, make_token(cnf={"x5t#S256": "x"})).reason == "oauth2.binding"


# -- in the phases ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query", ["access_token=x", "a=b&access_token=x", "access%5Ftoken=x", "t=eyJhbGciOi.eyJpc3MiOi"]
)
def test_a_token_in_the_url_is_refused_even_a_good_one(harness, plugin, query):
    with pytest.raises(Problem) as error:
        plugin.admit(exchange(harness, path=f"/v1/models?{query}"))

    assert error.value.code == "credential_in_url"


def test_other_queries_pass(harness, plugin):
    plugin.admit(exchange(harness, path="/v1/models?page=2&q=eyJ"))
    plugin.admit(exchange(harness))


def test_the_challenge_names_what_is_taken(build):
    assert build().challenge == 'Bearer realm="secureml"'
    assert 'DPoP algs="ES256' in build([AUDIENCE]).challenge


def test_a_token_that_lacks_the_right_learns_which(harness):
    """RFC 6750, 3.1."""
    loaded = [harness.load(OAuth2, {"issuers": [table()]}), harness.load(Scopes)]
    asked = {"Authorization": f"Bearer {make_token(scope='openid')}"}
    answer = harness.app(loaded).test_client().get("/v1/models", headers=asked)
    loaded[0].plugin.close()

    assert answer.status_code == 403
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer realm="secureml", error="insufficient_scope", scope="models:read"'
    )


def test_other_answers_are_left_alone(harness, plugin):
    headers = {}
    plugin.respond(exchange(harness), headers)

    assert headers == {}


# -- issuers over the network ------------------------------------------------------------


def test_it_is_ready_once_every_issuer_was_reached(harness, build):
    assert build().ready() is None
    with Answering(http("{}", "503 Down")) as server:
        plugin = build(issuer=f"http://127.0.0.1:{server.port}", keys="discovery")

        assert plugin.ready() == "oauth2_issuer_unreached"
        assert plugin.ready() == "oauth2_issuer_unreached"


def test_an_issuer_that_is_away_from_the_start_is_no_401(harness, build):
    with Answering(http("{}", "503 Down")) as server:
        issuer = f"http://127.0.0.1:{server.port}"
        plugin = build(issuer=issuer, keys="discovery")

        assert refused(harness, plugin, make_token(iss=issuer)).code == "unavailable"


def test_closing_twice_is_nothing(build):
    plugin = build()
    plugin.ready()
    plugin.close()
    plugin.close()


def test_a_signed_text_that_is_no_object_is_someone_elses(harness, plugin):
    assert named(harness, plugin, sign(header(), "[]")) is None
