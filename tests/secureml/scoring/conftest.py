"""Sealed models of two kinds, and what runs them over files in this process."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from plugins.input_rules import plugin as input_rules
from plugins.input_rules.validation import ValidationPolicy
from secureml.models.serving.handle import ModelHandle
from secureml.models.serving.registry import Registry
from secureml.scoring import backends
from secureml.scoring.order import Options, SealedModel
from secureml.scoring.progress import Progress
from secureml.scoring.rules import PluginRules
from secureml.scoring.run import score
from secureml.scoring.targets import find_files
from tests.made_models import seal_estimator

PLAIN = "a,b,c\n" + "".join(f"{n},{n * 0.5},{(n * 7) % 11}\n" for n in range(60))
_RNG = np.random.default_rng(5)
MIXED = pd.DataFrame(
    {
        "age": np.where(_RNG.random(120) < 0.1, np.nan, _RNG.integers(18, 90, 120)),
        "visits": _RNG.integers(0, 9, 120),
        "member": _RNG.random(120) < 0.5,
        "colour": _RNG.choice(["red", "blue", "NZ"], 120),
        "seen": _RNG.choice(["2026-01-31", "2026-02-01"], 120),
    }
)


class Sealed(NamedTuple):
    """A model, loaded here, and how a run is given it."""

    handle: ModelHandle
    model: SealedModel
    rules: tuple[PluginRules, ...]


def rules_of(policy: ValidationPolicy) -> PluginRules:
    """The rules of the plugin, as the command is given them by it."""
    plugin = input_rules.__new__(input_rules)
    plugin._policy = policy
    return PluginRules("input_rules", {"policy": repr(policy)}, plugin.row_rules(), None)


def seal(folder: Path, estimator: Any, table: str, **words: Any) -> Sealed:
    seal_estimator(folder, estimator, "m", table=table, **words)
    registry = Registry(folder / "models")
    artifact = registry.artifact("m", "1")
    handle = registry.prove("m", "1")
    digests = (artifact.digest, hashlib.sha256(artifact.card_bytes).hexdigest())
    model = SealedModel(handle.card, digests, registry.root, frozenset())
    return Sealed(handle, model, (rules_of(ValidationPolicy()),))


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """Three numbers, an array, three classes with probabilities."""
    rows = np.array([[float(n), n * 0.5, (n * 7) % 11] for n in range(60)])
    estimator = LogisticRegression().fit(rows, np.array(["x", "y", "z"])[np.arange(60) // 20])
    return seal(tmp_path_factory.mktemp("plain"), estimator, PLAIN)


@pytest.fixture(scope="session")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """Two amounts from three numbers."""
    rows = np.array([[float(n), n * 0.5, (n * 7) % 11] for n in range(60)])
    estimator = LinearRegression().fit(rows, rows[:, :2] * 3)
    return seal(tmp_path_factory.mktemp("regression"), estimator, PLAIN)


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """A frame with missing numbers, truth values, categories, and texts."""
    estimator = make_pipeline(
        make_column_transformer(
            (SimpleImputer(), ["age", "visits"]),
            ("passthrough", ["member"]),
            (OneHotEncoder(handle_unknown="ignore"), ["colour", "seen"]),
        ),
        RandomForestClassifier(5, random_state=0),
    ).fit(MIXED, MIXED.visits > 4)
    table = MIXED.to_csv(index=False)
    return seal(tmp_path_factory.mktemp("mixed"), estimator, table)


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Return what scores a file in this process, by default ``out.csv`` beside the input."""

    def run_it(sealed: Sealed, source: Path, target: Path | None = None, **words: Any) -> Any:
        workers = words.pop("workers", lambda _: backends.local(1, threads=False))
        rules = words.pop("rules", sealed.rules)
        words.setdefault("chunk_rows", 7)
        files = find_files(str(source), target or tmp_path / "out.csv")
        return score(sealed.model, files, Options(**words), rules, workers, quiet_progress)

    return run_it


def quiet_progress(total: int, before: int) -> Progress:
    return Progress(total, before, lambda: 0.0, lambda text, ends: None, terminal=False)
