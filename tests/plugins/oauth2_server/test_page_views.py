"""The pages on their ordinary way."""

from __future__ import annotations

from plugins.oauth2_server.clients import CODE
from tests.oauth_app import BACK, ISSUER, emitted


def test_a_person_reads_who_asks_for_what_and_where_it_goes(core):
    core.sign_in()
    program, _ = core.program(grants=[CODE], redirects=[BACK], label="Price Finder")
    page = core.get(core.request(client_id=program, scope="models:read predict"))
    for word in ("Price Finder", "partner", "ann", "ask models for predictions", "app.example.org"):
        assert word in page.text


def test_declining_tells_the_program_so(core):
    assert emitted(core.decide("deny")) == {"error": "access_denied", "state": "s-1", "iss": ISSUER}


def test_signing_out_asks_for_a_name_again(core):
    address = core.request()
    core.sign_in(address)
    page = core.get(address)
    answer = core.submit(page, address, step="sign-out")
    assert answer.headers["Location"] == address
    assert 'value="sign-in"' in core.get(address).text


def test_a_decision_without_a_session_leads_to_the_sign_in(core):
    address = core.request()
    page = core.get(address)
    answer = core.submit(page, address, step="allow")
    assert (answer.status_code, answer.headers["Location"]) == (303, address)


def test_a_form_for_a_request_that_went_wrong_meanwhile(core):
    address = core.request()
    core.sign_in(address)
    page = core.get(address)
    core.clients.add("poor", scopes=["other"])
    core.server.clients._change(core.web, scopes=["other"])
    answer = core.submit(page, address, step="allow")
    assert emitted(answer)["error"] == "invalid_scope"


def test_a_sign_in_is_told_and_a_failure_without_what_was_typed(core):
    core.sign_in(password="hunter2hunter2")
    core.sign_in()
    assert core.happened("authn_login_fail") == [{"by": "password"}]
    assert core.happened("authn_login_success") == [{"subject": "ann"}]


def test_a_device_page_asks_for_a_name_first(core):
    page = core.get("/oauth2/device")
    assert 'value="sign-in"' in page.text
    answer = core.sign_in("/oauth2/device")
    assert answer.headers["Location"] == "/oauth2/device"


def test_an_odd_query_is_a_page(core):
    for query in ("client_id=%ff", "a=1&a=2", "x=" + "y" * 5000, "x=%00", "&".join("a" * 60)):
        page = core.get(f"/oauth2/authorize?{query}")
        assert (page.status_code, page.mimetype) == (400, "text/html")


def test_the_style_sheet_is_a_file_of_ours(core):
    answer = core.get("/oauth2/style.css")
    assert (answer.status_code, answer.mimetype) == (200, "text/css")


def test_an_app_of_its_own_scheme_is_named(core):
    uri = "com.example.app:/back"
    program, _ = core.program(grants=[CODE], redirects=[uri], public=True)
    core.sign_in()
    page = core.get(core.request(client_id=program, redirect_uri=uri))
    assert "form-action 'self' com.example.app:;" in page.headers["Content-Security-Policy"]
    answer = core.decide(client_id=program, redirect_uri=uri)
    assert answer.headers["Location"].startswith(f"{uri}?code=")
