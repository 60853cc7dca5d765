"""Known attacks on how a token is used: the wrong kind, twice, too late, or in the wrong place."""

from __future__ import annotations

import sqlite3

import pytest
from token_app import TokenApp, refused

from secureml.kit import jwt_claims


def test_attack_a_refresh_token_used_for_access(core):
    """Wrong in header and claim; mending either is not enough."""
    refresh = core.pair()["refresh_token"]
    assert refused(core, refresh, "jwt.typ")
    assert refused(core, core.forge(refresh, header={"typ": "at+jwt"}), "jwt.type")


def test_attack_an_access_token_used_to_refresh(core, token):
    """The same the other way round."""
    for text, reason in (
        (token, "jwt.typ"),
        (core.forge(token, header={"typ": "rt+jwt"}), "jwt.type"),
        (core.forge(token, header={"typ": "rt+jwt"}, claims={"type": "refresh"}), "jwt.replayed"),
    ):
        assert core.refresh(text).status_code == 401
        assert core.reason == reason


@pytest.mark.parametrize(
    "typ", ["JWT", "jwt", "AT+JWT", "application/at+jwt", "dpop+jwt", "logout+jwt", "", None, 1]
)
def test_attack_another_kind_of_token_from_the_same_key(core, token, typ):
    """An ID token, a proof or a logout token is no access token (RFC 8725, 3.11)."""
    assert refused(core, core.forge(token, header={"typ": typ}), "jwt.typ")


# -- replay and time ----------------------------------------------------------------------


def test_attack_a_replayed_refresh_token_ends_the_family(core):
    """Thief and owner cannot be told apart, so neither goes on."""
    first = core.pair()
    second = core.refresh(first["refresh_token"]).json
    assert core.ask(second["access_token"]).status_code == 200

    assert core.refresh(first["refresh_token"]).status_code == 401
    assert core.reason == "jwt.replayed"
    for text in (first["access_token"], second["access_token"]):
        assert refused(core, text, "jwt.family_revoked")
    assert core.refresh(second["refresh_token"]).status_code == 401


def test_attack_a_replay_ends_no_family_but_its_own(core):
    """Another trade of the same client stands."""
    other, first = core.pair(), core.pair()
    core.refresh(first["refresh_token"])
    core.refresh(first["refresh_token"])

    assert core.ask(other["access_token"]).status_code == 200


def test_attack_a_token_is_not_good_at_the_very_second_it_expires(core, token):
    """RFC 7519: on or after. It was proven and remembered, and that does not help it."""
    core.clock.advance(899.999)
    assert core.ask(token).status_code == 200
    core.clock.advance(0.001)

    assert refused(core, token, "jwt.expired")


def test_attack_refreshing_for_ever(core):
    """Thirty days from the trade everything that came of it is over."""
    pair = core.pair()
    for _ in range(30):
        core.clock.advance(86399)
        pair = core.refresh(pair["refresh_token"]).json
    assert pair["refresh_expires_in"] == pair["expires_in"] == 30
    core.clock.advance(30)

    assert core.refresh(pair["refresh_token"]).status_code == 401
    assert core.reason == "jwt.expired"


def test_attack_a_token_before_its_time(core, token):
    """Signed by us, but for tomorrow."""
    ahead = core.clock() + 10
    assert refused(core, core.forge(token, claims={"nbf": ahead}), "jwt.nbf")
    assert refused(core, core.forge(token, claims={"iat": ahead}), "jwt.iat")


def test_attack_a_token_that_lives_longer_than_any_of_ours(core, token):
    """Its age counts, not only what it says of its end."""
    forged = core.forge(token, claims={"exp": core.clock() + 10**7})
    assert core.ask(forged).status_code == 200
    core.clock.advance(900)

    assert refused(core, forged, "jwt.too_old")


# -- shape and place ----------------------------------------------------------------------


def test_attack_the_signature_stripped(core, token):
    """Empty, gone, or cut short."""
    head, body, signature = token.split(".")
    for text in (
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}.{body}.{signature[:-2]}",
        f"{head}.{body}.{signature}AA",
        f"{head}..{signature}",
        "..",
        ".",
        "",
    ):
        assert refused(core, text), text


def test_attack_one_bit_anywhere(core, token):
    """Every character counts, but for the four bits that base64 leaves unused."""
    for place in range(0, len(token) - 1, 7):
        if token[place] == ".":
            continue
        other = "B" if token[place] == "A" else "A"
        assert refused(core, token[:place] + other + token[place + 1 :]), place


def test_attack_an_oversize_token_is_refused_before_it_is_read(core, token, monkeypatch):
    """Beyond 4 KiB nothing is parsed, whatever it would say."""
    big = core.forge(token, claims={"pad": "x" * 4096})
    monkeypatch.setattr(jwt_claims, "_object", None)

    assert refused(core, big, "jwt.oversize")


def test_attack_json_nested_beyond_reason(core, token):
    """The parser's own recursion limit is a refusal, not a fault."""
    for raw in ("[" * 2500, '{"a":' * 500 + "1" + "}" * 500, "[" * 1200 + "]" * 1200):
        assert refused(core, core.forge(token, raw=raw))


@pytest.mark.parametrize("raw", ["", "null", "7", '"x"', "[]", "{", "\ufeff{}", "{'a': 1}"])
def test_attack_claims_that_are_no_object(core, token, raw):
    """JSON objects and nothing else."""
    assert refused(core, core.forge(token, raw=raw))


@pytest.mark.parametrize(
    "text",
    [
        "a.b.c",
        "\xff\xfe.\xff.\xff",
        "é.é.é",
        "a b.c.d",
        "a.b.c d",
        "a.b.c,d.e.f",
        "=.=.=",
        "Bearer",
        "." * 4000,
    ],
)
def test_attack_texts_that_are_no_tokens(core, text):
    """Any text at all has an answer, and it is the same one."""
    assert refused(core, text)


def test_attack_the_same_token_padded_or_folded(core, token):
    """One token, one text: padding, spaces and line breaks do not make another."""
    for text in (f"{token}=", f"{token}==", f"{token} x", f" {token} {token}", f"{token},{token}"):
        assert refused(core, text), text


@pytest.mark.parametrize("name", ["access_token", "refresh_token", "token", "jwt", "x"])
def test_attack_a_token_in_the_url(core, token, name):
    """Refused although it is good: it is in every log by now. Public routes included."""
    for path in ("/v1/models", "/healthz", "/nowhere"):
        answer = core.http.get(f"{path}?{name}={token}")
        assert (answer.status_code, answer.json["code"]) == (400, "credential_in_url")
    assert core.http.get("/v1/models?a=1&access_token=short").status_code == 400


def test_attack_two_credentials_at_once(core, token):
    """Which of the two callers it is nobody could know; order in a list must not decide."""
    for headers in (
        {"X-API-Key": core.key, "Authorization": f"Bearer {token}"},
        {"X-API-Key": "wrong", "Authorization": f"Bearer {token}"},
        {"X-API-Key": core.key, "Authorization": "Bearer wrong"},
        {"X-API-Key": "", "Authorization": ""},
    ):
        answer = core.http.get("/v1/models", headers=headers)
        assert (answer.status_code, answer.json["code"]) == (400, "malformed_request")
        assert core.reason == "two_credentials"


def test_attack_a_token_in_a_cookie_or_body(core, token):
    """There is one place for it (RFC 6750, 2.2 and 2.3 are not offered)."""
    core.http.set_cookie("access_token_cookie", token)
    assert core.http.get("/v1/models").status_code == 401
    assert core.http.post("/v1/models", data={"access_token": token}).status_code == 401


def test_attack_the_answer_tells_nothing_apart(core, token):
    """Unknown, expired, revoked, forged and disabled answer alike, byte for byte."""
    expired = token
    core.clock.advance(1000)
    good = core.pair()["access_token"]
    revoked = core.pair()["access_token"]
    core.revoke(revoked)

    def answer(text):
        found = core.ask(text)
        body = {**found.json, "id": ""}
        return found.status, sorted(found.headers), body

    texts = (expired, revoked, core.forge(good, drop=["jti"]), "a.b.c")
    answers = [answer(text) for text in texts]
    core.harness.clients.set_enabled("acme", enabled=False)
    answers.append(answer(good))
    assert all(found == answers[0] for found in answers)


def test_attack_the_store_taken_away(core, token, tmp_path):
    """What was true a moment ago is no permission now."""
    assert core.ask(token).status_code == 200
    (tmp_path / "secureml.db").rename(tmp_path / "elsewhere.db")

    answer = core.ask(token)
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")


def test_attack_the_store_emptied(core, token, tmp_path):
    """A family that is not on record does not stand: an empty table opens nothing."""
    with sqlite3.connect(tmp_path / "secureml.db") as connection:
        connection.execute("DELETE FROM jwt_families")
        connection.execute("UPDATE changes SET version = version + 1 WHERE topic = 'clients'")
    connection.close()

    assert refused(core, token, "jwt.family_unknown")


def test_attack_a_token_of_another_application_of_the_same_name(core, tmp_path):
    """Same issuer, same audience, same client: another key is another application."""
    (tmp_path / "other").mkdir()
    other = TokenApp(tmp_path / "other").pair()

    assert refused(core, other["access_token"], "jwt.proof.InvalidTokenError")
    assert core.refresh(other["refresh_token"]).status_code == 401
