"""A client that a stock generator makes of the description asks the live server and reads it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from live_serving import Served
from sklearn.datasets import load_breast_cancer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from live_serving import Instance

pytestmark = pytest.mark.live
ROWS = load_breast_cancer().data[:2].tolist()

# What a user of the generated client writes.
PROGRAM = """
import json, sys
from made.client import AuthenticatedClient
from made.api.default import predict_breast_cancer
from made.models import PredictBreastCancerBody, PredictBreastCancerResponse200

address, authority, key, rows = sys.argv[1:]
client = AuthenticatedClient(
    address, token=key, prefix="", auth_header_name="X-API-Key", verify_ssl=authority
)
body = PredictBreastCancerBody(instances=json.loads(rows))
answer = predict_breast_cancer.sync(client=client, body=body)
assert isinstance(answer, PredictBreastCancerResponse200), answer
print(json.dumps({"predictions": [int(one) for one in answer.predictions], "id": answer.id}))
short = PredictBreastCancerBody(instances=[[1.0]])
print(predict_breast_cancer.sync_detailed(client=client, body=short).parsed.to_dict()["code"])
"""


@pytest.fixture(scope="module")
def described(
    prepared: Instance, tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str, str], str]
) -> Iterator[tuple[Served, str]]:
    """A server that describes itself, and a key."""
    tool("nginx", "apt-get install nginx-light")
    own = prepared.copy(tmp_path_factory.mktemp("generated") / "i")
    file = own.folder / "secureml.toml"
    text = file.read_text()
    file.write_text(text.replace('"api_keys",', '"api_keys", "api_docs",', 1))
    key = own.key("generated", scopes=["predict", "models:read"])
    server = Served(own.folder)
    try:
        yield server.ready(), key
    finally:
        server.stop()


def test_a_generated_client_asks_a_model_and_reads_answers_and_refusals(
    described: tuple[Served, str], tool: Callable[[str, str], str], tmp_path: Path
) -> None:
    generator = tool(
        "openapi-python-client",
        "python -m venv .venv/generator && "
        ".venv/generator/bin/pip install -r tests/requirements-generator.txt",
    )
    server, key = described
    description = tmp_path / "openapi.json"
    description.write_text(json.dumps(server.ask("GET", "/openapi.json", key).json()), "utf-8")
    config = tmp_path / "config.yml"
    config.write_text("post_hooks: []\n", "ascii")  # they format what was made
    words = ["generate", "--path", str(description), "--output-path", str(tmp_path / "made")]
    words += ["--meta", "none", "--config", str(config), "--fail-on-warning"]
    made = subprocess.run(
        [generator, *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert made.returncode == 0, made.stdout + made.stderr

    address, authority = f"https://localhost:{server.port}", str(server.instance / "tls/ca.crt")
    python = str(Path(generator).parent / "python")
    done = subprocess.run(
        [python, "-c", PROGRAM, address, authority, key, json.dumps(ROWS)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer, code = done.stdout.splitlines()
    assert json.loads(answer)["predictions"] == [0, 0]
    assert code == "invalid_input"
