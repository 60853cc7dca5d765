"""Features that will grow out of the range seen in training are named when a model is sealed."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from plugins.input_rules.growing_features import grows
from tests.made_models import seal_estimator

DRAW = np.random.default_rng(5)


@pytest.mark.parametrize(
    "values",
    [
        [2015 + i // 40 for i in range(400)],
        list(range(30)),
        [i + float(DRAW.normal(0, 5)) for i in range(200)],
        [None if i % 3 else i for i in range(300)],
        [0] * 50 + list(range(1, 51)),
        [2024] * 95 + [2025] * 5,
    ],
    ids=["year", "id", "age of accounts", "with gaps", "from some day on", "one step at the end"],
)
def test_what_grows_up_to_its_newest_rows_is_seen(values):
    assert grows(values)


@pytest.mark.parametrize(
    "values",
    [
        list(range(100, 0, -1)),
        [i % 12 for i in range(400)],
        [*range(50), *range(50)],
        [1.0] * 100,
        [*range(80), *[10] * 20],
        [1, 2, 3],
        [None] * 50 + [1, 2],
        *(DRAW.normal(size=rows).tolist() for rows in (20, 50, 200, 1000)),
        *(DRAW.integers(0, 2, rows).tolist() for rows in (20, 50, 200, 1000)),
    ],
)
def test_what_does_not_is_not(values):
    assert not grows(values)


def test_chance_hardly_ever_looks_like_growth():
    draw = np.random.default_rng(1)
    found = sum(grows(draw.normal(size=40).tolist()) for _ in range(2000))

    assert found == 0


YEARS = "year,size,y\n" + "".join(f"{2015 + i // 40},{i * 7 % 13},{i}\n" for i in range(400))


@pytest.fixture
def seal(tmp_path):
    return lambda estimator, **words: seal_estimator(tmp_path, estimator, **words)


def fitted():
    rows = [[2015 + i // 40, i * 7 % 13] for i in range(400)]
    return LinearRegression().fit(rows, range(400))


def growing(sealed):
    return [note for note in sealed.notes if "grows" in note]


def test_sealing_tells_what_grows_and_what_to_write(seal, tmp_path):
    (note,) = growing(seal(fitted(), table=YEARS, target="y"))

    assert "'year' grows along the table" in note
    assert "2024" in note
    assert 'rule = "year in range", action = "flag"' in note


@pytest.mark.parametrize(("action", "count"), [("flag", 0), ("clip", 0), ("refuse", 1)])
def test_what_was_advised_is_not_advised_again(seal, tmp_path, action, count):
    rules = tmp_path / "rules.toml"
    rules.write_text(f'[[rules]]\nname = "y"\nrule = "year in range"\naction = "{action}"\n')

    assert len(growing(seal(fitted(), table=YEARS, target="y", rules=rules))) == count
