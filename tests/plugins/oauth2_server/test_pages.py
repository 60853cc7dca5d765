"""Pages: escaped, without scripts, and kept to themselves."""

from __future__ import annotations

import re

import pytest
from jinja2 import UndefinedError

from plugins.oauth2_server import pages


def test_every_value_is_escaped():
    page = pages.page("message", title="<b>", text='"&', id="1")
    assert "&lt;b&gt;" in page
    assert "&#34;&amp;" in page
    assert "<b>" not in page


def test_a_value_that_was_forgotten_is_a_fault_and_no_gap():
    with pytest.raises(UndefinedError):
        pages.page("message", title="x", text="y")


def test_no_template_holds_a_script_or_a_style_of_its_own():
    for path in pages._FOLDER.glob("*.html"):
        text = path.read_text("utf-8")
        for word in ("<script", " style=", "onclick", "http:", "https:", "|safe", "| safe"):
            assert word not in text, path.name


def test_a_style_sheet_loads_nothing():
    assert "url(" not in pages.style()
    assert "@import" not in pages.style()


def test_rights_are_said_in_words_where_there_are_some():
    assert pages.rights({"predict", "x:y"})[0] == ("predict", "ask models for predictions")
    assert pages.rights({"x:y"}) == [("x:y", "x:y")]


def test_a_form_leads_nowhere_but_where_it_is_said():
    assert "form-action 'self';" in pages.headers()["Content-Security-Policy"]
    policy = pages.headers("https://a.example")["Content-Security-Policy"]
    assert "form-action 'self' https://a.example;" in policy


NAMES = sorted(path.stem for path in pages._FOLDER.glob("*.html") if path.stem != "base")


@pytest.mark.parametrize("name", NAMES)
def test_every_form_is_sent_to_us_by_post_with_its_proof(name):
    text = (pages._FOLDER / f"{name}.html").read_text("utf-8")
    forms = re.findall(r"<form[^>]*>.*?</form>", text, re.DOTALL)
    assert bool(forms) is (name != "message")
    for form in forms:
        assert 'method="post" action="{{ action }}"' in form
        assert 'name="proof" value="{{ proof }}"' in form


@pytest.mark.parametrize("name", NAMES)
def test_every_value_in_an_attribute_stands_in_quotes(name):
    """Escaping protects nothing where a space ends the value."""
    text = (pages._FOLDER / f"{name}.html").read_text("utf-8")
    assert not re.search(r"=\s*\{\{", text)


def test_attack_markup_in_whatever_a_page_shows():
    wicked = "\"'><script>alert(1)</script>{{ 7*7 }}"
    shown = {
        "program": wicked, "owner": wicked, "subject": wicked, "rights": [(wicked, wicked)],
        "destination": wicked, "typed": wicked, "action": wicked, "proof": wicked,
    }  # fmt: skip
    made = [
        pages.page("consent", **shown),
        pages.page("device", typed=wicked, wrong=True, action=wicked, proof=wicked),
        pages.page("sign_in", program=wicked, wrong=True, action=wicked, proof=wicked),
        pages.page("message", title=wicked, text=wicked, id=wicked),
    ]
    assert len(made) == len(NAMES)
    for text in made:
        assert "<script" not in text
        assert "49" not in text
        assert "\"'>" not in text


@pytest.mark.parametrize("targets", [(), ("https://a.example",), ("com.example.app:",)])
def test_the_policy_lets_nothing_in_but_our_style(targets):
    """Without a script, a frame, a base or a picture from anywhere (CSP 3)."""
    rules = dict(
        rule.strip().split(" ", 1)
        for rule in pages.headers(*targets)["Content-Security-Policy"].split(";")
    )
    assert rules == {
        "default-src": "'none'", "style-src": "'self'", "frame-ancestors": "'none'",
        "base-uri": "'none'", "form-action": " ".join(("'self'", *targets)),
    }  # fmt: skip


def test_a_page_is_kept_by_nobody_and_shares_no_window():
    found = pages.headers()
    assert found["Cache-Control"] == "no-store"
    assert found["Cross-Origin-Opener-Policy"] == "same-origin"
    assert found["Referrer-Policy"] == "same-origin"  # the request stands in the address


def test_a_right_without_a_saying_is_shown_by_its_whole_name():
    """Nothing is granted that a person was not shown."""
    scopes = {"predict", "predict@churn", "metrics", "oauth2:introspect"}
    assert {scope for scope, _ in pages.rights(scopes)} == scopes
    assert dict(pages.rights(scopes))["oauth2:introspect"] == "oauth2:introspect"


def test_passwords_are_typed_unseen_and_may_be_filled_in():
    """ASVS 5.0, 6.2.6 and 6.2.7: hidden, and a password manager is welcome."""
    text = pages.page("sign_in", program="", wrong=False, action="/", proof="p")
    assert 'type="password"' in text
    assert 'autocomplete="current-password"' in text
