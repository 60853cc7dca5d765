"""What the settings say holds through real Nginx too: times, sizes, origins, health by address.

Each of these was refused by Nginx before the application was asked, whatever the settings said.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from live_serving import Instance, Served, UnixConnection, ask, command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.live

APP, OTHER = "https://app.example.org", "https://other.example.org"
PREDICT = "/v1/models/slow/predict"
MEBIBYTE = 1024 * 1024
PAUSE = 0.02  # seconds the model takes for each row
MODULE = f"""
import time

def pause(X):
    time.sleep({PAUSE} * len(X))
    return X
"""


def slow_instance(folder: Path) -> Instance:
    """An instance whose model waits for each row, in a step of a module of ours."""
    import joblib
    import numpy as np
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    (folder / "extra").mkdir()
    (folder / "extra/slow_step.py").write_text(MODULE)
    sys.path.insert(0, str(folder / "extra"))
    try:
        from slow_step import pause  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(folder / "extra"))
    rows = np.arange(24.0).reshape(12, 2)
    model = make_pipeline(FunctionTransformer(pause, validate=True), LinearRegression())
    joblib.dump(model.fit(rows, rows[:, 0]), folder / "slow.joblib")
    table = "\n".join(["a,b,y", *(f"{a},{b},{a}" for a, b in rows)])
    (folder / "slow.csv").write_text(table + "\n")
    made = Instance(folder / "instance")
    assert command(made.folder, "init", "--host", "ml_api").returncode == 0
    settings = made.folder / "secureml.toml"
    text = settings.read_text().replace(
        "[plugins.transport]\n", f'[plugins.transport]\nallow_origins = ["{APP}"]\n'
    )
    text = text.replace('"api_keys", ', '"api_keys", "jwt", ')
    more = """
[server]
timeout = 5
[payload]
body = "2MiB"
[models]
allow = ["slow_step.pause"]
[plugins.jwt]
issuer = "https://ml.example.org"
audience = "ml"
"""
    settings.write_text(text + more)
    sealed = command(
        made.folder, "models", "seal", str(folder / "slow.joblib"), "--name", "slow",
        "--data", str(folder / "slow.csv"), "--target", "y", "--allow", "slow_step.pause",
    )  # fmt: skip
    assert sealed.returncode == 0, sealed.stderr
    return made


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory, tool: Any) -> Iterator[tuple[Served, str]]:
    """Nginx and Gunicorn over a slow model, and a key."""
    tool("nginx", "apt-get install nginx-light")
    folder = tmp_path_factory.mktemp("slow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder / "extra")]))
        made = slow_instance(folder)
        served = Served(made.folder)
        try:
            yield served.ready(), made.key("slow-asker")
        finally:
            served.stop()


def rows(count: int) -> bytes:
    return json.dumps({"instances": [[1.0, 2.0]] * count}).encode()


def test_nginx_waits_as_long_as_the_settings_say_and_no_longer(slow: tuple[Served, str]) -> None:
    """Five seconds more than `timeout`: with 5 it is 10, where it was 35 whatever was said."""
    served, key = slow
    with ThreadPoolExecutor() as both:
        inside = both.submit(served.ask, "POST", PREDICT, key, rows(int(6.5 / PAUSE)))
        beyond = both.submit(served.ask, "POST", PREDICT, key, rows(int(18 / PAUSE)))
    assert inside.result().status == 200
    assert (beyond.result().status, beyond.result().json()["code"]) == (504, "gateway_timeout")


def test_a_body_is_as_large_as_the_settings_say(slow: tuple[Served, str]) -> None:
    served, key = slow
    padded = rows(1) + b" " * (MEBIBYTE + MEBIBYTE // 2)
    assert served.ask("POST", PREDICT, key, padded).status == 200
    refused = served.ask("POST", PREDICT, key, rows(1) + b" " * (2 * MEBIBYTE))
    assert (refused.status, refused.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("host", ["10.0.0.7", "evil.example:8443", "[fd00::7]"])
def test_health_is_told_by_address_through_nginx_and_without(
    slow: tuple[Served, str], host: str
) -> None:
    served, key = slow
    for path, status in (("/healthz", "alive"), ("/readyz", "ready")):
        answer = served.ask("GET", path, Host=host)
        assert (answer.status, answer.json()) == (200, {"status": status})
        with closing(UnixConnection(served.instance)) as connection:
            straight = ask(connection, "GET", path, Host=host, **connection.edge)
        assert (straight.status, straight.json()) == (200, {"status": status})
    refused = served.ask("GET", "/v1/models", key, Host=host)
    assert (refused.status, refused.json()["code"]) == (421, "misdirected_request")


def test_a_name_of_compose_is_answered(slow: tuple[Served, str]) -> None:
    served, key = slow
    assert served.ask("GET", "/v1/models", key, Host="ml_api").status == 200


def test_a_page_of_a_listed_origin_asks_and_reads(slow: tuple[Served, str]) -> None:
    """Its preflight, its answer, and the refusals of the application and of Nginx."""
    served, key = slow
    asked = served.ask(
        "OPTIONS", PREDICT, Origin=APP, Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="content-type,x-api-key",
    )  # fmt: skip
    assert (asked.status, asked.body) == (204, b"")
    assert asked.all("Access-Control-Allow-Methods") == ["POST"]
    assert asked.all("Access-Control-Allow-Headers") == ["Authorization, Content-Type, X-API-Key"]
    for answer, status in (
        (served.ask("POST", PREDICT, key, rows(1), Origin=APP), 200),
        (served.ask("POST", PREDICT, "", rows(1), Origin=APP), 401),
        (served.ask("POST", PREDICT, key, b" " * (3 * MEBIBYTE), Origin=APP), 413),
        (served.ask("TRACE", PREDICT, key, Origin=APP), 405),
    ):
        assert answer.status == status
        assert answer.all("Access-Control-Allow-Origin") == [APP]
        assert "Origin" in answer.all("Vary")
        assert not answer.all("Access-Control-Allow-Credentials")


def test_a_page_of_another_origin_reads_nothing(slow: tuple[Served, str]) -> None:
    served, key = slow
    more = {"Access_Control_Request_Method": "POST"}
    for origin in (OTHER, "null", f"{APP}.evil.example", APP.upper()):
        for answer in (
            served.ask("OPTIONS", PREDICT, Origin=origin, **more),
            served.ask("POST", PREDICT, key, rows(1), Origin=origin),
            served.ask("POST", PREDICT, key, b" " * (3 * MEBIBYTE), Origin=origin),
        ):
            found = [name for name, _ in answer.headers if name.startswith("Access-Control")]
            assert not found


def test_what_nginx_keeps_for_everyone_is_kept_by_origin(slow: tuple[Served, str]) -> None:
    """Else the first page to ask would have decided for ten seconds who may read."""
    served, _ = slow
    asked = [APP, OTHER, "", APP, OTHER, ""]
    for origin in asked:
        more = {"Origin": origin} if origin else {}
        answer = served.ask("GET", "/.well-known/jwks.json", **more)
        assert answer.status == 200
        assert answer.all("Access-Control-Allow-Origin") == [APP] * (origin == APP)
