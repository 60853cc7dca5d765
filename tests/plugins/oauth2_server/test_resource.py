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
