"""Who may grant, and what."""

from __future__ import annotations

from tests.oauth_app import PASSWORD


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
