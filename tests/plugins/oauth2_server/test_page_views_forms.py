"""Forms that only our own pages send, and pages that nobody frames, keeps or reads."""

from __future__ import annotations

import pytest

from plugins.oauth2_server.page_views import COOKIE
from tests.oauth_app import PASSWORD, SITE


@pytest.mark.parametrize("path", ["/oauth2/authorize", "/oauth2/device"])
@pytest.mark.parametrize("step", ["sign-in", "sign-out", "allow", "deny", "look"])
def test_attack_no_button_works_from_another_site(shared, path, step):
    """Not the sign-in either: else somebody is signed in as the attacker without noticing."""
    address = shared.request() if path.endswith("authorize") else path
    browser = shared.browser()
    shared.sign_in(address, browser)
    form = {"step": step, "name": "ann", "password": PASSWORD, "user_code": "BBBB-BBBB"}
    for headers in ({}, {"Origin": "https://evil.example"}):
        answer = browser.post(address, data=form, headers=headers, base_url=SITE)
        assert (answer.status_code, "Location" in answer.headers) == (403, False)
        assert "Set-Cookie" not in answer.headers
    assert 'value="sign-in"' not in shared.get(address, browser).text


def test_attack_the_form_of_one_browser_sent_by_another(shared):
    """The proof is bound to the cookie, and a page that was read elsewhere is worth nothing."""
    address, mine, other = shared.request(), shared.browser(), shared.browser()
    for browser in mine, other:
        shared.sign_in(address, browser)
    page = shared.get(address, mine)
    assert shared.submit(page, address, other, step="allow").status_code == 403
    assert shared.submit(page, address, mine, step="allow").status_code == 303


def test_attack_the_form_of_a_device_used_to_agree_to_a_program(shared):
    browser = shared.browser()
    shared.sign_in("/oauth2/device", browser)
    page = shared.get("/oauth2/device", browser)
    assert shared.submit(page, shared.request(), browser, step="allow").status_code == 403


def answers_of_every_kind(shared):
    """Return pages as they are: signed out and in, wrong, refused, unknown."""
    browser = shared.browser()
    yield shared.get(shared.request(), browser)
    yield shared.get("/oauth2/device", browser)
    yield shared.sign_in(browser=browser, password="wrong")
    yield shared.sign_in(browser=browser)
    yield shared.get(shared.request(), browser)
    yield shared.get("/oauth2/device", browser)
    yield shared.get(shared.request(client_id="x"), browser)
    yield shared.get(shared.request(redirect_uri="https://evil.example"), browser)
    yield shared.get("/oauth2/authorize", browser)
    yield browser.post("/oauth2/authorize", data={"step": "allow"}, base_url=SITE)
    yield browser.post("/oauth2/device", data={"step": "allow"}, base_url=SITE)
    yield browser.post("/oauth2/device", json={}, base_url=SITE)
    yield browser.put("/oauth2/authorize", base_url=SITE)


def test_no_page_of_any_kind_is_framed_kept_or_sniffed(shared):
    """RFC 9700, 4.16, and RFC 6749, 10.13: clickjacking; and nothing stays in a cache."""
    for answer in answers_of_every_kind(shared):
        where = (answer.status_code, answer.request.path)
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], where
        assert answer.headers["Cache-Control"] == "no-store", where
        assert answer.headers["X-Content-Type-Options"] == "nosniff", where
        assert answer.headers["Referrer-Policy"] in ("same-origin", "no-referrer"), where
        assert "Access-Control-Allow-Origin" not in answer.headers, where


def test_no_page_tells_what_is_secret(shared):
    cookie, browser = "", shared.browser()
    for answer in answers_of_every_kind(shared):
        for secret in (PASSWORD, shared.web_secret, shared.web_secret[4:]):
            assert secret not in answer.text
    shared.sign_in(browser=browser)
    cookie = browser.get_cookie(COOKIE, domain="ml.example.org").value
    assert cookie not in shared.get(shared.request(), browser).text
