"""The API is what its own description says: schemathesis, all checks on, through Nginx."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from live_servers import HERE
from live_serving import Served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from live_serving import Instance

pytestmark = pytest.mark.live
EXAMPLES = 15

# No margin: what the description allows is accepted then, and what it does not is refused.
SETTINGS = """
[plugins.input_rules]
range_margin = 0.0
[plugins.jwt]
issuer = "https://localhost"
audience = "ml"
"""


@pytest.fixture(scope="module")
def described(
    prepared: Instance, tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str, str], str]
) -> Iterator[tuple[Served, str]]:
    """A server with every plugin that has routes, and a key that may use all of them."""
    tool("nginx", "apt-get install nginx-light")
    own = prepared.copy(tmp_path_factory.mktemp("contract") / "i")
    file = own.folder / "secureml.toml"
    text = file.read_text().replace('"api_keys",', '"api_keys", "jwt", "api_docs",')
    assert "api_docs" in text
    file.write_text(text + SETTINGS)
    key = own.key("tester", scopes=["predict", "models:read", "token"])
    server = Served(own.folder)
    try:
        yield server.ready(), key
    finally:
        server.stop()


def examine(
    st: str, server: Served, key: str, where: str, *flags: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    words = [st, "--config-file", str(HERE / "schemathesis.toml"), "run", where]
    words += ["--tls-verify", str(server.instance / "tls/ca.crt"), "-H", f"X-API-Key: {key}"]
    words += ["--checks", "all", "-n", str(EXAMPLES), "-w", "2", "--seed", "1", *flags]
    return subprocess.run(
        words, capture_output=True, text=True, timeout=300, check=False, cwd=folder
    )


@pytest.fixture(scope="module")
def st(tool: Callable[[str, str], str]) -> str:
    return tool(
        "st",
        "python -m venv .venv/contract && "
        ".venv/contract/bin/pip install -r tests/requirements-contract.txt",
    )


def test_every_route_does_what_the_live_description_says(
    described: tuple[Served, str], st: str, tmp_path: Path
) -> None:
    server, key = described
    address = f"https://localhost:{server.port}"
    workers = server.workers()
    done = examine(st, server, key, f"{address}/openapi.json", folder=tmp_path)
    assert done.returncode == 0, done.stdout
    generated, passed = map(int, re.findall(r"(\d+) generated, (\d+) passed", done.stdout)[0])
    assert generated == passed > 500
    assert server.workers() == workers


def test_a_description_that_lies_is_found_out(
    described: tuple[Served, str], st: str, tmp_path: Path
) -> None:
    server, key = described
    body: Any = server.ask("GET", "/openapi.json", key).json()
    answer = body["paths"]["/healthz"]["get"]["responses"]["200"]["content"]["application/json"]
    answer["schema"]["properties"]["status"] = {"type": "integer"}
    body["paths"]["/v1/models"]["get"]["security"] = [{"X-API-Key": []}]
    body["paths"]["/readyz"]["get"]["security"] = [{"X-API-Key": []}]  # it asks for none
    (tmp_path / "lie.json").write_text(json.dumps(body))
    flags = ["--url", f"https://localhost:{server.port}", "--continue-on-failure"]
    flags += ["--include-path-regex", "^/(healthz|readyz)$", "--output-sanitize", "false"]
    done = examine(st, server, key, "lie.json", *flags, folder=tmp_path)
    assert done.returncode == 1
    assert "GET /healthz" in done.stdout
    assert "GET /readyz" in done.stdout
