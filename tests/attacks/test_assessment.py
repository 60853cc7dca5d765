"""The figures of an assessment beside those of adversarial-robustness-toolbox, on four models.

The toolbox runs in an environment of its own, .venv/theft, on the fitted estimator; the assessment
on the sealed model. The table in docs/assessment.md is written by this file, and a test fails when
it is not true any more:

    .venv/bin/python -m tests.attacks.test_assessment
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, make_classification
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

CHECKOUT = Path(__file__).parents[2]
sys.path[:0] = [str(CHECKOUT)]

from secureml.models.assessment import evasion
from secureml.models.assessment.assess import LONG, assess
from secureml.models.assessment.column_space import ColumnSpace
from secureml.models.assessment.labelled_rows import LabelledRows
from secureml.models.assessment.oracle import Oracle
from secureml.models.assessment.query_strategies import REAL
from secureml.models.assessment.report import Report
from secureml.models.serving.handle import ModelHandle
from secureml.models.serving.registry import Registry
from tests.made_models import seal_estimator

pytestmark = pytest.mark.slow
PAGE = CHECKOUT / "docs/assessment.md"
TOOLBOX = CHECKOUT / ".venv/theft/bin/python"
STOLEN, TARGETS = 100, 20
EFFORT = replace(
    LONG,
    points=(20, STOLEN),
    attackers=(REAL,),
    seeds=3,
    trees=30,
    # Rows are moved once, those that the toolbox is given; nothing is compared of inversion.
    targets=2,
    columns=1,
    guesses=10,
    evasion=evasion.Effort(rounds=15, directions=50),
)
# How far the two may be from each other: AUC, factor of distances, agreement or R squared.
AUC, FACTOR, AGREEMENT = 0.08, 1.5, 0.08
FIGURES = ("membership", "extraction", "evasion")


class Data(NamedTuple):
    """A model, the rows it was fitted on, and rows that it has not seen, with true answers."""

    model: Any
    train: pd.DataFrame
    known: np.ndarray
    fresh: pd.DataFrame
    fresh_known: np.ndarray


def _split(rows: pd.DataFrame, answers: np.ndarray, model: Any, share: float = 0.4) -> Data:
    train, fresh, known, fresh_known = train_test_split(
        rows, answers, test_size=share, random_state=0
    )
    given = train if model_takes_frame(model) else train.to_numpy()
    return Data(model.fit(given, known), train, known, fresh, fresh_known)


def model_takes_frame(model: Any) -> bool:
    return "columntransformer" in getattr(model, "named_steps", {})


def cancer() -> Data:
    data = load_breast_cancer(as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    return _split(data.data, data.target.to_numpy(), model)


def forest() -> Data:
    rows, answers = make_classification(
        1500, 10, n_informative=6, n_classes=3, class_sep=0.9, flip_y=0.1, random_state=3
    )
    frame = pd.DataFrame(rows, columns=[f"x{place}" for place in range(10)])
    return _split(frame, answers, RandomForestClassifier(60, min_samples_leaf=3, random_state=0))


def diabetes() -> Data:
    data = load_diabetes(as_frame=True)
    model = GradientBoostingRegressor(n_estimators=150, random_state=0)
    return _split(data.data, data.target.to_numpy(), model)


def customers() -> Data:
    """Made-up customers: four numbers and two columns of words, on a frame."""
    chance = np.random.default_rng(8)
    count = 1200
    frame = pd.DataFrame(
        {
            "age": chance.integers(18, 90, count),
            "income": chance.lognormal(10, 0.5, count),
            "visits": chance.poisson(5, count),
            "balance": chance.normal(0, 1000, count),
            "plan": chance.choice(["basic", "plus", "pro"], count),
            "region": chance.choice(["north", "south", "east", "west"], count),
        }
    )
    score = (
        0.03 * (frame["age"] - 50) + 0.3 * (frame["visits"] - 5) + 0.001 * frame["balance"]
        + frame["plan"].map({"basic": -1.0, "plus": 0.0, "pro": 1.2})
    )  # fmt: skip
    answers = (score + chance.logistic(0, 0.7, count) > 0).astype(int).to_numpy()
    numbers = StandardScaler(), ["age", "income", "visits", "balance"]
    words = OneHotEncoder(handle_unknown="ignore"), ["plan", "region"]
    steps = ColumnTransformer([("numbers", *numbers), ("words", *words)])
    return _split(frame, answers, make_pipeline(steps, LogisticRegression(max_iter=1000)))


MODELS: dict[str, Callable[[], Data]] = {
    "logistic regression, breast cancer": cancer,
    "random forest, 3 classes": forest,
    "gradient boosting regressor, diabetes": diabetes,
    "pipeline on a frame, numbers and words": customers,
}


@dataclass
class Compared:
    """Figures of one model: ours and those of the toolbox, by the name of the figure."""

    name: str
    ours: dict[str, float]
    theirs: dict[str, float]


def compare(name: str, folder: Path) -> Compared:
    """Assess the sealed model, and have the toolbox attack the fitted one."""
    data = MODELS[name]()
    table = data.train.assign(target=data.known).to_csv(index=False)
    seal_estimator(folder, data.model, table=table, target="target")
    handle = Registry(folder / "models").prove("model", "1")
    members, others = plain(data.train), plain(data.fresh)
    labelled = LabelledRows(members, data.known.tolist(), others, data.fresh_known.tolist())
    report = assess(handle, members, EFFORT, np.random.default_rng(1), labelled=labelled)
    ours = figures(report)
    if handle.card.kind == "classifier":
        ours["evasion"] = distance(handle, members)
    return Compared(name, ours, toolbox(data))


def distance(handle: ModelHandle, rows: list[list[Any]]) -> float:
    """Return the median distance of the rows that the toolbox is given as well."""
    space = ColumnSpace(handle.card.features, rows)
    known, generator = space.matrix(rows), np.random.default_rng(1)
    found = evasion.evade(
        Oracle(handle, space), space, known[:TARGETS], known[TARGETS:], EFFORT.evasion, generator
    )
    assert found.median is not None
    return found.median


def plain(frame: pd.DataFrame) -> list[list[Any]]:
    return [list(row) for row in zip(*(frame[name].tolist() for name in frame), strict=True)]


def figures(report: Report) -> dict[str, float]:
    """Return what is compared of a report."""
    assert report.membership is not None
    assert report.extraction is not None
    learned = [a for a in report.membership.attacks if (a.form, a.name) == ("full", "learned")]
    form = "labels" if "labels" in report.forms else "full"
    real = [c for c in report.extraction.curves if (c.attacker, c.form) == ("real rows", form)]
    return {"membership": learned[0].auc, "extraction": dict(real[0].points)[STOLEN]}


def toolbox(data: Data) -> dict[str, float]:
    """Have the toolbox attack an estimator; it asks through a pipe."""
    columns = Columns(data)
    given = {"seed": 1, "stolen": STOLEN, "iterations": 15, **columns.given()}
    arguments = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    command = [str(TOOLBOX), str(CHECKOUT / "tests/theft/art_assessment.py")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    with subprocess.Popen(command, env=environment, **arguments) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(given) + "\n")
        for line in child.stdout:
            said = json.loads(line)
            if "found" in said:
                return said["found"]
            answers = columns.answer(np.array(said["ask"])).tolist()
            child.stdin.write(json.dumps(answers) + "\n")
    raise AssertionError("the toolbox ended without a result")


class Columns:
    """Rows as the toolbox knows them: of a word its place among those of its column."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.words = {
            name: sorted(data.train[name].unique())
            for name in data.train
            if data.train[name].dtype.kind not in "if"
        }
        self.whole = [name for name in data.train if data.train[name].dtype.kind == "i"]
        self.classes = getattr(data.model, "classes_", None)

    def numbers(self, frame: pd.DataFrame) -> np.ndarray:
        coded = {name: frame[name].map(words.index) for name, words in self.words.items()}
        return frame.assign(**coded).to_numpy(dtype=float)

    def one_hot(self, frame: pd.DataFrame) -> np.ndarray:
        numbers = frame[[name for name in frame if name not in self.words]]
        scaled = (numbers - numbers.mean()) / numbers.std()
        dummies = [frame[name] == word for name, words in self.words.items() for word in words]
        return np.column_stack([scaled, *dummies]).astype(float)

    def answer(self, rows: np.ndarray) -> np.ndarray:
        frame = pd.DataFrame(rows, columns=list(self.data.train))
        for name, words in self.words.items():
            frame[name] = [words[round(code)] for code in frame[name]]
        for name in self.whole:
            frame[name] = frame[name].round().astype(int)
        return self.said(frame)

    def said(self, frame: pd.DataFrame) -> np.ndarray:
        rows = frame if model_takes_frame(self.data.model) else frame.to_numpy()
        if self.classes is None:
            return self.data.model.predict(rows).reshape(-1, 1)
        return self.data.model.predict_proba(rows)

    def starts(self, rows: np.ndarray) -> np.ndarray:
        """Return for each target the numbers of the nearest row that give another answer."""
        if self.classes is None:
            return rows[:TARGETS]
        found, words = [], [name in self.words for name in self.data.train]
        scaled = rows / np.where(rows.std(axis=0) > 0, rows.std(axis=0), 1.0)
        for place, target in enumerate(rows[:TARGETS]):
            order = np.argsort(np.linalg.norm(scaled - scaled[place], axis=1))
            moved = np.where(words, target, rows[order])
            labels = self.answer(moved).argmax(axis=1)
            found.append(moved[np.flatnonzero(labels != labels[0])[0]])
        return np.array(found)

    def given(self) -> dict[str, Any]:
        data = self.data
        train = self.numbers(data.train)
        both = pd.concat([data.fresh, data.train])
        encoded, half = self.one_hot(both), len(data.fresh)
        return {
            "kind": "regressor" if self.classes is None else "classifier",
            "classes": 0 if self.classes is None else len(self.classes),
            "members": {"truth": data.known.tolist(), "answers": self.said(data.train).tolist()},
            "others": {
                "truth": data.fresh_known.tolist(),
                "answers": self.said(data.fresh).tolist(),
            },
            "scale": np.where(train.std(axis=0) > 0, train.std(axis=0), 1.0).tolist(),
            "mask": [float(name not in self.words) for name in data.train],
            "low": train.min(axis=0).tolist(),
            "high": train.max(axis=0).tolist(),
            "targets": train[:TARGETS].tolist(),
            "starts": self.starts(train).tolist(),
            "judge": encoded[:half].tolist(),
            "judge_answers": self.said(data.fresh).tolist(),
            "pool": encoded[half:].tolist(),
            "pool_answers": self.said(data.train).tolist(),
        }


def close(compared: Compared) -> dict[str, bool]:
    """Tell for each figure whether both are within the margin."""
    ours, theirs = compared.ours, compared.theirs
    found = {
        "membership": abs(ours["membership"] - theirs["membership"]) <= AUC,
        # Ours has the better of several copies: it may be the better attacker, and no worse.
        "extraction": ours["extraction"] >= theirs["extraction"] - AGREEMENT,
    }
    if "evasion" in theirs:
        found["evasion"] = 1 / FACTOR <= ours["evasion"] / theirs["evasion"] <= FACTOR
    return found


def table(found: Sequence[Compared]) -> list[str]:
    """Return the lines of the table on the page."""
    lines = [
        "| model | membership | toolbox | extraction | toolbox | evasion | toolbox |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in found:
        cells = [
            f"{side[figure]:.2f}" if figure in side else "no boundary"
            for figure in FIGURES
            for side in (each.ours, each.theirs)
        ]
        lines.append(f"| {each.name} | {' | '.join(cells)} |")
    return lines


def numbers_of(line: str) -> list[float]:
    """Return the figures of a line of the table."""
    return [float(cell) for cell in line.split("|") if re.fullmatch(r" -?\d+\.\d\d ", cell)]


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> list[Compared]:
    if not TOOLBOX.exists():
        missing = (
            "adversarial-robustness-toolbox is not installed: python -m venv .venv/theft && "
            ".venv/theft/bin/pip install --require-hashes -r tests/requirements-theft.txt"
        )
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the models and copies, which may not converge
        return [compare(name, tmp_path_factory.mktemp("model")) for name in MODELS]


@pytest.mark.parametrize("figure", FIGURES)
def test_each_figure_is_near_that_of_the_toolbox(compared, figure):
    for each in compared:
        assert close(each).get(figure, True), (each.name, each.ours, each.theirs)


def test_evasion_is_compared_for_three_models_and_the_rest_for_four(compared):
    counts = [sum(figure in each.theirs for each in compared) for figure in FIGURES]
    assert counts == [4, 4, 3]


def test_members_are_found_where_the_model_has_learned_its_rows_by_heart(compared):
    """A comparison of two guesses would pass with any attack."""
    auc = {each.name: each.ours["membership"] for each in compared}
    assert auc["gradient boosting regressor, diabetes"] > 0.7
    assert auc["logistic regression, breast cancer"] < 0.6


def test_the_page_has_these_figures(compared):
    """Another machine may be some hundredths off."""
    page = PAGE.read_text("utf-8").splitlines()
    for line in table(compared)[2:]:
        written = next((each for each in page if each.split("|")[1:2] == line.split("|")[1:2]), "")
        assert numbers_of(written) == pytest.approx(numbers_of(line), abs=0.05, rel=0.1), line


def main() -> None:
    """Write the table into the page."""
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = []
        for number, name in enumerate(MODELS):
            folder = Path(place, str(number))
            folder.mkdir()
            found.append(compare(name, folder))
            print(found[-1], close(found[-1]), flush=True)
    before = PAGE.read_text("utf-8").partition("| model | membership")[0].rstrip()
    PAGE.write_text("\n".join([before, "", *table(found), ""]), "utf-8")


if __name__ == "__main__":
    main()
