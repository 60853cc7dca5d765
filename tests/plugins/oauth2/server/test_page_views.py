"""The pages on their ordinary way."""

from __future__ import annotations

from plugins.oauth2.server.clients import CODE
from tests.oauth_house import BACK, ISSUER, told


def test_a_person_reads_who_asks_for_what_and_where_it_goes(house):
    house.sign_in()
    program, _ = house.program(grants=[CODE], redirects=[BACK], label="Price Finder")
    page = house.get(house.request(client_id=program, scope="models:read predict"))
    for word in ("Price Finder", "partner", "ann", "ask models for predictions", "app.example.org"):
        assert word in page.text


def test_declining_tells_the_program_so(house):
    assert told(house.decide("deny")) == {"error": "access_denied", "state": "s-1", "iss": ISSUER}


def test_signing_out_asks_for_a_name_again(house):
    address = house.request()
    house.sign_in(address)
    page = house.get(address)
    answer = house.submit(page, address, step="sign-out")
    assert answer.headers["Location"] == address
    assert 'value="sign-in"' in house.get(address).text


def test_a_decision_without_a_session_leads_to_the_sign_in(house):
    address = house.request()
    page = house.get(address)
    answer = house.submit(page, address, step="allow")
    assert (answer.status_code, answer.headers["Location"]) == (303, address)


def test_a_form_for_a_request_that_went_wrong_meanwhile(house):
    address = house.request()
    house.sign_in(address)
    page = house.get(address)
    house.clients.add("poor", scopes=["other"])
    house.server.clients._change(house.web, scopes=["other"])
    answer = house.submit(page, address, step="allow")
    assert told(answer)["error"] == "invalid_scope"


def test_a_sign_in_is_told_and_a_failure_without_what_was_typed(house):
    house.sign_in(password="hunter2hunter2")
    house.sign_in()
    assert house.happened("authn_login_fail") == [{"by": "password"}]
    assert house.happened("authn_login_success") == [{"subject": "ann"}]


def test_a_device_page_asks_for_a_name_first(house):
    page = house.get("/oauth2/device")
    assert 'value="sign-in"' in page.text
    answer = house.sign_in("/oauth2/device")
    assert answer.headers["Location"] == "/oauth2/device"


def test_an_odd_query_is_a_page(house):
    for query in ("client_id=%ff", "a=1&a=2", "x=" + "y" * 5000, "x=%00", "&".join("a" * 60)):
        page = house.get(f"/oauth2/authorize?{query}")
        assert (page.status_code, page.mimetype) == (400, "text/html")


def test_the_style_sheet_is_a_file_of_ours(house):
    answer = house.get("/oauth2/style.css")
    assert (answer.status_code, answer.mimetype) == (200, "text/css")


def test_an_app_of_its_own_scheme_is_named(house):
    uri = "com.example.app:/back"
    program, _ = house.program(grants=[CODE], redirects=[uri], public=True)
    house.sign_in()
    page = house.get(house.request(client_id=program, redirect_uri=uri))
    assert "form-action 'self' com.example.app:;" in page.headers["Content-Security-Policy"]
    answer = house.decide(client_id=program, redirect_uri=uri)
    assert answer.headers["Location"].startswith(f"{uri}?code=")
