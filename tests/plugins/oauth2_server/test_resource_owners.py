"""Who may grant, and what."""

from __future__ import annotations

import pytest
from argon2 import extract_parameters

from plugins.brute_force.plugin import BruteForce
from plugins.oauth2_server.passwords import Passwords
from secureml import Plugin
from tests.oauth_app import PASSWORD, SITE, OAuthApp


def test_a_person_signs_in_by_their_password(core):
    people = core.server.resource_owners
    assert people.sign_in("ann", PASSWORD).name == "ann"
    assert people.sign_in("ann", "wrong") is None
    assert people.sign_in("nobody", PASSWORD) is None


def test_a_person_stands_and_lends_while_their_client_does(core):
    people = core.server.resource_owners
    ann = people.active("ann")
    assert people.rights(ann) == {"predict", "models:read"}
    assert people.models(ann) == {"*"}
    core.clients.set_enabled("acme", enabled=False)
    assert people.active("ann") is None
    assert people.sign_in("ann", PASSWORD) is None


def test_a_person_of_no_client_lends_nothing(core):
    core.server.users.add("bob", "gone", PASSWORD)
    people, bob = core.server.resource_owners, core.server.users.get("bob")
    assert (people.rights(bob), people.models(bob)) == (frozenset(), frozenset())


def test_attack_every_wrong_sign_in_costs_one_slow_hash(core, monkeypatch):
    """Unknown, shut out, too long and wrong: whoever measures learns nothing."""
    core.clients.add("gone", scopes=["predict"])
    core.server.users.add("bob", "gone", PASSWORD)
    core.clients.set_enabled("gone", enabled=False)
    people, work = core.server.resource_owners, []
    people.sign_in("nobody", "x")  # the hash that unknown names are compared with is made once
    real = Passwords._matches
    monkeypatch.setattr(
        Passwords, "_matches", lambda self, *words: work.append(words) or real(self, *words)
    )
    wrong = [
        ("ann", "wrong"), ("nobody", PASSWORD), ("bob", PASSWORD), ("", ""), ("x" * 5000, "x"),
        ("ann", "x" * 5000), ("oc_1", PASSWORD),
    ]  # fmt: skip
    for number, pair in enumerate(wrong, start=1):
        assert people.sign_in(*pair) is None
        assert len(work) == number
    assert len({str(extract_parameters(hashed)) for _text, hashed in work}) == 1


def test_a_password_is_never_that_of_another(core):
    core.server.users.add("bob", "acme", "the password of bob")
    people = core.server.resource_owners
    assert people.sign_in("bob", PASSWORD) is None
    assert people.sign_in("ann", "the password of bob") is None


def test_a_condition_is_of_the_password_that_was_shown(core):
    people = core.server.resource_owners
    still = people.unchanged(people.active("ann"))
    with core.harness.store.begin() as connection:
        assert still(connection)
    core.server.users.set_password("ann", "another password")
    with core.harness.store.begin() as connection:
        assert not still(connection)


# -- guessing, beside `brute_force` ------------------------------------------------------------


class Address(Plugin):
    """Says where each request comes from, as `transport` does."""

    name = "address"

    def admit(self, exchange):
        address = exchange.request.environ["REMOTE_ADDR"]
        exchange.set_peer(address=address, scheme="https", host="ml.example.org")


@pytest.fixture
def guarded(tmp_path):
    made = OAuthApp(tmp_path, more=(Address, BruteForce))
    yield made
    made.close()


def guess(core, name, password="wrong", address="192.0.2.1"):
    browser = core.app.test_client()
    browser.environ_base["REMOTE_ADDR"] = address
    return core.sign_in(browser=browser, name=name, password=password)


def test_attack_guessing_a_password_waits_longer_each_time(guarded):
    """From where it was guessed at, the right one too; elsewhere and for others nothing changes."""
    assert [guess(guarded, "ann").status_code for _ in range(6)] == [403] * 6
    refused = guess(guarded, "ann", PASSWORD)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert refused.mimetype == "text/html"
    assert "Set-Cookie" not in refused.headers
    assert len(guarded.happened("authn_login_fail")) == 6
    assert guess(guarded, "ann", PASSWORD, "198.51.100.7").status_code == 303
    guarded.clock.advance(1)
    assert guess(guarded, "ann", PASSWORD).status_code == 303


def test_attack_names_that_are_not_there_wait_like_those_that_are(guarded):
    for name in ("ann", "nobody"):
        assert [guess(guarded, name).status_code for _ in range(7)] == [403] * 6 + [429]


def test_attack_guessing_a_programs_secret_waits_too(guarded):
    """It has 256 bits and needs no wait; the slow hash that each guess costs us does."""
    form = {
        "grant_type": "client_credentials", "client_id": guarded.machine,
        "client_secret": "scs_" + "w" * 43,
    }  # fmt: skip
    statuses = [
        guarded.http.post("/oauth2/token", data=form, base_url=SITE).status_code for _ in range(8)
    ]
    assert 429 in statuses
    assert set(statuses) == {401, 429}
