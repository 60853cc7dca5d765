"""A request as the library sees it."""

from __future__ import annotations

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
