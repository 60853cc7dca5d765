"""Known attacks on how a token is used: the wrong kind, twice, too late, or in the wrong place."""

from __future__ import annotations

import sqlite3

import pytest
from token_house import TokenHouse, refused

from plugins.jwt import tokens


def test_attack_a_refresh_token_used_for_access(house):
    """Wrong in header and claim; mending either is not enough."""
    refresh = house.pair()["refresh_token"]
    assert refused(house, refresh, "jwt.typ")
    assert refused(house, house.forge(refresh, header={"typ": "at+jwt"}), "jwt.type")


def test_attack_an_access_token_used_to_refresh(house, token):
    """The same the other way round."""
    for text, reason in (
        (token, "jwt.typ"),
        (house.forge(token, header={"typ": "rt+jwt"}), "jwt.type"),
        (house.forge(token, header={"typ": "rt+jwt"}, claims={"type": "refresh"}), "jwt.replayed"),
    ):
        assert house.refresh(text).status_code == 401
        assert house.reason == reason


@pytest.mark.parametrize(
    "typ", ["JWT", "jwt", "AT+JWT", "application/at+jwt", "dpop+jwt", "logout+jwt", "", None, 1]
)
def test_attack_another_kind_of_token_from_the_same_key(house, token, typ):
    """An ID token, a proof or a logout token is no access token (RFC 8725, 3.11)."""
    assert refused(house, house.forge(token, header={"typ": typ}), "jwt.typ")


# -- replay and time ----------------------------------------------------------------------


def test_attack_a_replayed_refresh_token_ends_the_family(house):
    """Thief and owner cannot be told apart, so neither goes on."""
    first = house.pair()
    second = house.refresh(first["refresh_token"]).json
    assert house.ask(second["access_token"]).status_code == 200

    assert house.refresh(first["refresh_token"]).status_code == 401
    assert house.reason == "jwt.replayed"
    for text in (first["access_token"], second["access_token"]):
        assert refused(house, text, "jwt.family_revoked")
    assert house.refresh(second["refresh_token"]).status_code == 401


def test_attack_a_replay_ends_no_family_but_its_own(house):
    """Another trade of the same client stands."""
    other, first = house.pair(), house.pair()
    house.refresh(first["refresh_token"])
    house.refresh(first["refresh_token"])

    assert house.ask(other["access_token"]).status_code == 200


def test_attack_a_token_is_not_good_at_the_very_second_it_expires(house, token):
    """RFC 7519: on or after. It was proven and remembered, and that does not help it."""
    house.clock.advance(899.999)
    assert house.ask(token).status_code == 200
    house.clock.advance(0.001)

    assert refused(house, token, "jwt.expired")


def test_attack_refreshing_for_ever(house):
    """Thirty days from the trade everything that came of it is over."""
    pair = house.pair()
    for _ in range(30):
        house.clock.advance(86399)
        pair = house.refresh(pair["refresh_token"]).json
    assert pair["refresh_expires_in"] == pair["expires_in"] == 30
    house.clock.advance(30)

    assert house.refresh(pair["refresh_token"]).status_code == 401
    assert house.reason == "jwt.expired"


def test_attack_a_token_before_its_time(house, token):
    """Signed by us, but for tomorrow."""
    ahead = house.clock() + 10
    assert refused(house, house.forge(token, claims={"nbf": ahead}), "jwt.nbf")
    assert refused(house, house.forge(token, claims={"iat": ahead}), "jwt.iat")


def test_attack_a_token_that_lives_longer_than_any_of_ours(house, token):
    """Its age counts, not only what it says of its end."""
    forged = house.forge(token, claims={"exp": house.clock() + 10**7})
    assert house.ask(forged).status_code == 200
    house.clock.advance(900)

    assert refused(house, forged, "jwt.too_old")


# -- shape and place ----------------------------------------------------------------------


def test_attack_the_signature_stripped(house, token):
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
        assert refused(house, text), text


def test_attack_one_bit_anywhere(house, token):
    """Every character counts, but for the four bits that base64 leaves unused."""
    for place in range(0, len(token) - 1, 7):
        if token[place] == ".":
            continue
        other = "B" if token[place] == "A" else "A"
        assert refused(house, token[:place] + other + token[place + 1 :]), place


def test_attack_an_oversize_token_is_refused_before_it_is_read(house, token, monkeypatch):
    """Beyond 4 KiB nothing is parsed, whatever it would say."""
    big = house.forge(token, claims={"pad": "x" * 4096})
    monkeypatch.setattr(tokens, "_object", None)

    assert refused(house, big, "jwt.oversize")


def test_attack_json_nested_beyond_reason(house, token):
    """The parser's own recursion limit is a refusal, not a fault."""
    for raw in ("[" * 2500, '{"a":' * 500 + "1" + "}" * 500, "[" * 1200 + "]" * 1200):
        assert refused(house, house.forge(token, raw=raw))


@pytest.mark.parametrize("raw", ["", "null", "7", '"x"', "[]", "{", "\ufeff{}", "{'a': 1}"])
def test_attack_claims_that_are_no_object(house, token, raw):
    """JSON objects and nothing else."""
    assert refused(house, house.forge(token, raw=raw))


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
def test_attack_texts_that_are_no_tokens(house, text):
    """Any text at all has an answer, and it is the same one."""
    assert refused(house, text)


def test_attack_the_same_token_padded_or_folded(house, token):
    """One token, one text: padding, spaces and line breaks do not make another."""
    for text in (f"{token}=", f"{token}==", f"{token} x", f" {token} {token}", f"{token},{token}"):
        assert refused(house, text), text


@pytest.mark.parametrize("name", ["access_token", "refresh_token", "token", "jwt", "x"])
def test_attack_a_token_in_the_url(house, token, name):
    """Refused although it is good: it is in every log by now. Public routes included."""
    for path in ("/v1/models", "/healthz", "/nowhere"):
        answer = house.http.get(f"{path}?{name}={token}")
        assert (answer.status_code, answer.json["code"]) == (400, "credential_in_url")
    assert house.http.get("/v1/models?a=1&access_token=short").status_code == 400


def test_attack_two_credentials_at_once(house, token):
    """Which of the two callers it is nobody could know; order in a list must not decide."""
    for headers in (
        {"X-API-Key": house.key, "Authorization": f"Bearer {token}"},
        {"X-API-Key": "wrong", "Authorization": f"Bearer {token}"},
        {"X-API-Key": house.key, "Authorization": "Bearer wrong"},
        {"X-API-Key": "", "Authorization": ""},
    ):
        answer = house.http.get("/v1/models", headers=headers)
        assert (answer.status_code, answer.json["code"]) == (400, "malformed_request")
        assert house.reason == "two_credentials"


def test_attack_a_token_in_a_cookie_or_body(house, token):
    """There is one place for it (RFC 6750, 2.2 and 2.3 are not offered)."""
    house.http.set_cookie("access_token_cookie", token)
    assert house.http.get("/v1/models").status_code == 401
    assert house.http.post("/v1/models", data={"access_token": token}).status_code == 401


def test_attack_the_answer_tells_nothing_apart(house, token):
    """Unknown, expired, revoked, forged and disabled answer alike, byte for byte."""
    expired = token
    house.clock.advance(1000)
    good = house.pair()["access_token"]
    revoked = house.pair()["access_token"]
    house.revoke(revoked)

    def answer(text):
        found = house.ask(text)
        body = {**found.json, "id": ""}
        return found.status, sorted(found.headers), body

    texts = (expired, revoked, house.forge(good, drop=["jti"]), "a.b.c")
    answers = [answer(text) for text in texts]
    house.harness.clients.set_enabled("acme", enabled=False)
    answers.append(answer(good))
    assert all(found == answers[0] for found in answers)


def test_attack_the_store_taken_away(house, token, tmp_path):
    """What was true a moment ago is no permission now."""
    assert house.ask(token).status_code == 200
    (tmp_path / "secureml.db").rename(tmp_path / "elsewhere.db")

    answer = house.ask(token)
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")


def test_attack_the_store_emptied(house, token, tmp_path):
    """A family that is not on record does not stand: an empty table opens nothing."""
    with sqlite3.connect(tmp_path / "secureml.db") as connection:
        connection.execute("DELETE FROM jwt_families")
        connection.execute("UPDATE changes SET version = version + 1 WHERE topic = 'clients'")
    connection.close()

    assert refused(house, token, "jwt.family_unknown")


def test_attack_a_token_of_another_house_of_the_same_name(house, tmp_path):
    """Same issuer, same audience, same client: another key is another house."""
    (tmp_path / "other").mkdir()
    other = TokenHouse(tmp_path / "other").pair()

    assert refused(house, other["access_token"], "jwt.proof.InvalidTokenError")
    assert house.refresh(other["refresh_token"]).status_code == 401
