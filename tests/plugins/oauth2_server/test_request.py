"""A request as the library sees it."""

from __future__ import annotations

import pytest

from plugins.oauth2_server.request import OAuth2Request, ProofKey, RequestData


def test_its_address_is_what_we_say_and_its_parameters_stand_once():
    spent = []
    key = ProofKey("k", spent.append)
    shown = RequestData(
        "https://ml.example.org/oauth2/token", "POST", {"code": "c"}, "Basic x", key, print
    )
    asked = OAuth2Request(shown)
    assert asked.uri == shown.uri
    assert asked.form == asked.args == {"code": "c"}
    assert asked.payload.datalist == {"code": ["c"]}
    assert asked.headers == {"Authorization": "Basic x"}
    assert (asked.thumbprint, asked.add_event, asked.grant_record) == ("k", print, None)
    assert spent == []
    asked.spend_proof("oc_1")
    assert spent == ["oc_1"]


def asked(key=None, **more):
    words = ("https://ml.example.org/oauth2/token", "POST", {"code": "c"}, "", key, print)
    return OAuth2Request(RequestData(*words, **more))


def test_a_request_without_a_proof_has_nothing_to_spend():
    request = asked()
    request.spend_proof("oc_1")
    assert (request.thumbprint, request.source.address, request.user) == (None, "", None)


def test_two_requests_share_nothing():
    """The library writes on what it is given: one request's parameters are not the next one's."""
    parameters = {"code": "c"}
    first, second = (
        OAuth2Request(RequestData("https://a.example/t", "POST", parameters, "", None, print))
        for _ in range(2)
    )
    first.payload.data["code"] = "changed"
    first.grant_record = "one's"
    assert (second.form, second.grant_record, parameters) == ({"code": "c"}, None, {"code": "c"})


def test_a_refused_proof_ends_the_request_that_showed_it():
    """What the spender raises goes through: nothing is issued behind it."""

    def spent(_client):
        raise PermissionError("used before")

    with pytest.raises(PermissionError):
        asked(ProofKey("k", spent)).spend_proof("oc_1")
