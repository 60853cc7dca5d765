"""Every route, method and credential state through the real edge, against a table people read."""

from __future__ import annotations

import csv
import json
import secrets
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from live_serving import ask
from sklearn.datasets import load_breast_cancer

from plugins.api_keys.key import new_key

if TYPE_CHECKING:
    from live_servers import Answer
    from live_serving import Instance, Served

pytestmark = pytest.mark.live

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
TABLE = Path(__file__).with_name("access_matrix.csv")
STATES = ("none", "bad", "expired", "revoked", "disabled", "scope", "model", "good")


def cells() -> dict[tuple[str, str], dict[str, str]]:
    """Return what the table expects: (route, method) to state to status and code."""
    lines = [line for line in TABLE.read_text("utf-8").splitlines() if not line.startswith("#")]
    found: dict[tuple[str, str], dict[str, str]] = {}
    for line in csv.DictReader(lines, skipinitialspace=True):
        row = {name: text.strip() for name, text in line.items()}
        for method in row["methods"].split():
            place = (row["route"], method)
            assert place not in found, f"the table says {place} twice"
            found[place] = {state: row[state] for state in STATES}
    return found


@pytest.fixture(scope="module")
def keys(instance: Instance) -> dict[str, str]:
    """A key in each state, made as an operator makes it where time does not have to pass."""
    made = {
        "none": "",
        "bad": new_key(secrets.token_bytes).text,
        "expired": instance.key("matrix-expired", lifetime=0),
        "revoked": instance.key("matrix-revoked"),
        "disabled": instance.key("matrix-disabled"),
        "scope": instance.key("matrix-scope", scopes=["something:else"]),
        "model": instance.key("matrix-model", models=["another"]),
        "good": instance.key("matrix-good", scopes=["predict", "models:read", "metrics"]),
    }
    instance.run("api-keys", "revoke", made["revoked"].split("_")[1])
    instance.run("clients", "disable", "matrix-disabled")
    return made


def said(answer: Answer, method: str) -> str:
    """Return an answer as the table writes it; HEAD has no body, so its code is not seen."""
    if answer.status < 400 or method == "HEAD":
        return str(answer.status)
    assert answer.all("Content-Type") == ["application/problem+json"]
    return f"{answer.status} {json.loads(answer.body)['code']}"


def test_every_cell_of_the_table_is_true(served: Served, keys: dict[str, str]) -> None:
    body = {"instances": [load_breast_cancer().data[0].tolist()]}
    wrong = []
    with closing(served.connect()) as connection:
        for (route, method), expected in cells().items():
            path = route.replace("<model>", "breast-cancer")
            for state in STATES:
                answer = ask(connection, method, path, keys[state], body)
                wanted = expected[state].split()[0] if method == "HEAD" else expected[state]
                if (got := said(answer, method)) != wanted:
                    wrong.append(f"{method} {route} with {state}: {got}, the table says {wanted}")
                check_headers(answer)
    assert wrong == []


def check_headers(answer: Answer) -> None:
    """A refusal tells the way on: 401 how to prove oneself, 405 what would be allowed."""
    if answer.status == 401:
        assert answer.all("WWW-Authenticate") == ['ApiKey realm="secureml", header="X-API-Key"']
    if answer.status == 405:
        assert answer.all("Allow")[0].split(", ")[0] in ("GET", "POST")


def test_no_route_of_the_app_lacks_its_line(instance: Instance) -> None:
    routes = {row["path"]: row["methods"] for row in instance.run("routes")}
    table = cells()
    assert set(routes) <= {route for route, _ in table}
    for route in {route for route, _ in table}:
        assert {method for place, method in table if place == route} == set(METHODS), route
    for route, methods in routes.items():
        for method in methods:
            assert table[route, method]["good"] == "200", (route, method)


def test_a_route_the_table_opens_to_strangers_is_one_that_says_public(instance: Instance) -> None:
    public = {row["path"] for row in instance.run("routes") if row["public"]}
    opened = {route for (route, _), row in cells().items() if row["none"] == "200"}
    assert opened == public


def test_a_caller_without_the_model_does_not_see_that_it_exists(
    served: Served, keys: dict[str, str]
) -> None:
    asked: list[Any] = []
    for model in ("breast-cancer", "no-such-model"):
        answer = served.ask("POST", f"/v1/models/{model}/predict", keys["model"], {"instances": []})
        body = answer.json()
        body.pop("id")
        asked.append((answer.status, body))
    assert asked[0] == asked[1]
    assert served.ask("GET", "/v1/models", keys["model"]).json() == {"models": []}
