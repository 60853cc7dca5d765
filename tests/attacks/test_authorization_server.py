"""Known attacks on an authorization server; each must fail, and most must be told of.

RFC 9700 (OAuth 2.0 Security Best Current Practice) names them, RFC 9449 those on proofs.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode

import pytest

from plugins.oauth2.server import passwords as passwords_module
from plugins.oauth2.server.clients import CODE, DEVICE, REFRESH
from tests.oauth_house import (
    BACK,
    ISSUER,
    PASSWORD,
    SITE,
    VERIFIER,
    OAuthHouse,
    challenge,
    told,
)
from tests.outside_issuer import EC, EC_OTHER, forge, jwks, sign
from tests.token_house import pack, unpack


@pytest.fixture
def house(tmp_path):
    made = OAuthHouse(tmp_path)
    yield made
    made.close()


def refused(answer, error, status=400):
    """Demand the protocol's error, nobody's cache, and no redirect."""
    assert (answer.status_code, answer.json["error"]) == (status, error), answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Location" not in answer.headers
    return True


# -- codes --------------------------------------------------------------------------------


def test_attack_a_replayed_code_ends_what_the_first_use_gave(house):
    code = house.code()
    pair = house.trade(code).json
    assert house.ask(pair["access_token"]).status_code == 200

    assert refused(house.trade(code), "invalid_grant")
    assert house.ask(pair["access_token"]).status_code == 401
    assert refused(house.refresh(pair["refresh_token"]), "invalid_grant")
    assert house.happened("authn_token_reuse")


def test_attack_a_code_shown_by_a_thief_first_gives_its_owner_nothing_either(house):
    """The thief fails for want of the verifier, and has used the code up."""
    code = house.code()
    assert refused(house.trade(code, code_verifier="b" * 43), "invalid_grant")
    assert refused(house.trade(code), "invalid_grant")


def test_attack_a_code_kept_for_later(house):
    code = house.code()
    house.clock.advance(60)
    assert refused(house.trade(code), "invalid_grant")


def test_attack_a_code_injected_into_another_program(house):
    """Its own secret and address do not make a stranger's code its own."""
    other = house.program(grants=[CODE, REFRESH], redirects=[BACK])
    assert refused(house.trade(house.code(), auth=other), "invalid_grant")


def test_attack_a_public_program_trades_the_code_of_one_with_a_secret(house):
    code = house.code()
    answer = house.trade(code, auth=(), client_id=house.web)
    assert refused(answer, "invalid_client", 401)
    public, _ = house.program(grants=[CODE], redirects=[BACK], public=True)
    assert refused(house.trade(code, auth=(), client_id=public), "invalid_grant")


@pytest.mark.parametrize("uri", ["https://app.example.org/other", None, f"{BACK}/", "x"])
def test_attack_a_code_traded_with_another_redirect_uri(house, uri):
    """Both are registered; the code was sent to one of them (RFC 6749, 4.1.3)."""
    web = house.program(
        grants=[CODE], redirects=[BACK, "https://app.example.org/other", f"{BACK}/"]
    )
    code = house.code(client_id=web[0])
    assert refused(house.trade(code, auth=web, redirect_uri=uri), "invalid_grant")


def test_attack_guessing_codes_and_tokens(house):
    for text in ("", "sac_", "x" * 300, "sac_" + "A" * 43):
        error = "invalid_grant" if text else "invalid_request"
        assert refused(house.trade(text), error)
        assert refused(house.refresh(text), error)


# -- PKCE -----------------------------------------------------------------------------------


@pytest.mark.parametrize("public", [True, False])
@pytest.mark.parametrize(
    "changed",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge": None},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": "plain", "code_challenge": VERIFIER},
        {"code_challenge_method": "s256"},
        {"code_challenge_method": "S512"},
        {"code_challenge": challenge() + "="},
        {"code_challenge": challenge()[:-1]},
        {"code_challenge": "é" * 43},
    ],
)
def test_attack_pkce_downgrade_is_refused_at_the_first_step(house, public, changed):
    """Whoever the program is, before a person is asked: the library hands out the code."""
    program, _ = house.program(grants=[CODE], redirects=[BACK], public=public)
    answer = house.get(house.request(client_id=program, **changed))
    assert answer.status_code == 303
    assert told(answer) == {"error": "invalid_request", "state": "s-1", "iss": ISSUER}


@pytest.mark.parametrize("verifier", [None, "", "a" * 42, "a" * 129, "b" * 43, challenge()])
def test_attack_a_code_without_its_verifier(house, verifier):
    answer = house.trade(house.code(), code_verifier=verifier)
    assert answer.status_code == 400
    assert answer.json["error"] in ("invalid_grant", "invalid_request")


# -- where browsers are sent ----------------------------------------------------------------

NEAR_MISSES = [
    "https://app.example.org/back/",
    "https://app.example.org/back?",
    "https://app.example.org/back#",
    "https://app.example.org/back?x=1",
    "https://app.example.org/back#frag",
    "https://app.example.org/back%20",
    "https://app.example.org/back/../back",
    "https://app.example.org/./back",
    "https://app.example.org//back",
    "https://app.example.org/Back",
    "https://app.example.org/bac",
    "https://app.example.org/backx",
    "https://app.example.org/back/more",
    "https://app.example.org/%62ack",
    "https://app.example.org/back%2F",
    "https://app.example.org/back;x",
    "https://app.example.org/back\\",
    "https://app.example.org:443/back",
    "https://app.example.org:8443/back",
    "https://app.example.org./back",
    "https://APP.example.org/back",
    "HTTPS://app.example.org/back",
    "http://app.example.org/back",
    "https://app.example.org@evil.example/back",
    "https://evil.example@app.example.org/back",
    "https://app.example.org.evil.example/back",
    "https://evil.example/https://app.example.org/back",
    "https://app.example.org%2eevil.example/back",
    "https://app.example.org\\@evil.example/back",
    "https://app.example.org%00.evil.example/back",
    "https://sub.app.example.org/back",
    "https://example.org/back",
    "https://аpp.example.org/back",  # noqa: RUF001 - the first letter is Cyrillic
    "https://xn--pp-7kc.example.org/back",
    "//app.example.org/back",
    "/back",
    "app.example.org/back",
    "javascript:alert(1)//app.example.org/back",
    "data:text/html,back",
    " https://app.example.org/back",
    "https://app.example.org/back ",
    "https://app.example.org/back\t",
    "https://app.example.org/back\r\nLocation: https://evil.example",
    "urn:ietf:wg:oauth:2.0:oob",
]


@pytest.mark.parametrize("uri", NEAR_MISSES)
def test_attack_a_redirect_uri_that_is_nearly_the_registered_one(house, uri):
    """Byte for byte, told on a page, and never by going there (RFC 9700, 2.1)."""
    assert len(NEAR_MISSES) >= 40
    page = house.get(house.request(redirect_uri=uri))
    assert (page.status_code, "Location" in page.headers) == (400, False)
    assert page.mimetype == "text/html"
    assert "evil" not in page.text


@pytest.mark.parametrize(
    "changed",
    [
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": None},
        {"client_id": None},
        {"client_id": "oc_" + "0" * 32},
        {"client_id": "oc_" + "0" * 32, "redirect_uri": "https://evil.example/"},
        {"redirect_uri": "https://evil.example/", "response_type": "token"},
        {"redirect_uri": "https://evil.example/", "scope": "root"},
        {"redirect_uri": "https://evil.example/", "code_challenge": None},
        {"client_id": None, "response_type": 'x"é', "redirect_uri": "https://evil.example/"},
        {"redirect_uri": 'https://evil.example/"\\é'},
    ],
)
def test_attack_open_redirect_by_an_error(house, changed):
    page = house.get(house.request(**changed))
    assert page.status_code in (400, 401)
    assert "Location" not in page.headers
    assert "evil" not in page.text


def test_attack_open_redirect_by_the_way_through_the_sign_in(house):
    """After signing in, the browser comes back to our own address and to no other."""
    for more in ("&next=https://evil.example", "&return_to=//evil.example", "&redirect=%2F%2Fevil"):
        answer = house.sign_in(house.request() + more, house.browser())
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/oauth2/authorize?")


@pytest.mark.parametrize("kind", ["token", "id_token", "code token", "none", 'x"\\', "é"])
def test_attack_another_response_type(house, kind):
    """The implicit grant would put tokens into addresses (RFC 9700, 2.1.2)."""
    answer = house.get(house.request(response_type=kind))
    assert told(answer) == {"error": "unsupported_response_type", "state": "s-1", "iss": ISSUER}


@pytest.mark.parametrize("grant", ["password", "implicit", "", "x", 'x"é'])
def test_attack_another_grant(house, grant):
    auth = (house.machine, house.machine_secret)
    answer = house.token(auth, grant_type=grant, username="ann", password=PASSWORD)
    assert refused(answer, "unsupported_grant_type")


def test_attack_mix_up_is_seen_by_the_issuer_in_every_answer(house):
    """RFC 9207: agreed, declined and refused alike say who answers."""
    agreed = told(house.decide())
    assert agreed["iss"] == ISSUER
    assert set(agreed) == {"code", "state", "iss"}
    assert told(house.decide("deny")) == {"error": "access_denied", "state": "s-1", "iss": ISSUER}
    beyond = told(house.get(house.request(scope="root")))
    assert beyond == {"error": "invalid_scope", "state": "s-1", "iss": ISSUER}


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "scope", "state", "code_challenge"])
def test_attack_a_parameter_given_twice_to_confuse_two_readers(house, name):
    answer = house.get(f"{house.request()}&{name}=x")
    assert (answer.status_code, "Location" in answer.headers) == (400, False)


def test_attack_a_form_that_names_a_parameter_twice(house):
    body = f"grant_type=client_credentials&client_id={house.machine}&client_id={house.web}"
    answer = house.http.post(
        "/oauth2/token",
        data=body,
        content_type="application/x-www-form-urlencoded",
        base_url=SITE,
    )
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")


# -- tokens for another purpose -------------------------------------------------------------


def test_attack_a_refresh_token_used_for_access(house):
    assert house.ask(house.pair()["refresh_token"]).status_code == 401


@pytest.mark.parametrize("typ", ["JWT", "id+jwt", "rt+jwt", "AT+JWT", "dpop+jwt", "", None])
def test_attack_an_id_token_used_for_access(house, typ):
    """Signed by our own key, with every claim right but for what it is (RFC 8725, 3.11)."""
    header, claims = taken_apart(house.machine_token()["access_token"])
    assert house.ask(resigned(house, {**header, "typ": typ}, claims)).status_code == 401


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://evil.example"},
        {"aud": "https://other.example.org"},
        {"aud": [SITE, "https://other.example.org"], "nonce": "n"},
        {"exp": None},
        {"exp": 1},
        {"iat": None},
        {"jti": None},
        {"jti": "0" * 32, "sid": "0" * 32},
        {"sid": None},
        {"sid": "' OR 1=1 --"},
        {"sub": None},
        {"sub": "ann"},
        {"client_id": None},
        {"client_id": "oc_" + "0" * 32},
        {"cnf": {"x5t#S256": "x"}},
        {"at_hash": "x"},
    ],
)
def test_attack_a_token_with_one_claim_wrong(house, changed):
    header, claims = taken_apart(house.machine_token()["access_token"])
    kept = {name: value for name, value in (claims | changed).items() if value is not None}
    assert house.ask(resigned(house, header, kept)).status_code == 401


def test_attack_a_token_that_names_our_issuer_under_another_key(house):
    header, claims = taken_apart(house.machine_token()["access_token"])
    public = house.signing.jwks()["keys"][0]
    for forged in (
        sign(header, claims, EC),
        sign({**header, "jwk": jwks(EC)["keys"][0]}, claims, EC),
        forge({**header, "alg": "HS256"}, claims, public["x"].encode()),
        ".".join([pack(b'{"alg":"none","typ":"at+jwt"}'), pack(b"{}"), ""]),
    ):
        assert house.ask(forged).status_code == 401


def test_attack_more_scope_than_the_token_has(house):
    """The signature is ours, and what it says beyond its grant counts for nothing."""
    text = house.machine_token(scope="predict")["access_token"]
    assert house.ask(text).status_code == 403
    header, claims = taken_apart(text)
    more = resigned(house, header, {**claims, "scope": "predict models:read"})
    assert house.ask(more).status_code == 403


def taken_apart(text):
    head, body, _ = text.split(".")
    return unpack(head), unpack(body)


def resigned(house, header, claims):
    """Sign with the real key, as a mistake of ours elsewhere could."""
    from cryptography.hazmat.primitives import serialization as s
    from joserfc.jwk import ECKey

    private = house.signing.active().private
    pem = private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    kept = {name: value for name, value in header.items() if value is not None}
    return sign(kept, claims, ECKey.import_key(pem))


# -- scopes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["root", "predict root", "PREDICT", "predict,models:read", "*"])
def test_attack_a_scope_beyond_the_program(house, scope):
    """Refused whole, never given in part and in silence."""
    auth = (house.machine, house.machine_secret)
    assert refused(house.token(auth, grant_type="client_credentials", scope=scope), "invalid_scope")


def test_attack_a_scope_beyond_what_the_program_was_narrowed_to(house):
    from plugins.oauth2.server.clients import MACHINE

    auth = house.program(grants=[MACHINE], scopes=["predict"])
    assert refused(
        house.token(auth, grant_type="client_credentials", scope="models:read"), "invalid_scope"
    )
    given = house.token(auth, grant_type="client_credentials").json
    assert given["scope"] == "predict"


def test_attack_a_person_lends_what_they_do_not_hold(house):
    """The program's client holds `other`, hers does not."""
    pair = house.pair(scope="models:read other")
    assert pair["scope"] == "models:read"
    assert told(house.decide(scope="other"))["error"] == "access_denied"


def test_attack_a_refresh_that_asks_for_more(house):
    pair = house.pair()
    assert refused(
        house.refresh(pair["refresh_token"], scope="models:read predict"), "invalid_scope"
    )
    assert house.refresh(pair["refresh_token"]).status_code == 200


# -- refresh and revocation -----------------------------------------------------------------


def test_attack_a_replayed_refresh_token_ends_the_family(house):
    first = house.pair()
    second = house.refresh(first["refresh_token"]).json
    assert house.ask(second["access_token"]).status_code == 200

    assert refused(house.refresh(first["refresh_token"]), "invalid_grant")
    for pair in (first, second):
        assert house.ask(pair["access_token"]).status_code == 401
        assert refused(house.refresh(pair["refresh_token"]), "invalid_grant")
    assert house.happened("authn_token_reuse")


def test_attack_a_made_up_refresh_token_ends_nobodys_family(house):
    """Whoever can end a family by guessing has a switch for others' sessions."""
    pair = house.pair()
    assert refused(house.refresh(pair["refresh_token"] + "x"), "invalid_grant")
    assert refused(house.refresh("srt_" + "A" * 43), "invalid_grant")
    assert house.ask(pair["access_token"]).status_code == 200


def test_attack_a_refresh_token_of_another_program(house):
    other = house.program(grants=[CODE, REFRESH], redirects=[BACK])
    assert refused(house.refresh(house.pair()["refresh_token"], auth=other), "invalid_grant")


def test_attack_refreshing_for_ever(house):
    pair = house.pair()
    for _ in range(30):
        house.clock.advance(86400 - 1)
        pair = house.refresh(pair["refresh_token"]).json
    house.clock.advance(30)
    assert refused(house.refresh(pair["refresh_token"]), "invalid_grant")


def test_attack_a_revoked_token_is_inactive_and_opens_nothing(house):
    """The library's own validation would go on believing the signature."""
    pair = house.pair()
    assert house.introspect(pair["access_token"]).json["active"] is True
    assert house.revoke(pair["access_token"]).status_code == 200
    assert house.introspect(pair["access_token"]).json == {"active": False}
    assert house.ask(pair["access_token"]).status_code == 401
    assert house.introspect(pair["refresh_token"]).json["active"] is True

    assert house.revoke(pair["refresh_token"]).status_code == 200
    assert house.introspect(pair["refresh_token"]).json == {"active": False}
    assert refused(house.refresh(pair["refresh_token"]), "invalid_grant")


def test_attack_asking_about_or_ending_the_tokens_of_another(house):
    pair, machine = house.pair(), (house.machine, house.machine_secret)
    for text in pair["access_token"], pair["refresh_token"]:
        assert house.introspect(text, machine).json == {"active": False}
        assert refused(house.revoke(text, machine), "invalid_grant")
    assert house.ask(pair["access_token"]).status_code == 200


def test_attack_a_stranger_asks_about_tokens(house):
    text = house.machine_token()["access_token"]
    public = house.device_program()
    assert refused(house.post("/oauth2/introspect", token=text), "invalid_client", 401)
    assert refused(
        house.post("/oauth2/introspect", token=text, client_id=public), "invalid_client", 401
    )


@pytest.mark.parametrize("what", ["program", "client", "person", "persons client", "key"])
def test_attack_a_token_outlives_whatever_it_stood_on(house, what):
    text = house.pair()["access_token"]
    assert house.ask(text).status_code == 200
    if what == "program":
        house.server.clients.revoke(house.web)
    elif what == "client":
        house.clients.set_enabled("partner", enabled=False)
    elif what == "person":
        house.server.users.remove("ann")
        house.server.users.add("ann", "acme", PASSWORD)  # another one, of the same name
        house.clock.advance(1)
        house.server.users.remove("ann")
        house.server.users.add("ann", "acme", PASSWORD)
    elif what == "persons client":
        house.clients.set_enabled("acme", enabled=False)
    else:
        house.signing.retire(house.signing.active().kid)
    assert house.ask(text).status_code == 401


# -- who asks -------------------------------------------------------------------------------


def test_attack_telling_known_programs_from_unknown_ones(house, monkeypatch):
    """One text, one status, and the same slow hash for both (no clock: the work is counted)."""
    work = []
    real = passwords_module.Passwords._matches
    monkeypatch.setattr(
        passwords_module.Passwords,
        "_matches",
        lambda self, text, hashed: work.append(hashed[:30]) or real(self, text, hashed),
    )
    seen = set()
    for name in (house.web, "oc_" + "0" * 32, "x", "é"):
        answer = house.token((name, f"scs_{'w' * 43}"), grant_type="client_credentials")
        assert refused(answer, "invalid_client", 401)
        seen.add((answer.json["error_description"], answer.headers["WWW-Authenticate"]))
    assert len(seen) == 1
    assert len(work) == 4
    assert len(set(work)) == 1  # the same parameters of the hash: m, t and p


@pytest.mark.parametrize("end", ["password", "removed"])
def test_attack_a_sign_in_by_the_old_password_overtakes_the_new_one(house, monkeypatch, end):
    """The old one is being checked while it is replaced and all that came of it is ended."""
    real = passwords_module.Passwords._matches

    def meanwhile(self, text, hashed):
        right = real(self, text, hashed)
        replace(house, end)
        return right

    page = house.get(house.request())
    monkeypatch.setattr(passwords_module.Passwords, "_matches", meanwhile)
    answer = house.submit(page, house.request(), step="sign-in", name="ann", password=PASSWORD)
    assert answer.status_code == 403
    assert 'value="sign-in"' in house.get(house.request()).text
    assert house.happened("authn_login_success") == []


@pytest.mark.parametrize("end", ["password", "removed"])
def test_attack_a_consent_in_flight_outlives_the_password_it_came_of(house, monkeypatch, end):
    """The session was looked at before it ended, the code is written after."""
    assert house.sign_in().status_code == 303
    page = house.get(house.request())
    codes = house.server.engine.codes
    real = codes.give

    def meanwhile(*given, **words):
        replace(house, end)
        return real(*given, **words)

    monkeypatch.setattr(codes, "give", meanwhile)
    answer = house.submit(page, house.request(), step="allow")
    assert told(answer)["error"] == "access_denied"


@pytest.mark.parametrize("end", ["password", "removed"])
def test_attack_a_device_decision_in_flight_outlives_the_password_it_came_of(
    house, monkeypatch, end
):
    """As a consent does not."""
    program = house.device_program()
    begun = house.post("/oauth2/device_authorization", client_id=program, scope="models:read").json
    address = f"/oauth2/device?user_code={begun['user_code']}"
    assert house.sign_in(address).status_code == 303
    page = house.get(address)
    devices = house.server.devices
    real = devices.decide

    def meanwhile(*given, **words):
        replace(house, end)
        return real(*given, **words)

    monkeypatch.setattr(devices, "decide", meanwhile)
    answer = house.submit(page, address, step="allow", user_code=begun["user_code"])
    assert "was not connected" in answer.text
    assert devices.look(begun["user_code"]) is not None


def replace(house, end):
    """Do what the commands for a new password or a removal do, once."""
    if house.server.users.get("ann") is None:
        return
    if end == "password":
        house.server.users.set_password("ann", f"{PASSWORD} new")
    else:
        house.server.users.remove("ann")
    house.server.end_lent_by("ann")


def test_attack_telling_known_people_from_unknown_ones(house, monkeypatch):
    work = []
    real = passwords_module.Passwords._matches
    monkeypatch.setattr(
        passwords_module.Passwords,
        "_matches",
        lambda self, text, hashed: work.append(1) or real(self, text, hashed),
    )
    pages = set()
    for name in ("ann", "nobody"):
        answer = house.sign_in(browser=house.browser(), name=name, password="wrong")
        assert answer.status_code == 403
        pages.add(re.sub(r'value="[0-9a-f]{64}"', "", answer.text))
    assert (len(pages), len(work)) == (1, 2)


@pytest.mark.parametrize(
    "auth",
    ["Basic", "Basic x", "Basic " + "A" * 5000, "Bearer x", "Basic eA==", "Basic //8=", "Digest x"],
)
def test_attack_malformed_client_credentials(house, auth):
    answer = house.token(headers={"Authorization": auth}, grant_type="client_credentials")
    assert refused(answer, "invalid_client", 401)


def test_attack_two_ways_of_authentication_at_once(house):
    answer = house.token(
        (house.machine, house.machine_secret),
        grant_type="client_credentials",
        client_id=house.machine,
        client_secret=house.machine_secret,
    )
    assert refused(answer, "invalid_request")
    answer = house.token(
        (house.machine, house.machine_secret), grant_type="client_credentials", client_id=house.web
    )
    assert refused(answer, "invalid_request")


@pytest.mark.parametrize("name", ["access_token", "client_secret", "refresh_token"])
def test_attack_a_credential_in_the_address(house, name):
    """Refused before anything reads it: by then it stands in every log on the way."""
    for path in ("/v1/models", "/oauth2/token", "/oauth2/authorize"):
        assert house.http.post(f"{path}?{name}=x", base_url=SITE).status_code == 400
        assert house.reason == "oauth2.in_url"


def test_attack_the_whole_request_in_the_address_of_the_token_endpoint(house):
    words = {"grant_type": "client_credentials", "client_id": house.machine}
    answer = house.post(
        f"/oauth2/token?{urlencode(words)}", (house.machine, house.machine_secret), x="y"
    )
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")
    assert house.reason == "oauth2.query"


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "multipart/form-data"])
def test_attack_a_body_that_is_no_form(house, media_type):
    answer = house.http.post("/oauth2/token", data=b"{}", content_type=media_type, base_url=SITE)
    assert (answer.status_code, answer.json["error"]) == (415, "invalid_request")


def test_attack_a_form_without_end(house):
    answer = house.http.post("/oauth2/token", data={"code": "x" * 20_000}, base_url=SITE)
    assert (answer.status_code, answer.json["error"]) == (413, "invalid_request")


# -- devices --------------------------------------------------------------------------------


def begin(house, program):
    answer = house.post("/oauth2/device_authorization", client_id=program, scope="models:read")
    assert answer.status_code == 200, answer.text
    return answer.json


def poll(house, program, codes):
    return house.token(grant_type=DEVICE, client_id=program, device_code=codes["device_code"])


def connect(house, typed, step="allow"):
    address = "/oauth2/device"
    page = house.get(address)
    if 'value="sign-in"' in page.text:
        house.sign_in(address)
        page = house.get(address)
    page = house.submit(page, address, step="look", user_code=typed)
    return house.submit(page, address, step=step, user_code=typed)


def test_attack_polling_without_pause_is_slowed_each_time(house):
    program = house.device_program()
    codes = begin(house, program)
    assert refused(poll(house, program, codes), "authorization_pending")
    for pause in (4, 9, 14):
        house.clock.advance(pause)
        assert refused(poll(house, program, codes), "slow_down")
    house.clock.advance(20)
    assert refused(poll(house, program, codes), "authorization_pending")


def test_attack_a_device_code_used_twice_ends_what_it_gave(house):
    program = house.device_program()
    codes = begin(house, program)
    assert "is connected" in connect(house, codes["user_code"]).text
    pair = poll(house, program, codes).json
    assert house.ask(pair["access_token"]).status_code == 200
    house.clock.advance(10)

    assert refused(poll(house, program, codes), "invalid_grant")
    assert house.ask(pair["access_token"]).status_code == 401


def test_attack_guessing_the_code_that_people_type(house):
    """Ten wrong ones end the session; each needs a signed-in person."""
    program = house.device_program()
    codes = begin(house, program)
    house.sign_in("/oauth2/device")
    for _ in range(10):
        page = house.get("/oauth2/device")
        page = house.submit(page, "/oauth2/device", step="look", user_code="BBBB-BBBB")
        assert "No device waits" in page.text
    page = house.submit(page, "/oauth2/device", step="look", user_code=codes["user_code"])
    assert page.status_code == 303
    assert 'value="sign-in"' in house.get("/oauth2/device").text


def test_attack_a_device_code_of_another_program_or_after_its_time(house):
    program, other = house.device_program(), house.device_program()
    codes = begin(house, program)
    assert refused(poll(house, other, codes), "invalid_grant")
    house.clock.advance(600)
    assert refused(poll(house, program, codes), "expired_token")
    assert "No device waits" in connect(house, codes["user_code"]).text


def test_attack_a_link_that_connects_a_device_by_itself(house):
    """RFC 8628, 5.4: a code in the address is only written into the form."""
    program = house.device_program()
    codes = begin(house, program)
    house.sign_in("/oauth2/device")
    page = house.get(f"/oauth2/device?user_code={codes['user_code']}")
    assert 'value="look"' in page.text
    assert refused(poll(house, program, codes), "authorization_pending")
    assert "was not connected" in connect(house, codes["user_code"], "deny").text
    house.clock.advance(10)
    assert refused(poll(house, program, codes), "access_denied")


# -- proofs of possession -------------------------------------------------------------------


@pytest.fixture
def bound(house):
    """A public program whose tokens must be bound to a key."""
    made, _ = house.program(grants=[CODE, REFRESH], redirects=[BACK], public=True, dpop=True)
    return made


def bound_pair(house, program, key=EC, jti="p-0"):
    answer = house.trade(
        house.code(client_id=program),
        auth=(),
        client_id=program,
        headers={"DPoP": house.dpop(key, jti=jti)},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json["token_type"] == "DPoP"
    return answer.json


def test_attack_a_program_that_must_prove_a_key_does_not(house, bound):
    code = house.code(client_id=bound)
    assert refused(house.trade(code, auth=(), client_id=bound), "invalid_dpop_proof")


def test_attack_a_stolen_bound_token(house, bound):
    """Without its key it opens nothing: not as a bearer's, not with a thief's proof."""
    text = bound_pair(house, bound)["access_token"]
    good = house.dpop(EC, text, jti="p-1")
    assert house.ask(text).status_code == 401
    assert house.ask(text, scheme="DPoP").status_code == 401
    thief = house.dpop(EC_OTHER, text, jti="p-2")
    assert house.ask(text, scheme="DPoP", DPoP=thief).status_code == 401
    assert house.ask(text, scheme="DPoP", DPoP=good).status_code == 200


def test_attack_a_replayed_proof(house, bound):
    shown = house.dpop(EC, jti="p-0")
    pair = bound_pair(house, bound)
    answer = house.refresh(pair["refresh_token"], auth=(), client_id=bound, headers={"DPoP": shown})
    assert refused_proof(house, answer, "oauth2.dpop_replayed")
    text = pair["access_token"]
    once = house.dpop(EC, text, jti="p-3")
    assert house.ask(text, scheme="DPoP", DPoP=once).status_code == 200
    assert house.ask(text, scheme="DPoP", DPoP=once).status_code == 401


def refused_proof(house, answer, reason):
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_dpop_proof")
    assert house.reason == reason
    return True


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"htu": f"{SITE}/oauth2/revoke"}, "dpop_address"),
        ({"htu": "https://evil.example/oauth2/token"}, "dpop_address"),
        ({"htm": "GET"}, "dpop_method"),
        ({"iat": 1}, "dpop_time"),
        ({"jti": None}, "claim_jti"),
    ],
)
def test_attack_a_proof_for_another_place_or_time(house, bound, changed, reason):
    answer = house.trade("x", auth=(), client_id=bound, headers={"DPoP": house.dpop(EC, **changed)})
    assert refused_proof(house, answer, f"oauth2.{reason}")


def test_attack_a_refresh_token_bound_to_a_key_used_with_another(house, bound):
    pair = bound_pair(house, bound)
    other = house.dpop(EC_OTHER, jti="p-9")
    answer = house.refresh(pair["refresh_token"], auth=(), client_id=bound, headers={"DPoP": other})
    assert refused(answer, "invalid_grant")
    right = house.dpop(EC, jti="p-10")
    answer = house.refresh(pair["refresh_token"], auth=(), client_id=bound, headers={"DPoP": right})
    assert answer.json["token_type"] == "DPoP"


def test_attack_a_code_bound_to_a_key_traded_with_another(house):
    """`dpop_jkt` (RFC 9449, 10) holds for a program that need not use proofs, too."""
    code = house.code(dpop_jkt=EC.thumbprint())
    answer = house.trade(code, headers={"DPoP": house.dpop(EC_OTHER)})
    assert refused(answer, "invalid_grant")
    code = house.code(dpop_jkt=EC.thumbprint())
    assert house.trade(code, headers={"DPoP": house.dpop(EC, jti="p-2")}).status_code == 200


# -- pages ----------------------------------------------------------------------------------


def test_attack_consent_forged_by_another_site(house):
    """The person is signed in, and her browser sends the cookie; the proof it cannot send."""
    address = house.request()
    house.sign_in(address)
    page = house.get(address)
    for form in (
        {"step": "allow"},
        {"step": "allow", "proof": "0" * 64},
        {"step": "allow", "proof": "é"},
    ):
        answer = house.http.post(address, data=form, base_url=SITE)
        assert (answer.status_code, "Location" in answer.headers) == (403, False)
    assert house.reason == "oauth2.foreign_form"
    assert house.happened("malicious_csrf")
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert house.submit(page, address, headers=headers, step="allow").status_code == 403
    assert house.submit(page, address, step="allow").status_code == 303


def test_attack_the_proof_of_one_request_used_for_another(house):
    """What she agreed to look at is not what is agreed to."""
    house.sign_in()
    page = house.get(house.request(scope="models:read"))
    answer = house.submit(page, house.request(scope="models:read predict"), step="allow")
    assert answer.status_code == 403


def test_attack_a_session_planted_before_the_sign_in(house):
    """Signing in gives a new cookie, so that one an attacker knows is worth nothing."""
    browser = house.browser()
    house.get(house.request(), browser)
    before = browser.get_cookie("__Host-secureml-oauth2", domain="ml.example.org").value
    house.sign_in(browser=browser)
    after = browser.get_cookie("__Host-secureml-oauth2", domain="ml.example.org").value
    assert before != after
    thief = house.browser()
    thief.set_cookie("__Host-secureml-oauth2", before, domain="ml.example.org", secure=True)
    assert 'value="sign-in"' in house.get(house.request(), thief).text


def test_attack_a_session_that_never_ends(house):
    house.sign_in()
    assert 'value="allow"' in house.get(house.request()).text
    house.clock.advance(1800)
    assert 'value="sign-in"' in house.get(house.request()).text


def test_attack_clickjacking_and_scripts_are_stopped_by_policy(house):
    pages = [house.get(house.request()), house.get("/oauth2/device")]
    house.sign_in()
    pages += [house.get(house.request()), house.get(house.request(redirect_uri="x"))]
    for page in pages:
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script" not in policy
        assert "unsafe" not in policy
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["Cache-Control"] == "no-store"
        assert "<script" not in page.text
        assert " style=" not in page.text
    assert (
        "form-action 'self' https://app.example.org;" in pages[2].headers["Content-Security-Policy"]
    )


def test_attack_the_cookie_read_by_script_or_sent_in_the_clear(house):
    cookie = house.get(house.request()).headers["Set-Cookie"]
    assert cookie.startswith("__Host-secureml-oauth2=")
    for word in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert word in cookie
    assert "Domain" not in cookie


@pytest.mark.parametrize("place", ["state", "scope", "client_id", "redirect_uri", "extra"])
def test_attack_markup_in_the_address(house, place):
    wicked = '"><script>alert(1)</script>'
    for browser in (house.browser(), house.http):
        page = house.get(house.request(**{place: wicked}), browser)
        assert "<script>" not in page.text
        house.sign_in()
    program, _ = house.program(grants=[CODE], redirects=[BACK], label=wicked)
    page = house.get(house.request(client_id=program))
    assert "&lt;script&gt;" in page.text
    assert "<script>" not in page.text


def test_attack_a_password_sent_on_by_a_redirect(house):
    """307 would send the form once more, to whoever is next (RFC 9700, 4.12)."""
    assert house.sign_in().status_code == 303
    assert house.decide().status_code == 303


def test_attack_a_header_smuggled_through_state(house):
    answer = house.decide(state="x y&z=é")
    assert told(answer)["state"] == "x y&z=é"
    page = house.get(house.request().replace("s-1", quote("a\r\nSet-Cookie: x=1")))
    assert page.status_code == 400
