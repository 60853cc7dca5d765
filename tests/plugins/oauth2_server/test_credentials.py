"""Who asks: one way at a time, read as RFC 6749 writes it."""

from __future__ import annotations

import base64

import pytest
from authlib.oauth2.rfc6749 import InvalidClientError, InvalidRequestError

from plugins.oauth2_server.credentials import BASIC, NONE, POST, Given, read
from plugins.oauth2_server.passwords import Passwords
from plugins.oauth2_server.request import OAuth2Request, RequestData


def asked(authorization="", **form):
    return OAuth2Request(
        RequestData("https://ml.example.org/t", "POST", form, authorization, None, print)
    )


def basic(text):
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_each_way_is_read():
    assert read(asked(client_id="a")) == Given(NONE, "a", "")
    assert read(asked(client_id="a", client_secret="s")) == Given(POST, "a", "s")
    assert read(asked(basic("a:s:t"))) == Given(BASIC, "a", "s:t")
    assert read(asked(basic("a:s"), client_id="a")) == Given(BASIC, "a", "s")


def test_both_halves_were_form_encoded():
    """openid-client writes even a hyphen so (RFC 6749, 2.3.1)."""
    assert read(asked(basic("oc%5F1:a%2Db+c"))) == Given(BASIC, "oc_1", "a-b c")


@pytest.mark.parametrize(
    "header", ["Basic", "Basic !", basic("a"), basic("a:%ff"), "Bearer x", "Basic //8="]
)
def test_what_cannot_be_read_is_nobody(header):
    with pytest.raises(InvalidClientError):
        read(asked(header))


def test_two_ways_or_two_names_at_once_are_refused():
    with pytest.raises(InvalidRequestError):
        read(asked(basic("a:s"), client_id="a", client_secret="s"))
    with pytest.raises(InvalidRequestError):
        read(asked(basic("a:s"), client_id="b"))


def test_a_failure_is_told_without_what_was_sent(core):
    core.token((core.machine, "wrong"), grant_type="client_credentials")
    core.token(("wicked", "wrong"), grant_type="client_credentials")
    known, unknown = core.happened("authn_login_fail")
    assert known == {"oauth_client": core.machine, "by": BASIC}
    assert unknown == {"oauth_client": "", "by": BASIC}


def test_a_secret_in_the_body_counts_and_no_secret_does_not(core):
    form = {"grant_type": "client_credentials", "client_id": core.machine}
    assert core.token(client_secret=core.machine_secret, **form).status_code == 200
    assert core.token(**form).status_code == 401


def test_attack_texts_that_are_no_secret_make_us_compute_nothing(core, monkeypatch):
    """The shape of a secret is public, so what has another costs no slow hash and tells nothing."""
    hashed = []
    verify = Passwords.verify
    monkeypatch.setattr(
        Passwords, "verify", lambda self, *words: hashed.append(words) or verify(self, *words)
    )
    for name in (core.machine, "oc_unknown"):
        for secret in ("", "wrong", "x" * 4000, "scs_" + "a" * 42, "scs_" + "é" * 43):
            answer = core.token((name, secret), grant_type="client_credentials")
            assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
    assert hashed == []
    for name in (core.machine, "oc_unknown"):
        answer = core.token((name, "scs_" + "a" * 43), grant_type="client_credentials")
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
    assert len(hashed) == 2
    core.machine_token()
