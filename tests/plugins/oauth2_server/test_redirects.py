"""Addresses that may be registered, and what a page's policy makes of them."""

from __future__ import annotations

import pytest

from plugins.oauth2_server.redirects import MAX_LENGTH, RedirectRefused, check, form_target


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example.org/back",
        "https://app.example.org:8443/back?x=1",
        "https://app.example.org",
        "http://127.0.0.1:8484/back",
        "http://[::1]:8484/back",
        "com.example.app:/back",
        "com.example.app://back",
    ],
)
def test_an_address_is_kept_as_it_is(uri):
    assert check(uri) == uri


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://",
        "https:///back",
        "https://app.example.org/back#",
        "https://app.example.org/back#x",
        "https://user@app.example.org/back",
        "https://app.example.org/../back",
        "https://app.example.org/./back",
        "https://app.example.org/*",
        "https://app.example.org/ back",
        "https://app.example.org/b\\ack",
        "https://äpp.example.org/",
        "https://app.example.org:x/",
        "https://[::1/",
        "http://app.example.org/back",
        "http://localhost:8484/back",
        "http://127.0.0.1/back",
        "http://127.0.0.1.evil.example:80/back",
        "javascript:alert(1)",
        "data:text/html,x",
        "myapp:/back",
        "urn:ietf:wg:oauth:2.0:oob",
        "/back",
        "https://app.example.org/" + "x" * MAX_LENGTH,
    ],
)
def test_an_address_that_could_not_be_safe_is_refused_with_a_word(uri):
    with pytest.raises(RedirectRefused) as refused:
        check(uri)
    assert str(refused.value)


def test_a_form_may_lead_to_the_site_or_the_app():
    assert form_target("https://app.example.org:8443/back?x") == "https://app.example.org:8443"
    assert form_target("com.example.app:/back") == "com.example.app:"
