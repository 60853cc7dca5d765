"""Web pages: those of listed origins may read every answer, all others none."""

from __future__ import annotations

import pytest
from flask import Blueprint
from marshmallow import Schema

from plugins.api_keys.keyring import Keyring
from plugins.api_keys.plugin import ApiKeys
from plugins.rate_limit.plugin import RateLimit
from plugins.scopes.plugin import Scopes
from plugins.security_headers.plugin import SecurityHeaders
from plugins.transport.plugin import Transport
from secureml import ConfigError, Plugin, Problem, public, requires
from secureml.testing import Harness

APP, OTHER = "https://app.example.org", "https://other.example.org"
TABLE = {"trusted": ["unix"], "hosts": ["ml.example.org"], "allow_origins": [APP]}
FORWARDED = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}


def views():
    """Routes of a test's own: one guarded by method, one public with a body, one that fails."""
    made = Blueprint("made", __name__)
    made.get("/thing", endpoint="get")(requires("predict")(lambda: {"thing": 1}))
    made.post("/thing", endpoint="post")(requires("predict", body=Schema)(lambda: {"thing": 2}))
    made.post("/open", endpoint="open")(public(body=Schema)(lambda: {"open": True}))

    @made.get("/broken")
    @public()
    def broken():
        raise ValueError("secret")

    return made


class Page:
    """A page of an origin, in a browser."""

    def __init__(self, client, origin):
        self._client, self._origin = client, origin

    def send(self, method, path, **headers):
        said = {"Origin": self._origin} if self._origin is not None else {}
        said |= FORWARDED | {name.replace("_", "-"): value for name, value in headers.items()}
        return self._client.open(
            path,
            method=method,
            base_url="http://ml.example.org",
            headers=said,
            environ_overrides={"REMOTE_ADDR": ""},
        )

    def preflight(self, path, method="POST", **headers):
        return self.send("OPTIONS", path, Access_Control_Request_Method=method, **headers)


@pytest.fixture
def core(tmp_path):
    """A client with a key, and pages of two origins and none."""
    harness = Harness(tmp_path)
    harness.clients.add("acme")
    return harness


def site(core, *more, **table):
    found = [
        core.load(Transport, TABLE | table),
        core.load(RateLimit, {"limits": [{"for": "address", "allow": "5 per minute"}]}),
        core.load(ApiKeys),
        core.load(Scopes),
        core.load(SecurityHeaders),
        *more,
    ]
    return core.app(found, [views()]).test_client()


def key(core):
    return Keyring(core.store, core.clock).issue("acme", lifetime=None)[0].text


def cors(answer):
    return {name for name, _ in answer.headers if name.startswith("Access-Control-")}


def test_a_preflight_is_answered_before_anybody_is_asked_who_calls(core):
    """With the methods of that very path, the headers that carry credentials, and a time."""
    answer = Page(site(core), APP).preflight("/thing")
    assert (answer.status_code, answer.data) == (204, b"")
    said = answer.headers
    assert said["Access-Control-Allow-Origin"] == APP
    assert said["Access-Control-Allow-Methods"] == "GET, HEAD, POST"
    assert said["Access-Control-Allow-Headers"] == "Content-Type, X-API-Key"
    assert said["Access-Control-Max-Age"] == "600"
    assert "Origin" in said.get_all("Vary")
    assert "Access-Control-Allow-Credentials" not in said
    assert "RateLimit" in said["Access-Control-Expose-Headers"]


def test_a_preflight_names_the_headers_of_the_method_it_asks_about(core):
    page = Page(site(core), APP)
    headers = "Access-Control-Allow-Headers"
    assert page.preflight("/thing", "GET").headers[headers] == "X-API-Key"
    assert page.preflight("/open").headers[headers] == "Content-Type"
    assert page.preflight("/broken", "GET").headers[headers] == ""


def test_a_method_the_path_has_not_is_not_among_those_allowed(core):
    answer = Page(site(core), APP).preflight("/open", "DELETE")
    assert (answer.status_code, answer.headers["Access-Control-Allow-Methods"]) == (204, "POST")


def test_a_browser_reads_answers_refusals_and_faults_alike(core):
    page, held = Page(site(core), APP), key(core)
    for status, answer in (
        (200, page.send("GET", "/thing", X_API_Key=held)),
        (401, page.send("GET", "/thing")),
        (404, page.send("GET", "/nowhere", X_API_Key=held)),
        (500, page.send("GET", "/broken")),
        (429, [page.send("GET", "/thing") for _ in range(3)][-1]),
    ):
        assert answer.status_code == status
        assert answer.headers.get_all("Access-Control-Allow-Origin") == [APP]
        assert answer.headers["Access-Control-Expose-Headers"].startswith("RateLimit, RateLimit-P")
        assert "Origin" in answer.headers.get_all("Vary")


@pytest.mark.parametrize(
    "origin",
    [
        OTHER, "null", "*", "", "https://app.example.org.evil.example", "https://APP.example.org",
        "http://app.example.org", "https://app.example.org:443", "https://app.example.org/",
        f"{APP}, {OTHER}", f"{OTHER}, {APP}", f"{APP} {APP}", " https://app.example.org\t",
    ],
)  # fmt: skip
def test_a_page_of_any_other_origin_reads_nothing(core, origin):
    page, held = Page(site(core), origin), key(core)
    for answer, status in (
        (page.preflight("/thing"), 401),
        (page.send("GET", "/thing", X_API_Key=held), 200),
    ):
        if origin.strip() == APP:
            continue  # blanks around a value are no part of it (RFC 9110, 5.5)
        assert (answer.status_code, cors(answer)) == (status, set())
        assert "Origin" in answer.headers.get_all("Vary")


def test_who_sends_no_origin_is_no_browser_and_nothing_changes(core):
    answer = Page(site(core), None).send("GET", "/thing", X_API_Key=key(core))
    assert (answer.status_code, cors(answer)) == (200, set())


def test_by_default_no_page_reads_anything_and_no_header_says_so(core):
    page = Page(site(core, allow_origins=[]), APP)
    for answer in (page.preflight("/thing"), page.send("GET", "/thing", X_API_Key=key(core))):
        assert cors(answer) == set()
        assert "Vary" not in answer.headers
    assert page.preflight("/thing").status_code == 401


def test_an_address_that_is_not_there_is_not_told_by_a_preflight(core):
    """A stranger gets 401 for it, as for any request to it."""
    assert Page(site(core), APP).preflight("/nowhere").status_code == 401


def test_an_options_that_is_no_preflight_passes_every_phase(core):
    assert Page(site(core), APP).send("OPTIONS", "/thing").status_code == 401
    assert Page(site(core), APP).send("OPTIONS", "/open").status_code == 405
    answer = Page(site(core), APP).send("POST", "/thing", Access_Control_Request_Method="POST")
    assert answer.status_code == 401


def test_a_preflight_is_refused_where_its_address_asks_too_much(core):
    """It costs an attacker nothing to send one, so it is counted like any request."""
    page = Page(site(core), APP)
    assert [page.preflight("/thing").status_code for _ in range(6)] == [204] * 5 + [429]


def test_a_preflight_for_another_host_or_over_plain_http_is_no_preflight(core):
    client = site(core)
    said = {"Origin": APP, "Access-Control-Request-Method": "POST", **FORWARDED}
    for base, headers, status in (
        ("http://evil.example", said, 421),
        ("http://ml.example.org", said | {"X-Forwarded-Proto": "http"}, 403),
    ):
        answer = client.options(
            "/thing", base_url=base, headers=headers, environ_overrides={"REMOTE_ADDR": ""}
        )
        assert (answer.status_code, cors(answer)) == (status, set())


def test_a_preflight_that_another_guard_refuses_stays_refused(core):
    class Gate(Plugin):
        name = "gate"

        def admit(self, exchange):
            raise Problem("forbidden", reason="gate")

    answer = Page(site(core, core.load(Gate)), APP).preflight("/thing")
    assert answer.status_code == 403
    assert answer.headers["Access-Control-Allow-Origin"] == APP


def test_an_answer_that_varies_already_varies_by_origin_too(core):
    class Dress(Plugin):
        name = "dress"

        def respond(self, exchange, headers):
            headers["Vary"] = "Accept"

    harness = core
    plugins = [harness.load(Dress), harness.load(Transport, TABLE)]
    client = harness.app(plugins, [views()]).test_client()
    answer = Page(client, APP).send("GET", "/broken")
    assert answer.headers.get_all("Vary") == ["Accept", "Origin"]


@pytest.mark.parametrize("word", ["*", "null", "https://app.example.org/", "http://a.example", ""])
def test_an_origin_nobody_could_send_or_mean_stops_the_start(core, word):
    with pytest.raises(ConfigError) as refused:
        core.build(Transport, TABLE | {"allow_origins": [word]})
    assert (refused.value.table, refused.value.key) == ("plugins.transport", "allow_origins")
    assert "https://app.example.org" in refused.value.fix
