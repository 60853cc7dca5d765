"""What is explained is what would happen, and every no has its reason."""

from __future__ import annotations

import json

import pytest

PREDICT = "/v1/models/breast-cancer/predict"


@pytest.fixture
def ask(type_command, fresh_instance):
    """Type a command for an instance of one's own."""

    def ask_it(*words):
        return type_command(*words, "--instance", fresh_instance)

    return ask_it


def explain(ask, *words):
    said = ask("access", "explain", *words, "--json")
    return said.code, json.loads(said.out)


def no(found):
    return [(step["ask"], step["why"]) for step in found["steps"] if not step["ok"]]


def test_a_client_with_the_right_may_and_each_step_says_why(ask):
    ask("clients", "add", "acme", "--scope", "predict@breast-cancer")
    code, found = explain(ask, "acme", "post", PREDICT)
    assert (code, found["allowed"], no(found)) == (0, True, [])
    assert [step["ask"] for step in found["steps"]] == ["route", "client", "model", "scopes"]
    assert "predict@breast-cancer" in found["steps"][1]["why"]
    assert "version 1 of breast-cancer answers" in found["steps"][2]["why"]


@pytest.mark.parametrize(
    ("rights", "place", "reason"),
    [
        (["--scope", "models:read"], ("POST", PREDICT), ("scopes", "scopes.missing:predict")),
        (["--scope", "predict@other"], ("POST", PREDICT), ("scopes", "scopes.missing:predict")),
        (
            ["--scope", "predict@breast-cancer@9"],
            ("POST", PREDICT),
            ("scopes", "scopes.missing:predict"),
        ),
        (["--model", "other"], ("POST", PREDICT), ("scopes", "scopes.model_not_granted")),
        (
            ["--model", "breast-cancer@2"],
            ("POST", PREDICT),
            ("scopes", "scopes.model_not_granted"),
        ),
        ([], ("GET", PREDICT), ("route", f"{PREDICT} accepts POST only")),
        ([], ("GET", "/nowhere"), ("route", "no route matches /nowhere")),
        (
            [],
            ("POST", "/v1/models/nothing/predict"),
            ("model", "no model is called 'nothing'"),
        ),
    ],
)
def test_every_no_has_its_reason(ask, rights, place, reason):
    ask("clients", "add", "acme", *rights, "--allow-unknown")
    code, found = explain(ask, "acme", *place)
    assert (code, found["allowed"]) == (1, False)
    assert reason in no(found)


def test_nobody_and_the_disabled_may_nothing(ask):
    assert no(explain(ask, "nobody", "POST", PREDICT)[1]) == [
        ("client", "there is no client 'nobody'")
    ]
    ask("clients", "add", "acme")
    ask("clients", "disable", "acme")
    assert no(explain(ask, "acme", "POST", PREDICT)[1]) == [("client", "acme is disabled")]


def test_a_public_route_asks_nobody(ask):
    code, found = explain(ask, "nobody", "GET", "/healthz")
    assert (code, found["allowed"]) == (0, True)


def test_each_credential_is_told_with_what_stands_against_it(ask):
    ask("clients", "add", "acme")
    wide = json.loads(ask("api-keys", "issue", "acme", "--json").out)["id"]
    narrow = json.loads(ask("api-keys", "issue", "acme", "--scope", "models:read", "--json").out)[
        "id"
    ]
    gone = json.loads(ask("api-keys", "issue", "acme", "--json").out)["id"]
    ask("api-keys", "revoke", gone)
    found = {row["id"]: row for row in explain(ask, "acme", "POST", PREDICT)[1]["credentials"]}
    assert (found[wide]["ok"], found[wide]["why"]) == (True, "would do")
    assert (found[narrow]["ok"], found[narrow]["why"]) == (False, "scopes.missing:predict")
    assert (found[gone]["ok"], found[gone]["why"]) == (False, "revoked")


def test_people_read_lines_that_end_with_the_answer(ask):
    ask("clients", "add", "acme")
    said = ask("access", "explain", "acme", "POST", PREDICT)
    assert said.out.splitlines()[-1] == "allowed"
    said = ask("access", "explain", "acme", "GET", "/nowhere")
    assert said.out.splitlines()[-1] == "not allowed"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("return False", "acme.authorize_returned:bool"),
        ("raise SystemExit(3)", "unexpected.SystemExit"),
        ("raise KeyError('x')", "unexpected.KeyError"),
    ],
)
def test_who_refuses_by_accident_is_explained_as_it_refuses(
    ask, fresh_instance, tmp_path, monkeypatch, body, why
):
    """What is explained is what would happen, also for a plugin with a fault."""
    module = f"acme_{abs(hash(body))}"
    (tmp_path / f"{module}.py").write_text(
        "from secureml import Plugin\nclass Acme(Plugin):\n    name = 'acme'\n"
        f"    def authorize(self, exchange):\n        {body}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    file = fresh_instance / "secureml.toml"
    text = file.read_text()
    file.write_text(text.replace('"audit_log"]', f'"audit_log", "{module}:Acme"]'))
    ask("clients", "add", "client")
    code, found = explain(ask, "client", "POST", PREDICT)
    assert (code, no(found)) == (1, [("acme", why)])
