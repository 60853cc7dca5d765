"""The pages on their ordinary way."""

from __future__ import annotations

import re

import pytest

from plugins.oauth2_server.clients import CODE, DEVICE
from plugins.oauth2_server.page_views import COOKIE
from tests.oauth_app import BACK, ISSUER, PASSWORD, emitted


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


# -- no way to somewhere else ----------------------------------------------------------------

WRONG = [
    {"scope": "root"},
    {"code_challenge": None},
    {"code_challenge_method": "plain"},
    {"response_type": "token"},
    {"response_type": None},
    {"dpop_jkt": "x"},
]


@pytest.mark.parametrize("changed", WRONG, ids=str)
def test_attack_a_link_with_an_error_in_it_leads_a_stranger_nowhere(shared, changed):
    """RFC 9700, 4.11.2: a person proves who they are before we send them on, and an error is
    no short way: our own address must not be a way to that of a program.
    """
    browser = shared.browser()
    page = shared.get(shared.request(**changed), browser)
    assert (page.status_code, "Location" in page.headers) == (200, False)
    assert 'value="sign-in"' in page.text
    answer = shared.sign_in(shared.request(**changed), browser)
    assert answer.headers["Location"].startswith("/oauth2/authorize?")
    told = emitted(shared.get(answer.headers["Location"], browser))
    assert (told["state"], told["iss"]) == ("s-1", ISSUER)
    assert told["error"] in ("invalid_scope", "invalid_request", "unsupported_response_type")
    assert "code" not in told


@pytest.mark.parametrize("step", ["allow", "deny", "sign-out", "look", "", "x"])
def test_attack_a_form_sent_without_a_session_sends_nobody_on(shared, step):
    """Neither with an error nor with a code, whatever the button was."""
    for changed in ({}, {"scope": "root"}):
        address, browser = shared.request(**changed), shared.browser()
        page = shared.get(address, browser)
        answer = shared.submit(page, address, browser, step=step)
        assert (answer.status_code, answer.headers["Location"]) == (303, address)


def test_a_request_without_a_response_type_is_incomplete(shared):
    """RFC 6749, 4.1.2.1: what is missing is an invalid request, not an unknown type."""
    assert emitted(shared.answered(response_type=None))["error"] == "invalid_request"
    assert emitted(shared.answered(response_type=""))["error"] == "invalid_request"


@pytest.mark.parametrize("state", [None, "", "x", "a b", "é", "=&#?", "1" * 1000])
def test_the_state_comes_back_as_it_was_sent(shared, state):
    """RFC 6749, 4.1.2: the program's own protection against forged answers."""
    told = emitted(shared.decide(state=state))
    assert told.get("state") == (state or None)
    assert "code" in told


# -- who is asked, and what they see ---------------------------------------------------------


def test_a_person_is_shown_only_what_they_can_grant(shared):
    """The program asks for `other` too, which is not hers."""
    shared.sign_in()
    page = shared.get(shared.request(scope="models:read other"))
    assert "<code>models:read</code>" in page.text
    assert "<code>other</code>" not in page.text


def test_a_name_that_is_wrong_and_a_password_that_is_wrong_read_alike(shared):
    answers = [
        shared.sign_in(browser=shared.browser(), name=name, password=password)
        for name, password in (("ann", "wrong"), ("nobody", PASSWORD), ("", ""), ("ann", ""))
    ]
    pages = {re.sub(r'name="proof" value="\w+"', "", answer.text) for answer in answers}
    assert {answer.status_code for answer in answers} == {403}
    assert len(pages) == 1
    assert all(PASSWORD not in answer.text for answer in answers)


@pytest.mark.parametrize(
    "name", ["ANN", "ann ", " ann", "ann\x00", "ann\n", "a" * 5000, "' OR 1=1--"]
)
def test_a_name_is_who_it_is_letter_for_letter(shared, name):
    answer = shared.sign_in(browser=shared.browser(), name=name)
    assert answer.status_code in (400, 403, 413)
    assert "Location" not in answer.headers


def test_signing_in_as_somebody_else_ends_the_session_before(core):
    core.server.users.add("bob", "acme", PASSWORD)
    core.sign_in()
    before = core.http.get_cookie(COOKIE, domain="ml.example.org").value
    address = core.request()
    page = core.get(address)
    core.submit(page, address, step="sign-out")
    core.sign_in(name="bob")
    assert "<strong>bob</strong>" in core.get(address).text
    thief = core.browser()
    thief.set_cookie(COOKIE, before, domain="ml.example.org", secure=True)
    assert 'value="sign-in"' in core.get(address, thief).text


def test_signing_out_ends_the_session_on_our_side(core):
    """A cookie that was copied before is worth nothing after."""
    address = core.request()
    core.sign_in(address)
    copied = core.http.get_cookie(COOKIE, domain="ml.example.org").value
    core.submit(core.get(address), address, step="sign-out")
    thief = core.browser()
    thief.set_cookie(COOKIE, copied, domain="ml.example.org", secure=True)
    assert 'value="sign-in"' in core.get(address, thief).text


def test_two_browsers_of_one_person_are_two_sessions(shared):
    first, second = shared.browser(), shared.browser()
    address = shared.request()
    for browser in first, second:
        shared.sign_in(address, browser)
    shared.submit(shared.get(address, first), address, first, step="sign-out")
    assert 'value="sign-in"' in shared.get(address, first).text
    assert 'value="allow"' in shared.get(address, second).text


def test_a_person_who_is_shut_out_is_signed_out_at_once(core):
    address = core.request()
    core.sign_in(address)
    page = core.get(address)
    core.clients.set_enabled("acme", enabled=False)
    assert 'value="sign-in"' in core.get(address).text
    answer = core.submit(page, address, step="allow")
    assert (answer.status_code, answer.headers["Location"]) == (303, address)


def test_a_program_that_was_ended_asks_nobody(core):
    address = core.request()
    core.sign_in(address)
    page = core.get(address)
    core.server.clients.revoke(core.web)
    for answer in core.get(address), core.submit(page, address, step="allow"):
        assert (answer.status_code, answer.mimetype) == (401, "text/html")
        assert "Location" not in answer.headers


# -- devices ---------------------------------------------------------------------------------


def test_a_person_agrees_to_a_device_for_what_they_hold(core):
    program = core.device_program()
    begun = core.post(
        "/oauth2/device_authorization", client_id=program, scope="models:read other"
    ).json
    core.sign_in("/oauth2/device")
    page = core.submit(
        core.get("/oauth2/device"), "/oauth2/device", step="look", user_code=begun["user_code"]
    )
    assert "<code>models:read</code>" in page.text
    assert "<code>other</code>" not in page.text
    done = core.submit(page, "/oauth2/device", step="allow", user_code=begun["user_code"])
    assert "is connected" in done.text
    poll = {"grant_type": DEVICE, "client_id": program, "device_code": begun["device_code"]}
    assert core.token(**poll).json["scope"] == "models:read"


def test_a_device_is_not_connected_by_somebody_who_holds_nothing_of_it(core):
    core.clients.add("poor", scopes=["something:else"])
    core.server.users.add("bob", "poor", PASSWORD)
    program = core.device_program()
    begun = core.post("/oauth2/device_authorization", client_id=program, scope="predict").json
    core.sign_in("/oauth2/device", name="bob")
    page = core.get("/oauth2/device")
    done = core.submit(page, "/oauth2/device", step="allow", user_code=begun["user_code"])
    assert "was not connected" in done.text
    poll = {"grant_type": DEVICE, "client_id": program, "device_code": begun["device_code"]}
    assert core.token(**poll).json["error"] == "access_denied"


def test_a_device_of_a_program_that_was_ended_waits_for_nobody(core):
    program = core.device_program()
    begun = core.post("/oauth2/device_authorization", client_id=program).json
    core.server.clients.revoke(program)
    core.sign_in("/oauth2/device")
    page = core.get("/oauth2/device")
    page = core.submit(page, "/oauth2/device", step="look", user_code=begun["user_code"])
    assert "No device waits" in page.text
