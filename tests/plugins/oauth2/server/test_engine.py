"""The engine: devices begun, grants refused, and the library's own ways kept shut."""

from __future__ import annotations

import pytest
from authlib.oauth2 import OAuth2Error

from plugins.oauth2.server.clients import DEVICE


def begin(house, **form):
    return house.post("/oauth2/device_authorization", **form)


def test_a_device_is_told_where_people_go(house):
    program = house.device_program()
    body = begin(house, client_id=program).json
    page = "https://ml.example.org/oauth2/device"
    assert body["verification_uri"] == page
    assert body["verification_uri_complete"] == f"{page}?user_code={body['user_code']}"
    assert (body["expires_in"], body["interval"]) == (600, 5)


def test_a_device_is_refused_like_anybody(house):
    program = house.device_program()
    assert begin(house, x="y").status_code == 401
    assert begin(house, client_id=house.web).status_code == 401
    auth = (house.machine, house.machine_secret)
    assert (
        house.post("/oauth2/device_authorization", auth, x="y").json["error"]
        == "unauthorized_client"
    )
    assert begin(house, client_id=program, scope="root").json["error"] == "invalid_scope"
    assert begin(house, client_id=program).status_code == 200


def test_what_the_library_would_tell_others_it_tells_nobody(house):
    engine = house.server.engine
    assert engine.send_signal("after_authenticate_client") is None
    with pytest.raises(OAuth2Error):
        engine.handle_error_response(None, OAuth2Error(error="x"))


def test_an_error_that_may_not_be_told_elsewhere_is_raised(house):
    asked, grant = None, None
    from plugins.oauth2.server.request import Shown

    words = dict(pair.split("=") for pair in house.request().partition("?")[2].split("&"))
    words |= {"redirect_uri": "https://app.example.org/back", "scope": "models:read"}
    shown = Shown("https://ml.example.org/a", "GET", words, "", None, print)
    asked, grant = house.server.engine.consent(shown)
    house.server.clients.revoke(house.web)
    with pytest.raises(OAuth2Error):
        house.server.engine.decide(asked, grant, house.server.users.get("ann"))
    assert DEVICE.endswith("device_code")
