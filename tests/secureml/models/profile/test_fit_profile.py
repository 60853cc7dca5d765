from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.card import Card
from secureml.models.profile.typicality import Typicality, inner, outer
from secureml.models.serving.registry import Registry


@pytest.fixture(scope="session")
def card(shelf):
    return Registry(shelf / "models").prove("cancer", "1").card


def written(card, **changes):
    raw = json.loads(card.to_json())
    raw["reference"] = {**raw["reference"], **changes}
    return json.dumps(raw, sort_keys=True, separators=(",", ":")).encode()


def test_a_card_with_a_reference_comes_back_as_it_was(card):
    assert card.reference is not None
    assert Card.from_json(card.to_json()) == card


def test_a_card_without_one_has_no_key_for_it(card):
    bare = replace(card, reference=None)

    assert "reference" not in json.loads(bare.to_json())
    assert Card.from_json(bare.to_json()) == bare


def test_a_card_of_before_slants_is_read_and_spelled_as_it_was(card):
    raw = json.loads(card.to_json())
    del raw["reference"]["rayleigh"], raw["reference"]["step_rayleigh"]
    text = json.dumps(raw, sort_keys=True, separators=(",", ":")).encode()

    assert Card.from_json(text).reference.rayleigh is None
    assert Card.from_json(text).to_json() == text
    raw["reference"]["rayleigh"] = None
    with pytest.raises(ModelRefused):
        Card.from_json(json.dumps(raw, sort_keys=True, separators=(",", ":")).encode())


def test_small_noise_in_the_middle_slants_though_it_is_not_strange(card, cancer):
    """What equation solving sends: half a deviation around the mean, every column by itself."""
    ruler = Typicality(card, card.reference)
    chance, encoded = np.random.default_rng(0), ruler.encode(cancer.data)
    noise = encoded.mean(axis=0) + chance.normal(0, 0.05, (200, 30)) * encoded.std(axis=0)
    strange, rayleigh = ruler.mahalanobis(noise)

    assert (strange > card.reference.mahalanobis[4]).mean() < 0.05
    assert (rayleigh > card.reference.rayleigh[3]).mean() > 0.9


def test_an_empty_reference_is_another_spelling_and_refused(card):
    raw = json.loads(card.to_json())
    raw["reference"] = None
    with pytest.raises(ModelRefused):
        Card.from_json(json.dumps(raw, sort_keys=True, separators=(",", ":")).encode())


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": 0},
        {"numbers": [999]},
        {"words": [-1]},
        {"skipped": [1]},
        {"scale": [0.0] * 30},
        {"scale": [1.0]},
        {"bins": []},
        {"mean": []},
        {"whiten": [[1.0]]},
        {"mahalanobis": [1.0]},
        {"near": None},
        {"class_distances": []},
        {"margins": [1.0]},
        {"outer": ["a"] * 4},
        {"rayleigh": [1.0]},
        {"step_rayleigh": "ab"},
        {"collides": True},
        {"surplus": 1},
    ],
)
def test_a_wrong_reference_is_refused(card, changes):
    with pytest.raises(ModelRefused):
        Card.from_json(written(card, **changes))


def test_no_row_of_the_table_is_in_it(card, cancer):
    emitted = set(map(str, np.ravel(json.loads(card.to_json())["reference"]["centre"]).tolist()))
    rows = [set(map(str, row.tolist())) for row in cancer.data]

    assert max(len(emitted & row) for row in rows) < 10
    assert not any(key.startswith("rows_") for key in json.loads(card.to_json())["reference"])


def test_held_out_rows_are_as_strange_as_the_card_says_and_noise_is_not(card, cancer):
    ruler = Typicality(card, card.reference)
    usual, rayleigh = ruler.mahalanobis(ruler.encode(cancer.data))
    chance = np.random.default_rng(0)
    low, high = cancer.data.min(axis=0), cancer.data.max(axis=0)
    noise, rayleigh_quotient = ruler.mahalanobis(ruler.encode(chance.uniform(low, high, (200, 30))))

    assert (usual > card.reference.mahalanobis[5]).mean() < 0.02
    assert (noise > card.reference.mahalanobis[5]).mean() > 0.9
    assert (rayleigh > card.reference.rayleigh[3]).mean() < 0.03
    assert (rayleigh_quotient > card.reference.rayleigh[3]).mean() > 0.9


def test_a_little_noise_is_a_step_that_real_rows_do_not_differ_by(card, cancer):
    ruler, chance = Typicality(card, card.reference), np.random.default_rng(0)
    noise = chance.normal(0, 0.1, (200, 30)) * ruler.encode(cancer.data).std(axis=0)
    others = ruler.encode(cancer.data)
    steps = others[:200] - others[200:400]

    assert (ruler.rayleigh(noise)[1] > card.reference.step_rayleigh[2]).mean() > 0.9
    assert (ruler.rayleigh(steps)[1] > card.reference.step_rayleigh[2]).mean() < 0.05
    assert ruler.rayleigh_one(noise[0])[1] == pytest.approx(ruler.rayleigh(noise[:1])[1][0])
    assert ruler.rayleigh_one(noise[0] * 0)[1] == 0


def test_two_seals_of_one_model_say_the_same(own, key, seal, cancer):
    model = LogisticRegression(max_iter=10_000).fit(cancer.data[:, :3], cancer.target)
    table = "\n".join(["a,b,c,target", *(
        f"{a},{b},{c},{t}" for (a, b, c), t in zip(cancer.data[:, :3], cancer.target, strict=True)
    )])  # fmt: skip
    one, two = (seal(model, name, table=table, target="target").card for name in ("x", "y"))

    assert one.reference == two.reference


def test_too_few_rows_make_no_reference(seal):
    rows = np.arange(20.0).reshape(10, 2)
    table = "a,b,target\n" + "\n".join(f"{a},{b},{int(a > 8)}" for a, b in rows)

    made = seal(LogisticRegression().fit(rows, rows[:, 0] > 8), table=table, target="target")
    assert made.card.reference is None


def test_words_and_missing_numbers_are_compared_and_free_text_is_named_as_skipped(seal):
    pd = pytest.importorskip("pandas", reason="pip install pandas")
    chance = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": chance.normal(size=300),
            "colour": chance.choice(["red", "blue"], 300),
            "note": [f"note {i}" for i in range(300)],
        }
    )
    answer = (frame["size"] > 0).astype(int)
    model = make_pipeline(
        make_column_transformer(
            (StandardScaler(), ["size"]), (OneHotEncoder(), ["colour"]), remainder="drop"
        ),
        LogisticRegression(),
    ).fit(frame, answer)
    card = seal(model, table=frame.assign(target=answer).to_csv(index=False), target="target").card
    reference = card.reference

    assert (reference.numbers, reference.words, reference.skipped) == ((0,), (1,), ("note",))
    ruler = Typicality(card, reference)
    encoded = ruler.encode(frame)
    assert encoded.shape == (300, 3)
    assert np.linalg.norm(encoded[0] - ruler.encode(frame.iloc[:1])[0]) == 0


def test_more_columns_than_are_kept_are_folded(seal):
    chance = np.random.default_rng(0)
    rows = chance.normal(size=(200, 100))
    answer = (rows[:, 0] > 0).astype(int)
    header = ",".join([*(f"x{i}" for i in range(100)), "target"])
    table = "\n".join([header, *(
        ",".join([*map(repr, row.tolist()), str(t)]) for row, t in zip(rows, answer, strict=True)
    )])  # fmt: skip
    card = seal(LogisticRegression().fit(rows, answer), table=table, target="target").card
    ruler = Typicality(card, card.reference)

    assert ruler.encode(rows).shape == (200, 64)
    assert not ruler.plain


def test_bins_are_quantiles_and_shares_are_of_them(card, cancer):
    ruler = Typicality(card, card.reference)
    bins = ruler.bins(cancer.data, ruler.encode(cancer.data))

    assert (bins.min(), bins.max()) == (0, 7)
    assert abs(inner(bins).mean() - 0.5) < 0.02
    assert abs(outer(bins).mean() - 0.04) < 0.02


def test_near_rows_share_a_print_and_far_ones_do_not(card, cancer):
    ruler = Typicality(card, card.reference)
    encoded = ruler.encode(cancer.data[:50])
    fingerprints, beside = (
        ruler.fingerprints.bands(encoded),
        ruler.fingerprints.bands(encoded + 1e-4),
    )
    others = ruler.fingerprints.bands(ruler.encode(cancer.data[50:100]))

    assert (fingerprints == beside).any(axis=1).mean() > 0.9
    assert not (fingerprints == others).any()
