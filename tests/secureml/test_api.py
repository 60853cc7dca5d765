"""The model API over a real sealed model: what it answers, and how it says no."""

from __future__ import annotations

import json
from io import BytesIO

import pytest

from secureml import api
from secureml.app import create_app
from tests.instance_copies import copy_instance

PREDICT = "/v1/models/breast-cancer/predict"
LIMIT = 8192
ROW = [1.0] * 30


@pytest.fixture(scope="module")
def app(demo_instance, tmp_path_factory):
    """The whole application around the demo model, with a small body limit."""
    folder = tmp_path_factory.mktemp("api") / "instance"
    copy_instance(demo_instance, folder)
    with (folder / "secureml.toml").open("a") as file:
        file.write(f"[payload]\nbody = {LIMIT}\nmodel_rows = 1\n")
    made = create_app(folder)
    made.extensions["secureml"].clients.add("acme")
    yield made
    made.extensions["secureml"].store.close()


@pytest.fixture(scope="module")
def golden(app):
    """A row the model was proved with, so that it is within the card's ranges."""
    return list(app.extensions["secureml"].models.get("breast-cancer").card.golden.rows[0])


@pytest.fixture(scope="module")
def ask(app):
    """Ask as the client acme."""
    (keys,) = (item for item in app.extensions["secureml"].plugins if item.name == "api_keys")
    key, _ = keys.plugin._keyring.issue("acme", lifetime=None)
    caller = app.test_client()

    def ask_it(method, path, **words):
        headers = {"X-API-Key": key.text, **words.pop("headers", {})}
        return caller.open(
            path, method=method, base_url="https://localhost", headers=headers, **words
        )

    return ask_it


@pytest.fixture(scope="module")
def post(ask):
    """Post a body to the model."""

    def post_it(body, media="application/json", path=PREDICT, **words):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return ask("POST", path, data=data, content_type=media, **words)

    return post_it


def problem(answer):
    assert answer.content_type == "application/problem+json"
    body = answer.json
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:secureml:problem:{body['code']}"
    assert len(body["id"]) == 32
    return answer.status_code, body["code"], [tuple(e.values()) for e in body.get("errors", [])]


# -- answers --------------------------------------------------------------------------------------


def test_a_prediction_says_what_which_model_and_its_id(post, golden):
    answer = post({"instances": [golden, golden]})
    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    body = answer.json
    assert list(body) == ["predictions", "probabilities", "model", "id"]
    assert body["predictions"][0] == body["predictions"][1]
    assert sum(body["probabilities"][0]) == pytest.approx(1.0)
    assert body["model"] == {"name": "breast-cancer", "version": "1"}
    assert len(body["id"]) == 32


def test_an_answer_is_as_the_estimator_says(post, app, golden):
    handle = app.extensions["secureml"].models.get("breast-cancer")
    result = handle.predict(handle.read([golden]))
    body = post({"instances": [golden]}).json
    assert body["predictions"] == result.predictions
    assert body["probabilities"] == result.probabilities


def test_the_models_are_listed_and_described(ask):
    assert ask("GET", "/v1/models").json == {"models": [{"name": "breast-cancer", "version": "1"}]}
    card = ask("GET", "/v1/models/breast-cancer").json
    assert (card["name"], card["version"], len(card["features"])) == ("breast-cancer", "1", 30)
    assert not {"digest", "versions", "golden"} & set(card)


def test_life_and_readiness_are_public(app):
    caller = app.test_client()
    assert caller.get("/healthz", base_url="https://localhost").json == {"status": "alive"}
    assert caller.get("/readyz", base_url="https://localhost").json == {"status": "ready"}


def test_a_number_json_cannot_carry_is_a_failure_and_no_answer(app):
    with app.app_context(), pytest.raises(ValueError, match="not JSON compliant"):
        api.json_response({"a": float("nan")})


# -- no such thing --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/models/other/predict"),
        ("GET", "/v1/models/other"),
        ("GET", "/v1/models/Breast-Cancer"),
        ("GET", "/v1/models/..%2f..%2fetc"),
        ("GET", "/v1/models/breast-cancer/1"),
        ("GET", "/v1/models/"),
        ("GET", "//v1/models"),
        ("GET", "/static/x"),
        ("GET", "/"),
    ],
)
def test_an_unknown_model_or_address_is_not_found_and_never_a_redirect(ask, method, path):
    words = {"json": {"instances": [ROW]}} if method == "POST" else {}
    assert problem(ask(method, path, **words)) == (404, "not_found", [])


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", PREDICT, {"POST"}),
        ("PUT", PREDICT, {"POST"}),
        ("OPTIONS", PREDICT, {"POST"}),
        ("POST", "/v1/models", {"GET", "HEAD"}),
        ("DELETE", "/healthz", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(ask, method, path, allow):
    answer = ask(method, path)
    assert problem(answer) == (405, "method_not_allowed", [])
    assert set(answer.headers["Allow"].replace(" ", "").split(",")) == allow


# -- the envelope ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, [("/instances", "required")]),
        ({"instances": None}, [("/instances", "invalid")]),
        ({"Instances": [ROW]}, [("/instances", "required"), ("", "unknown_key")]),
        ({"instances": [ROW], "extra": 1}, [("", "unknown_key")]),
        ({"instances": [ROW], "a\nb": 1, "c": 2}, [("", "unknown_key")]),
        ([], [("", "object")]),
        ([ROW], [("", "object")]),
        ("instances", [("", "object")]),
        (1, [("", "object")]),
        (None, [("", "object")]),
        (True, [("", "object")]),
    ],
)
def test_a_faulty_envelope_is_told_by_place_and_rule(post, body, faults):
    assert problem(post(body)) == (422, "invalid_input", faults)


@pytest.mark.parametrize("instances", [[], {}, "", 0, False, "abc", 5, True, {"a": 1}])
def test_instances_that_are_no_rows_are_told_as_such(post, instances):
    status, code, faults = problem(post({"instances": instances}))
    assert (status, code) == (422, "invalid_input")
    assert [path for path, _ in faults] == ["/instances"]


def test_marshmallow_reads_the_envelope_of_every_prediction(post, golden, monkeypatch):
    """What its schema says is what happens, for a good body as for a faulty one."""
    loaded, load = [], api.PredictBody.load
    monkeypatch.setattr(
        api.PredictBody, "load", lambda schema, data: (loaded.append(data), load(schema, data))[1]
    )
    bodies = [{"instances": [golden]}, {"instances": [golden] * 3}, {"rows": [golden]}]
    assert [post(body).status_code for body in bodies] == [200, 200, 422]
    assert loaded == bodies


def test_the_envelope_does_not_walk_the_rows():
    """A thousand rows cost what one does: the very list is handed on."""
    rows = [[1.0]] * 1000
    assert api.PredictBody().load({"instances": rows})["instances"] is rows


def test_attack_an_unknown_key_is_not_echoed(post):
    answer = post({"instances": [ROW], "<script>hunter2": 1})
    assert b"hunter2" not in answer.data


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b'{"instances": [[1]]', 400, "malformed_json"),
        (b'\xef\xbb\xbf{"instances": []}', 400, "malformed_json"),
        (b'{"instances": "\xff"}', 400, "malformed_json"),
        (b'{"instances": [[NaN]]}', 400, "not_a_number"),
        (b'{"instances": [[1e999]]}', 400, "not_a_number"),
        (b'{"instances": [], "instances": []}', 400, "duplicate_key"),
        (b'{"instances": ' + b"[" * 50 + b"]" * 50 + b"}", 400, "json_too_deep"),
        (b"instances=1", 400, "malformed_json"),
    ],
)
def test_a_body_that_is_no_strict_json_is_told_what_it_is(post, body, status, code):
    assert problem(post(body)) == (status, code, [])


# -- media types ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "media",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        'application/json; charset="utf-8"',
        "application/json; charset=utf8",
        "Application/JSON",
        "application/json; q=1",
    ],
)
def test_json_in_utf_8_is_read_however_it_is_written(post, golden, media):
    assert post({"instances": [golden]}, media).status_code == 200


@pytest.mark.parametrize(
    "media",
    [
        "",
        None,
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/problem+json",
        "application/json-seq",
        "application/jsonp",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "application/json, text/plain",
        "*/*",
    ],
)
def test_anything_else_is_unsupported(post, golden, media):
    answer = post({"instances": [golden]}, media)
    assert problem(answer) == (415, "unsupported_media_type", [])


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "identity, gzip", ""])
def test_attack_a_packed_body_is_not_unpacked(post, golden, encoding):
    answer = post({"instances": [golden]}, headers={"Content-Encoding": encoding})
    assert problem(answer) == (415, "unsupported_encoding", [])
    assert answer.headers["Accept-Encoding"] == "identity"
    assert "Content-Encoding" in answer.json["title"]
    assert "JSON" not in answer.json["title"].upper()


def test_identity_is_no_packing(post, golden):
    answer = post({"instances": [golden]}, headers={"Content-Encoding": "Identity"})
    assert answer.status_code == 200


# -- how much -------------------------------------------------------------------------------------


def padded(golden, size):
    text = json.dumps({"instances": [golden]}).encode()
    return text + b" " * (size - len(text))


def test_a_body_of_exactly_the_limit_is_read_and_one_byte_more_is_not(post, golden):
    assert post(padded(golden, LIMIT)).status_code == 200
    assert problem(post(padded(golden, LIMIT + 1))) == (413, "body_too_large", [])
    assert problem(post(padded(golden, LIMIT * 9))) == (413, "body_too_large", [])


def chunked(ask, body):
    """Send a body whose length is not announced, as Gunicorn hands it on."""
    return ask(
        "POST",
        PREDICT,
        input_stream=BytesIO(body),
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )


def test_a_body_in_chunks_is_read_to_the_same_limit(ask, golden):
    assert chunked(ask, padded(golden, 0)).status_code == 200
    assert chunked(ask, padded(golden, LIMIT)).status_code == 200
    assert problem(chunked(ask, padded(golden, LIMIT + 1))) == (413, "body_too_large", [])


def test_attack_the_beginning_of_a_body_in_chunks_does_not_pass_for_the_body(ask, golden):
    """Cut at the limit, this one would be good JSON."""
    text = padded(golden, LIMIT) + b"garbage" * 1000
    assert problem(chunked(ask, text)) == (413, "body_too_large", [])


def test_a_body_shorter_than_it_says_is_no_json(ask):
    answer = ask(
        "POST",
        PREDICT,
        input_stream=BytesIO(b'{"instances"'),
        content_type="application/json",
        headers={"Content-Length": "100"},
    )
    assert answer.status_code == 400


# -- the store under a request --------------------------------------------------------------------


def test_without_the_store_nobody_is_let_in_on_what_was_true_before(demo_instance, tmp_path):
    folder = tmp_path / "instance"
    copy_instance(demo_instance, folder)
    app = create_app(folder)
    core = app.extensions["secureml"]
    core.clients.add("acme")
    (keys,) = (item for item in core.plugins if item.name == "api_keys")
    headers = {"X-API-Key": keys.plugin._keyring.issue("acme", lifetime=None)[0].text}
    caller = app.test_client()

    def ask():
        return caller.get("/v1/models", base_url="https://localhost", headers=headers)

    assert ask().status_code == 200
    (folder / "secureml.db").rename(folder / "moved")
    assert problem(ask()) == (503, "unavailable", [])
    (folder / "moved").rename(folder / "secureml.db")
    assert ask().status_code == 200
    core.store.close()
