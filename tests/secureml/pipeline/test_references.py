"""Names in settings: each stands for something, or the operator is told that it does not."""

from __future__ import annotations

import pytest
from marshmallow import Schema
from marshmallow import fields as plain

from secureml.kit import fields
from secureml.pipeline.references import Reference, references, unknown


class Inner(Schema):
    """One of a list of tables."""

    client = fields.ClientName(load_default=None, allow_none=True)
    scope = fields.Scope(defines=True)


class Table(Schema):
    """Every way to name something."""

    clients = plain.List(fields.ClientName())
    models = plain.List(fields.ModelName())
    scopes = plain.Dict(keys=plain.String(), values=plain.List(fields.Scope()))
    by_claim = plain.Dict(keys=plain.String(), values=fields.ClientName())
    grants = plain.List(plain.Nested(Inner))
    one = plain.Nested(Inner)
    plugin = fields.PluginName()
    tier = fields.TierName()
    text = plain.String()


def found(**given):
    return [(each.kind, each.name, each.key) for each in references(Table(), given, "t")]


def test_a_name_is_found_wherever_it_is_written():
    assert found(clients=["a", "b"]) == [("client", "a", "clients.0"), ("client", "b", "clients.1")]
    assert found(by_claim={"x": "a"}) == [("client", "a", "by_claim.x")]
    assert found(scopes={"ml": ["predict@iris@2"]}) == [
        ("scope", "predict", "scopes.ml.0"), ("model", "iris", "scopes.ml.0"),
    ]  # fmt: skip
    assert found(grants=[{}, {"client": "a", "scope": "s"}]) == [
        ("client", "a", "grants.1.client"), ("defines scope", "s", "grants.1.scope"),
    ]  # fmt: skip
    assert found(one={"client": "a"}) == [("client", "a", "one.client")]
    assert found(plugin="p", tier="gold") == [("plugin", "p", "plugin"), ("tier", "gold", "tier")]


@pytest.mark.parametrize("word", ["*", "", None, 5])
def test_what_names_nothing_or_everything_is_no_name(word):
    assert found(models=[word], clients=[word], text="x") == []


def test_a_version_is_no_part_of_a_models_name():
    assert found(models=["iris@3"]) == [("model", "iris", "models.0")]


def test_what_is_left_out_names_nothing():
    assert found() == []


def test_a_name_that_matches_nothing_is_told_with_the_nearest_one():
    asked = [
        Reference("client", "acmee", "plugins.t", "clients.0"),
        Reference("client", "acme", "plugins.t", "clients.1"),
        Reference("tier", "anything", "plugins.t", "tier"),
    ]
    ((reference, fault),) = unknown(asked, {"client": {"acme", "other"}})
    assert reference is asked[0]
    assert str(fault) == (
        "[plugins.t] clients.0: there is no client 'acmee', so this setting does nothing; fix: "
        "did you mean 'acme'? add it with `secureml clients add acmee`, or remove the name"
    )
