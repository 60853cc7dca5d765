"""Stock clients of the Open Inference Protocol against the real server, through Nginx."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pytest
from live_serving import Served, UnixConnection, alone, ask
from sklearn.datasets import load_breast_cancer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from live_serving import Instance

pd = pytest.importorskip("pandas")
pytestmark = pytest.mark.live

INSTALL = (
    "python -m venv .venv/inference && .venv/inference/bin/pip install --require-hashes "
    "-r tests/requirements-inference.txt"
)
INFER = "/v2/models/breast-cancer/infer"
SETTINGS = """
[[plugins.rate_limit.limits]]
for = "client:counted"
allow = "25 per hour"
unit = "rows"
"""
FRAME = pd.DataFrame(
    {
        "age": [20, 30, 40, 50] * 10,
        "income": [1.5, 2.25, 3.0, 0.1] * 10,
        "member": [True, False, True, True] * 10,
        "home": ["rent", "own", "rent", "öwn"] * 10,
    }
)


@pytest.fixture(scope="module")
def clients(tool: Callable[[str, str], str]) -> str:
    """The Python that has the clients."""
    return str(Path(tool("mlserver", INSTALL)).with_name("python"))


@pytest.fixture(scope="module")
def mixed() -> Any:
    """A model of numbers, truth values and texts."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    columns = make_column_transformer((OneHotEncoder(), ["home"]), remainder="passthrough")
    answers = np.array(["no", "yes", "yes", "no"] * 10)
    return make_pipeline(columns, LogisticRegression(max_iter=5000)).fit(FRAME, answers), answers


@pytest.fixture(scope="module")
def site(
    prepared: Instance,
    mixed: Any,
    tmp_path_factory: pytest.TempPathFactory,
    tool: Callable[[str, str], str],
) -> Iterator[tuple[Served, dict[str, Any]]]:
    """A server with the routes and two models, and what the clients are to be given."""
    tool("nginx", "apt-get install nginx-light")
    folder = tmp_path_factory.mktemp("inference")
    own = prepared.copy(folder / "i")
    model, answers = mixed
    joblib.dump(model, folder / "mixed.joblib")
    FRAME.assign(answer=answers).to_csv(folder / "mixed.csv", index=False)
    own.run(
        "models", "seal", str(folder / "mixed.joblib"), "--name", "mixed",
        "--data", str(folder / "mixed.csv"), "--target", "answer",
    )  # fmt: skip
    settings = own.folder / "secureml.toml"
    text = settings.read_text().replace('"errors",', '"errors", "open_inference",')
    assert "open_inference" in text
    settings.write_text(text + SETTINGS)
    said = {
        "authority": str(own.folder / "tls/ca.crt"),
        "key": own.key("tensors"),
        "counted": own.key("counted"),
        "rows": load_breast_cancer().data[:10].tolist(),
        "frame": FRAME[:4].to_dict(orient="list"),
    }
    server = Served(own.folder)
    try:
        yield server.ready(), {**said, "address": f"localhost:{server.port}"}
    finally:
        server.stop()


def run(python: str, which: str, said: dict[str, Any]) -> Any:
    """Return what a client made of the server."""
    script = Path(__file__).with_name("inference_clients.py")
    done = subprocess.run(
        [python, str(script), which], input=json.dumps(said), capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def estimator(demo_files: tuple[Path, Path]) -> Any:
    return joblib.load(demo_files[0])


@pytest.fixture(scope="module")
def found(site: tuple[Served, dict[str, Any]], clients: str) -> Any:
    """What Triton's client made of the server."""
    return run(clients, "triton", site[1])


@pytest.mark.parametrize("way", ["binary", "json", "columns", "columns_json"])
def test_tritons_client_gets_the_estimators_answers_to_the_bit(
    found: Any, estimator: Any, site: tuple[Served, dict[str, Any]], way: str
) -> None:
    rows = np.array(site[1]["rows"])
    assert found[way]["predictions"] == estimator.predict(rows).astype("<i8").tobytes().hex()
    assert found[way]["probabilities"] == estimator.predict_proba(rows).tobytes().hex()
    assert (found[way]["model_name"], found[way]["model_version"]) == ("breast-cancer", "1")


def test_single_precision_is_answered_as_the_doubles_that_it_equals(
    found: Any, estimator: Any, site: tuple[Served, dict[str, Any]]
) -> None:
    near = np.array(site[1]["rows"]).astype(np.float32).astype(np.float64)
    assert found["single"]["probabilities"] == estimator.predict_proba(near).tobytes().hex()


def test_tritons_client_finds_what_it_asks_a_server_first(found: Any) -> None:
    assert (found["live"], found["ready"], found["model_ready"], found["other_ready"]) == (
        True, True, True, False,
    )  # fmt: skip
    assert found["server"]["extensions"] == ["binary_tensor_data"]
    assert {one["datatype"] for one in found["model"]["inputs"]} == {"FP64"}
    assert found["binary"]["id"] == "mine"
    assert found["selected"]["probabilities"] is None


def test_tritons_client_shows_the_code_of_each_refusal(found: Any) -> None:
    for what, status, code in (
        ("no_key", "401", "unauthorized"),
        ("no_version", "404", "not_found"),
        ("sequence", "422", "invalid_input"),
        ("beyond", "422", "invalid_input"),
    ):
        assert found[what][0] == status, found[what]
        assert f"({code})" in found[what][1]
    assert "/instances/0/0 above_maximum" in found["beyond"][1]


def test_rows_are_counted_and_not_requests(found: Any) -> None:
    answered, again, refused = found["counted"]
    assert answered == again == []
    assert refused[0] == "429"
    assert "(rate_limited)" in refused[1]


def test_the_log_has_each_inference_with_its_rows(
    found: Any, site: tuple[Served, dict[str, Any]]
) -> None:
    log = (site[0].instance / "logs/access.log").read_text().splitlines()
    lines = [json.loads(line) for line in log]
    asked = [line for line in lines if line["route"] == "/v2/models/<model>/infer"]
    rows = {line["rows"] for line in asked if line["status"] == 200}
    assert 10 in rows
    assert rows <= {4, 5, 10}  # others of these tests ask about four, or in batches of five
    assert {line["client"] for line in asked} >= {"tensors", "counted"}


def test_mlservers_codecs_and_types_read_and_are_read(
    site: tuple[Served, dict[str, Any]], clients: str, mixed: Any, estimator: Any
) -> None:
    made, model = run(clients, "mlserver", site[1]), mixed[0]
    assert made["predictions"] == made["frame"] == model.predict(FRAME[:4]).tolist()
    assert made["probabilities"] == model.predict_proba(FRAME[:4]).ravel().tolist()
    rows = np.array(site[1]["rows"])
    assert made["numbers"] == estimator.predict_proba(rows).ravel().tolist()
    assert made["inputs"] == {"age": "FP64", "income": "FP64", "member": "BOOL", "home": "BYTES"}
    assert made["extensions"] == ["binary_tensor_data"]


@pytest.mark.parametrize("flags", [(), ("--binary-data",)], ids=["json", "binary"])
def test_mlservers_command_asks_a_file_of_requests(
    site: tuple[Served, dict[str, Any]],
    clients: str,
    estimator: Any,
    tmp_path: Path,
    flags: tuple[str, ...],
) -> None:
    said = site[1]
    rows = np.array(said["rows"])
    lines = [
        {
            "id": f"row-{number}",
            "inputs": [
                {"name": "x", "shape": [1, 30], "datatype": "FP64", "data": row.tolist()}
            ],
        }
        for number, row in enumerate(rows)
    ]  # fmt: skip
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    command = [
        str(Path(clients).with_name("mlserver")), "infer", "-u", said["address"], "--use-ssl",
        "-m", "breast-cancer", "-i", str(tmp_path / "in.jsonl"),
        "-o", str(tmp_path / "out.jsonl"), "-H", f"X-API-Key: {said['key']}", "-s", "5",
    ]  # fmt: skip
    environment = {**os.environ, "SSL_CERT_FILE": said["authority"]}
    done = subprocess.run(
        [*command, *flags], capture_output=True, text=True, timeout=120, check=False,
        env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    by_id = {one["id"]: {each["name"]: each["data"] for each in one["outputs"]} for one in answers}
    assert set(by_id) == {line["id"] for line in lines}
    found = np.array([by_id[f"row-{number}"]["probabilities"] for number in range(10)])
    # It asks about five at a time, and of other batches a product of matrices ends in other bits.
    wanted = np.concatenate([estimator.predict_proba(rows[:5]), estimator.predict_proba(rows[5:])])
    assert found.reshape(10, 2).tolist() == wanted.tolist()


def test_each_worker_answers(site: tuple[Served, dict[str, Any]], estimator: Any) -> None:
    server, said = site
    rows = np.array(said["rows"])
    tensor = {"name": "x", "shape": [10, 30], "datatype": "FP64", "data": rows.tolist()}
    body, workers = {"inputs": [tensor]}, server.workers()
    assert len(workers) == 2, server.output
    for worker in workers:
        with alone(worker, workers), closing(UnixConnection(server.instance)) as connection:
            answer = ask(connection, "POST", INFER, said["key"], body, **connection.edge)
        assert answer.status == 200
        data = {one["name"]: one["data"] for one in answer.json()["outputs"]}
        assert data["probabilities"] == estimator.predict_proba(rows).ravel().tolist()


def test_lengths_that_lie_end_no_connection_and_no_worker(
    site: tuple[Served, dict[str, Any]],
) -> None:
    server, said = site
    workers = server.workers()
    data = np.array(said["rows"]).tobytes()
    shapes: list[Any] = [[10**9, 30], [-10, 30], [10, 30], [10**9, 10**9], [10**30], [], None]
    connection = server.connect()
    for shape in shapes:
        head = json.dumps(
            {
                "inputs": [
                    {
                        "name": "x", "shape": shape, "datatype": "FP64",
                        "parameters": {"binary_data_size": len(data)},
                    }
                ]
            }
        ).encode()  # fmt: skip
        for length in (0, 1, len(head) - 1, len(head) + 1, len(head + data), 10**9, -1, "x"):
            words = {"Inference-Header-Content-Length": str(length)}
            answer = ask(connection, "POST", INFER, said["key"], head + data, **words)
            assert answer.status in (400, 422), (shape, length)
        words = {"Inference-Header-Content-Length": str(len(head))}
        answer = ask(connection, "POST", INFER, said["key"], head + data, **words)
        assert answer.status == (200 if shape == [10, 30] else 422), shape
    connection.close()
    assert server.workers() == workers
