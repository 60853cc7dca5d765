"""Whoever guesses waits; nobody else does, and nobody is locked out from elsewhere."""

from __future__ import annotations

import base64

import pytest
from click.testing import CliRunner
from flask import Blueprint, Response, g

from plugins.api_keys.plugin import ApiKeys
from plugins.brute_force.identity import identity_digest
from plugins.brute_force.plugin import BruteForce
from plugins.errors.plugin import Errors
from plugins.scopes.plugin import Scopes
from secureml import ConfigError, Event, Plugin, Problem, StoreUnavailable, public
from secureml.testing import Harness

HOME, AWAY = "192.0.2.1", "198.51.100.9"


class Peer(Plugin):
    """Settles whoever the test says."""

    name = "peer"

    def admit(self, exchange):
        address = exchange.request.headers["X-Test-Address"]
        exchange.set_peer(address=address, scheme="https", host="x")


class Core:
    def __init__(self, folder, *, context=False, **table):
        self.harness = Harness(folder)
        classes = (Peer, ApiKeys, Scopes, Errors, *([CommandContext] if context else []))
        loaded = [self.harness.load(cls) for cls in classes]
        self.context = loaded[-1].plugin
        self.plugin = self.harness.load(BruteForce, table or None)
        loaded.insert(1, self.plugin)
        self._ring = loaded[2].plugin._keyring
        self.http = self.harness.app(loaded).test_client()
        self.harness.clients.add("acme")
        self.key = self._ring.issue("acme", lifetime=None)[0].text
        self.clock = self.harness.clock

    def wrong(self, key=None):
        """A key of the same id that is not the key."""
        text = key or self.key
        prefix, name, secret = text.split("_", 2)
        return f"{prefix}_{name}_{secret[::-1]}"

    def ask(self, key="", address=HOME, **headers):
        if key:
            headers["X-API-Key"] = key
        headers["X-Test-Address"] = address
        return self.http.get("/v1/models", headers=headers)

    def sign(self, name, password="wrong", address=HOME, headers=None, **more):
        """Fill in the form of the context."""
        form = {"name": name, "password": password, **more}
        return self.http.post(
            "/sign-in", data=form, headers={"X-Test-Address": address, **(headers or {})}
        )

    def guess(self, times, key=None, address=HOME):
        return [self.ask(key or self.wrong(), address).status_code for _ in range(times)]


@pytest.fixture
def core(tmp_path):
    made = Core(tmp_path)
    yield made
    made.harness.store.close()


def test_after_a_few_wrong_guesses_even_the_right_key_waits_where_it_was_guessed(core):
    assert core.guess(6) == [401] * 6
    answer = core.ask(core.key)
    assert (answer.status_code, answer.json["code"]) == (429, "brute_force.wait")
    assert answer.headers["Retry-After"] == "1"
    core.clock.advance(1)
    assert core.ask(core.key).status_code == 200


def test_each_wait_is_twice_the_one_before_and_never_ends_early(core):
    core.guess(5)
    for wait in (1, 2, 4, 8):
        assert core.ask(core.wrong()).status_code == 401
        core.clock.advance(wait - 0.01)
        refused = core.ask(core.wrong())
        assert refused.status_code == 429
        core.clock.advance(float(refused.headers["Retry-After"]))


def test_attack_nobody_is_locked_out_from_elsewhere(core):
    core.guess(50, address=AWAY)
    assert core.ask(core.key, HOME).status_code == 200


def test_attack_many_names_from_one_address_wait_as_one(core):
    other = [core.wrong().replace(core.key.split("_")[1], f"{n:016x}") for n in range(21)]
    assert [core.ask(key, AWAY).status_code for key in other] == [401] * 21
    assert core.ask(core.key, AWAY).status_code == 429


def test_who_is_known_at_an_address_does_not_wait_for_its_neighbours(core):
    assert core.ask(core.key, AWAY).status_code == 200
    other = [core.wrong().replace(core.key.split("_")[1], f"{n:016x}") for n in range(25)]
    for key in other:
        core.ask(key, AWAY)
    assert core.ask(core.key, AWAY).status_code == 200
    assert core.ask(other[0], AWAY).status_code == 429


def test_who_offers_nothing_is_told_so_and_never_waits(core):
    assert [core.ask().status_code for _ in range(50)] == [401] * 50
    assert core.ask(core.key).status_code == 200


def test_a_wait_lengthens_no_further_by_asking_while_it_lasts(core):
    core.guess(6)
    assert core.guess(30) == [429] * 30
    core.clock.advance(1)
    assert core.ask(core.key).status_code == 200


def test_the_wait_is_told_once_it_begins_and_names_no_secret(core):
    core.guess(6)
    [event] = core.harness.emitted
    assert event.name == "authn_login_fail_max"
    assert event.facts["failures"] == 6
    assert core.key not in str(event)


def test_unknown_and_wrong_wait_alike(core):
    """Else the wait would tell which names there are."""
    unknown = core.wrong().replace(core.key.split("_")[1], "0" * 16)
    known = [(core.ask(core.wrong(), HOME).status_code) for _ in range(8)]
    assert [core.ask(unknown, AWAY).status_code for _ in range(8)] == known


def test_a_sign_in_that_failed_counts_for_the_name_that_was_tried(core):
    plugin = core.plugin.plugin
    for _ in range(6):
        exchange = core.harness.exchange("POST", "/sign-in", address=AWAY)
        exchange.status = 200
        exchange.add_event("authn_login_fail", client="bob")
        plugin.record(exchange)
    again = {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(b"bob:x").decode()}
    exchange = core.harness.exchange("GET", "/", address=AWAY, environ_overrides=again)
    with pytest.raises(Problem):
        plugin.admit(exchange)


class CommandContext(Plugin):
    """A sign-in page and a token endpoint, as `oauth2` has them: forms that anybody may send."""

    name = "context"

    def __init__(self, config, host):
        self.asked = 0

    def blueprint(self):
        views = Blueprint("context", __name__)

        @views.post("/sign-in", endpoint="sign_in")
        @public(form=True)
        def sign_in():
            self.asked += 1
            form = g.exchange.payload
            if form.get("password", form.get("client_secret")) == "right":
                who = form.get("name") or form.get("client_id")
                g.exchange.add_event("authn_login_success", "acme", subject=who)
                return {"in": True}
            g.exchange.add_event("authn_login_fail", by="password")
            return Response("no", 403)

        return views


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    folder.mkdir()
    made = Core(folder, context=True)
    yield made
    made.harness.store.close()


def test_a_name_in_a_form_that_was_guessed_at_waits_before_the_password_is_looked_at(context):
    """The form is read at VALIDATE: no slow hash is spent on somebody who must wait."""
    assert [context.sign("ann").status_code for _ in range(6)] == [403] * 6
    assert context.context.asked == 6
    refused = context.sign("ann", "right")
    assert (refused.status_code, refused.json["code"]) == (429, "brute_force.wait")
    assert context.context.asked == 6
    assert context.sign("bob", "right").status_code == 200
    assert context.sign("ann", "right", address=AWAY).status_code == 200
    context.clock.advance(1)
    assert context.sign("ann", "right").status_code == 200


def test_attack_names_by_the_hundred_at_the_sign_in_wait_as_one_address(context):
    assert [context.sign(f"user-{n}").status_code for n in range(21)] == [403] * 21
    assert context.sign("user-21").status_code == 429


def test_who_signed_in_here_lately_does_not_wait_for_its_neighbours(context):
    assert context.sign("ann", "right").status_code == 200
    for number in range(25):
        context.sign(f"user-{number}")
    assert context.sign("ann", "right").status_code == 200
    assert context.sign("bob", "right").status_code == 429


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        ({"client_id": "junk-{}"}, {}),
        ({}, {"Authorization": "junk"}),
        ({}, {"X-API-Key": "sml_{}_x"}),
    ],
)
def test_attack_a_guess_hidden_behind_another_name(context, form, headers):
    """Every name of a request counts: one that changes does not hide the one that stays."""
    for number in range(6):
        basic = base64.b64encode(f"junk-{number}:x".encode()).decode()
        words = {
            name: f"Basic {basic}" if text == "junk" else text.format(number)
            for name, text in headers.items()
        }
        more = {name: text.format(number) for name, text in form.items()}
        assert context.sign("ann", headers=words, **more).status_code == 403
    assert context.sign("ann", "right").status_code == 429


def test_attack_names_that_were_only_claimed_are_not_remembered(core):
    """A good key in one header, a made-up name in the other: only what is proven is kept."""
    for number in range(30):
        basic = base64.b64encode(f"junk-{number}:x".encode()).decode()
        answer = core.ask(core.key, Authorization=f"Basic {basic}")
        assert answer.status_code == 200
    with core.harness.store.read() as connection:
        kept = connection.exec_driver_sql("SELECT pair FROM brute_force_trusted").scalars().all()
    assert kept == [f"pair:{identity_digest(core.key.split('_')[1])}@{HOME}"]


def test_a_store_that_is_away_lets_nobody_try(core, monkeypatch):
    def away():
        raise StoreUnavailable

    exchange = core.harness.exchange(address=HOME, headers={"X-API-Key": core.key})
    monkeypatch.setattr(core.harness.store, "versions", away)
    with pytest.raises(Problem) as refused:
        core.plugin.plugin.admit(exchange)
    assert (refused.value.code, refused.value.reason) == ("unavailable", "brute_force.store")


def test_before_the_peer_is_known_nothing_is_asked(core):
    exchange = core.harness.exchange(headers={"X-API-Key": core.key})
    core.plugin.plugin.admit(exchange)
    core.plugin.plugin.record(exchange)


def test_an_operator_sees_who_waits_and_lets_them_try(core):
    core.guess(6)
    commands = core.plugin.plugin.commands()
    listed = CliRunner().invoke(commands, ["list", "--json"])
    assert listed.exit_code == 0
    assert "pair:" in listed.output
    subject = core.harness.emitted[0].facts["subject"]
    assert CliRunner().invoke(commands, ["lift", subject]).exit_code == 0
    assert core.ask(core.key).status_code == 200
    assert core.harness.emitted[-1] == Event("authn_login_lifted", "", {"subject": subject})
    assert CliRunner().invoke(commands, ["lift", subject]).exit_code == 1
    assert CliRunner().invoke(commands, ["list"]).output == "no caller must wait\n"


def test_how_many_wait_is_measured(core):
    core.guess(6)
    assert [measure.value for measure in core.plugin.plugin.measures()] == [1.0]


@pytest.mark.parametrize(
    "table", [{"free_attempts": 0}, {"first_wait": "0s"}, {"headers": []}, {"x": 1}]
)
def test_a_setting_that_makes_no_sense_stops_the_start(tmp_path, table):
    with pytest.raises(ConfigError):
        Harness(tmp_path).build(BruteForce, table)
