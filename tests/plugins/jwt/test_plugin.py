"""The plugin in its phases: whom it names, what it remembers, and for how long."""

from __future__ import annotations

import pytest
from token_app import TABLE, TokenApp

from plugins.jwt.plugin import Jwt
from secureml import ConfigError, Event, Plugin, Principal, Problem, StoreUnavailable
from secureml.pipeline.events import emit
from secureml.state.signing import Schedule
from secureml.testing import START, Harness


@pytest.fixture
def harness(tmp_path):
    """A folder with a real store."""
    return Harness(tmp_path)


def name(core, token, scheme="Bearer"):
    """Return the principal IDENTIFY finds for a token."""
    headers = {"Authorization": f"{scheme} {token}"}
    with core.app.test_request_context(headers=headers):
        return core.jwt.identify(core.harness.exchange(headers=headers))


def test_a_token_names_its_client_as_it_is_now(core):
    """Scopes are those of both; the rest is the client's."""
    token = core.pair()["access_token"]

    found = name(core, token)
    assert (found.client, found.subject, found.method, found.tier) == (
        "acme",
        "acme",
        "jwt",
        "standard",
    )
    assert found.scopes == {"predict", "models:read"}
    assert found.models == {"*"}
    assert len(found.credential) == 32


def test_a_right_taken_from_the_client_is_gone_from_its_tokens(core):
    """At the next request."""
    token = core.pair()["access_token"]
    assert core.ask(token).status_code == 200
    with core.harness.store.begin() as connection:
        connection.exec_driver_sql("UPDATE clients SET scopes = '[\"predict\"]'")
        core.harness.store.touch(connection, "clients")

    assert name(core, token).scopes == {"predict"}
    assert core.ask(token).status_code == 403


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(core, scheme):
    """RFC 9110, 11.1."""
    assert name(core, core.pair()["access_token"], scheme) is not None


def test_a_token_in_the_url_is_refused_before_anyone_is_named(core):
    """A plain query is nobody's secret."""
    for query in ("access_token=x", "a=1&refresh_token=x", "q=eyJhbGciOiJ9.eyJhIjoxfQ.x"):
        with pytest.raises(Problem) as refused:
            core.jwt.admit(core.harness.exchange(path="/v1/models", query_string=query))
        assert refused.value.code == "credential_in_url"
    for query in ("", "access=1", "my_access_token=1", "q=eyJhbGciOiJ9"):
        core.jwt.admit(core.harness.exchange(path="/v1/models", query_string=query))


def test_a_store_that_is_gone_is_no_permission(core):
    """Though the token was proven a moment ago."""
    token = core.pair()["access_token"]
    assert core.ask(token).status_code == 200
    (core.harness.folder / "secureml.db").rename(core.harness.folder / "gone.db")

    assert core.ask(token).status_code == 503
    assert core.reason == "jwt.store"


def test_what_is_not_a_bearer_token_of_ours_is_someone_elses(core):
    """None, so that another plugin may know it."""
    token = core.pair()["access_token"]
    foreign = core.forge(token, claims={"iss": "https://other.example"})
    with core.app.test_request_context():
        assert core.jwt.identify(core.harness.exchange()) is None
    for text, scheme in (
        (foreign, "Bearer"),
        ("opaque", "Bearer"),
        ("a.b", "Bearer"),
        ("a.b.c.d.e", "Bearer"),
        (token, "Basic"),
        (token, "DPoP"),
        ("x", ""),
    ):
        assert name(core, text, scheme) is None


def test_a_proven_token_is_remembered_and_not_proven_again(core, monkeypatch):
    """That is what makes it cheap."""
    token = core.pair()["access_token"]
    first = name(core, token)
    monkeypatch.setattr(core.jwt, "_issuer", None)

    assert name(core, token) is first


def test_a_trade_elsewhere_forgets_nothing(core, monkeypatch):
    """It changes the store, but nothing that was proven."""
    token = core.pair()["access_token"]
    first = name(core, token)
    core.pair()
    monkeypatch.setattr(core.jwt, "_issuer", None)

    assert name(core, token) is first


@pytest.mark.parametrize(
    "end",
    [
        lambda core, jti: core.jwt._families.end_client("acme"),
        lambda core, jti: core.jwt._families.end_before(core.clock()),
        lambda core, jti: core.jwt._families.end_token(jti, expires=core.clock() + 3600),
        lambda core, jti: core.jwt._families.end_key(
            core.signing.active().kid, expires=core.clock() + 3600
        ),
        lambda core, jti: core.signing.retire(core.signing.active().kid),
        lambda core, jti: core.harness.clients.set_enabled("acme", enabled=False),
        lambda core, jti: core.clock.advance(900),
    ],
    ids=["client", "before", "token", "key", "retire", "disable", "expire"],
)
def test_every_end_reaches_a_token_that_was_remembered(core, end):
    """At the very next request."""
    token = core.pair()["access_token"]
    jti = name(core, token).credential
    assert core.ask(token).status_code == 200
    end(core, jti)

    assert core.ask(token).status_code == 401


def test_a_key_that_retires_by_age_takes_remembered_tokens_along(tmp_path):
    """No event tells of it: the moment is remembered with the token."""
    core = TokenApp(tmp_path, refresh_lifetime="60s")
    core.signing.schedule = Schedule(retire_after=30.0)
    token = core.pair()["access_token"]
    core.signing.rotate()
    assert core.ask(token).status_code == 200
    core.clock.advance(30)

    assert core.ask(token).status_code == 401


def test_a_token_of_another_plugin_that_lacks_a_right_gets_no_challenge_of_ours(tmp_path):
    """`insufficient_scope` is said to bearers alone."""
    core = TokenApp(tmp_path)
    core.harness.clients.add("plain", scopes=["predict"])
    key = core.api_key("plain")
    answer = core.http.get("/v1/models", headers={"X-API-Key": key})

    assert answer.status_code == 403
    assert "WWW-Authenticate" not in answer.headers


def test_a_model_not_granted_is_not_called_a_missing_scope(core):
    """The scope is there; saying otherwise would send the caller astray."""
    harness, jwt = core.harness, core.jwt
    headers = {}
    exchange = harness.exchange(
        principal=Principal("a", "a", frozenset({"predict"}), frozenset(), "standard", "jwt", "j")
    )
    jwt.respond(exchange, headers)

    assert headers == {}


def test_the_challenge_of_a_stranger_names_no_error(core):
    """RFC 6750, 3.1: without a credential there is nothing to be wrong with it."""
    answer = core.http.get("/v1/models")

    assert 'Bearer realm="secureml"' in answer.headers["WWW-Authenticate"]
    assert "error" not in answer.headers["WWW-Authenticate"]


def test_it_is_not_ready_without_a_key_or_a_store(harness):
    """And says which it is."""
    jwt = harness.build(Jwt, TABLE)
    assert jwt.ready() == "no_signing_key"
    harness.signing.rotate()
    assert jwt.ready() is None
    (harness.folder / "secureml.db").rename(harness.folder / "gone.db")

    assert jwt.ready() == "store_unavailable"


def test_nothing_is_opened_at_the_start(harness):
    """Gunicorn forks after it."""
    harness.build(Jwt, TABLE).blueprint()

    assert list(harness.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"issuer": ""}, "issuer"),
        ({"issuer": "http://ml.example.org"}, "issuer"),
        ({"issuer": "https://ml.example.org?x"}, "issuer"),
        ({"audience": ""}, "audience"),
        ({"audience": "a b"}, "audience"),
        ({"access_lifetime": "2h"}, "access_lifetime"),
        ({"access_lifetime": "1s"}, "access_lifetime"),
        ({"access_lifetime": 900}, "access_lifetime"),
        ({"refresh_lifetime": "31d"}, "refresh_lifetime"),
        ({"leeway": "61s"}, "leeway"),
        ({"families": 0}, "families"),
        ({"traded": []}, "traded"),
        ({"traded": ["jwt"]}, "traded"),
        ({"traded": ["api_keys", "oauth2"]}, "traded"),
        ({"algorithm": "HS256"}, "algorithm"),
        ({"secret": "x"}, "secret"),
    ],
)
def test_a_table_that_cannot_be_meant_stops_the_start(harness, changes, key):
    """With the key in the message."""
    with pytest.raises(ConfigError, match=rf"\[plugins\.jwt\] {key}"):
        harness.build(Jwt, {**TABLE, **changes})


@pytest.mark.parametrize("missing", ["issuer", "audience"])
def test_issuer_and_audience_must_be_said(harness, missing):
    """There is no default that could be right."""
    table = {word: value for word, value in TABLE.items() if word != missing}
    with pytest.raises(ConfigError, match=missing):
        harness.build(Jwt, table)


def test_keys_must_outlive_what_they_sign(harness):
    """Else refresh tokens would die before their time, one rotation later."""
    harness.signing.schedule = Schedule(retire_after=86400.0)
    with pytest.raises(ConfigError, match="retire_after"):
        harness.build(Jwt, TABLE)
    harness.build(Jwt, {**TABLE, "refresh_lifetime": "1d"})


def test_it_cannot_be_observed_only(harness):
    """Who someone is cannot be tried out."""
    with pytest.raises(ConfigError, match="always enforced"):
        harness.build(Jwt, {**TABLE, "mode": "observe"})


def test_another_plugins_callers_may_trade_where_it_is_named(tmp_path):
    """The list is the operator's; without the word they may not."""

    class Card(Plugin):
        name = "card"

        def identify(self, exchange):
            scopes = frozenset({"token", "predict"})
            return Principal("acme", "acme", scopes, frozenset({"*"}), "standard", "card", "c")

    for traded, status in ((["api_keys"], 403), (["api_keys", "card"], 200)):
        folder = tmp_path / str(status)
        folder.mkdir()
        core = TokenApp(folder, more=[Card], traded=traded)
        assert core.http.post("/v1/auth/token", json={}).status_code == status


def test_what_was_traded_for_a_key_ends_with_the_key(tmp_path):
    """The command runs in another process; what it writes is read by every worker."""
    from secureml import Event
    from tests.token_app import TokenApp

    core = TokenApp(tmp_path)
    token, other = core.pair()["access_token"], core.trade(key=core.api_key("acme")).json
    assert core.ask(token).status_code == 200
    origin = core.key.split("_")[1]
    core.jwt.on_event(Event("authn_key_revoked", "acme", {"credential": origin}))
    assert core.ask(token).status_code == 401
    assert core.ask(other["access_token"]).status_code == 200


def test_attack_a_key_that_expires_lives_on_as_tokens(tmp_path):
    """Access tokens, refresh tokens, and what is refreshed: none is good when the key is not."""
    core = TokenApp(tmp_path)
    key = core._keyring.issue("acme", lifetime=600.0)[0].text
    pair = core.trade(key=key).json
    assert (pair["expires_in"], pair["refresh_expires_in"]) == (600, 600)
    core.clock.advance(500)
    later = core.refresh(pair["refresh_token"]).json
    assert (later["expires_in"], later["refresh_expires_in"]) == (100, 100)
    assert core.ask(later["access_token"]).status_code == 200
    core.clock.advance(100)

    assert core.http.get("/v1/models", headers={"X-API-Key": key}).status_code == 401
    assert core.ask(later["access_token"]).status_code == 401
    assert core.refresh(later["refresh_token"]).status_code == 401
    assert core.trade(key=key).status_code == 401


def test_what_was_traded_for_a_certificate_ends_with_its_binding(tmp_path):
    """An event of another plugin; what was traded for another one goes on."""
    ends = START + 60

    class Card(Plugin):
        name = "card"

        def identify(self, exchange):
            if "X-Card" not in exchange.request.headers:
                return None
            scopes, card = frozenset({"token", "models:read"}), exchange.request.headers["X-Card"]
            every = frozenset({"*"})
            return Principal("acme", "acme", scopes, every, "standard", "card", card, ends)

    core = TokenApp(tmp_path, more=[Card], traded=["card"])

    def traded(card):
        return core.http.post("/v1/auth/token", json={}, headers={"X-Card": card}).json

    mine, other = traded("c-1"), traded("c-2")
    assert mine["refresh_expires_in"] == 60
    core.jwt.on_event(Event("authn_certificate_ended", "acme", {"credential": "c-1"}))
    assert core.ask(mine["access_token"]).status_code == 401
    assert core.refresh(mine["refresh_token"]).status_code == 401
    assert core.ask(other["access_token"]).status_code == 200
    core.clock.advance(60)
    assert core.ask(other["access_token"]).status_code == 401
    assert core.refresh(other["refresh_token"]).status_code == 401


def test_a_key_is_not_called_ended_while_its_tokens_are_not(tmp_path, monkeypatch):
    """A store that fails in that moment fails the command, which can be given again."""
    core = TokenApp(tmp_path)

    def away(*_words, **_more):
        raise StoreUnavailable

    monkeypatch.setattr(core.jwt._families, "end_origin", away)
    with pytest.raises(StoreUnavailable):
        emit([core.jwt], Event("authn_key_revoked", "acme", {"credential": "k"}))


def test_what_was_traded_for_a_rotated_key_ends_with_the_overlap(tmp_path):
    from secureml import Event
    from tests.token_app import TokenApp

    core = TokenApp(tmp_path)
    pair = core.pair()
    assert core.ask(pair["access_token"]).status_code == 200
    facts = {"credential": core.key.split("_")[1], "ends": core.clock() + 60}
    core.jwt.on_event(Event("authn_key_rotated", "acme", facts))
    assert core.ask(pair["access_token"]).status_code == 200
    core.clock.advance(61)
    assert core.ask(pair["access_token"]).status_code == 401
    assert core.refresh(pair["refresh_token"]).status_code == 401


def test_other_events_end_nothing(tmp_path):
    from secureml import Event
    from tests.token_app import TokenApp

    core = TokenApp(tmp_path)
    token = core.pair()["access_token"]
    for event in (Event("authn_key_created", "acme", {"credential": core.key.split("_")[1]}),
                  Event("user_disabled", "acme"), Event("authn_key_revoked", "acme")):  # fmt: skip
        core.jwt.on_event(event)
    assert core.ask(token).status_code == 200


def test_a_trade_under_way_while_its_key_ends_begins_nothing(tmp_path, monkeypatch):
    """The key was good at IDENTIFY, and is not any more when the family would begin."""
    from secureml import Event
    from tests.token_app import TokenApp

    core = TokenApp(tmp_path)
    families = core.jwt._families
    begin = families.open

    def late(*args, **words):
        core.jwt.on_event(Event("authn_key_revoked", "acme", {"credential": words["origin"]}))
        return begin(*args, **words)

    monkeypatch.setattr(families, "open", late)
    answer = core.trade()
    assert (answer.status_code, core.reason) == (401, "jwt.origin_ended")
    assert families.list() == []


@pytest.mark.parametrize("back", [1, 4.9])
def test_a_clock_that_is_set_back_refuses_no_token_of_ours(tmp_path, back):
    """NTP steps, or another host is a little behind: neither access nor refresh is lost."""
    core = TokenApp(tmp_path)
    pair = core.pair()
    core.clock.advance(-back)
    assert core.ask(pair["access_token"]).status_code == 200
    assert core.refresh(pair["refresh_token"]).status_code == 200


def test_a_leeway_lengthens_no_life(tmp_path):
    core = TokenApp(tmp_path, leeway="60s")
    token = core.pair()["access_token"]
    core.clock.advance(900)
    assert core.ask(token).status_code == 401
    assert core.reason == "jwt.expired"
