"""Who asks: one way at a time, read as RFC 6749 writes it."""

from __future__ import annotations

import base64

import pytest
from authlib.oauth2.rfc6749 import InvalidClientError, InvalidRequestError

from plugins.oauth2_server.clients import DEVICE, MACHINE
from plugins.oauth2_server.credentials import BASIC, NONE, POST, Given, read
from plugins.oauth2_server.passwords import Passwords
from plugins.oauth2_server.request import OAuth2Request, RequestData
from tests.oauth_app import PASSWORD


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


# -- every way that is not one, at every endpoint --------------------------------------------

ENDPOINTS = ("token", "device_authorization", "introspect", "revoke")
FORM = {"grant_type": "client_credentials", "token": "x", "scope": "predict"}


@pytest.fixture(scope="module")
def programs(shared):
    """Programs in every state, by name: id and secret."""
    found = {
        "web": (shared.web, shared.web_secret),
        "machine": (shared.machine, shared.machine_secret),
        "public": (shared.program(grants=[DEVICE], public=True)[0], "scs_" + "p" * 43),
        "revoked": shared.program(grants=[MACHINE, DEVICE]),
        "disabled": None,
    }
    shared.clients.add("gone", scopes=["predict"])
    found["disabled"] = shared.program("gone", grants=[MACHINE, DEVICE])
    shared.server.clients.revoke(found["revoked"][0])
    shared.clients.set_enabled("gone", enabled=False)
    return found


def presented(way, programs):
    """Return what a request shows of who sent it: its header's pair, and its form."""
    (name, secret), public = programs["machine"], programs["public"]
    return {
        "nobody": (None, {}),
        "an unknown id": (None, {"client_id": "oc_" + "0" * 32}),
        "a secret without an id": (None, {"client_secret": secret}),
        "an id without its secret": (None, {"client_id": name}),
        "an empty secret": (None, {"client_id": name, "client_secret": ""}),
        "the secret of another": ((name, programs["web"][1]), {}),
        "the id of another": ((programs["web"][0], secret), {}),
        "a secret in capitals": ((name, secret.upper()), {}),
        "a secret and more": ((name, secret + "x"), {}),
        "a secret cut short": ((name, secret[:-1]), {}),
        "id and secret the wrong way round": ((secret, name), {}),
        "a public program with a secret": (
            None,
            {"client_id": public[0], "client_secret": public[1]},
        ),
        "a public program by Basic": (public, {}),
        "a public program by an empty Basic": ((public[0], ""), {}),
        "a revoked program": (programs["revoked"], {}),
        "a program of a disabled client": (programs["disabled"], {}),
        "a signed assertion": (
            None,
            {
                "client_id": name,
                "client_assertion": "eyJhbGciOiJub25lIn0.e30.",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            },
        ),
        "a client named by its local name": (("partner", secret), {}),
        "a person's name and password": (("ann", PASSWORD), {}),
    }[way]


WAYS = (
    "nobody", "an unknown id", "a secret without an id", "an id without its secret",
    "an empty secret", "the secret of another", "the id of another", "a secret in capitals",
    "a secret and more", "a secret cut short", "id and secret the wrong way round",
    "a public program with a secret", "a public program by Basic",
    "a public program by an empty Basic", "a revoked program", "a program of a disabled client",
    "a signed assertion", "a client named by its local name", "a person's name and password",
)  # fmt: skip


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_attack_every_wrong_way_to_say_who_one_is_reads_alike(shared, programs, endpoint):
    """RFC 6749, 2.3 and 5.2: 401 with a challenge, and not a word on what was wrong."""
    answers = set()
    for way in WAYS:
        auth, form = presented(way, programs)
        answer = shared.post(f"/oauth2/{endpoint}", auth, **{**FORM, **form})
        assert answer.status_code == 401, (way, answer.text)
        body = {name: value for name, value in answer.json.items() if name != "id"}
        answers.add(
            (str(body), answer.headers["WWW-Authenticate"], answer.headers["Cache-Control"])
        )
    assert answers == {
        (
            str({
                "error": "invalid_client",
                "error_description": "The OAuth client could not be authenticated",
            }),
            'Basic realm="secureml", charset="UTF-8"',
            "no-store",
        )
    }  # fmt: skip


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("more", [{"client_secret": "x"}, {"client_id": "x"}])
def test_attack_two_ways_at_once_are_one_too_many_everywhere(shared, endpoint, more):
    """RFC 6749, 2.3: which of the two a reader takes must not matter."""
    auth = (shared.machine, shared.machine_secret)
    answer = shared.post(f"/oauth2/{endpoint}", auth, **{**FORM, **more})
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("name", ["client_secret", "client_id", "token", "x"])
def test_attack_who_one_is_said_in_the_address(shared, endpoint, name):
    """RFC 6749, 2.3.1: never in a query; nor anything else, so that nobody gets used to it."""
    auth = (shared.machine, shared.machine_secret)
    answer = shared.post(f"/oauth2/{endpoint}?{name}=x", auth, **FORM)
    assert answer.status_code == 400
    assert shared.reason in ("oauth2_server.in_url", "oauth2_server.query")


@pytest.mark.parametrize("scheme", ["basic", "BASIC", "Basic "])
def test_the_scheme_is_read_in_any_case(shared, scheme):
    """RFC 9110, 11.1."""
    pair = base64.b64encode(f"{shared.machine}:{shared.machine_secret}".encode()).decode()
    headers = {"Authorization": f"{scheme} {pair}"}
    assert shared.token(headers=headers, grant_type="client_credentials").status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "DPoP", "Negotiate", "Digest", "Basic,Basic", ""])
def test_no_other_scheme_says_who_a_program_is(shared, scheme):
    pair = base64.b64encode(f"{shared.machine}:{shared.machine_secret}".encode()).decode()
    headers = {"Authorization": f"{scheme} {pair}"}
    answer = shared.token(headers=headers, grant_type="client_credentials")
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")


def test_attack_an_access_token_used_to_authenticate_a_program(shared):
    """Its own token is not its secret."""
    token = shared.machine_token()["access_token"]
    for auth in ((shared.machine, token), (token, ""), (token, token)):
        answer = shared.token(auth, grant_type="client_credentials")
        assert answer.json["error"] == "invalid_client"
    headers = {"Authorization": f"Bearer {token}"}
    answer = shared.token(headers=headers, grant_type="client_credentials")
    assert answer.json["error"] == "invalid_client"


def test_a_program_says_its_id_beside_its_header_if_it_likes(shared):
    auth = (shared.machine, shared.machine_secret)
    answer = shared.token(auth, grant_type="client_credentials", client_id=shared.machine)
    assert answer.status_code == 200


def test_a_parameter_without_a_value_was_not_sent(shared):
    """RFC 6749, 3.2: an empty secret beside the header is no second way."""
    auth = (shared.machine, shared.machine_secret)
    answer = shared.token(auth, grant_type="client_credentials", client_secret="", scope="")
    assert (answer.status_code, answer.json["scope"]) == (200, "models:read other predict")
