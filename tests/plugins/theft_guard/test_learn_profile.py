from __future__ import annotations

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from plugins.theft_guard.feature_space import FeatureSpace, central, tails
from plugins.theft_guard.reference_profile import profile_of
from tests.made_models import seal_estimator


@pytest.fixture(scope="session")
def cancer():
    """Return scikit-learn's own breast-cancer data: 569 rows, 30 columns."""
    return load_breast_cancer()


@pytest.fixture(scope="session")
def card(tmp_path_factory, cancer):
    """Return the card of a model that was sealed with all of its table."""
    folder = tmp_path_factory.mktemp("cancer")
    model = LogisticRegression(max_iter=10_000).fit(cancer.data, cancer.target)
    lines = [",".join([*(f"x{i}" for i in range(30)), "answer"])]
    lines += [
        ",".join([*map(repr, row.tolist()), str(answer)])
        for row, answer in zip(cancer.data, cancer.target, strict=True)
    ]
    return seal_estimator(folder, model, table="\n".join(lines), target="answer").card


@pytest.fixture(scope="session")
def profile(card):
    return profile_of(card)


@pytest.fixture(scope="session")
def space(card, profile):
    return FeatureSpace(card.features, profile)


@pytest.fixture
def seal(tmp_path):
    return lambda estimator, name="model", **words: seal_estimator(
        tmp_path, estimator, name, **words
    )


def test_small_noise_in_the_middle_slants_though_it_is_not_strange(space, profile, cancer):
    """What equation solving sends: half a deviation around the mean, every column by itself."""
    chance, encoded = np.random.default_rng(0), space.encode(cancer.data)
    noise = encoded.mean(axis=0) + chance.normal(0, 0.05, (200, 30)) * encoded.std(axis=0)
    strange, rayleigh = space.mahalanobis(noise)

    assert (strange > profile.mahalanobis[4]).mean() < 0.05
    assert (rayleigh > profile.rayleigh[3]).mean() > 0.9


def test_held_out_rows_are_as_strange_as_the_card_says_and_noise_is_not(space, profile, cancer):
    usual, rayleigh = space.mahalanobis(space.encode(cancer.data))
    chance = np.random.default_rng(0)
    low, high = cancer.data.min(axis=0), cancer.data.max(axis=0)
    noise, rayleigh_quotient = space.mahalanobis(space.encode(chance.uniform(low, high, (200, 30))))

    assert (usual > profile.mahalanobis[5]).mean() < 0.02
    assert (noise > profile.mahalanobis[5]).mean() > 0.9
    assert (rayleigh > profile.rayleigh[3]).mean() < 0.03
    assert (rayleigh_quotient > profile.rayleigh[3]).mean() > 0.9


def test_a_little_noise_is_a_step_that_real_rows_do_not_differ_by(space, profile, cancer):
    chance = np.random.default_rng(0)
    noise = chance.normal(0, 0.1, (200, 30)) * space.encode(cancer.data).std(axis=0)
    others = space.encode(cancer.data)
    steps = others[:200] - others[200:400]

    assert (space.step(noise)[1] > profile.step[2]).mean() > 0.9
    assert (space.step(steps)[1] > profile.step[2]).mean() < 0.05
    assert space.step_one(noise[0])[1] == pytest.approx(space.step(noise[:1])[1][0])
    assert space.step_one(noise[0] * 0)[1] == 0


def test_two_seals_of_one_model_say_the_same(seal, cancer):
    model = LogisticRegression(max_iter=10_000).fit(cancer.data[:, :3], cancer.target)
    table = "\n".join(["a,b,c,target", *(
        f"{a},{b},{c},{t}" for (a, b, c), t in zip(cancer.data[:, :3], cancer.target, strict=True)
    )])  # fmt: skip
    one, two = (seal(model, name, table=table, target="target").card for name in ("x", "y"))

    assert profile_of(one) == profile_of(two) is not None


def test_too_few_rows_make_no_reference(seal):
    rows = np.arange(20.0).reshape(10, 2)
    table = "a,b,target\n" + "\n".join(f"{a},{b},{int(a > 8)}" for a, b in rows)

    made = seal(LogisticRegression().fit(rows, rows[:, 0] > 8), table=table, target="target")
    assert profile_of(made.card) is None


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
    profile = profile_of(card)

    assert (profile.numbers, profile.words, profile.skipped) == ((0,), (1,), ("note",))
    space = FeatureSpace(card.features, profile)
    encoded = space.encode(frame)
    assert encoded.shape == (300, 3)
    assert np.linalg.norm(encoded[0] - space.encode(frame.iloc[:1])[0]) == 0


def test_bins_are_quantiles_and_shares_are_of_them(space, profile, cancer):
    bins = space.bins(cancer.data, space.encode(cancer.data))

    assert (bins.min(), bins.max()) == (0, 7)
    assert abs(central(bins).mean() - 0.5) < 0.02
    assert abs(tails(bins).mean() - 0.04) < 0.02
