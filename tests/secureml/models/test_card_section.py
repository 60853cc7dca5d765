"""A plugin's section of the card: learned at sealing, signed, checked before the model is read."""

from __future__ import annotations

import json
from dataclasses import replace

import click
import pytest
from sklearn.linear_model import LinearRegression

from secureml.models.artifact.version_files import ModelRefused, read_artifact
from secureml.models.card import Card, Feature, Section
from secureml.models.card_section import CardSection, Training, check_sections, learn_sections
from secureml.models.serving.verification import prove
from tests.made_card import card

TABLE = "a,b,y\n" + "".join(f"{n}.5,{n + 1}.5,{n}\n" for n in range(40))
MODEL = LinearRegression().fit([[n + 0.5, n + 1.5] for n in range(40)], range(40))
CARD = card(Feature("a"), Feature("n", "integer"))


class Rows(CardSection):
    """Counts the rows of the table; refuses a count that is none."""

    options = (click.Option(["--least"], type=int),)

    def learn(self, training, options):
        found = len(training.rows())
        if found < (options.get("least") or 0):
            raise ModelRefused("card", "too few rows", "give a larger table")
        return Section(public={"rows": found}, private={"secret": [1.5]}) if found else None

    def notes(self, training, section):
        return [f"{section.public['rows']} rows"] if section else ["no table"]

    def check(self, section, card):
        if section.public["rows"] < 1:
            raise ValueError("no rows")


SECTIONS = {"rows": Rows()}


def test_a_sealed_model_carries_what_was_learned_and_shows_what_is_public(seal):
    sealed = seal(MODEL, table=TABLE, target="y", sections=SECTIONS)
    there = Card.from_json((sealed.folder / "card.json").read_bytes())

    assert there == sealed.card
    assert there.sections == {"rows": Section({"rows": 40}, {"secret": [1.5]})}
    assert there.public()["sections"] == {"rows": {"rows": 40}}
    assert "40 rows" in sealed.notes


def test_a_card_without_sections_does_not_speak_of_them(seal):
    sealed = seal(MODEL, sections=SECTIONS)

    assert b"sections" not in sealed.card.to_json()
    assert "sections" not in sealed.card.public()
    assert "no table" in sealed.notes


def test_what_a_section_refuses_is_not_sealed(seal, tmp_path):
    with pytest.raises(ModelRefused, match="too few rows"):
        seal(MODEL, table=TABLE, target="y", sections=SECTIONS, options={"rows": {"least": 41}})
    assert not list((tmp_path / "models").glob("*"))


def changed(sealed, change):
    raw = json.loads(sealed.card.to_json())
    change(raw["sections"])
    path = sealed.folder / "card.json"
    path.chmod(0o600)
    path.write_bytes(json.dumps(raw, sort_keys=True, separators=(",", ":")).encode())
    return read_artifact(sealed.folder, "model", "1")


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["rows"]["public"].update(rows=0),
        lambda found: found["rows"]["public"].update(rows="x"),
        lambda found: found["rows"]["public"].clear(),
        lambda found: found.update(rows={}),
        lambda found: found.update(rows={"public": {"rows": 1}}),
        lambda found: found["rows"].update(public=[], private={}),
        lambda found: found.update({"no name": found["rows"]}),
    ],
)
def test_attack_a_section_that_cannot_be_read_keeps_the_model_from_loading(seal, change):
    artifact = changed(seal(MODEL, table=TABLE, target="y", sections=SECTIONS), change)

    with pytest.raises(ModelRefused) as refused:
        prove(artifact, sections=SECTIONS)
    assert refused.value.check == "card"


def test_a_section_of_a_plugin_that_is_not_enabled_is_left_alone():
    check_sections(replace(CARD, sections={"rows": Section({"rows": 0})}), {})
    check_sections(CARD, SECTIONS)


def test_rows_of_a_table_come_in_the_order_of_the_features():
    training = Training(CARD, None, {"a": [1.0, None], "n": [3, 4]})

    assert training.rows() == [(1.0, 3), (None, 4)]
    assert Training(CARD, None).rows() == []


def test_rows_are_read_as_the_model_takes_them_and_none_that_would_be_refused():
    training = Training(CARD, None)

    assert training.read([(1, 2), (3.5, 4)]).tolist() == [[1.0, 2.0], [3.5, 4.0]]
    assert training.read([(1.0, "x")]) is None


def test_a_plugin_that_learns_nothing_leaves_no_section():
    assert learn_sections(Training(CARD, None), {"none": CardSection()}, {}) == ({}, [])
    assert CardSection().is_same(None, {})
