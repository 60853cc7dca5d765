"""A client's first day: it finds its way by what the answers say, and sees only its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from journey_site import get, predict
from sklearn.datasets import load_wine

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from journey_site import Site, Work

ROW = load_wine().data[0].tolist()


@pytest.fixture
def caller(site: Site, work: Work) -> FlaskClient:
    site.run("init")
    for name, file in (("wine", work.first), ("cellar", work.second)):
        words = ["--name", name, "--data", str(work.table), "--target", "kind"]
        site.run("models", "seal", str(file), *words)
    site.run("clients", "add", "shop", "--model", "wine")
    return site.start()


@pytest.fixture
def key(site: Site, caller: FlaskClient) -> str:
    issued: str = site.run("api-keys", "issue", "shop")["key"]
    return issued


def test_a_client_learns_how_to_ask_from_the_answers(caller: FlaskClient, key: str) -> None:
    # Without a key it is told where a key goes.
    refused = get(caller, "/v1/models")
    assert refused.status_code == 401
    assert 'header="X-API-Key"' in refused.headers["WWW-Authenticate"]
    # With one, it sees what it may use, and what that expects.
    assert get(caller, "/v1/models", key).json == {"models": [{"name": "wine", "version": "1"}]}
    card = get(caller, "/v1/models/wine", key).json
    names = [feature["name"] for feature in card["features"]]
    assert names == load_wine().feature_names
    assert card["classes"] == ["class_0", "class_1", "class_2"]
    # By name, in any order, the answer is that of the list.
    named = predict(caller, key, [dict(reversed(list(zip(names, ROW, strict=True))))]).json
    listed = predict(caller, key, [ROW]).json
    assert named["predictions"] == listed["predictions"] == ["class_0"]
    assert named["probabilities"] == listed["probabilities"]


def test_a_client_mends_its_question_by_path_and_rule(caller: FlaskClient, key: str) -> None:
    def faults(rows: Any) -> list[tuple[str, str]]:
        answer = predict(caller, key, rows)
        assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")
        return [(fault["path"], fault["rule"]) for fault in answer.json["errors"]]

    assert faults([ROW, ROW[:-1]]) == [("/instances/1", "feature_count")]
    assert faults([[*ROW[:4], "127", *ROW[5:]]]) == [("/instances/0/4", "type")]
    far = [1e6, *ROW[1:]]
    assert faults([far]) == [("/instances/0/0", "above_maximum")]
    assert predict(caller, key, [ROW]).status_code == 200


def test_a_client_cannot_tell_another_clients_model_from_none(
    caller: FlaskClient, key: str
) -> None:
    def emitted(model: str) -> Any:
        answer = predict(caller, key, [ROW], model)
        body = dict(answer.json)
        assert re.fullmatch("[0-9a-f]{32}", body.pop("id"))
        return answer.status_code, body

    assert emitted("cellar") == emitted("no-such-model")
    assert emitted("cellar")[0] == 403


def test_a_key_narrower_than_its_client_does_only_that(
    site: Site, caller: FlaskClient, key: str
) -> None:
    narrow = site.run("api-keys", "issue", "shop", "--scope", "models:read")["key"]
    assert get(caller, "/v1/models/wine", narrow).status_code == 200
    assert predict(caller, narrow, [ROW]).status_code == 403


def test_a_key_wider_than_its_client_gains_nothing(site: Site, caller: FlaskClient) -> None:
    site.run("clients", "add", "reader", "--scope", "models:read")
    wide = site.run("api-keys", "issue", "reader", "--scope", "predict", "--scope", "models:read")
    assert get(caller, "/v1/models/wine", wide["key"]).status_code == 200
    assert predict(caller, wide["key"], [ROW]).status_code == 403


def test_a_key_in_the_address_is_refused_though_it_is_good(caller: FlaskClient, key: str) -> None:
    answer = get(caller, f"/v1/models?key={key}", key)
    assert (answer.status_code, answer.json["code"]) == (400, "credential_in_url")
    assert key not in answer.text


def test_every_answer_has_an_id_of_its_own(caller: FlaskClient, key: str) -> None:
    said = [predict(caller, key, [ROW]).json["id"], predict(caller, "", [ROW]).json["id"]]
    said += [get(caller, "/nowhere", key).json["id"]]
    assert len(set(said)) == 3
