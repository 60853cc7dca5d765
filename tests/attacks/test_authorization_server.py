"""Known attacks on an authorization server; each must fail, and most must be told of.

RFC 9700 (OAuth 2.0 Security Best Current Practice) names them, RFC 9449 those on proofs.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode

import pytest

from plugins.oauth2_server import passwords as passwords_module
from plugins.oauth2_server.clients import CODE, DEVICE, REFRESH
from tests.oauth_app import (
    BACK,
    ISSUER,
    PASSWORD,
    SITE,
    VERIFIER,
    OAuthApp,
    challenge,
    emitted,
)
from tests.outside_issuer import EC, EC_OTHER, forge, jwks, sign
from tests.token_app import pack, unpack


@pytest.fixture
def core(tmp_path):
    made = OAuthApp(tmp_path)
    yield made
    made.close()


def refused(answer, error, status=400):
    """Demand the protocol's error, nobody's cache, and no redirect."""
    assert (answer.status_code, answer.json["error"]) == (status, error), answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Location" not in answer.headers
    return True


# -- codes --------------------------------------------------------------------------------


def test_attack_a_replayed_code_ends_what_the_first_use_gave(core):
    code = core.code()
    pair = core.trade(code).json
    assert core.ask(pair["access_token"]).status_code == 200

    assert refused(core.trade(code), "invalid_grant")
    assert core.ask(pair["access_token"]).status_code == 401
    assert refused(core.refresh(pair["refresh_token"]), "invalid_grant")
    assert core.happened("authn_token_reuse")


def test_attack_a_code_shown_by_a_thief_first_gives_its_owner_nothing_either(core):
    """The thief fails for want of the verifier, and has used the code up."""
    code = core.code()
    assert refused(core.trade(code, code_verifier="b" * 43), "invalid_grant")
    assert refused(core.trade(code), "invalid_grant")


def test_attack_a_code_kept_for_later(core):
    code = core.code()
    core.clock.advance(60)
    assert refused(core.trade(code), "invalid_grant")


def test_attack_a_code_injected_into_another_program(core):
    """Its own secret and address do not make a stranger's code its own."""
    other = core.program(grants=[CODE, REFRESH], redirects=[BACK])
    assert refused(core.trade(core.code(), auth=other), "invalid_grant")


def test_attack_a_public_program_trades_the_code_of_one_with_a_secret(core):
    code = core.code()
    answer = core.trade(code, auth=(), client_id=core.web)
    assert refused(answer, "invalid_client", 401)
    public, _ = core.program(grants=[CODE], redirects=[BACK], public=True)
    assert refused(core.trade(code, auth=(), client_id=public), "invalid_grant")


@pytest.mark.parametrize("uri", ["https://app.example.org/other", None, f"{BACK}/", "x"])
def test_attack_a_code_traded_with_another_redirect_uri(core, uri):
    """Both are registered; the code was sent to one of them (RFC 6749, 4.1.3)."""
    web = core.program(grants=[CODE], redirects=[BACK, "https://app.example.org/other", f"{BACK}/"])
    code = core.code(client_id=web[0])
    assert refused(core.trade(code, auth=web, redirect_uri=uri), "invalid_grant")


def test_attack_guessing_codes_and_tokens(core):
    for text in ("", "sac_", "x" * 300, "sac_" + "A" * 43):
        error = "invalid_grant" if text else "invalid_request"
        assert refused(core.trade(text), error)
        assert refused(core.refresh(text), error)


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
def test_attack_pkce_downgrade_is_refused_at_the_first_step(core, public, changed):
    """Whoever the program is, before a person is asked: the library hands out the code."""
    program, _ = core.program(grants=[CODE], redirects=[BACK], public=public)
    answer = core.answered(client_id=program, **changed)
    assert answer.status_code == 303
    assert emitted(answer) == {"error": "invalid_request", "state": "s-1", "iss": ISSUER}


@pytest.mark.parametrize("verifier", [None, "", "a" * 42, "a" * 129, "b" * 43, challenge()])
def test_attack_a_code_without_its_verifier(core, verifier):
    answer = core.trade(core.code(), code_verifier=verifier)
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
def test_attack_a_redirect_uri_that_is_nearly_the_registered_one(core, uri):
    """Byte for byte, told on a page, and never by going there (RFC 9700, 2.1)."""
    assert len(NEAR_MISSES) >= 40
    page = core.get(core.request(redirect_uri=uri))
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
def test_attack_open_redirect_by_an_error(core, changed):
    page = core.get(core.request(**changed))
    assert page.status_code in (400, 401)
    assert "Location" not in page.headers
    assert "evil" not in page.text


def test_attack_open_redirect_by_the_way_through_the_sign_in(core):
    """After signing in, the browser comes back to our own address and to no other."""
    for more in ("&next=https://evil.example", "&return_to=//evil.example", "&redirect=%2F%2Fevil"):
        answer = core.sign_in(core.request() + more, core.browser())
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/oauth2/authorize?")


@pytest.mark.parametrize("kind", ["token", "id_token", "code token", "none", 'x"\\', "é"])
def test_attack_another_response_type(core, kind):
    """The implicit grant would put tokens into addresses (RFC 9700, 2.1.2)."""
    answer = core.answered(response_type=kind)
    assert emitted(answer) == {"error": "unsupported_response_type", "state": "s-1", "iss": ISSUER}


@pytest.mark.parametrize("grant", ["password", "implicit", "", "x", 'x"é'])
def test_attack_another_grant(core, grant):
    auth = (core.machine, core.machine_secret)
    answer = core.token(auth, grant_type=grant, username="ann", password=PASSWORD)
    assert refused(answer, "unsupported_grant_type")


def test_attack_mix_up_is_seen_by_the_issuer_in_every_answer(core):
    """RFC 9207: agreed, declined and refused alike say who answers."""
    agreed = emitted(core.decide())
    assert agreed["iss"] == ISSUER
    assert set(agreed) == {"code", "state", "iss"}
    assert emitted(core.decide("deny")) == {"error": "access_denied", "state": "s-1", "iss": ISSUER}
    beyond = emitted(core.get(core.request(scope="root")))
    assert beyond == {"error": "invalid_scope", "state": "s-1", "iss": ISSUER}


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "scope", "state", "code_challenge"])
def test_attack_a_parameter_given_twice_to_confuse_two_readers(core, name):
    answer = core.get(f"{core.request()}&{name}=x")
    assert (answer.status_code, "Location" in answer.headers) == (400, False)


def test_attack_a_form_that_names_a_parameter_twice(core):
    body = f"grant_type=client_credentials&client_id={core.machine}&client_id={core.web}"
    answer = core.http.post(
        "/oauth2/token",
        data=body,
        content_type="application/x-www-form-urlencoded",
        base_url=SITE,
    )
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")


# -- tokens for another purpose -------------------------------------------------------------


def test_attack_a_refresh_token_used_for_access(core):
    assert core.ask(core.pair()["refresh_token"]).status_code == 401


@pytest.mark.parametrize("typ", ["JWT", "id+jwt", "rt+jwt", "AT+JWT", "dpop+jwt", "", None])
def test_attack_an_id_token_used_for_access(core, typ):
    """Signed by our own key, with every claim right but for what it is (RFC 8725, 3.11)."""
    header, claims = taken_apart(core.machine_token()["access_token"])
    assert core.ask(resigned(core, {**header, "typ": typ}, claims)).status_code == 401


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
def test_attack_a_token_with_one_claim_wrong(core, changed):
    header, claims = taken_apart(core.machine_token()["access_token"])
    kept = {name: value for name, value in (claims | changed).items() if value is not None}
    assert core.ask(resigned(core, header, kept)).status_code == 401


def test_attack_a_token_that_names_our_issuer_under_another_key(core):
    header, claims = taken_apart(core.machine_token()["access_token"])
    public = core.signing.jwks()["keys"][0]
    for forged in (
        sign(header, claims, EC),
        sign({**header, "jwk": jwks(EC)["keys"][0]}, claims, EC),
        forge({**header, "alg": "HS256"}, claims, public["x"].encode()),
        ".".join([pack(b'{"alg":"none","typ":"at+jwt"}'), pack(b"{}"), ""]),
    ):
        assert core.ask(forged).status_code == 401


def test_attack_more_scope_than_the_token_has(core):
    """The signature is ours, and what it says beyond its grant counts for nothing."""
    text = core.machine_token(scope="predict")["access_token"]
    assert core.ask(text).status_code == 403
    header, claims = taken_apart(text)
    more = resigned(core, header, {**claims, "scope": "predict models:read"})
    assert core.ask(more).status_code == 403


def taken_apart(text):
    head, body, _ = text.split(".")
    return unpack(head), unpack(body)


def resigned(core, header, claims):
    """Sign with the real key, as a mistake of ours elsewhere could."""
    from cryptography.hazmat.primitives import serialization as s
    from joserfc.jwk import ECKey

    private = core.signing.active().private
    pem = private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    kept = {name: value for name, value in header.items() if value is not None}
    return sign(kept, claims, ECKey.import_key(pem))


# -- scopes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["root", "predict root", "PREDICT", "predict,models:read", "*"])
def test_attack_a_scope_beyond_the_program(core, scope):
    """Refused whole, never given in part and in silence."""
    auth = (core.machine, core.machine_secret)
    assert refused(core.token(auth, grant_type="client_credentials", scope=scope), "invalid_scope")


def test_attack_a_scope_beyond_what_the_program_was_narrowed_to(core):
    from plugins.oauth2_server.clients import MACHINE

    auth = core.program(grants=[MACHINE], scopes=["predict"])
    assert refused(
        core.token(auth, grant_type="client_credentials", scope="models:read"), "invalid_scope"
    )
    given = core.token(auth, grant_type="client_credentials").json
    assert given["scope"] == "predict"


def test_attack_a_person_lends_what_they_do_not_hold(core):
    """The program's client holds `other`, hers does not."""
    pair = core.pair(scope="models:read other")
    assert pair["scope"] == "models:read"
    assert emitted(core.decide(scope="other"))["error"] == "access_denied"


def test_attack_a_refresh_that_asks_for_more(core):
    pair = core.pair()
    assert refused(
        core.refresh(pair["refresh_token"], scope="models:read predict"), "invalid_scope"
    )
    assert core.refresh(pair["refresh_token"]).status_code == 200


# -- refresh and revocation -----------------------------------------------------------------


def test_attack_a_replayed_refresh_token_ends_the_family(core):
    first = core.pair()
    second = core.refresh(first["refresh_token"]).json
    assert core.ask(second["access_token"]).status_code == 200

    assert refused(core.refresh(first["refresh_token"]), "invalid_grant")
    for pair in (first, second):
        assert core.ask(pair["access_token"]).status_code == 401
        assert refused(core.refresh(pair["refresh_token"]), "invalid_grant")
    assert core.happened("authn_token_reuse")


def test_attack_a_made_up_refresh_token_ends_nobodys_family(core):
    """Whoever can end a family by guessing has a switch for others' sessions."""
    pair = core.pair()
    assert refused(core.refresh(pair["refresh_token"] + "x"), "invalid_grant")
    assert refused(core.refresh("srt_" + "A" * 43), "invalid_grant")
    assert core.ask(pair["access_token"]).status_code == 200


def test_attack_a_refresh_token_of_another_program(core):
    other = core.program(grants=[CODE, REFRESH], redirects=[BACK])
    assert refused(core.refresh(core.pair()["refresh_token"], auth=other), "invalid_grant")


def test_attack_refreshing_for_ever(core):
    pair = core.pair()
    for _ in range(30):
        core.clock.advance(86400 - 1)
        pair = core.refresh(pair["refresh_token"]).json
    core.clock.advance(30)
    assert refused(core.refresh(pair["refresh_token"]), "invalid_grant")


def test_attack_a_revoked_token_is_inactive_and_opens_nothing(core):
    """The library's own validation would go on believing the signature."""
    pair = core.pair()
    assert core.introspect(pair["access_token"]).json["active"] is True
    assert core.revoke(pair["access_token"]).status_code == 200
    assert core.introspect(pair["access_token"]).json == {"active": False}
    assert core.ask(pair["access_token"]).status_code == 401
    assert core.introspect(pair["refresh_token"]).json["active"] is True

    assert core.revoke(pair["refresh_token"]).status_code == 200
    assert core.introspect(pair["refresh_token"]).json == {"active": False}
    assert refused(core.refresh(pair["refresh_token"]), "invalid_grant")


def test_attack_asking_about_or_ending_the_tokens_of_another(core):
    pair, machine = core.pair(), (core.machine, core.machine_secret)
    for text in pair["access_token"], pair["refresh_token"]:
        assert core.introspect(text, machine).json == {"active": False}
        assert refused(core.revoke(text, machine), "invalid_grant")
    assert core.ask(pair["access_token"]).status_code == 200


def test_attack_a_stranger_asks_about_tokens(core):
    text = core.machine_token()["access_token"]
    public = core.device_program()
    assert refused(core.post("/oauth2/introspect", token=text), "invalid_client", 401)
    assert refused(
        core.post("/oauth2/introspect", token=text, client_id=public), "invalid_client", 401
    )


@pytest.mark.parametrize("what", ["program", "client", "person", "persons client", "key"])
def test_attack_a_token_outlives_whatever_it_stood_on(core, what):
    text = core.pair()["access_token"]
    assert core.ask(text).status_code == 200
    if what == "program":
        core.server.clients.revoke(core.web)
    elif what == "client":
        core.clients.set_enabled("partner", enabled=False)
    elif what == "person":
        core.server.users.remove("ann")
        core.server.users.add("ann", "acme", PASSWORD)  # another one, of the same name
        core.clock.advance(1)
        core.server.users.remove("ann")
        core.server.users.add("ann", "acme", PASSWORD)
    elif what == "persons client":
        core.clients.set_enabled("acme", enabled=False)
    else:
        core.signing.retire(core.signing.active().kid)
    assert core.ask(text).status_code == 401


# -- who asks -------------------------------------------------------------------------------


def test_attack_telling_known_programs_from_unknown_ones(core, monkeypatch):
    """One text, one status, and the same slow hash for both (no clock: the work is counted)."""
    work = []
    real = passwords_module.Passwords._matches
    monkeypatch.setattr(
        passwords_module.Passwords,
        "_matches",
        lambda self, text, hashed: work.append(hashed[:30]) or real(self, text, hashed),
    )
    seen = set()
    for name in (core.web, "oc_" + "0" * 32, "x", "é"):
        answer = core.token((name, f"scs_{'w' * 43}"), grant_type="client_credentials")
        assert refused(answer, "invalid_client", 401)
        seen.add((answer.json["error_description"], answer.headers["WWW-Authenticate"]))
    assert len(seen) == 1
    assert len(work) == 4
    assert len(set(work)) == 1  # the same parameters of the hash: m, t and p


@pytest.mark.parametrize("end", ["password", "removed"])
def test_attack_a_sign_in_by_the_old_password_overtakes_the_new_one(core, monkeypatch, end):
    """The old one is being checked while it is replaced and all that came of it is ended."""
    real = passwords_module.Passwords._matches

    def meanwhile(self, text, hashed):
        right = real(self, text, hashed)
        replace(core, end)
        return right

    page = core.get(core.request())
    monkeypatch.setattr(passwords_module.Passwords, "_matches", meanwhile)
    answer = core.submit(page, core.request(), step="sign-in", name="ann", password=PASSWORD)
    assert answer.status_code == 403
    assert 'value="sign-in"' in core.get(core.request()).text
    assert core.happened("authn_login_success") == []


@pytest.mark.parametrize("end", ["password", "removed"])
def test_attack_a_consent_in_flight_outlives_the_password_it_came_of(core, monkeypatch, end):
    """The session was looked at before it ended, the code is written after."""
    assert core.sign_in().status_code == 303
    page = core.get(core.request())
    codes = core.server.engine.codes
    real = codes.issue

    def meanwhile(*given, **words):
        replace(core, end)
        return real(*given, **words)

    monkeypatch.setattr(codes, "issue", meanwhile)
    answer = core.submit(page, core.request(), step="allow")
    assert emitted(answer)["error"] == "access_denied"


@pytest.mark.parametrize("end", ["password", "removed"])
def test_attack_a_device_decision_in_flight_outlives_the_password_it_came_of(
    core, monkeypatch, end
):
    """As a consent does not."""
    program = core.device_program()
    begun = core.post("/oauth2/device_authorization", client_id=program, scope="models:read").json
    address = f"/oauth2/device?user_code={begun['user_code']}"
    assert core.sign_in(address).status_code == 303
    page = core.get(address)
    devices = core.server.devices
    real = devices.approve

    def meanwhile(*given, **words):
        replace(core, end)
        return real(*given, **words)

    monkeypatch.setattr(devices, "approve", meanwhile)
    answer = core.submit(page, address, step="allow", user_code=begun["user_code"])
    assert "was not connected" in answer.text
    assert devices.lookup(begun["user_code"]) is not None


def replace(core, end):
    """Do what the commands for a new password or a removal do, once."""
    if core.server.users.get("ann") is None:
        return
    if end == "password":
        core.server.users.set_password("ann", f"{PASSWORD} new")
    else:
        core.server.users.remove("ann")
    core.server.end_delegations("ann")


def test_attack_telling_known_people_from_unknown_ones(core, monkeypatch):
    work = []
    real = passwords_module.Passwords._matches
    monkeypatch.setattr(
        passwords_module.Passwords,
        "_matches",
        lambda self, text, hashed: work.append(1) or real(self, text, hashed),
    )
    pages = set()
    for name in ("ann", "nobody"):
        answer = core.sign_in(browser=core.browser(), name=name, password="wrong")
        assert answer.status_code == 403
        pages.add(re.sub(r'value="[0-9a-f]{64}"', "", answer.text))
    assert (len(pages), len(work)) == (1, 2)


@pytest.mark.parametrize(
    "auth",
    ["Basic", "Basic x", "Basic " + "A" * 5000, "Bearer x", "Basic eA==", "Basic //8=", "Digest x"],
)
def test_attack_malformed_client_credentials(core, auth):
    answer = core.token(headers={"Authorization": auth}, grant_type="client_credentials")
    assert refused(answer, "invalid_client", 401)


def test_attack_two_ways_of_authentication_at_once(core):
    answer = core.token(
        (core.machine, core.machine_secret),
        grant_type="client_credentials",
        client_id=core.machine,
        client_secret=core.machine_secret,
    )
    assert refused(answer, "invalid_request")
    answer = core.token(
        (core.machine, core.machine_secret), grant_type="client_credentials", client_id=core.web
    )
    assert refused(answer, "invalid_request")


@pytest.mark.parametrize("name", ["access_token", "client_secret", "refresh_token"])
def test_attack_a_credential_in_the_address(core, name):
    """Refused before anything reads it: by then it stands in every log on the way."""
    for path in ("/v1/models", "/oauth2/token", "/oauth2/authorize"):
        assert core.http.post(f"{path}?{name}=x", base_url=SITE).status_code == 400
        assert core.reason == "oauth2_server.in_url"


def test_attack_the_whole_request_in_the_address_of_the_token_endpoint(core):
    words = {"grant_type": "client_credentials", "client_id": core.machine}
    answer = core.post(
        f"/oauth2/token?{urlencode(words)}", (core.machine, core.machine_secret), x="y"
    )
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")
    assert core.reason == "oauth2_server.query"


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "multipart/form-data"])
def test_attack_a_body_that_is_no_form(core, media_type):
    answer = core.http.post("/oauth2/token", data=b"{}", content_type=media_type, base_url=SITE)
    assert (answer.status_code, answer.json["error"]) == (415, "invalid_request")


def test_attack_a_form_without_end(core):
    answer = core.http.post("/oauth2/token", data={"code": "x" * 20_000}, base_url=SITE)
    assert (answer.status_code, answer.json["error"]) == (413, "invalid_request")


# -- devices --------------------------------------------------------------------------------


def begin(core, program):
    answer = core.post("/oauth2/device_authorization", client_id=program, scope="models:read")
    assert answer.status_code == 200, answer.text
    return answer.json


def poll(core, program, codes):
    return core.token(grant_type=DEVICE, client_id=program, device_code=codes["device_code"])


def connect(core, typed, step="allow"):
    address = "/oauth2/device"
    page = core.get(address)
    if 'value="sign-in"' in page.text:
        core.sign_in(address)
        page = core.get(address)
    page = core.submit(page, address, step="look", user_code=typed)
    return core.submit(page, address, step=step, user_code=typed)


def test_attack_polling_without_pause_is_slowed_each_time(core):
    program = core.device_program()
    codes = begin(core, program)
    assert refused(poll(core, program, codes), "authorization_pending")
    for pause in (4, 9, 14):
        core.clock.advance(pause)
        assert refused(poll(core, program, codes), "slow_down")
    core.clock.advance(20)
    assert refused(poll(core, program, codes), "authorization_pending")


def test_attack_a_device_code_used_twice_ends_what_it_gave(core):
    program = core.device_program()
    codes = begin(core, program)
    assert "is connected" in connect(core, codes["user_code"]).text
    pair = poll(core, program, codes).json
    assert core.ask(pair["access_token"]).status_code == 200
    core.clock.advance(10)

    assert refused(poll(core, program, codes), "invalid_grant")
    assert core.ask(pair["access_token"]).status_code == 401


def test_attack_guessing_the_code_that_people_type(core):
    """Ten wrong ones end the session; each needs a signed-in person."""
    program = core.device_program()
    codes = begin(core, program)
    core.sign_in("/oauth2/device")
    for _ in range(10):
        page = core.get("/oauth2/device")
        page = core.submit(page, "/oauth2/device", step="look", user_code="BBBB-BBBB")
        assert "No device waits" in page.text
    page = core.submit(page, "/oauth2/device", step="look", user_code=codes["user_code"])
    assert page.status_code == 303
    assert 'value="sign-in"' in core.get("/oauth2/device").text


def test_attack_a_device_code_of_another_program_or_after_its_time(core):
    program, other = core.device_program(), core.device_program()
    codes = begin(core, program)
    assert refused(poll(core, other, codes), "invalid_grant")
    core.clock.advance(600)
    assert refused(poll(core, program, codes), "expired_token")
    assert "No device waits" in connect(core, codes["user_code"]).text


def test_attack_a_link_that_connects_a_device_by_itself(core):
    """RFC 8628, 5.4: a code in the address is only written into the form."""
    program = core.device_program()
    codes = begin(core, program)
    core.sign_in("/oauth2/device")
    page = core.get(f"/oauth2/device?user_code={codes['user_code']}")
    assert 'value="look"' in page.text
    assert refused(poll(core, program, codes), "authorization_pending")
    assert "was not connected" in connect(core, codes["user_code"], "deny").text
    core.clock.advance(10)
    assert refused(poll(core, program, codes), "access_denied")


# -- proofs of possession -------------------------------------------------------------------


@pytest.fixture
def bound(core):
    """A public program whose tokens must be bound to a key."""
    made, _ = core.program(grants=[CODE, REFRESH], redirects=[BACK], public=True, dpop=True)
    return made


def bound_pair(core, program, key=EC, jti="p-0"):
    answer = core.trade(
        core.code(client_id=program),
        auth=(),
        client_id=program,
        headers={"DPoP": core.dpop(key, jti=jti)},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json["token_type"] == "DPoP"
    return answer.json


def test_attack_a_program_that_must_prove_a_key_does_not(core, bound):
    code = core.code(client_id=bound)
    assert refused(core.trade(code, auth=(), client_id=bound), "invalid_dpop_proof")


def test_attack_a_stolen_bound_token(core, bound):
    """Without its key it opens nothing: not as a bearer's, not with a thief's proof."""
    text = bound_pair(core, bound)["access_token"]
    good = core.dpop(EC, text, jti="p-1")
    assert core.ask(text).status_code == 401
    assert core.ask(text, scheme="DPoP").status_code == 401
    thief = core.dpop(EC_OTHER, text, jti="p-2")
    assert core.ask(text, scheme="DPoP", DPoP=thief).status_code == 401
    assert core.ask(text, scheme="DPoP", DPoP=good).status_code == 200


def test_attack_a_replayed_proof(core, bound):
    shown = core.dpop(EC, jti="p-0")
    pair = bound_pair(core, bound)
    answer = core.refresh(pair["refresh_token"], auth=(), client_id=bound, headers={"DPoP": shown})
    assert refused_proof(core, answer, "oauth2_server.dpop_replayed")
    text = pair["access_token"]
    once = core.dpop(EC, text, jti="p-3")
    assert core.ask(text, scheme="DPoP", DPoP=once).status_code == 200
    assert core.ask(text, scheme="DPoP", DPoP=once).status_code == 401


def refused_proof(core, answer, reason):
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_dpop_proof")
    assert core.reason == reason
    return True


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"htu": f"{SITE}/oauth2/revoke"}, "dpop_address"),
        ({"htu": "https://evil.example/oauth2/token"}, "dpop_address"),
        ({"htm": "GET"}, "dpop_method"),
        ({"iat": 1}, "dpop_time"),
        ({"jti": None}, "jti"),
    ],
)
def test_attack_a_proof_for_another_place_or_time(core, bound, changed, reason):
    answer = core.trade("x", auth=(), client_id=bound, headers={"DPoP": core.dpop(EC, **changed)})
    assert refused_proof(core, answer, f"oauth2_server.{reason}")


def test_attack_a_refresh_token_bound_to_a_key_used_with_another(core, bound):
    pair = bound_pair(core, bound)
    other = core.dpop(EC_OTHER, jti="p-9")
    answer = core.refresh(pair["refresh_token"], auth=(), client_id=bound, headers={"DPoP": other})
    assert refused(answer, "invalid_grant")
    right = core.dpop(EC, jti="p-10")
    answer = core.refresh(pair["refresh_token"], auth=(), client_id=bound, headers={"DPoP": right})
    assert answer.json["token_type"] == "DPoP"


def test_attack_a_code_bound_to_a_key_traded_with_another(core):
    """`dpop_jkt` (RFC 9449, 10) holds for a program that need not use proofs, too."""
    code = core.code(dpop_jkt=EC.thumbprint())
    answer = core.trade(code, headers={"DPoP": core.dpop(EC_OTHER)})
    assert refused(answer, "invalid_grant")
    code = core.code(dpop_jkt=EC.thumbprint())
    assert core.trade(code, headers={"DPoP": core.dpop(EC, jti="p-2")}).status_code == 200


# -- pages ----------------------------------------------------------------------------------


def test_attack_consent_forged_by_another_site(core):
    """The person is signed in, and her browser sends the cookie; the proof it cannot send."""
    address = core.request()
    core.sign_in(address)
    page = core.get(address)
    for form in (
        {"step": "allow"},
        {"step": "allow", "proof": "0" * 64},
        {"step": "allow", "proof": "é"},
    ):
        answer = core.http.post(address, data=form, base_url=SITE)
        assert (answer.status_code, "Location" in answer.headers) == (403, False)
    assert core.reason == "oauth2_server.foreign_form"
    assert core.happened("malicious_csrf")
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert core.submit(page, address, headers=headers, step="allow").status_code == 403
    assert core.submit(page, address, step="allow").status_code == 303


def test_attack_the_proof_of_one_request_used_for_another(core):
    """What she agreed to look at is not what is agreed to."""
    core.sign_in()
    page = core.get(core.request(scope="models:read"))
    answer = core.submit(page, core.request(scope="models:read predict"), step="allow")
    assert answer.status_code == 403


def test_attack_a_session_planted_before_the_sign_in(core):
    """Signing in gives a new cookie, so that one an attacker knows is worth nothing."""
    browser = core.browser()
    core.get(core.request(), browser)
    before = browser.get_cookie("__Host-secureml-oauth2", domain="ml.example.org").value
    core.sign_in(browser=browser)
    after = browser.get_cookie("__Host-secureml-oauth2", domain="ml.example.org").value
    assert before != after
    thief = core.browser()
    thief.set_cookie("__Host-secureml-oauth2", before, domain="ml.example.org", secure=True)
    assert 'value="sign-in"' in core.get(core.request(), thief).text


def test_attack_a_session_that_never_ends(core):
    core.sign_in()
    assert 'value="allow"' in core.get(core.request()).text
    core.clock.advance(1800)
    assert 'value="sign-in"' in core.get(core.request()).text


def test_attack_clickjacking_and_scripts_are_stopped_by_policy(core):
    pages = [core.get(core.request()), core.get("/oauth2/device")]
    core.sign_in()
    pages += [core.get(core.request()), core.get(core.request(redirect_uri="x"))]
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


def test_attack_the_cookie_read_by_script_or_sent_in_the_clear(core):
    cookie = core.get(core.request()).headers["Set-Cookie"]
    assert cookie.startswith("__Host-secureml-oauth2=")
    for word in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert word in cookie
    assert "Domain" not in cookie


@pytest.mark.parametrize("place", ["state", "scope", "client_id", "redirect_uri", "extra"])
def test_attack_markup_in_the_address(core, place):
    wicked = '"><script>alert(1)</script>'
    for browser in (core.browser(), core.http):
        page = core.get(core.request(**{place: wicked}), browser)
        assert "<script>" not in page.text
        core.sign_in()
    program, _ = core.program(grants=[CODE], redirects=[BACK], label=wicked)
    page = core.get(core.request(client_id=program))
    assert "&lt;script&gt;" in page.text
    assert "<script>" not in page.text


def test_attack_a_password_sent_on_by_a_redirect(core):
    """307 would send the form once more, to whoever is next (RFC 9700, 4.12)."""
    assert core.sign_in().status_code == 303
    assert core.decide().status_code == 303


def test_attack_a_header_smuggled_through_state(core):
    answer = core.decide(state="x y&z=é")
    assert emitted(answer)["state"] == "x y&z=é"
    page = core.get(core.request().replace("s-1", quote("a\r\nSet-Cookie: x=1")))
    assert page.status_code == 400
