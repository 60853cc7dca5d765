"""Rules given to sealing: read strictly, held to the table, signed with the card."""

from __future__ import annotations

import json

import pytest
from sklearn.linear_model import LinearRegression

from secureml.models.artifact import signature
from secureml.models.artifact.version_files import ModelRefused, read_artifact
from secureml.models.card import RULE_LIMIT, Card
from secureml.models.rule import Rule
from secureml.models.rules.file import FILE_LIMIT, read_rules
from secureml.models.serving.verification import prove

TABLE = "a,b,c\n" + "".join(f"{n},{n + 1},{2 * n + 1}\n" for n in range(30))
MODEL = LinearRegression().fit([[n, n + 1] for n in range(30)], list(range(30)))


@pytest.fixture
def rules(tmp_path):
    """Return a function that writes a file of rules."""

    def write(text):
        (tmp_path / "rules.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / "rules.toml"

    return write


def one(rule, name="r", **more):
    lines = {"name": name, "rule": rule, **more}
    return "[[rules]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())


def test_rules_are_read_in_their_order(rules):
    text = one("a < b", "first") + one("a <= 5", "second", action="clip")

    assert read_rules(rules(text)) == (
        Rule("first", "a < b", "refuse"),
        Rule("second", "a <= 5", "clip"),
    )
    assert read_rules(None) == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rules = []",
        "rules = 1",
        "[rules]\nname = 'r'",
        "rules = [1]",
        one("a < b") + "[other]\n",
        "[[rules]]\nname = 'r'\n",
        one("a < b", sentence="x"),
        one(7),
        one("a < b", action="drop"),
        one("a < b", action=True),
        "[[rules]\n",
        b"\xff",
        "#" * (FILE_LIMIT + 1),
    ],
)
def test_a_file_that_holds_anything_else_is_refused(rules, text):
    with pytest.raises(ModelRefused) as refused:
        read_rules(rules(text))
    assert refused.value.check == "card"


def test_a_sealed_model_carries_its_rules_and_shows_them(seal, rules, tmp_path):
    path = rules(one("a + 1 == b") + one("a in range", "near", action="clip"))
    sealed = seal(MODEL, table=TABLE, target="c", rules=path)
    artifact = read_artifact(sealed.folder, "model", "1")

    assert Card.from_json(artifact.card_bytes).rules == sealed.card.rules
    assert sealed.card.public()["rules"] == [
        {"name": "r", "rule": "a + 1 == b", "action": "refuse"},
        {"name": "near", "rule": "a in range", "action": "clip"},
    ]


def test_a_card_without_rules_does_not_speak_of_them(seal):
    """So a card that was sealed before there were any is still the one spelling of itself."""
    card = seal(MODEL, table=TABLE, target="c").card

    assert b"rules" not in card.to_json()
    assert "rules" not in card.public()


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

    assert seal(MODEL, table=TABLE, target="c", rules=path).card.rules[0].action == "flag"


def test_missing_cells_of_the_table_break_nothing(seal, rules):
    from sklearn.ensemble import HistGradientBoostingRegressor

    model = HistGradientBoostingRegressor().fit([[n, n + 1] for n in range(30)], list(range(30)))
    table = TABLE + ",3,4\n"

    assert seal(model, table=table, target="c", rules=rules(one("a < b")))


@pytest.mark.parametrize("count", [RULE_LIMIT, RULE_LIMIT + 1])
def test_a_card_has_at_most_a_hundred_rules(seal, rules, count):
    path = rules("".join(one("a < b", f"r{n}") for n in range(count)))
    if count == RULE_LIMIT:
        assert len(seal(MODEL, table=TABLE, target="c", rules=path).card.rules) == count
    else:
        with pytest.raises(ModelRefused, match="too many"):
            seal(MODEL, table=TABLE, target="c", rules=path)


def test_two_rules_of_one_name_are_refused(seal, rules):
    with pytest.raises(ModelRefused, match="not unique"):
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
    raw["rules"] = change(raw["rules"][0])
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
        prove(artifact)
    assert refused.value.check == "card"
