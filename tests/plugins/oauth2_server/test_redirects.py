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


@pytest.mark.parametrize("character", list(";,%!$&'()+=:~_"))
def test_attack_a_host_that_would_write_a_rule_of_its_own_into_the_policy(character):
    """`form-action` names it: a `;` ends that rule, and what follows is another."""
    with pytest.raises(RedirectRefused):
        check(f"https://app.example.org{character}sandbox/back")


@pytest.mark.parametrize(
    "uri",
    [
        "https://127.0.0.1:8443/back",
        "https://[2001:db8::1]/back",
        "https://[2001:db8::1]:8443/back",
        "https://App.Example.org/back",
        "https://app.example.org/a;b,c",
        "https://app.example.org/@me",
    ],
)
def test_a_host_may_be_an_address_and_a_path_what_it_likes(uri):
    assert check(uri) == uri
    target = form_target(uri)
    assert uri.startswith(target)
    assert not set(target) & set("; ,'")


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:8484;x/",
        "http://[::1]:8484:1/",
        "http://127.0.0.1/",
        "http://127.0.0.1@evil.example:80/",
        "http://x:1/",
    ],
)
def test_http_is_for_this_machine_alone(uri):
    with pytest.raises(RedirectRefused):
        check(uri)


@pytest.mark.parametrize(
    "scheme", ["com.example.app", "org.example.a-b", "com.example.app2", "a.b+c"]
)
def test_an_app_is_named_by_a_domain_in_reverse(scheme):
    """RFC 8252, 7.1: nobody else has a right to that name."""
    assert form_target(check(f"{scheme}:/back")) == f"{scheme}:"


@pytest.mark.parametrize("scheme", ["app", "ftp", "file", "vbscript", "about", "blob", "ws", "wss"])
def test_a_scheme_that_belongs_to_everybody_is_refused(scheme):
    for uri in (f"{scheme}:/back", f"{scheme}://app.example.org/back"):
        with pytest.raises(RedirectRefused):
            check(uri)


@pytest.mark.parametrize("code", [*range(0x21), 0x7F, 0xA0, 0x2028, 0x202E, 0xFF0E, 0x1F600])
def test_no_white_space_control_or_foreign_letter_is_registered(code):
    """A header would end at some of them, and a person read others for what they are not."""
    with pytest.raises(RedirectRefused):
        check(f"https://app.example.org/ba{chr(code)}ck")


def test_the_longest_address_is_a_whole_kilobyte():
    start = "https://app.example.org/"
    assert check(start + "x" * (MAX_LENGTH - len(start)))
    with pytest.raises(RedirectRefused):
        check(start + "x" * (MAX_LENGTH - len(start) + 1))
