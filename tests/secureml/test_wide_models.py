"""A model of many columns is asked by name, about fifty rows at once, whatever other limits say."""

from __future__ import annotations

import json

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from secureml.app import create_app
from secureml.models.artifact import signature
from tests.instance_copies import copy_instance
from tests.made_models import seal_file

pd = pytest.importorskip("pandas")
WIDTH = 300
NAMES = [f"a_long_name_of_column_{place:03}" for place in range(WIDTH)]
RULES = "[payload]\nbody = 65536\nkeys = 100\n"


@pytest.fixture(scope="module")
def post(demo_instance, tmp_path_factory):
    """Serve a model of 300 columns where 100 names and 64 KiB are the limits; ask it."""
    folder = tmp_path_factory.mktemp("wide") / "instance"
    copy_instance(demo_instance, folder)
    with (folder / "secureml.toml").open("a") as file:
        file.write(RULES)
    rows = np.random.default_rng(0).normal(size=(50, WIDTH))
    model = LinearRegression().fit(pd.DataFrame(rows, columns=NAMES), rows[:, 0])
    joblib.dump(model, folder / "wide.joblib")
    key = signature.read_private_key(folder / "keys" / "model-signing.key")
    seal_file(folder / "wide.joblib", folder / "models", name="wide", key=key)
    app = create_app(folder)
    core = app.extensions["secureml"]
    core.clients.add("acme")
    (keys,) = (item for item in core.plugins if item.name == "api_keys")
    headers = {"X-API-Key": keys.plugin._keyring.issue("acme", lifetime=None)[0].text}

    def ask(name, instances):
        return app.test_client().post(
            f"/v1/models/{name}/predict",
            base_url="https://localhost",
            headers=headers,
            data=json.dumps({"instances": instances}),
            content_type="application/json",
        )

    yield ask
    core.store.close()


def row(width=WIDTH, value=-0.123456789012345678):
    return dict.fromkeys(NAMES[:width], value) | {
        f"more{place}": 1 for place in range(width - WIDTH)
    }


def test_fifty_rows_of_all_names_are_answered(post):
    answer = post("wide", [row()] * 50)

    assert answer.status_code == 200
    assert len(answer.json["predictions"]) == 50


def test_attack_a_wide_model_opens_nothing_beyond_its_own_rows(post):
    assert post("wide", [row()] * 90).status_code == 413
    assert post("wide", [row(WIDTH + 1)]).json["code"] == "json_too_large"


def test_attack_another_model_keeps_its_limits(post):
    assert post("breast-cancer", [row()]).json["code"] == "json_too_large"
    assert post("breast-cancer", [[1.5] * 30] * 900).status_code == 413
