"""Every route, method and kind of credential through the real edge, against tables people read.

Every built-in plugin is on, so every route there is has its line; `anonymous`, which would name
all who show nothing, is on in a second server beside the first.
"""

from __future__ import annotations

import csv
import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from live_serving import Instance, Served, ask
from sklearn.datasets import load_breast_cancer

sys.path.insert(0, str(Path(__file__).parents[1]))
from live_credentials import Issuing, every_credential, fixed
from live_every_plugin import PLUGINS, Site, address_of, configure
from live_servers import CHECKOUT
from made_certificates import Authority

from plugins.oauth2_server import opaque_tokens
from plugins.oauth2_server.clients import CODE, MACHINE
from secureml.pipeline import loader

if TYPE_CHECKING:
    from live_servers import Answer

pytestmark = pytest.mark.live

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
HERE = Path(__file__).parent
COLUMNS = ("none", "anonymous", "refused", "scope", "model", "token", "key", "program")
# The credentials that are tried with every method; all others with those of the route and one more.
WITH_EVERY_METHOD = {("none", "none"), ("anonymous", "none"), ("api_keys", "good")}
FORMS = {
    "/oauth2/token": {"grant_type": MACHINE},
    "/oauth2/introspect": {"token": "x"},
    "/oauth2/revoke": {"token": "x"},
    "/oauth2/device_authorization": {"scope": "predict"},
    "/oauth2/authorize": {"step": "allow"},
    "/oauth2/device": {"step": "look"},
}
BODIES: dict[str, Any] = {
    "/v1/auth/token": {},
    "/v1/auth/refresh": {"refresh_token": "x"},
    "/v1/auth/revoke": {"token": "x"},
}


def lines(name: str) -> list[dict[str, str]]:
    """Return the lines of a table of this folder."""
    text = (HERE / name).read_text("utf-8").splitlines()
    rows = csv.DictReader(
        (line for line in text if not line.startswith("#")), skipinitialspace=True
    )
    return [{key: value.strip() for key, value in row.items()} for row in rows]


def cells() -> dict[tuple[str, str], dict[str, str]]:
    """Return what the table expects: (route, method) to column to status and code."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for row in lines("access_matrix.csv"):
        for method in row["methods"].split():
            place = (row["route"], method)
            assert place not in found, f"the table says {place} twice"
            found[place] = {column: row[column] for column in COLUMNS}
            # Nginx refuses in the handshake's name whatever is asked for.
            found[place]["edge"] = "403 forbidden"
    return found


def columns() -> dict[tuple[str, str], str]:
    """Return the column of each credential."""
    found = {
        (row["plugin"], row["state"]): row["column"] for row in lines("access_credentials.csv")
    }
    assert len(found) == len(lines("access_credentials.csv"))
    return found


@pytest.fixture(scope="module")
def site(tool: Any, prepared: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    tool("nginx", "apt-get install nginx-light")
    folder, authority = tmp_path_factory.mktemp("matrix"), Authority(time.time())
    instance = prepared.copy(folder / "opened")
    configure(instance, authority)
    credentials = every_credential(instance.folder, authority)
    credentials["anonymous", "none"] = fixed()
    with closing(Issuing(instance.folder, time.time())) as issuing:
        program, _ = issuing.program("matrix-good", CODE)
    named = instance.copy(folder / "named")
    settings = named.folder / "secureml.toml"
    settings.write_text(settings.read_text().replace('"anonymous", ', ""))
    with ExitStack() as stack:
        servers = [Served(each.folder) for each in (named, instance)]
        for server in servers:
            stack.callback(server.stop)
        routes = instance.run("routes")
        methods: dict[str, set[str]] = {}
        for row in routes:
            methods.setdefault(row["path"], set()).update(row["methods"])
        public = {row["path"] for row in routes if row["public"]}
        first, second = (server.ready() for server in servers)
        yield Site(instance, first, second, credentials, address_of(program), methods, public)


def said(answer: Answer, method: str) -> str:
    """Return an answer as the table writes it; HEAD has no body, so its code is not seen."""
    if answer.status < 400 or method == "HEAD":
        return str(answer.status)
    (media_type,) = answer.all("Content-Type")
    if media_type == "application/problem+json":
        return f"{answer.status} {json.loads(answer.body)['code']}"
    if media_type == "application/json":
        return f"{answer.status} {json.loads(answer.body)['error']}"
    assert media_type.startswith("text/html")
    return f"{answer.status} page"


def asked(site: Site, credential: tuple[str, str]) -> list[tuple[str, str, Answer]]:
    """Return what a credential got: route, method and answer of each request."""
    shown, found = site.credentials[credential], []
    row = load_breast_cancer().data[0].tolist()
    predict = {"instances": [row]}
    infer = {"inputs": [{"name": "x", "shape": [1, 30], "datatype": "FP64", "data": row}]}
    with closing(site.connect(credential)) as connection:
        for route, method in cells():
            tried = {*site.routes.get(route, set()), "DELETE"}
            if method not in tried and credential not in WITH_EVERY_METHOD:
                continue
            path = site.path(route)
            headers = shown.headers(method, path)
            body: Any = BODIES.get(route, infer if route.endswith("/infer") else predict)
            if route in FORMS:
                body = urlencode(FORMS[route]).encode()
                headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
            found.append((route, method, ask(connection, method, path, "", body, **headers)))
    return found


@pytest.fixture(scope="module")
def answers(site: Site) -> dict[tuple[str, str], list[tuple[str, str, Answer]]]:
    """What every credential got everywhere."""
    return {credential: asked(site, credential) for credential in site.credentials}


def test_every_cell_of_the_table_is_true(
    answers: dict[tuple[str, str], list[tuple[str, str, Answer]]],
) -> None:
    wrong, expected, column = [], cells(), columns()
    for credential, found in answers.items():
        for route, method, answer in found:
            wanted = expected[route, method][column[credential]]
            wanted = wanted.split()[0] if method == "HEAD" else wanted
            if (got := said(answer, method)) != wanted:
                what = f"{method} {route} with {' '.join(credential)} ({column[credential]})"
                wrong.append(f"{what}: {got}, the table says {wanted}")
    assert not wrong, "\n".join(wrong)


def test_a_refusal_tells_the_way_on(
    answers: dict[tuple[str, str], list[tuple[str, str, Answer]]],
) -> None:
    """401 how to prove oneself (RFC 9110, 15.5.2), 405 what would be allowed."""
    seen = set()
    for found in answers.values():
        for route, method, answer in found:
            seen.add(answer.status)
            if answer.status == 401:
                assert answer.all("WWW-Authenticate"), (method, route)
            if answer.status == 405:
                assert answer.all("Allow")[0].split(", ")[0] in ("GET", "POST"), (method, route)
    assert {200, 401, 403, 405} <= seen


def test_no_route_of_any_built_in_plugin_lacks_its_line(site: Site) -> None:
    folders = {path.parent.name for path in (CHECKOUT / "plugins").glob("*/plugin.py")}
    assert set(PLUGINS) == folders
    table = cells()
    assert set(site.routes) <= {route for route, _ in table}
    for route in {route for route, _ in table}:
        assert {method for place, method in table if place == route} == set(METHODS), route
    for route, methods in site.routes.items():
        for method in METHODS:
            known = method in methods or (method == "HEAD" and "GET" in methods)
            refused = table[route, method]["key"].startswith("405 ")
            assert refused is not known, (route, method)


def test_no_kind_of_credential_lacks_its_lines(site: Site) -> None:
    """Who names callers, in every state; and no secret text that was forgotten as a token."""
    named = set(columns())
    assert named == set(site.credentials)
    assert set(columns().values()) == {*COLUMNS, "edge"}
    identify = [cls for cls in loader.find(PLUGINS) if hasattr(cls, "identify")]
    assert {plugin for plugin, _ in named} == {cls.name for cls in identify} | {"none"}
    for cls in identify:
        name = cls.name
        states = {state for plugin, state in named if plugin == name}
        if name == "anonymous":
            continue
        assert {"bad", "expired", "disabled", "scope", "model", "good"} <= states, name
        if cls.proof_headers:
            assert {"proven", "unproven"} <= states, name
    prefixes = {
        text for name, text in vars(opaque_tokens).items()
        if name.isupper() and isinstance(text, str) and re.fullmatch(r"s..?_", text)
    }  # fmt: skip
    presented = " ".join(
        shown.headers("GET", "/").get("Authorization", "") for shown in site.credentials.values()
    )
    assert len(prefixes) == 4
    assert all(f"Bearer {prefix}" in presented or prefix == "srt_" for prefix in prefixes)


def test_a_route_the_table_opens_to_strangers_is_one_that_says_public(site: Site) -> None:
    opened = {
        route for (route, method), row in cells().items()
        if row["none"] not in ("401 unauthorized", "405 method_not_allowed") and method != "HEAD"
    }  # fmt: skip
    assert opened | {"/v1/auth/refresh"} == site.public


def test_a_caller_without_the_model_does_not_see_that_it_exists(site: Site) -> None:
    key = site.credentials["api_keys", "model"].headers("", "")["X-API-Key"]
    asked: list[Any] = []
    for model in ("breast-cancer", "no-such-model"):
        answer = site.named.ask("POST", f"/v1/models/{model}/predict", key, {"instances": []})
        body = answer.json()
        body.pop("id")
        asked.append((answer.status, body))
    assert asked[0] == asked[1]
    assert site.named.ask("GET", "/v1/models", key).json() == {"models": []}
