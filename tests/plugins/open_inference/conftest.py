"""Real models of several kinds behind the routes, and ways to ask in tensors."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from plugins.errors.plugin import Errors
from plugins.input_rules.plugin import InputRules
from plugins.open_inference.plugin import OpenInference
from plugins.scopes.plugin import Scopes
from secureml import Plugin, Principal
from secureml.testing import Harness
from tests.made_models import seal_estimator

pd = pytest.importorskip("pandas")
RIGHTS = "predict,models:read *"
MIXED = pd.DataFrame(
    {
        "age": [20, 30, 40, 50] * 5,
        "income": [1.5, 2.25, None, 0.125] * 5,
        "member": [True, False, True, True] * 5,
        "home": ["rent", "own", "rent", "öwn"] * 5,
    }
)


class Caller(Plugin):
    """Names every caller that sends a name; scopes and models are in the header."""

    name = "caller"
    credential_header = "X-Caller"

    def identify(self, exchange):
        """Read `scope,scope model,model`."""
        said = exchange.request.headers.get("X-Caller")
        if said is None:
            return None
        scopes, models = (frozenset(part.split(",")) for part in said.split(" "))
        return Principal("c", "c", scopes, models, "standard", "caller", "1")


def _cancer():
    data = load_breast_cancer(as_frame=True)
    rows = data.data.iloc[:200]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(
        rows.to_numpy(), data.target[:200]
    )
    return model, rows.assign(target=data.target[:200]), "target"


def _mixed():
    from sklearn.ensemble import HistGradientBoostingClassifier

    words = np.array(["no", "yes", "yes", "no"] * 5)
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["home"]), remainder="passthrough"
    )
    model = make_pipeline(columns, HistGradientBoostingClassifier(min_samples_leaf=2))
    return model.fit(MIXED, words), MIXED.assign(answer=words), "answer"


def _amounts():
    rows = pd.DataFrame({"a": [1.0, 2.0, 3.0, 5.0], "b": [0, 1, 1, 0]})
    answers = np.array([[1.0, 2.0], [2.0, 1.0], [3.5, 0.5], [4.0, 4.0]])
    return LinearRegression().fit(rows.to_numpy(dtype=float), answers), rows, None


@pytest.fixture(scope="session")
def sealed(tmp_path_factory):
    """The folder of three sealed models, and the fitted estimators by name."""
    folder, estimators = tmp_path_factory.mktemp("tensors"), {}
    for name, make in (("cancer", _cancer), ("mixed", _mixed), ("amounts", _amounts)):
        estimators[name], table, target = make()
        text = table.to_csv(index=False)
        types = {"age": "integer"} if name == "mixed" else None
        seal_estimator(
            folder, estimators[name], name, table=text, target=target, strict=True, types=types
        )
    return folder, estimators


@pytest.fixture(scope="session")
def harness(sealed):
    """An application with the three models."""
    made = Harness(sealed[0])
    made.models.load_all()
    yield made
    made.store.close()


@pytest.fixture
def card_of(harness):
    """Return a function that returns the card of a model."""
    return lambda name: harness.models.get(name).card


@pytest.fixture
def ask(harness):
    """Return a function that sends one request: (status, answer)."""

    def send(method, path, body=None, *, plugins=(), caller=RIGHTS, tables=None, **words):
        classes = (Caller, Scopes, InputRules, *plugins, OpenInference, Errors)
        tables = tables or {}
        loaded = [harness.load(cls, tables.get(cls.name)) for cls in classes]
        headers = {**({"X-Caller": caller} if caller else {}), **words.pop("headers", {})}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            words.setdefault("content_type", "application/json")
        client = harness.app(loaded).test_client()
        return client.open(path, method=method, data=body, headers=headers, **words)

    return send


@pytest.fixture
def infer(ask):
    """Return a function that asks a model."""

    def send(body, model="cancer", **words):
        return ask("POST", f"/v2/models/{model}/infer", body, **words)

    return send


@pytest.fixture(scope="session")
def rows():
    """Ten rows of the breast cancer data, in the card's order."""
    return load_breast_cancer().data[:10]
