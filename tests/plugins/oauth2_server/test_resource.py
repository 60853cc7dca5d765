"""What a token is worth: the least of all who stand behind it."""

from __future__ import annotations

import pytest

from plugins.oauth2_server.clients import MACHINE
from plugins.oauth2_server.resource import _both
from plugins.oauth2_server.tokens import NewToken
from secureml.kit.access_token import parse
from secureml.kit.jwt_claims import InvalidToken


def validate(core, text):
    return core.server.resource.validate(parse(text))


def test_rights_and_models_are_those_all_of_them_hold(core):
    core.clients.add("narrow", scopes=["predict", "models:read"], models=["iris"])
    core.server.users.add("bob", "narrow", "twelve chars")
    core.sign_in(name="bob", password="twelve chars")
    believed = validate(core, core.pair(scope="models:read")["access_token"])
    assert (believed.subject, believed.scopes) == ("bob", {"models:read"})
    assert believed.models == {"iris"}
    assert believed.client.owner.name == "partner"


def test_models_of_two():
    star, one, two = frozenset("*"), frozenset({"a", "b"}), frozenset({"b", "c"})
    assert _both(star, one) == _both(one, star) == one
    assert _both(one, two) == {"b"}


def test_a_token_of_another_programs_family_is_refused(core):
    """As a fault of ours could sign it: the record has the last word."""
    text = core.machine_token()["access_token"]
    family = validate(core, text).family
    tokens = core.server.resource._tokens
    words = NewToken(core.web, core.web, frozenset(), family.id, "b" * 32, family.expires, None)
    with pytest.raises(InvalidToken, match="not_of_its_family"):
        validate(core, tokens.write(words))


def test_a_bearers_token_of_a_program_that_must_bind_is_refused(core):
    program, secret = core.program(grants=[MACHINE], dpop=True)
    family = validate(core, core.machine_token()["access_token"]).family
    words = NewToken(program, program, frozenset(), family.id, "b" * 32, family.expires, None)
    from dataclasses import replace

    core.server.families.open(replace(family, id="c" * 32, oauth_client=program))
    text = core.server.resource._tokens.write(replace(words, family="c" * 32))
    with pytest.raises(InvalidToken, match="not_bound"):
        validate(core, text)
    assert secret


@pytest.mark.parametrize("who", ["acme", "partner"])
def test_a_right_that_any_of_them_lost_is_lost_to_the_token(core, who):
    """At its next look; and it comes back with its owner, as far as the token names it."""
    text = core.pair(scope="models:read predict")["access_token"]
    rights = core.clients.get(who).scopes
    assert validate(core, text).scopes == {"models:read", "predict"}
    core.clients.change(who, scopes=["predict"])
    assert validate(core, text).scopes == {"predict"}
    core.clients.change(who, scopes=["something:else"])
    assert validate(core, text).scopes == frozenset()
    core.clients.change(who, scopes=[*rights, "more"])
    assert validate(core, text).scopes == {"models:read", "predict"}


@pytest.mark.parametrize("who", ["acme", "partner"])
def test_models_are_those_that_both_may_use_now(core, who):
    text = core.pair()["access_token"]
    assert validate(core, text).models == {"*"}
    core.clients.change(who, models=["iris"])
    assert validate(core, text).models == {"iris"}
    other = {"acme": "partner", "partner": "acme"}[who]
    core.clients.change(other, models=["wine"])
    assert validate(core, text).models == frozenset()


def test_a_machines_token_asks_for_nobodys_consent(core):
    found = validate(core, core.machine_token()["access_token"])
    assert (found.subject, found.client.record.id) == (core.machine, core.machine)
    core.server.users.remove("ann")
    assert validate(core, core.machine_token()["access_token"])


def test_attack_a_machines_token_that_names_a_person(core):
    """As a fault of ours could sign it: `sub` is a person only where one agreed."""
    family = validate(core, core.machine_token()["access_token"]).family
    words = NewToken(
        core.machine, "ann", frozenset({"predict"}), family.id, "b" * 32, family.expires, None
    )
    with pytest.raises(InvalidToken, match="not_of_its_family"):
        validate(core, core.server.resource._tokens.write(words))


def test_attack_a_token_that_outlives_the_grant_it_came_of(core):
    family = validate(core, core.machine_token()["access_token"]).family
    late = family.expires + 500
    words = NewToken(core.machine, core.machine, frozenset(), family.id, "b" * 32, late, None)
    assert validate(core, core.server.resource._tokens.write(words)).ends == family.expires


def test_attack_a_token_with_more_scope_than_its_grant(core):
    text = core.machine_token(scope="predict")["access_token"]
    family = validate(core, text).family
    scopes = frozenset({"predict", "models:read", "other"})
    words = NewToken(core.machine, core.machine, scopes, family.id, "b" * 32, family.expires, None)
    assert validate(core, core.server.resource._tokens.write(words)).scopes == {"predict"}


def test_a_program_that_binds_from_now_on_ends_the_tokens_of_bearers(core):
    """`--dpop` said later holds for what is out already."""
    text = core.machine_token()["access_token"]
    core.server.clients._change(core.machine, dpop=True)
    with pytest.raises(InvalidToken, match="not_bound"):
        validate(core, text)
