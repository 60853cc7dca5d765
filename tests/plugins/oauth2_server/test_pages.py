"""Pages: escaped, without scripts, and kept to themselves."""

from __future__ import annotations

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
