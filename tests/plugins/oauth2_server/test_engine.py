"""The engine: devices begun, grants refused, and the library's own ways kept shut."""

from __future__ import annotations

import re

import pytest
from authlib.oauth2 import OAuth2Error

from plugins.oauth2_server.clients import CODE, DEVICE, MACHINE, REFRESH
from tests.oauth_app import BACK, PASSWORD
from tests.outside_issuer import EC


def begin(core, **form):
    return core.post("/oauth2/device_authorization", **form)


def test_a_device_is_told_where_people_go(core):
    program = core.device_program()
    body = begin(core, client_id=program).json
    page = "https://ml.example.org/oauth2/device"
    assert body["verification_uri"] == page
    assert body["verification_uri_complete"] == f"{page}?user_code={body['user_code']}"
    assert (body["expires_in"], body["interval"]) == (600, 5)


def test_a_device_is_refused_like_anybody(core):
    program = core.device_program()
    assert begin(core, x="y").status_code == 401
    assert begin(core, client_id=core.web).status_code == 401
    auth = (core.machine, core.machine_secret)
    assert (
        core.post("/oauth2/device_authorization", auth, x="y").json["error"]
        == "unauthorized_client"
    )
    assert begin(core, client_id=program, scope="root").json["error"] == "invalid_scope"
    assert begin(core, client_id=program).status_code == 200


def test_what_the_library_would_tell_others_it_tells_nobody(core):
    engine = core.server.engine
    assert engine.send_signal("after_authenticate_client") is None
    with pytest.raises(OAuth2Error):
        engine.handle_error_response(None, OAuth2Error(error="x"))


def test_an_error_that_may_not_be_told_elsewhere_is_raised(core):
    asked, grant = None, None
    from plugins.oauth2_server.request import RequestData

    words = dict(pair.split("=") for pair in core.request().partition("?")[2].split("&"))
    words |= {"redirect_uri": "https://app.example.org/back", "scope": "models:read"}
    shown = RequestData("https://ml.example.org/a", "GET", words, "", None, print)
    asked, grant = core.server.engine.consent(shown)
    core.server.clients.revoke(core.web)
    with pytest.raises(OAuth2Error):
        core.server.engine.authorize(asked, grant, core.server.users.get("ann"))
    assert DEVICE.endswith("device_code")


# -- the device's own request ----------------------------------------------------------------


def test_a_device_is_told_all_that_rfc_8628_names(shared):
    """3.2: whole seconds, and a page under TLS at our own address."""
    body = begin(shared, client_id=shared.device_program()).json
    assert set(body) == {
        "device_code", "user_code", "verification_uri", "verification_uri_complete",
        "expires_in", "interval",
    }  # fmt: skip
    assert body["device_code"].startswith("sdc_")
    assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", body["user_code"])
    assert type(body["expires_in"]) is type(body["interval"]) is int


def test_attack_the_page_of_a_device_is_never_where_a_host_header_says(shared):
    program = shared.device_program()
    answer = shared.http.post(
        "/oauth2/device_authorization", data={"client_id": program},
        headers={"X-Forwarded-Host": "evil.example"}, base_url="https://evil.example",
    )  # fmt: skip
    assert answer.json["verification_uri"] == "https://ml.example.org/oauth2/device"


@pytest.mark.parametrize("scope", ["root", "predict root", "PREDICT", "predict,other", "*"])
def test_attack_a_device_asks_for_more_than_its_program_has(shared, scope):
    program = shared.device_program()
    assert begin(shared, client_id=program, scope=scope).json["error"] == "invalid_scope"


def test_two_devices_of_one_program_are_two(shared):
    program = shared.device_program()
    first, second = (begin(shared, client_id=program).json for _ in range(2))
    for name in ("device_code", "user_code"):
        assert first[name] != second[name]


def test_a_device_of_a_program_with_a_secret_shows_it(shared):
    """Neither to begin nor to ask is its id enough."""
    name, secret = shared.program(grants=[DEVICE])
    assert begin(shared, client_id=name).status_code == 401
    begun = shared.post("/oauth2/device_authorization", (name, secret), scope="predict").json
    poll = {"grant_type": DEVICE, "device_code": begun["device_code"]}
    assert shared.token(client_id=name, **poll).json["error"] == "invalid_client"
    assert shared.token((name, secret), **poll).json["error"] == "authorization_pending"


# -- a program that must bind its tokens -----------------------------------------------------


@pytest.mark.parametrize("grant", [CODE, REFRESH, MACHINE, DEVICE])
def test_a_program_that_binds_is_asked_for_a_proof_before_anything_is_used_up(core, grant):
    """Whatever it trades; what it shows is as good after that as before."""
    program = core.program(
        grants=[CODE, REFRESH, MACHINE, DEVICE], redirects=[BACK], dpop=True, scopes=["predict"]
    )
    form = {
        CODE: lambda: {
            "code": core.code(client_id=program[0], scope="predict"),
            "redirect_uri": BACK, "code_verifier": "a" * 43,
        },
        REFRESH: lambda: {"refresh_token": bound_pair(core, program)["refresh_token"]},
        MACHINE: dict,
        DEVICE: lambda: {"device_code": allowed(core, program)},
    }[grant]()  # fmt: skip
    answer = core.token(program, grant_type=grant, **form)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_dpop_proof")
    headers = {"DPoP": core.dpop(EC, jti="now")}
    body = core.token(program, headers, grant_type=grant, **form).json
    assert body["token_type"] == "DPoP"


def bound_pair(core, program):
    code = core.code(client_id=program[0], scope="predict")
    return core.trade(code, program, {"DPoP": core.dpop(EC, jti="before")}).json


def allowed(core, program):
    begun = core.post("/oauth2/device_authorization", program, scope="predict").json
    scopes = frozenset({"predict"})
    assert core.server.devices.approve(begun["user_code"], "ann", allow=True, scopes=scopes)
    return begun["device_code"]


# -- what the library could do and must not --------------------------------------------------


@pytest.mark.parametrize(
    "grant",
    [
        "implicit", "password", "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "urn:ietf:params:oauth:grant-type:token-exchange", "urn:openid:params:grant-type:ciba",
        "AUTHORIZATION_CODE", "authorization_code ", "client_credentials,refresh_token",
    ],
)  # fmt: skip
def test_no_grant_is_there_but_the_four(shared, grant):
    """RFC 9700, 2.1.2 and 2.4; whoever asks, and whatever is shown."""
    for auth in ((shared.web, shared.web_secret), (shared.machine, shared.machine_secret)):
        answer = shared.token(
            auth, grant_type=grant, username="ann", password=PASSWORD, assertion="a.b.c",
            subject_token=shared.machine_secret, code="x",
        )  # fmt: skip
        assert (answer.status_code, answer.json["error"]) == (400, "unsupported_grant_type")
    assert PASSWORD not in str(shared._witness.events)


@pytest.mark.parametrize("endpoint", ["token", "introspect", "revoke", "device_authorization"])
def test_attack_a_get_is_no_way_in(shared, endpoint):
    """RFC 6749, 3.2: POST alone, so that nothing stands in an address."""
    answer = shared.get(f"/oauth2/{endpoint}?grant_type=client_credentials")
    assert (answer.status_code, answer.json["error"]) == (405, "invalid_request")
