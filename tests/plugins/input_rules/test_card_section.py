"""Rules on the signed card: held to the table at sealing, checked at each start."""

from __future__ import annotations

import json

import pytest
from sklearn.linear_model import LinearRegression

from plugins.input_rules.card_section import RuleSection
from plugins.input_rules.rule import Rule
from plugins.input_rules.rule_file import RULE_LIMIT, rules_of
from secureml import Card, ModelRefused
from secureml.kit.cards import Section
from secureml.models.artifact import signature
from secureml.models.artifact.version_files import read_artifact
from secureml.models.serving.verification import prove
from tests.made_models import seal_estimator
from tests.rule_texts import one

TABLE = "a,b,c\n" + "".join(f"{n},{n + 1},{2 * n + 1}\n" for n in range(30))
MODEL = LinearRegression().fit([[n, n + 1] for n in range(30)], list(range(30)))
SECTIONS = {"input_rules": RuleSection()}


@pytest.fixture(scope="module")
def key():
    return signature.generate_key()


@pytest.fixture
def seal(tmp_path, key):
    return lambda estimator, **words: seal_estimator(tmp_path, estimator, key=key, **words)


def test_a_sealed_model_carries_its_rules_and_shows_them(seal, rules, tmp_path):
    path = rules(one("a + 1 == b") + one("a in range", "near", action="clip"))
    sealed = seal(MODEL, table=TABLE, target="c", rules=path)
    artifact = read_artifact(sealed.folder, "model", "1")

    expected = (Rule("r", "a + 1 == b"), Rule("near", "a in range", "clip"))
    assert rules_of(sealed.card) == rules_of(Card.from_json(artifact.card_bytes)) == expected
    assert sealed.card.public()["sections"]["input_rules"]["rules"] == [
        {"name": "r", "rule": "a + 1 == b", "action": "refuse"},
        {"name": "near", "rule": "a in range", "action": "clip"},
    ]


def test_a_card_without_rules_does_not_speak_of_them(seal):
    card = seal(MODEL, table=TABLE, target="c").card

    assert "input_rules" not in card.sections
    assert "sections" not in card.public()


@pytest.mark.parametrize(
    ("rule", "more", "message"),
    [
        ("a <", {}, "r is none"),
        ("a < z", {}, "no feature 'z'"),
        ("c < 1", {}, "no feature 'c'"),  # the answer is no feature
        ("a < b", {"action": "clip"}, "clipped"),
        ("a < 10", {}, "broken by 20 of the 30 rows"),
        ("a < b", {"name": "Not A Name"}, "name"),
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused_and_nothing_is_left(
    seal, rules, tmp_path, rule, more, message
):
    with pytest.raises(ModelRefused, match=message):
        seal(MODEL, table=TABLE, target="c", rules=rules(one(rule, **more)))
    assert not list((tmp_path / "models").glob("*"))


def test_a_rule_that_the_table_breaks_may_flag(seal, rules):
    path = rules(one("a < 10", action="flag"))

    assert (
        seal(MODEL, table=TABLE, target="c", rules=path)
        .card.sections["input_rules"]
        .public["rules"][0]["action"]
        == "flag"
    )


def test_missing_cells_of_the_table_break_nothing(seal, rules):
    from sklearn.ensemble import HistGradientBoostingRegressor

    model = HistGradientBoostingRegressor().fit([[n, n + 1] for n in range(30)], list(range(30)))
    table = TABLE + ",3,4\n"

    assert seal(model, table=table, target="c", rules=rules(one("a < b")))


@pytest.mark.parametrize("count", [RULE_LIMIT, RULE_LIMIT + 1])
def test_a_card_has_at_most_a_hundred_rules(seal, rules, count):
    path = rules("".join(one("a < b", f"r{n}") for n in range(count)))
    if count == RULE_LIMIT:
        assert len(rules_of(seal(MODEL, table=TABLE, target="c", rules=path).card)) == count
    else:
        with pytest.raises(ModelRefused, match="more than 100 rules"):
            seal(MODEL, table=TABLE, target="c", rules=path)


def test_two_rules_of_one_name_are_refused(seal, rules):
    with pytest.raises(ModelRefused, match="the same name"):
        seal(MODEL, table=TABLE, target="c", rules=rules(one("a < b") * 2))


CHANGES = {
    "taken away": lambda rule: [],
    "softened": lambda rule: [{**rule, "action": "flag"}],
    "widened": lambda rule: [{**rule, "rule": "a < 99"}],
    "doubled": lambda rule: [rule, rule],
    "with more": lambda rule: [{**rule, "extra": 1}],
    "no text": lambda rule: [{**rule, "rule": ["a < b"]}],
    "code": lambda rule: [{**rule, "rule": "__import__('os')"}],
    "no feature": lambda rule: [{**rule, "rule": "z < b"}],
    "no rules": lambda rule: rule,
}


def changed(sealed, change):
    """Return the artifact with its rules changed on disk."""
    raw = json.loads(sealed.card.to_json())
    public = raw["sections"]["input_rules"]["public"]
    public["rules"] = change(public["rules"][0])
    card = sealed.folder / "card.json"
    card.chmod(0o600)
    card.write_bytes(json.dumps(raw, sort_keys=True, separators=(",", ":")).encode())
    return read_artifact(sealed.folder, "model", "1")


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_attack_rules_that_were_changed_on_the_card_keep_the_model_from_loading(
    seal, rules, key, change
):
    """They are signed with it."""
    artifact = changed(seal(MODEL, table=TABLE, target="c", rules=rules(one("a < b"))), change)

    with pytest.raises(ModelRefused) as refused:
        prove(artifact, [lambda found: signature.verify_signature(found, [key.public_key()])])
    assert refused.value.check == "signature"


@pytest.mark.parametrize("change", list(CHANGES.values())[3:], ids=list(CHANGES)[3:])
def test_attack_what_is_no_rule_keeps_a_model_from_loading_whoever_signed_it(seal, rules, change):
    """Decided at the start, not at the first request."""
    artifact = changed(seal(MODEL, table=TABLE, target="c", rules=rules(one("a < b"))), change)

    with pytest.raises(ModelRefused) as refused:
        prove(artifact, sections=SECTIONS)
    assert refused.value.check == "card"


def test_attack_a_section_that_holds_something_else_is_refused(seal, rules):
    card = seal(MODEL, table=TABLE, target="c", rules=rules(one("a < b"))).card
    found = card.sections["input_rules"]

    for section in (
        Section(public={**found.public, "more": 1}),
        Section(public=found.public, private={"more": 1}),
        Section(public={"rules": []}),
        Section(),
    ):
        with pytest.raises(ValueError, match="something else"):
            RuleSection().check(section, card)


def test_a_section_is_the_same_where_the_file_has_the_same_rules(seal, rules):
    path = rules(one("a < b"))
    found = seal(MODEL, table=TABLE, target="c", rules=path).card.sections["input_rules"]
    section = RuleSection()

    assert section.is_same(found, {"rules": path})
    assert not section.is_same(found, {"rules": None})
    assert not section.is_same(None, {"rules": path})
    assert section.is_same(None, {"rules": None})
    assert not section.is_same(found, {"rules": rules(one("a <= b"))})
