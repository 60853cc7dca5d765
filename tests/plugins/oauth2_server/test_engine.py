"""The engine: devices begun, grants refused, and the library's own ways kept shut."""

from __future__ import annotations

import pytest
from authlib.oauth2 import OAuth2Error

from plugins.oauth2_server.clients import DEVICE


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
