"""The commands: what is shown once, what is told, and what is refused."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

ADD = ("clients", "add", "partner", "--grant", "client-credentials")


@pytest.fixture
def type_it(core):
    """Type a command of the plugin; with a dict, answer its questions."""

    def run(*words, code=0, answers=None):
        done = CliRunner().invoke(core.plugin.commands(), list(words), input=answers)
        assert done.exit_code == code, done.output
        return done.output

    return run


def emitted(core):
    return [(event.name, event.client) for event in core.harness.emitted]


def test_a_secret_is_shown_once_and_opens(type_it, core):
    made = json.loads(type_it(*ADD, "--scope", "predict", "--json"))
    auth = (made["id"], made["secret"])
    body = core.token(auth, grant_type="client_credentials").json
    assert body["scope"] == "predict"
    assert made["secret"] not in type_it("clients", "list", "--json")
    assert emitted(core) == [("user_created", "partner")]


def test_a_rotated_secret_is_the_only_one(type_it, core):
    made = json.loads(type_it(*ADD, "--json"))
    new = json.loads(type_it("clients", "rotate", made["id"], "--json"))
    ask = {"grant_type": "client_credentials"}
    assert core.token((made["id"], made["secret"]), **ask).status_code == 401
    assert core.token((new["id"], new["secret"]), **ask).status_code == 200


def test_a_revoked_program_and_its_tokens_are_gone(type_it, core):
    made = json.loads(type_it(*ADD, "--json"))
    auth = (made["id"], made["secret"])
    token = core.token(auth, grant_type="client_credentials").json["access_token"]
    assert core.ask(token).status_code == 200
    done = json.loads(type_it("clients", "revoke", made["id"], "--json"))
    assert done == {"revoked": made["id"], "families": 1}
    assert core.ask(token).status_code == 401
    assert ("authn_token_revoked", "partner") in emitted(core)
    assert "revoked" in type_it("clients", "list", "--client", "partner")


def test_a_public_program_with_everything(type_it):
    made = json.loads(
        type_it(
            "clients", "add", "partner", "--grant", "code", "--grant", "refresh", "--redirect",
            "https://a.example/back", "--public", "--dpop", "--name", "App", "--json",
        )
    )  # fmt: skip
    assert (made["kind"], made["dpop"], made["name"]) == ("public", True, "App")
    assert made["grants"] == ["code", "refresh"]
    assert "secret" not in made


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("clients", "add", "nobody", "--grant", "device"), "no client 'nobody'"),
        (("clients", "add", "partner"), "Missing option '--grant'"),
        (("clients", "add", "partner", "--grant", "password"), "is not one of"),
        (("clients", "add", "partner", "--grant", "code"), "go together"),
        ((*ADD, "--redirect", "http://a.example/"), "RFC 8252"),
        ((*ADD, "--scope", "No Scope"), "No Scope"),
        ((*ADD, "--name", "x" * 81), "80 printable"),
        (("clients", "rotate", "oc_x"), "no OAuth client"),
        (("clients", "revoke", "oc_x"), "no OAuth client"),
        (("users", "add", "Bob", "--client", "acme"), "not a name"),
        (("users", "add", "bob", "--client", "nobody"), "no client 'nobody'"),
        (("users", "password", "bob"), "no user"),
        (("users", "remove", "bob"), "no user"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_word(core, words, why):
    done = CliRunner().invoke(core.plugin.commands(), list(words))
    assert done.exit_code != 0
    assert why in done.output


def test_a_note_where_the_client_lacks_the_right_itself(type_it):
    assert "does not hold root" in type_it(*ADD, "--scope", "root")


def test_a_person_with_a_password_that_was_made(type_it, core):
    made = json.loads(type_it("users", "add", "bob", "--client", "acme", "--json"))
    assert core.sign_in(name="bob", password=made["password"]).status_code == 303
    new = json.loads(type_it("users", "password", "bob", "--json"))
    assert 'value="sign-in"' in core.get(core.request()).text  # signed out everywhere
    assert core.sign_in(name="bob", password=made["password"]).status_code == 403
    assert core.sign_in(name="bob", password=new["password"]).status_code == 303
    assert "bob" in type_it("users", "list")
    assert json.loads(type_it("users", "list", "--json"))[1]["client"] == "acme"


def test_a_new_password_ends_whatever_the_old_one_lent(type_it, core):
    """Tokens, refresh tokens, codes and devices: whoever knew the old one may have granted them."""
    pair, code = core.pair(), core.code()
    program = core.device_program()
    begun = core.post("/oauth2/device_authorization", client_id=program).json
    assert core.server.devices.approve(
        begun["user_code"], "ann", allow=True, scopes=frozenset({"predict"})
    )
    done = json.loads(type_it("users", "password", "ann", "--json"))

    assert done["name"] == "ann"
    assert core.ask(pair["access_token"]).status_code == 401
    assert core.refresh(pair["refresh_token"]).json["error"] == "invalid_grant"
    assert core.trade(code).json["error"] == "invalid_grant"
    answer = core.token(
        client_id=program,
        grant_type="urn:ietf:params:oauth:grant-type:device_code",
        device_code=begun["device_code"],
    )
    assert answer.json["error"] == "invalid_grant"
    assert core.sign_in(password=done["password"]).status_code == 303
    assert core.ask(core.pair()["access_token"]).status_code == 200


def test_a_new_secret_ends_what_the_old_one_was_traded_for(type_it, core):
    """And not what people granted the program."""
    token = core.machine_token()["access_token"]
    type_it("clients", "rotate", core.machine)
    assert core.ask(token).status_code == 401
    granted = core.pair()["access_token"]
    type_it("clients", "rotate", core.web)
    assert core.ask(granted).status_code == 200


def test_a_person_with_a_password_of_their_own(type_it, core):
    typed = "a password of mine\na password of mine\n"
    assert "mine" not in type_it(
        "users", "add", "bob", "--client", "acme", "--prompt", answers=typed
    )
    assert core.sign_in(name="bob", password="a password of mine").status_code == 303
    short = "short\nshort\n"
    assert "12 characters" in type_it("users", "password", "bob", "--prompt", answers=short, code=1)


def test_who_is_removed_takes_all_tokens_along(type_it, core):
    token = core.pair()["access_token"]
    done = json.loads(type_it("users", "remove", "ann", "--json"))
    assert done == {"removed": "ann", "families": 1}
    assert core.ask(token).status_code == 401
    assert type_it("users", "list").strip() == "nobody yet"
