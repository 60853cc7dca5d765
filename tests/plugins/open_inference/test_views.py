"""Through the whole pipeline: equal answers, and every refusal of the other route."""

from __future__ import annotations

import json
from itertools import chain

import numpy as np
import pytest

from plugins.api_docs.plugin import ApiDocs
from plugins.audit_log.record import of_exchange
from plugins.output_rules.plugin import OutputRules
from plugins.rate_limit.plugin import RateLimit
from secureml import Plugin, Result
from secureml.models.artifact.version_files import ModelRefused

LENGTH = "Inference-Header-Content-Length"


def matrix(rows, **words):
    shape = [len(rows), len(rows[0])]
    data = np.asarray(rows).ravel().tolist()
    return {"inputs": [{"name": "x", "shape": shape, "datatype": "FP64", "data": data}], **words}


def columns_of(frame):
    """Return a tensor for each column of the mixed model, as JSON."""
    kinds = {"age": "INT64", "income": "FP64", "member": "BOOL", "home": "BYTES"}
    return [
        {"name": name, "shape": [len(frame)], "datatype": kind, "data": frame[name].tolist()}
        for name, kind in kinds.items()
    ]


def packed(head, *parts):
    """Return a body of the binary extension and the header of its length."""
    text = json.dumps(head).encode()
    return b"".join((text, *parts)), {LENGTH: str(len(text))}


def binary_rows(rows, datatype="FP64", **words):
    data = np.asarray(rows, dtype={"FP64": "<f8", "FP32": "<f4"}[datatype]).tobytes()
    tensor = {
        "name": "x", "shape": list(np.shape(rows)), "datatype": datatype,
        "parameters": {"binary_data_size": len(data)},
    }  # fmt: skip
    return packed({"inputs": [tensor], **words}, data)


def output(answer, name):
    return next(one for one in answer.json["outputs"] if one["name"] == name)


def unpacked(answer):
    """Return the JSON of a binary answer, and each output's bytes."""
    assert answer.content_type == "application/octet-stream"
    length = int(answer.headers[LENGTH])
    head, rest = json.loads(answer.data[:length]), answer.data[length:]
    found = {}
    for one in head["outputs"]:
        size = one.get("parameters", {}).get("binary_data_size", 0)
        found[one["name"]], rest = rest[:size], rest[size:]
    assert rest == b""
    return head, found


# -- answers ---------------------------------------------------------------------------------------


def test_one_tensor_of_all_columns_is_answered_to_the_bit(infer, sealed, rows):
    estimator = sealed[1]["cancer"]
    answer = infer(matrix(rows, id="mine"))
    assert answer.status_code == 200, answer.json
    assert answer.content_type == "application/json"
    body = answer.json
    assert (body["model_name"], body["model_version"], body["id"]) == ("cancer", "1", "mine")
    assert output(answer, "predictions") == {
        "name": "predictions", "datatype": "INT64", "shape": [10],
        "data": estimator.predict(rows).tolist(),
    }  # fmt: skip
    found = output(answer, "probabilities")
    assert found["shape"] == [10, 2]
    assert found["data"] == estimator.predict_proba(rows).ravel().tolist()


def test_in_binary_it_is_answered_to_the_bit_as_well(infer, sealed, rows):
    body, headers = binary_rows(rows, parameters={"binary_data_output": True})
    answer = infer(body, headers=headers)  # without a media type, as Triton's client sends it
    head, found = unpacked(answer)
    assert head["id"] == head["parameters"]["log_id"]
    estimator = sealed[1]["cancer"]
    assert found["probabilities"] == estimator.predict_proba(rows).tobytes()
    assert found["predictions"] == estimator.predict(rows).astype("<i8").tobytes()


@pytest.mark.parametrize("media", ["application/json", "application/octet-stream", None])
def test_the_length_tells_binary_from_json_and_not_the_media_type(infer, rows, media):
    body, headers = binary_rows(rows)
    assert infer(body, headers=headers, content_type=media).status_code == 200
    assert infer(json.dumps(matrix(rows)).encode(), content_type=media).status_code == 200


def test_a_page_sends_no_body_without_a_media_type(infer, rows):
    """A browser sends that to any site, and a client certificate with it."""
    body, headers = binary_rows(rows)
    answer = infer(body, headers={**headers, "Origin": "https://evil.example"})
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "a/b"])
def test_other_media_types_are_not_read(infer, rows, media):
    answer = infer(json.dumps(matrix(rows)).encode(), content_type=media)
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")


def test_a_tensor_for_each_column_with_texts_and_missing_values(infer, ask, sealed):
    import pandas as pd

    frame = pd.DataFrame(
        {"age": [20, 50], "income": [1.5, None], "member": [True, False], "home": ["öwn", "rent"]}
    )
    tensors = columns_of(frame.astype({"income": object}).where(frame.notna(), None))
    answer = infer({"inputs": tensors[::-1]}, "mixed")
    assert answer.status_code == 200, answer.json
    estimator = sealed[1]["mixed"]
    assert output(answer, "predictions")["data"] == estimator.predict(frame).tolist()
    wanted = estimator.predict_proba(frame).ravel().tolist()
    assert output(answer, "probabilities")["data"] == wanted
    rows = json.loads(frame.to_json(orient="records"))
    own = ask("POST", "/v1/models/mixed/predict", {"instances": rows}).json
    assert list(chain.from_iterable(own["probabilities"])) == wanted


def test_in_binary_missing_is_nan_and_texts_have_lengths(infer, sealed):
    import pandas as pd

    frame = pd.DataFrame(
        {"age": [20, 50], "income": [1.5, None], "member": [True, False], "home": ["öwn", "rent"]}
    )
    texts = b"".join(len(one.encode()).to_bytes(4, "little") + one.encode() for one in frame.home)
    parts = {
        "home": ("BYTES", texts),
        "age": ("INT32", frame.age.to_numpy("<i4").tobytes()),
        "income": ("FP64", frame.income.to_numpy("<f8").tobytes()),
        "member": ("BOOL", frame.member.to_numpy(bool).tobytes()),
    }
    inputs = [
        {
            "name": name, "shape": [2, 1], "datatype": kind,
            "parameters": {"binary_data_size": len(data)},
        }
        for name, (kind, data) in parts.items()
    ]  # fmt: skip
    body, headers = packed({"inputs": inputs}, *(data for _, data in parts.values()))
    answer = infer(body, "mixed", headers=headers)
    assert answer.status_code == 200, answer.json
    wanted = sealed[1]["mixed"].predict_proba(frame).ravel().tolist()
    assert output(answer, "probabilities")["data"] == wanted


def test_single_precision_is_the_nearest_double(infer, sealed, rows):
    body, headers = binary_rows(rows, "FP32")
    answer = infer(body, headers=headers)
    near = rows.astype(np.float32).astype(np.float64)
    wanted = sealed[1]["cancer"].predict_proba(near).ravel().tolist()
    assert output(answer, "probabilities")["data"] == wanted
    as_json = matrix(rows)
    as_json["inputs"][0]["datatype"] = "FP32"
    assert output(infer(as_json), "probabilities")["data"] == wanted


def test_a_model_of_several_outputs_answers_with_a_matrix(infer, sealed):
    answer = infer(matrix([[1.5, 1], [2.5, 0]]), "amounts")
    found = output(answer, "predictions")
    assert (found["datatype"], found["shape"]) == ("FP64", [2, 2])
    wanted = sealed[1]["amounts"].predict(np.array([[1.5, 1], [2.5, 0]])).ravel().tolist()
    assert found["data"] == wanted
    assert len(answer.json["outputs"]) == 1


def test_only_the_selected_outputs_come_back(infer, rows):
    answer = infer(matrix(rows, outputs=[{"name": "predictions"}]))
    assert [one["name"] for one in answer.json["outputs"]] == ["predictions"]
    mixed = [
        {"name": "probabilities", "parameters": {"binary_data": True}},
        {"name": "predictions"},
    ]
    head, found = unpacked(infer(matrix(rows, outputs=mixed)))
    assert [("data" in one) for one in head["outputs"]] == [False, True]
    assert len(found["probabilities"]) == 160


# -- metadata and probes ---------------------------------------------------------------------------


def test_the_server_and_its_models_describe_themselves(ask):
    assert ask("GET", "/v2").json["extensions"] == ["binary_tensor_data"]
    whole = ask("GET", "/v2/models/cancer").json
    assert len(whole["inputs"]) == 30
    assert ask("GET", "/v2/models/cancer/versions/1").json == whole
    assert ask("GET", "/v2/models/cancer/ready").json == {"name": "cancer", "ready": True}
    assert ask("GET", "/v2/models/cancer/versions/1/ready").status_code == 200


def test_probes_need_no_credential_and_say_no_more_than_their_status(ask):
    class Away(Plugin):
        """Cannot work."""

        name = "away"

        def ready(self):
            """Say why."""
            return "secret_reason"

    assert ask("GET", "/v2/health/live", caller="").json == {"live": True}
    assert ask("GET", "/v2/health/ready", caller="").json == {"ready": True}
    answer = ask("GET", "/v2/health/ready", caller="", plugins=(Away,))
    assert (answer.status_code, answer.json) == (503, {"ready": False})
    answer = ask("GET", "/v2/models/cancer/ready", plugins=(Away,))
    assert (answer.status_code, answer.json) == (503, {"name": "cancer", "ready": False})


@pytest.mark.parametrize("version", ["0", "2", "01", "1.0", "latest", "%20", "1%00"])
@pytest.mark.parametrize("rest", ["", "/ready", "/infer"])
def test_a_version_that_does_not_answer_is_not_there(ask, rows, version, rest):
    method, body = ("POST", matrix(rows)) if rest == "/infer" else ("GET", None)
    answer = ask(method, f"/v2/models/cancer/versions/{version}{rest}", body)
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_the_version_that_answers_is_asked_by_its_number(ask, rows):
    answer = ask("POST", "/v2/models/cancer/versions/1/infer", matrix(rows))
    assert (answer.status_code, answer.json["model_version"]) == (200, "1")


def test_a_refused_model_is_unavailable_and_not_unknown(ask, harness, rows, monkeypatch):
    monkeypatch.setitem(harness.models._refused, "bad", ModelRefused("digest", "changed", "seal"))
    for method, rest, body in (("GET", "", None), ("GET", "/ready", None), ("POST", "/infer", {})):
        answer = ask(method, f"/v2/models/bad{rest}", body)
        assert (answer.status_code, answer.json["code"]) == (503, "model_unavailable"), rest


# -- who may, and how much -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2"),
        ("GET", "/v2/models/cancer"),
        ("GET", "/v2/models/cancer/versions/1"),
        ("GET", "/v2/models/cancer/ready"),
        ("GET", "/v2/models/cancer/versions/1/ready"),
        ("POST", "/v2/models/cancer/infer"),
        ("POST", "/v2/models/cancer/versions/1/infer"),
    ],
)
def test_only_a_caller_with_the_scope_and_the_model_is_answered(ask, rows, method, path):
    body = matrix(rows) if method == "POST" else None
    need, other = ("predict", "models:read") if body else ("models:read", "predict")
    assert ask(method, path, body, caller="").status_code == 401
    assert ask(method, path, body, caller=f"{other} *").status_code == 403
    assert ask(method, path, body, caller=f"{need} *").status_code == 200
    if "models" not in path:
        return
    assert ask(method, path, body, caller=f"{need} cancer").status_code == 200
    assert ask(method, path, body, caller=f"{need} mixed").status_code == 403
    gone = path.replace("cancer", "absent")
    refusals = [ask(method, one, body, caller=f"{need} mixed").json for one in (path, gone)]
    assert {**refusals[0], "id": 0, "error": 0} == {**refusals[1], "id": 0, "error": 0}


def test_rows_are_what_a_limit_counts(ask, rows):
    limit = {"for": "client", "allow": "15 per minute", "unit": "rows"}
    tables = {"rate_limit": {"limits": [limit]}}
    words = {"plugins": (RateLimit,), "tables": tables, "caller": "predict *"}
    body, headers = binary_rows(rows)
    statuses = [
        ask("POST", "/v2/models/cancer/infer", body, headers=headers, **words).status_code
        for _ in range(2)
    ]
    own = ask("POST", "/v1/models/cancer/predict", {"instances": rows.tolist()}, **words)
    assert statuses == [200, 429]
    assert own.status_code == 429  # the same limit: both routes took from it


# -- what is refused -------------------------------------------------------------------------------


def errors(answer):
    return [(one["path"], one["rule"]) for one in answer.json.get("errors", [])]


@pytest.mark.parametrize(
    "change",
    [
        {"value": 1e9},
        {"value": -1e9},
        {"value": None},
    ],
)
def test_rows_that_the_other_route_refuses_are_refused_alike(infer, ask, rows, change):
    table = rows.tolist()
    table[3][7] = change["value"]
    own = ask("POST", "/v1/models/cancer/predict", {"instances": table})
    assert own.status_code == 422
    body = matrix(rows)
    body["inputs"][0]["data"] = list(chain.from_iterable(table))
    answer = infer(body)
    assert (answer.status_code, answer.json["code"]) == (422, own.json["code"])
    assert errors(answer) == errors(own) != []
    filled = [[np.nan if cell is None else cell for cell in row] for row in table]
    packed_body, headers = binary_rows(filled)
    assert errors(infer(packed_body, headers=headers)) == errors(own)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_in_json_is_none_here(infer, rows, word):
    text = json.dumps(matrix(rows)).replace("17.99", word, 1).encode()
    answer = infer(text, content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (400, "not_a_number")


def test_an_infinity_in_binary_is_no_number_either(infer, rows):
    table = rows.copy()
    table[2, 2] = np.inf
    body, headers = binary_rows(table)
    answer = infer(body, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (400, "not_a_number")


def test_an_unknown_category_and_a_text_for_a_number(infer):
    tensors = [
        {"name": "age", "shape": [1], "datatype": "INT64", "data": [20]},
        {"name": "income", "shape": [1], "datatype": "FP64", "data": [1.5]},
        {"name": "member", "shape": [1], "datatype": "BOOL", "data": [True]},
        {"name": "home", "shape": [1], "datatype": "BYTES", "data": ["castle"]},
    ]
    assert errors(infer({"inputs": tensors}, "mixed")) == [("/instances/0/3", "category")]
    tensors[0] = {"name": "age", "shape": [1], "datatype": "BYTES", "data": ["20"]}
    assert errors(infer({"inputs": tensors}, "mixed")) == [("/inputs/0/datatype", "datatype")]


def test_too_many_rows_have_the_code_of_the_other_route(infer, rows):
    many = np.repeat(rows, 3, axis=0)
    tables = {"input_rules": {"max_rows": 29}}
    body, headers = binary_rows(many)
    answer = infer(body, headers=headers, tables=tables)
    assert (answer.status_code, answer.json["code"]) == (422, "too_many_rows")


@pytest.mark.parametrize(
    "said",
    ["0", "-1", "+1", "1e2", "0x10", "x", "", " ", "1.0", "9" * 13, "9" * 5000, "1,1", "\xb2"],
)
def test_a_length_that_is_no_number_of_bytes_is_refused(infer, rows, said):
    body, _ = binary_rows(rows)
    answer = infer(body, headers={LENGTH: said})
    assert (answer.status_code, answer.json["code"]) == (400, "malformed_request"), said


def test_a_length_that_lies_is_refused(infer, rows):
    body, headers = binary_rows(rows)
    length = int(headers[LENGTH])
    codes = {}
    for lie in (1, length - 1, length + 1, length + 8, len(body), len(body) + 1, 10**9):
        answer = infer(body, headers={LENGTH: str(lie)})
        codes[lie] = answer.status_code
        assert answer.status_code in (400, 422), lie
    assert infer(body, headers=headers).status_code == 200
    assert codes[len(body) + 1] == 400
    assert infer(body).json["code"] == "malformed_json"  # without it, all would be JSON


def test_bytes_too_few_or_too_many_behind_the_json_are_refused(infer, rows):
    body, headers = binary_rows(rows)
    for wrong in (body[:-1], body[:-8], body + b"\0", body + b"\0" * 8):
        assert errors(infer(wrong, headers=headers)) == [("/inputs", "binary_data_size")]


@pytest.mark.parametrize(
    ("head", "path", "rule"),
    [
        ({"shape": [10**9, 30]}, "/inputs/0/data", "element_count"),
        ({"shape": [10**9, 10**9]}, "/inputs/0/data", "element_count"),
        ({"shape": [10**10, 10**10]}, "/inputs/0/shape", "shape"),
        ({"shape": [-10, -30]}, "/inputs/0/shape", "shape"),
        ({"shape": [-1, 30]}, "/inputs/0/shape", "shape"),
        ({"shape": [30, 10]}, "/inputs/0/shape", "feature_count"),
        ({"shape": [300]}, "/inputs/0/shape", "feature_count"),
        ({"shape": [10, 30, 1]}, "/inputs/0/shape", "shape"),
        ({"shape": [1] * 1000}, "/inputs/0/shape", "shape"),
        ({"datatype": "INT32"}, "/inputs/0/data", "element_count"),
        ({"datatype": "BYTES"}, "/inputs/0/data", "element_count"),
        ({"datatype": "FP16"}, "/inputs/0/datatype", "datatype"),
        ({"parameters": {"binary_data_size": 10**15}}, "/inputs", "binary_data_size"),
    ],
)
def test_a_tensor_that_lies_is_refused_before_anything_is_made_of_it(infer, rows, head, path, rule):
    data = rows.astype("<f8").tobytes()
    tensor = {
        "name": "x", "shape": [10, 30], "datatype": "FP64",
        "parameters": {"binary_data_size": len(data)}, **head,
    }  # fmt: skip
    body, headers = packed({"inputs": [tensor]}, data)
    answer = infer(body, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")
    found_path, found_rule = errors(answer)[0]
    assert (found_path.startswith(path), found_rule) == (True, rule), errors(answer)


def test_nesting_names_and_texts_are_bounded_as_everywhere(infer):
    def one(**words):
        return {"name": "x", "shape": [1], "datatype": "FP64", **words}

    deep: object = 1
    for _ in range(50):
        deep = [deep]
    assert infer({"inputs": [one(data=deep)]}).json["code"] == "json_too_deep"
    many = {str(n): 1 for n in range(1001)}
    assert infer({"inputs": [one(data=[1], parameters=many)]}).json["code"] == "json_too_large"
    assert infer({"inputs": [one(name="n" * 5000, data=[1])]}).json["code"] == "json_too_large"
    twice = b'{"inputs": [], "inputs": []}'
    assert infer(twice, content_type="application/json").json["code"] == "duplicate_key"
    head = {"inputs": [one(parameters={"binary_data_size": 5000}, datatype="BYTES")]}
    text = (4996).to_bytes(4, "little") + b"x" * 4996
    body, headers = packed(head, text)
    assert infer(body, headers=headers).json["code"] == "json_too_large"


def test_a_body_above_the_limit_is_not_read(infer):
    answer = infer(b"0" * (1024 * 1024 + 1), headers={LENGTH: "1"})
    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")


def test_an_envelope_of_the_other_route_is_refused(infer, rows):
    answer = infer({"instances": rows.tolist()})
    assert set(errors(answer)) == {("/inputs", "required"), ("", "unknown_key")}


# -- what comes back -------------------------------------------------------------------------------


def test_a_refusal_has_its_code_and_what_stock_clients_show(infer):
    answer = infer({"inputs": []})
    assert answer.content_type == "application/problem+json"
    body = answer.json
    assert body["code"] == "invalid_input"
    assert body["error"].startswith(
        "The input breaks a rule of this endpoint (invalid_input); /inputs"
    )
    assert body["id"] in body["error"]
    stranger = infer({"inputs": []}, caller="")
    assert (stranger.status_code, stranger.json["code"]) == (401, "unauthorized")
    assert "(unauthorized)" in stranger.json["error"]


def test_shape_decides_how_much_of_an_answer_is_seen(infer, rows):
    words = {"plugins": (OutputRules,)}
    labels = {"output_rules": {"otherwise": "labels"}}
    answer = infer(matrix(rows), tables=labels, **words)
    assert [one["name"] for one in answer.json["outputs"]] == ["predictions"]
    body, headers = binary_rows(rows, outputs=[{"name": "probabilities"}])
    assert infer(body, headers=headers, tables=labels, **words).json["outputs"] == []
    top = {
        "output_rules": {
            "grants": [{"client": "c", "answer": "probabilities", "top": 1, "decimals": 2}]
        }
    }
    data = output(infer(matrix(rows), tables=top, **words), "probabilities")["data"]
    assert sum(one is None for one in data) == 10
    assert all(one is None or round(one, 2) == one for one in data)
    body, headers = binary_rows(rows, parameters={"binary_data_output": True})
    _, found = unpacked(infer(body, headers=headers, tables=top, **words))
    values = np.frombuffer(found["probabilities"])
    assert [None if value != value else value for value in values.tolist()] == data


def test_a_value_that_was_clipped_is_told(infer, rows):
    table = rows.copy()
    table[3, 7] = 1e9
    answer = infer(matrix(table), tables={"input_rules": {"ranges": "clip"}})
    found = answer.json["parameters"]
    assert found["warning_count"] == 1
    assert json.loads(found["warnings"]) == [
        {"path": "/instances/3/7", "rule": "above_maximum", "action": "clipped"}
    ]


def test_each_plugin_sees_the_request_of_the_other_route(ask, rows):
    """So nothing that one of them holds against a prediction is weaker here."""
    seen = []

    class Looker(Plugin):
        """Keeps what there is to see in VALIDATE, SHAPE and RECORD."""

        name = "looker"

        def validate(self, exchange):
            """See the rows."""
            policy = exchange.policy
            table = exchange.read_rows()
            seen.append((exchange.payload, table.tobytes(), exchange.row_count, exchange.model))
            seen.append((policy.scope, policy.cost, policy.public, policy.health))

        def shape(self, exchange, result):
            """See the answer."""
            seen.append((result, exchange.model_name))
            return result

        def record(self, exchange):
            """See how it ended."""
            seen.append((exchange.status, exchange.row_count, exchange.result, exchange.problem))

    body, headers = binary_rows(rows)
    words = {"plugins": (Looker,)}
    ask("POST", "/v1/models/cancer/predict", {"instances": rows.tolist()}, **words)
    own, seen[:] = list(seen), []
    for path, more in (
        ("/v2/models/cancer/infer", {"body": body, "headers": headers}),
        ("/v2/models/cancer/versions/1/infer", {"body": matrix(rows)}),
    ):
        ask("POST", path, **more, **words)
        assert seen == own
        seen[:] = []


def test_the_description_of_the_api_has_each_route_for_each_model(ask):
    found = ask("GET", "/openapi.json", plugins=(ApiDocs,)).json["paths"]
    infer = found["/v2/models/cancer/infer"]["post"]
    assert infer["operationId"] == "open_inference_infer_cancer"
    shape = infer["requestBody"]["content"]["application/json"]["schema"]
    assert set(shape["properties"]) == {"id", "parameters", "inputs", "outputs"}
    assert "outputs" in str(infer["responses"]["200"]["content"]["application/json"]["schema"])
    assert set(found) >= {"/v2", "/v2/health/live", "/v2/models/mixed/versions/{version}/infer"}
    few = ask("GET", "/openapi.json", plugins=(ApiDocs,), caller="models:read cancer").json["paths"]
    assert not any("mixed" in path or "infer" in path for path in few)


def test_rows_and_inputs_are_on_record_as_those_of_the_other_route(ask, rows):
    records = []

    class Keeper(Plugin):
        """Keeps what the audit log would write."""

        name = "keeper"

        def record(self, exchange):
            """Make the record with a digest of the inputs."""
            records.append(of_exchange(exchange, b"key"))

    body, headers = binary_rows(rows)
    words = {"plugins": (Keeper,)}
    ask("POST", "/v2/models/cancer/infer", body, headers=headers, **words)
    ask("POST", "/v1/models/cancer/predict", {"instances": rows.tolist()}, **words)
    ours, own = records
    assert ours.pop("route") == "/v2/models/<model>/infer"
    assert own.pop("route") == "/v1/models/<model>/predict"
    assert {**ours, "id": 0} == {**own, "id": 0}
    assert ours["rows"] == 10


def test_an_answer_that_shape_breaks_is_not_sent(infer, rows):
    class Inventive(Plugin):
        """Returns probabilities that were never there."""

        name = "inventive"

        def shape(self, exchange, result):
            """Make the answer longer."""
            return Result([*result.predictions, 1], result.probabilities, result.classes)

    assert infer(matrix(rows), plugins=(Inventive,)).status_code == 500
