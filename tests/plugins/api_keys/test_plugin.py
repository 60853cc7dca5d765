"""API keys in their phase: who holds a key is named, and every miss gets the same answer."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plugins.api_keys.key import _checksum, new_key
from plugins.api_keys.plugin import ApiKeys
from plugins.errors.plugin import Errors
from plugins.scopes.plugin import Scopes
from secureml import ConfigError, Principal, Problem
from secureml.kit.token_cache import Verified
from secureml.testing import START, Harness

DAY = 86400.0
ID = "f" * 32


@pytest.fixture
def harness(tmp_path):
    """A folder with a real store."""
    made = Harness(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def plugin(harness):
    """The plugin, with the client acme."""
    made = harness.build(ApiKeys)
    harness.clients.add("acme", tier="gold", models=["iris"])
    return made


@pytest.fixture
def key(plugin):
    """A key of acme, good for a day."""
    return plugin._keyring.issue("acme", lifetime=DAY)[0].text


def ask(harness, plugin, offered, **environ):
    """Return the principal, or why there is none."""
    headers = {} if offered is None else {"X-API-Key": offered}
    exchange = harness.exchange("GET", "/v1/models", headers=headers, **environ)
    try:
        return plugin.identify(exchange)
    except Problem as refused:
        return (refused.code, refused.reason)


def denied(word):
    return ("unauthorized", f"api_keys.{word}")


def forged(key):
    """Return a well-formed key with the id of a real one and a secret of one's own."""
    body = f"sml_{key[4:16]}_{new_key(os.urandom).text[17:60]}"
    return body + _checksum(body)


def test_a_request_without_a_key_is_for_someone_else_to_name(harness, plugin):
    assert ask(harness, plugin, None) is None


def test_the_holder_of_a_key_is_named(harness, plugin, key):
    assert ask(harness, plugin, key) == Principal(
        client="acme",
        subject="acme",
        scopes=frozenset({"predict", "models:read"}),
        models=frozenset({"iris"}),
        tier="gold",
        method="api_keys",
        credential=key[4:16],
        expires=START + DAY,
    )


@pytest.mark.parametrize(
    ("scopes", "held"),
    [
        (None, {"predict", "models:read"}),
        (["predict"], {"predict"}),
        (["predict", "admin"], {"predict"}),
        (["admin"], set()),
        ([], set()),
    ],
)
def test_a_key_never_holds_more_than_its_client(harness, plugin, scopes, held):
    made, _ = plugin._keyring.issue("acme", lifetime=DAY, scopes=scopes)
    assert ask(harness, plugin, made.text).scopes == held


def misses(harness, plugin, key):
    """Return every offer that must fail, by the word the log has for it."""
    keyring = plugin._keyring
    revoked, gone = keyring.issue("acme", lifetime=DAY)[0], keyring.issue("acme", lifetime=-1.0)[0]
    keyring.revoke(revoked.id)
    harness.clients.add("out")
    harness.clients.set_enabled("out", enabled=False)
    return [
        ("malformed", ""),
        ("malformed", "x"),
        ("malformed", key[:-1]),
        ("malformed", key + " "),
        ("malformed", key.swapcase()),
        ("malformed", f"{key}, {key}"),
        ("malformed", f"{key},{key}"),
        ("malformed", "Bearer " + key),
        ("malformed", "x" * 8000),
        ("unknown", new_key(os.urandom).text),
        ("unknown", forged(key)),
        ("expired", gone.text),
        ("revoked", revoked.text),
        ("client_disabled", keyring.issue("out", lifetime=DAY)[0].text),
        ("client_disabled", keyring.issue("never-added", lifetime=DAY)[0].text),
    ]


def test_every_miss_is_told_apart_in_the_log(harness, plugin, key):
    for word, offered in misses(harness, plugin, key):
        for _ in range(2):  # once asked, once remembered
            assert ask(harness, plugin, offered) == denied(word), offered


def test_attack_every_miss_gets_one_answer(harness):
    """Status, body and headers are equal to the byte, so none is an oracle."""
    loaded = [harness.load(cls) for cls in (ApiKeys, Scopes, Errors)]
    caller = harness.app(loaded, new_id=lambda: ID).test_client()
    plugin = loaded[0].plugin
    harness.clients.add("acme")
    key = plugin._keyring.issue("acme", lifetime=DAY)[0].text
    assert caller.get("/v1/models", headers={"X-API-Key": key}).status_code == 200
    answers = {
        (answer.status_code, answer.data, tuple(answer.headers))
        for _, offered in misses(harness, plugin, key)
        for answer in [caller.get("/v1/models", headers={"X-API-Key": offered})]
    }
    assert len(answers) == 1
    status, body, headers = answers.pop()
    assert status == 401
    assert b"api_keys" not in body
    challenge = dict(headers)["WWW-Authenticate"]
    assert challenge == 'ApiKey realm="secureml", header="X-API-Key"'


def test_attack_two_header_lines_are_refused_even_where_both_are_good(harness, plugin, key):
    environ = {"headers": [("X-API-Key", key), ("X-API-Key", key)]}
    with pytest.raises(Problem) as refused:
        plugin.identify(harness.exchange("GET", "/", **environ))
    assert (refused.value.code, refused.value.reason) == denied("malformed")


@pytest.mark.parametrize(
    "query", ["key={}", "{}", "a=1&k={}", "k=x{}x", "k=%73ml_{0[4]}", "k=sml%5Fabc", "sml_"]
)
@pytest.mark.parametrize("also", [True, False])
def test_a_key_in_the_url_is_refused_also_beside_a_good_header(harness, plugin, key, query, also):
    """By then it stands in the logs of everything on the way."""
    exchange = harness.exchange(
        "GET",
        "/v1/models",
        query_string=query.format(key),
        headers={"X-API-Key": key} if also else {},
    )
    with pytest.raises(Problem) as refused:
        plugin.admit(exchange)
    assert (refused.value.code, refused.value.reason) == ("credential_in_url", "api_keys.in_url")


@pytest.mark.parametrize(
    "path", ["/healthz?k={}", "/healthz/{}", "/nowhere/{}?a=1", "/v1/models/{}"]
)
def test_attack_a_key_in_the_url_of_any_route_public_or_unknown(harness, key, path):
    """Whether the route asks for a key or not, the key is in the logs."""
    client = harness.app([harness.load(ApiKeys), harness.load(Errors)]).test_client()
    answer = client.get(path.format(key))
    assert (answer.status_code, answer.json["code"]) == (400, "credential_in_url")
    assert client.get("/healthz?k=1").status_code == 200


def test_a_path_that_only_begins_like_a_key_is_none(harness, plugin):
    """A model may be called so."""
    for path in ("/v1/models/sml_churn", f"/v1/models/sml_{'a' * 12}_{'a' * 48}"):
        plugin.admit(harness.exchange("GET", path))


def test_any_other_query_is_none_of_our_business(harness, plugin, key):
    plugin.admit(harness.exchange("GET", "/v1/models", query_string="limit=10&%zz"))
    assert ask(harness, plugin, key, query_string="limit=10&%zz").client == "acme"


def test_a_key_in_another_header_or_a_cookie_is_no_key(harness, plugin, key):
    for headers in ({"Authorization": key}, {"X-Api-Keys": key}, {"Cookie": f"X-API-Key={key}"}):
        assert plugin.identify(harness.exchange("GET", "/", headers=headers)) is None


def test_the_header_is_a_setting_and_the_challenge_says_it(harness, key):
    plugin = harness.build(ApiKeys, {"header": "X-Acme-Key"})
    assert plugin.challenge == 'ApiKey realm="secureml", header="X-Acme-Key"'
    exchange = harness.exchange("GET", "/", headers={"X-Acme-Key": key})
    assert plugin.identify(exchange).client == "acme"
    assert ask(harness, plugin, key) is None


@pytest.mark.parametrize("table", [{"headr": "X"}, {"header": "X_API_Key"}, {"header": ""}])
def test_a_wrong_table_stops_the_start(harness, table):
    with pytest.raises(ConfigError, match="api_keys"):
        harness.build(ApiKeys, table)


def test_a_revocation_acts_at_the_next_request(harness, plugin, key):
    assert ask(harness, plugin, key).client == "acme"
    plugin._keyring.revoke(key[4:16])
    assert ask(harness, plugin, key) == denied("revoked")


def test_a_disabled_client_is_out_at_its_next_request_and_back_when_enabled(harness, plugin, key):
    assert ask(harness, plugin, key).client == "acme"
    harness.clients.set_enabled("acme", enabled=False)
    assert ask(harness, plugin, key) == denied("client_disabled")
    harness.clients.set_enabled("acme", enabled=True)
    assert ask(harness, plugin, key).client == "acme"


def test_a_remembered_key_ends_at_its_second(harness, plugin, key):
    assert ask(harness, plugin, key).client == "acme"
    harness.clock.advance(DAY - 1)
    assert ask(harness, plugin, key).client == "acme"
    harness.clock.advance(1)
    assert ask(harness, plugin, key) == denied("expired")


def test_a_key_without_an_end_is_remembered_too(harness, plugin):
    made, _ = plugin._keyring.issue("acme", lifetime=None)
    first = ask(harness, plugin, made.text)
    assert ask(harness, plugin, made.text) is first


@pytest.mark.parametrize("warm", [True, False])
def test_a_store_that_is_gone_is_unavailable_and_not_a_yes(harness, plugin, key, tmp_path, warm):
    if warm:
        assert ask(harness, plugin, key).client == "acme"
    (tmp_path / "secureml.db").unlink()
    assert ask(harness, plugin, key) == ("unavailable", "api_keys.store")
    assert not (tmp_path / "secureml.db").exists()


def test_attack_misses_are_not_remembered_by_the_plugin(harness, plugin, key, monkeypatch):
    """Strangers choose them."""
    kept = []
    monkeypatch.setattr(Verified, "keep", lambda self, *entry: kept.append(entry))
    for _, offered in misses(harness, plugin, key):
        ask(harness, plugin, offered)
    assert kept == []
    assert ask(harness, plugin, key).client == "acme"
    assert len(kept) == 1


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None
)
@given(offered=st.text(st.characters(codec="latin-1"), max_size=80))
def test_attack_any_header_is_a_miss_and_never_a_failure(harness, plugin, offered):
    exchange = harness.exchange("GET", "/")
    exchange.request.environ["HTTP_X_API_KEY"] = offered
    with pytest.raises(Problem) as refused:
        plugin.identify(exchange)
    assert refused.value.reason == "api_keys.malformed"


def test_no_part_of_a_secret_is_kept_where_a_log_could_find_it(harness, plugin, key):
    principal = ask(harness, plugin, key)
    kept = repr((principal, vars(plugin), plugin._keyring.find(key), plugin._keyring.list()))
    assert key[17:60] not in kept
    with pytest.raises(Problem) as refused:
        plugin.identify(harness.exchange("GET", "/", headers={"X-API-Key": forged(key)}))
    assert key[17:60] not in repr((refused.value.args, vars(refused.value)))


def test_its_commands_stand_under_its_name(plugin):
    group = plugin.commands()
    assert group.name == "api-keys"
    assert sorted(group.commands) == ["issue", "list", "revoke", "rotate"]


def asked_by(harness, plugin, **headers):
    """Return the principal of these headers, or why there is none."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        return plugin.identify(harness.exchange("GET", "/v1/models", headers=named))
    except Problem as refused:
        return (refused.code, refused.reason)


@pytest.mark.parametrize("scheme", ["ApiKey", "apikey", "APIKEY"])
def test_a_tool_that_knows_authorization_alone_is_named(harness, plugin, key, scheme):
    """Schemes have no case (RFC 9110, 11.1)."""
    assert asked_by(harness, plugin, Authorization=f"{scheme} {key}").client == "acme"


@pytest.mark.parametrize("scheme", ["Bearer", "Basic", "ApiKeys", "ApiKey\t", ""])
def test_a_key_under_another_scheme_is_for_someone_else_to_name(harness, plugin, key, scheme):
    assert asked_by(harness, plugin, Authorization=f"{scheme} {key}") is None


def test_attack_two_keys_at_once_are_nobodys(harness, plugin, key):
    """Which of the two callers it is, nobody can know; not even where both are one."""
    other = plugin._keyring.issue("acme", lifetime=DAY)[0].text
    for second in (key, other):
        assert asked_by(harness, plugin, X_API_Key=key, Authorization=f"ApiKey {second}") == (
            "malformed_request",
            "two_credentials",
        )


@pytest.mark.parametrize(
    "name",
    ["Host", "cookie", "Content-Type", "content-length", "Authorization", "Proxy-Authorization",
     "Connection", "Transfer-Encoding", "X-Forwarded-For", "X-SecureML-Edge", "X-Request-ID",
     "Origin", "If-Match", "Accept", "Sec-Fetch-Site", "DPoP"],
)  # fmt: skip
def test_attack_a_key_is_not_looked_for_in_a_header_that_means_something_else(harness, name):
    """It would be lost on the way, written down, or taken for something else."""
    with pytest.raises(ConfigError, match="has a meaning of its own") as refused:
        harness.build(ApiKeys, {"header": name})
    assert (refused.value.table, refused.value.key) == ("plugins.api_keys", "header")
    assert "X-API-Key" in refused.value.fix


def test_the_ages_of_keys_that_are_good_are_measured(harness, plugin):
    """Revoked and expired ones are nobody's worry any more."""

    def measured():
        return {measure.name: measure.value for measure in plugin.measures()}

    assert measured() == {"api_keys_active": 0}
    gone = plugin._keyring.issue("acme", lifetime=None)[1]
    plugin._keyring.issue("acme", lifetime=DAY)
    harness.clock.advance(2 * DAY)
    plugin._keyring.revoke(gone.id)
    plugin._keyring.issue("acme", lifetime=None)
    assert measured() == {"api_keys_active": 1, "api_key_oldest_age_seconds": 0}
    plugin._keyring.issue("acme", lifetime=DAY)
    harness.clock.advance(DAY / 2)
    assert measured() == {
        "api_keys_active": 2,
        "api_key_oldest_age_seconds": DAY / 2,
        "api_key_next_expiry_timestamp_seconds": harness.clock() + DAY / 2,
    }
