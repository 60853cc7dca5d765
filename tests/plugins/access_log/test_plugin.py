"""Access log: one whole JSON line a request, and never a request lost for want of it."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
from pathlib import Path

import pytest
from flask import Blueprint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder, run_wsgi_app

from plugins.access_log.plugin import AccessLog
from secureml import ConfigError, Event, Plugin, Principal, Problem, public, requires
from secureml.testing import Harness
from tests.json_schema import faults

COUNTED_SCHEMA = json.loads(
    (Path(__file__).parents[3] / "plugins/access_log/counted.schema.json").read_text("utf-8")
)
SOMEONE = Principal("alice", "alice", frozenset({"read"}), frozenset({"*"}), "gold", "phase", "k7")
# What a server may hand on: each byte of the wire as one character (PEP 3333).
WIRE = st.text(st.characters(max_codepoint=255), max_size=60)


class Check(Plugin):
    """Knows everyone; refuses in the phase that the request names."""

    name = "phase"

    def identify(self, exchange):
        return SOMEONE

    def authorize(self, exchange):
        return None

    def limit(self, exchange):
        if exchange.request.headers.get("X-Refuse"):
            raise Problem("rate_limited", reason="phase.asked")


def views():
    """One public route, one guarded."""
    blueprint = Blueprint("test", __name__)

    @blueprint.route("/open", methods=["GET", "POST"])
    @public()
    def opened():
        return {"ok": True}

    @blueprint.get("/guarded")
    @requires("read")
    def guarded():
        return {"ok": True}

    return blueprint


@pytest.fixture
def harness(tmp_path):
    """A folder with a real store."""
    return Harness(tmp_path)


@pytest.fixture
def log(harness):
    """The plugin with its default table; its file is released at the end."""
    loaded = harness.load(AccessLog)
    yield loaded
    loaded.plugin.close()


@pytest.fixture
def app(harness, log):
    """An app that writes the log."""
    return harness.app([harness.load(Check), log], [views()])


def lines(harness, file="logs/access.log"):
    """Return the objects in the log; every line must be one."""
    text = (harness.folder / file).read_bytes()
    assert text.isascii()
    assert text == b"" or text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


def test_each_request_leaves_one_line(harness, app):
    """Answered, refused, unknown, wrong method."""
    client = app.test_client()
    for path in ("/open", "/guarded", "/nowhere"):
        client.get(path)
    client.delete("/open")

    assert [(line["route"], line["status"], line["client"]) for line in lines(harness)] == [
        ("/open", 200, ""),
        ("/guarded", 200, "alice"),
        ("", 404, "alice"),
        ("", 405, ""),
    ]


def test_a_line_carries_the_id_of_the_answer(harness, app):
    """So that a caller's report finds its line."""
    answer = app.test_client().get("/nowhere")

    assert lines(harness)[0]["id"] == answer.json["id"]


def test_a_line_knows_who_asked_and_how_much(harness, app):
    """Client, credential, method of proof, bytes."""
    answer = app.test_client().get("/guarded")

    (line,) = lines(harness)
    assert (line["client"], line["credential"], line["auth"]) == ("alice", "k7", "phase")
    assert line["bytes_out"] == len(answer.data)
    assert line["milliseconds"] >= 0


def test_a_refused_line_says_where_by_whom_and_why(harness, app):
    """The caller sees the code alone."""
    answer = app.test_client().get("/guarded", headers={"X-Refuse": "1"})

    (line,) = lines(harness)
    assert (line["code"], line["phase"], line["plugin"], line["reason"]) == (
        "rate_limited",
        "LIMIT",
        "phase",
        "phase.asked",
    )
    assert "phase.asked" not in answer.text


def test_an_observed_refusal_is_in_the_line_of_the_answer(harness, log):
    """What would have been refused, and by whom."""

    class Gate(Plugin):
        name = "gate"

        def limit(self, exchange):
            raise Problem("rate_limited", reason="gate.full")

    app = harness.app([harness.load(Gate, {"mode": "observe"}), log], [views()])
    assert app.test_client().get("/open").status_code == 200

    (line,) = lines(harness)
    assert line["status"] == 200
    assert line["observed"] == [
        {"code": "rate_limited", "phase": "LIMIT", "plugin": "gate", "reason": "gate.full"}
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    path=WIRE,
    query=WIRE,
    method=WIRE,
    host=WIRE,
    headers=st.dictionaries(
        st.sampled_from(
            [
                "HTTP_USER_AGENT",
                "HTTP_X_REQUEST_ID",
                "HTTP_X_FORWARDED_FOR",
                "HTTP_COOKIE",
                "HTTP_REFERER",
                "CONTENT_TYPE",
                "REMOTE_ADDR",
            ]
        ),
        WIRE,
    ),
)
def test_attack_whatever_is_sent_a_request_leaves_one_valid_line(
    harness, app, path, query, method, host, headers
):
    """Line breaks, quotes, escape sequences: none ends the line or adds a field."""
    harness.clock.advance(61)  # a window of its own, in which refusals have lines of their own
    before = len(lines(harness))
    environ = (
        EnvironBuilder().get_environ()
        | headers
        | {
            "PATH_INFO": "/" + path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": method,
            "HTTP_HOST": host,
        }
    )
    run_wsgi_app(app, environ)

    added = lines(harness)[before:]
    assert len(added) == 1
    assert added[0]["method"] == method.upper()


def test_query_string_headers_and_body_are_never_in_it(harness, app):
    """Secrets are sent there by mistake or as they should be; either way they stay out."""
    app.test_client().post(
        "/open",
        query_string={"api_key": "s3cr3t"},
        json={"password": "s3cr3t"},
        headers={"X-API-Key": "s3cr3t", "Cookie": "s=s3cr3t", "Authorization": "Bearer s3cr3t"},
    )
    app.test_client().get("/nowhere/s3cr3t?s3cr3t")

    assert len(lines(harness)) == 2
    assert "s3cr3t" not in (harness.folder / "logs/access.log").read_text()


def test_the_file_is_opened_anew_when_it_was_moved(harness, app):
    """Rotation by renaming, without a signal."""
    client = app.test_client()
    client.get("/open")
    client.get("/open")
    file = harness.folder / "logs/access.log"
    file.rename(file.with_suffix(".1"))
    client.get("/guarded")

    assert [line["route"] for line in lines(harness, "logs/access.1")] == ["/open", "/open"]
    assert [line["route"] for line in lines(harness)] == ["/guarded"]


def test_the_file_is_closed_to_others_before_and_after_a_rotation(harness, app):
    """Whatever the umask of the service."""
    file = harness.folder / "logs/access.log"
    before = os.umask(0)
    try:
        app.test_client().get("/open")
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
        file.unlink()
        app.test_client().get("/open")
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
    finally:
        os.umask(before)


def test_a_write_that_fails_does_not_stop_answers_and_is_said_in_one_line(
    harness, app, log, monkeypatch, caplog, capsys
):
    """A full disk: the program's log tells of each missing line, with its id."""

    def full(text):
        raise OSError(errno.ENOSPC, "No space left on device")

    client = app.test_client()
    with monkeypatch.context() as patched:
        patched.setattr(log.plugin, "_write", full)
        answer = client.get("/nowhere")

    assert answer.status_code == 404
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.getMessage() == f"access_log failed at record on {answer.json['id']}"
    assert record.exc_info[0] is OSError
    assert capsys.readouterr().err == ""
    client.get("/open")
    assert [line["route"] for line in lines(harness)] == ["/open"]


def test_a_folder_that_is_gone_does_not_stop_answers_either(harness, app):
    """And lines come again when it does."""
    client = app.test_client()
    client.get("/open")
    logs = harness.folder / "logs"
    logs.rename(harness.folder / "elsewhere")
    assert client.get("/open").status_code == 200

    logs.mkdir()
    client.get("/guarded")
    assert [line["route"] for line in lines(harness)] == ["/guarded"]


def test_processes_that_share_the_file_append_whole_lines(harness, app):
    """As Gunicorn's workers do: the app is loaded once, then forked."""
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            client = app.test_client()
            good = all(client.get("/guarded").status_code == 200 for _ in range(200))
            os._exit(0 if good else 1)
        children.append(child)

    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    written = lines(harness)
    assert len(written) == 400
    assert len({line["id"] for line in written}) == 400


def test_lines_may_go_to_stderr(harness, capsys):
    """For containers."""
    log = harness.load(AccessLog, {"file": "-"})
    harness.app([log], [views()]).test_client().get("/open")
    log.plugin.close()

    assert json.loads(capsys.readouterr().err)["route"] == "/open"
    assert not (harness.folder / "logs").exists()


def test_two_logs_in_one_process_share_nothing(harness, app, tmp_path_factory):
    """No named logger: each app writes its own file only."""
    other = Harness(tmp_path_factory.mktemp("other"))
    log = other.load(AccessLog, {"file": "deep/down/access.log"})
    other.app([log], [views()]).test_client().get("/open")
    log.plugin.close()

    assert len(lines(other, "deep/down/access.log")) == 1
    assert lines(harness) == []


@pytest.mark.parametrize("file", ["/var/log/access.log", "../access.log", "", 1])
def test_a_place_outside_the_instance_folder_stops_the_start(harness, file):
    """What belongs to this server lies in one place."""
    with pytest.raises(ConfigError, match=r"^\[plugins\.access_log\] file: "):
        harness.build(AccessLog, {"file": file})


@pytest.mark.parametrize("file", ["taken/access.log", "folder"])
def test_a_file_that_cannot_be_written_stops_the_start(harness, file):
    """Found out now and not at the first request; one line with the fix."""
    (harness.folder / "taken").write_text("")
    (harness.folder / "folder").mkdir()

    with pytest.raises(ConfigError, match=r"^\[plugins\.access_log\] file: .* cannot be written"):
        harness.build(AccessLog, {"file": file})


def test_sigusr1_opens_the_file_anew_and_still_reaches_whoever_listened_before(harness, log):
    """Gunicorn opens its own files at the same signal."""
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    try:
        log.plugin.start_worker(4)
        client = harness.app([harness.load(Check), log], [views()]).test_client()
        client.get("/open")
        # A mark on what is open: what is opened anew does not have it. Nothing but the signal
        # says that it should be, the path and its file stay.
        os.set_blocking(log.plugin._file._descriptor, False)
        os.kill(os.getpid(), signal.SIGUSR1)
        client.get("/guarded")
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert heard == [signal.SIGUSR1]
    assert os.get_blocking(log.plugin._file._descriptor)
    assert [line["route"] for line in lines(harness)] == ["/open", "/guarded"]


def test_a_log_on_stderr_has_nothing_to_open_anew(harness):
    """The signal stays whose it was."""
    before = signal.getsignal(signal.SIGUSR1)
    harness.build(AccessLog, {"file": "-"}).start_worker(4)

    assert signal.getsignal(signal.SIGUSR1) is before


def test_of_many_refusals_the_first_have_a_line_each_and_the_others_one(harness, app):
    """And together they are what was refused."""
    caller = app.test_client()
    for _ in range(70):
        assert caller.get("/guarded", headers={"X-Refuse": "yes"}).status_code == 429
    caller.get("/guarded")
    found = lines(harness)
    assert [line["status"] for line in found] == [429] * 20 + [200]
    harness.clock.advance(60)
    for _ in range(5):
        caller.get("/guarded", headers={"X-Refuse": "yes"})
    counted = lines(harness)[21]
    assert counted == {
        "time": "2026-01-01T00:01:00.000Z",
        "event": "refusals_counted",
        "subject": "client:alice",
        "client": "alice",
        "status": 429,
        "code": "rate_limited",
        "route": "/guarded",
        "count": 50,
        "first": "2026-01-01T00:00:00.000Z",
        "last": "2026-01-01T00:00:00.000Z",
    }
    assert faults(COUNTED_SCHEMA, counted) == []
    assert len(lines(harness)) == 20 + 1 + 1 + 5


def test_an_answer_always_has_a_line_of_its_own(harness, app):
    caller = app.test_client()
    for _ in range(70):
        assert caller.get("/open").status_code == 200
    assert len(lines(harness)) == 70


def test_another_event_is_no_line(harness, log):
    log.plugin.on_event(Event("user_created", "alice", {"tier": "gold"}))
    assert lines(harness) == []
