"""The audit log in its phase: what is written, what is withheld, what is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plugins.audit_log import checkpoint, record, segments, verify
from plugins.audit_log.plugin import AuditLog
from secureml import ConfigError, Event, Exchange, Phase, Principal, Problem, Refusal, public
from secureml.models.artifact import signature
from secureml.testing import Harness

KEY = b"k" * 64
SOMEONE = Principal("acme", "eve", frozenset(), frozenset(), "standard", "api_keys", "key-1")


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    (tmp_path / "keys").mkdir(mode=0o700)
    for name, content in (
        ("audit.key", KEY),
        ("checkpoint.key", signature.private_pem(signature.generate_key())),
    ):
        path = tmp_path / "keys" / name
        path.write_bytes(content)
        path.chmod(0o600)
    made = Harness(tmp_path)
    yield made
    made.close()


def table(**more: Any) -> dict[str, Any]:
    return {"key": "file:keys/audit.key", "free_space": 1, **more}


def build(harness: Harness, **more: Any) -> AuditLog:
    plugin: AuditLog = harness.build(AuditLog, table(**more))
    return plugin


def written(harness: Harness) -> list[dict[str, Any]]:
    lines = [
        json.loads(line)
        for path in segments.files(harness.folder / "logs" / "audit")
        for line in path.read_text("ascii").splitlines()
    ]
    return lines[1:]


def refused(harness: Harness, status: int = 403, reason: str = "scopes.missing") -> Exchange:
    exchange = harness.exchange("POST", "/v1/models/m/predict", principal=SOMEONE)
    exchange.status, exchange.route = status, "/v1/models/<model>/predict"
    exchange.refusal = Refusal(Phase.AUTHORIZE, "scopes", Problem("forbidden", reason=reason))
    return exchange


def test_a_refusal_says_who_what_where_and_why(harness: Harness) -> None:
    build(harness).record(refused(harness))
    (found,) = written(harness)
    assert found.items() >= {
        "seq": 2, "time": "2026-01-01T00:00:00.000Z", "event": "authz_fail", "id": "0" * 32,
        "client": "acme", "subject": "eve", "credential": "key-1", "auth": "api_keys",
        "method": "POST", "route": "/v1/models/<model>/predict", "status": 403,
        "code": "forbidden", "phase": "AUTHORIZE", "plugin": "scopes", "reason": "scopes.missing",
    }.items()  # fmt: skip


@pytest.mark.parametrize(("requests", "count"), [("all", 3), ("refused", 2), ("none", 1)])
def test_the_setting_says_which_requests_are_written(
    harness: Harness, requests: str, count: int
) -> None:
    audit = build(harness, requests=requests)
    answered = harness.exchange(principal=SOMEONE)
    answered.status = 200
    answered.add_event("authn_token_reuse", family="f")
    audit.record(answered)
    audit.record(refused(harness))

    assert len(written(harness)) == count
    first = written(harness)[0]
    assert (first["event"], first["client"]) == ("authn_token_reuse", "acme")
    assert (first["facts"], first["id"]) == ({"family": "f"}, "0" * 32)


def test_a_counted_refusal_has_no_record_but_for_what_is_new_in_it(harness: Harness) -> None:
    audit = build(harness)
    exchange = refused(harness)
    exchange.add_event("excess_rate_limit_exceeded", subject="client:acme", limit="client")
    exchange.add_event("authn_token_reuse", family="f")
    exchange.count_only(exchange.events[1:])
    audit.record(exchange)

    (found,) = written(harness)
    assert (found["event"], found["facts"]) == ("authn_token_reuse", {"family": "f"})


@pytest.mark.parametrize(("requests", "count"), [("all", 1), ("refused", 1), ("none", 0)])
def test_numbers_of_refusals_are_written_where_refusals_are(
    harness: Harness, requests: str, count: int
) -> None:
    facts = {"subject": "client:acme", "status": 403, "code": "forbidden", "count": 7}
    build(harness, requests=requests).on_event(Event("refusals_counted", "acme", facts))
    found = written(harness) if count else []
    assert [record["facts"] for record in found] == [facts] * count
    assert count or not (harness.folder / "logs" / "audit").exists()


def test_a_flood_of_refusals_is_a_few_records_that_add_up(harness: Harness) -> None:
    """Each was a kilobyte: a disk that is full withholds everybody's answers."""
    audit = harness.load(AuditLog, table())
    caller = harness.app([audit], [Blueprint("none", __name__)]).test_client()
    for _ in range(3):
        for _ in range(500):
            assert caller.get("/v1/models").status_code == 401
        harness.clock.advance(60)
    caller.get("/v1/models")
    found = written(harness)
    counted = [record["facts"] for record in found if record["event"] == "refusals_counted"]
    full = [record for record in found if record["event"] == "authn_login_fail"]
    assert (len(full), len(counted)) == (20 * 3 + 1, 3)
    assert len(full) + sum(facts["count"] for facts in counted) == 1501
    audit.plugin.close()


def test_inputs_are_there_as_a_digest_that_needs_the_key(harness: Harness) -> None:
    audit = build(harness, requests="all")
    exchange = harness.exchange("POST", "/", principal=SOMEONE)
    exchange.status, exchange.payload = 200, {"instances": [[7919.5, 2]], "password": "hunter2"}
    audit.record(exchange)

    (found,) = written(harness)
    assert audit._inputs is not None
    assert found["inputs"] == record.digest(audit._inputs, [[7919.5, 2]])
    assert found["inputs"] != record.digest(b"another", [[7919.5, 2]])
    text = json.dumps(found)
    assert "7919" not in text
    assert "hunter2" not in text


def test_what_commands_tell_is_in_the_same_chain(harness: Harness) -> None:
    audit = build(harness)
    audit.record(refused(harness))
    audit.on_event(Event("authn_token_created", "acme", {"credential": "key-2"}))

    assert [r["seq"] for r in written(harness)] == [2, 3]
    assert written(harness)[1]["facts"] == {"credential": "key-2"}


def test_an_event_that_cannot_be_written_raises(harness: Harness) -> None:
    audit = build(harness, folder="audit")
    (harness.folder / "audit").write_text("in the way")
    with pytest.raises(OSError):
        audit.on_event(Event("authn_token_created"))
    assert audit.ready() == "audit_log_unavailable"


def test_an_answer_that_cannot_be_written_down_is_withheld(harness: Harness) -> None:
    routes = Blueprint("routes", __name__)

    @routes.get("/hello")
    @public()
    def hello() -> str:
        return "the answer"

    audit = harness.load(AuditLog, table(requests="all", folder="audit"))
    caller = harness.app([audit], [routes]).test_client()
    assert caller.get("/hello").json == "the answer"

    audit.plugin._chain.close()
    moved = (harness.folder / "audit").rename(harness.folder / "away")
    (harness.folder / "audit").write_text("in the way")
    answer = caller.get("/hello")
    assert (answer.status_code, answer.json["code"]) == (503, "not_recorded")
    assert b"the answer" not in answer.data

    (harness.folder / "audit").unlink()
    moved.rename(harness.folder / "audit")
    assert caller.get("/hello").json == "the answer", "it recovers without repair"


def test_a_disk_nearly_full_shows_before_answers_are_withheld(harness: Harness) -> None:
    audit = build(harness, free_space="900000GiB")
    assert audit.ready() == "audit_disk_nearly_full"
    audit.record(refused(harness))
    measured = {measure.name: measure.value for measure in audit.measures()}
    assert measured["audit_records"] == 2
    assert 0 < measured["audit_free_bytes"] < measured["audit_free_floor_bytes"]


def test_a_chain_of_another_key_is_not_ready(harness: Harness) -> None:
    build(harness).record(refused(harness))
    path = harness.folder / "keys" / "audit.key"
    path.write_bytes(b"x" * 32)
    audit = build(harness)
    assert audit.ready() == "audit_key_mismatch"
    with pytest.raises(RuntimeError):
        audit.record(refused(harness))


def test_a_short_key_stops_the_start(harness: Harness) -> None:
    (harness.folder / "keys" / "audit.key").write_bytes(b"short")
    with pytest.raises(ConfigError, match="too short"):
        build(harness)


def test_a_checkpoint_key_that_is_none_stops_the_start(harness: Harness) -> None:
    with pytest.raises(ConfigError, match="PEM"):
        build(harness, checkpoint_key="file:keys/audit.key")


def test_a_collector_without_its_authority_stops_the_start(harness: Harness) -> None:
    words = {"checkpoint_key": "file:keys/checkpoint.key", "syslog": "logs.example.org:6514"}
    with pytest.raises(ConfigError, match="does not exist"):
        build(harness, **words, syslog_ca="tls/none.pem")
    with pytest.raises(ConfigError, match="syslog"):
        build(harness, syslog="logs.example.org")
    assert build(harness, **words)._signer is not None


def test_checkpoints_are_signed_as_the_chain_grows(harness: Harness) -> None:
    audit = build(harness, checkpoint_key="file:keys/checkpoint.key", checkpoint_every=5)
    (harness.folder / "logs").mkdir()
    for _ in range(13):
        audit.record(refused(harness))
    assert audit._signer is not None
    content = audit._signer.place.read_bytes()
    point, unsigned = checkpoint.latest(content, audit._signer.public())
    assert (point and point.seq, unsigned, len(content.splitlines())) == (10, 0, 2)
    measured = {measure.name: measure.value for measure in audit.measures()}
    assert measured["audit_unsigned_records"] == 4
    assert verify.verify(harness.folder / "logs" / "audit", KEY, point).finding is None


def test_a_checkpoint_that_cannot_be_written_withholds_nothing(harness: Harness) -> None:
    audit = build(
        harness,
        checkpoint_key="file:keys/checkpoint.key",
        checkpoint_every=2,
        checkpoint_file="nowhere/points",
    )
    audit.record(refused(harness))
    (harness.folder / "nowhere").mkdir()
    audit.record(refused(harness))
    point, _ = checkpoint.latest(
        (harness.folder / "nowhere" / "points").read_bytes(),
        audit._signer.public(),  # type: ignore[union-attr]
    )
    assert point is not None
    assert point.seq == 3, "it is made up for with the next record"


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    texts=st.lists(st.text(max_size=2000), min_size=8, max_size=8),
    facts=st.dictionaries(
        st.text(max_size=400),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=2000),
        max_size=60,
    ),
)
def test_any_text_in_any_field_stays_one_line_of_json(
    harness: Harness, texts: list[str], facts: dict[str, Any]
) -> None:
    audit = build(harness)
    client, subject, method, credential, reason, foreign, address, code = texts
    exchange = harness.exchange(
        principal=Principal(
            client or "c", subject, frozenset(), frozenset(), "standard", method, credential
        )
    )
    exchange.status, exchange.client_address, exchange.foreign_id = 403, address, foreign
    exchange.refusal = Refusal(None, reason, Problem(code, reason=reason))
    exchange.observed = [exchange.refusal] * 20
    exchange.events.append(Event("a_b", client, facts))
    before = len(written(harness)) if segments.files(harness.folder / "logs" / "audit") else 0
    audit.record(exchange)
    audit.close()

    assert len(written(harness)) == before + 2
    assert verify.verify(harness.folder / "logs" / "audit", KEY).finding is None


def test_a_server_with_a_new_key_goes_on_with_it_and_commands_prove_both_parts(harness):
    build(harness).on_event(Event("user_created", "acme"))
    new = harness.folder / "keys" / "audit-2.key"
    new.write_bytes(b"n" * 64)
    new.chmod(0o600)
    changed = {"key": "file:keys/audit-2.key", "former_keys": ["file:keys/audit.key"]}
    command = build(harness, **changed)
    command.on_event(
        Event("user_disabled", "acme")
    )  # a command, before the server is started again
    server = build(harness, **changed)
    server.start_worker(4)
    server.on_event(Event("user_enabled", "acme"))

    place = harness.folder / "logs" / "audit"
    assert len(segments.files(place)) == 2
    report = verify.verify(place, b"n" * 64, None, [KEY])
    assert (report.finding, report.notes) == (None, [])
    assert server.ready() is None


def test_a_former_key_that_is_too_short_stops_the_start_by_its_name(harness):
    (harness.folder / "keys" / "short.key").write_bytes(b"s" * 31)
    (harness.folder / "keys" / "short.key").chmod(0o600)
    with pytest.raises(ConfigError) as refused:
        build(harness, former_keys=["file:keys/short.key"])
    assert refused.value.key == "former_keys"


def test_a_server_starts_though_its_chain_cannot_go_on_with_the_new_key(harness, monkeypatch):
    audit = build(harness)

    def full():
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(audit._chain, "renew", full)
    audit.start_worker(4)


def test_a_head_inside_the_folder_of_the_log_stops_the_start(harness):
    with pytest.raises(ConfigError, match="the folder of the log: an attacker") as refused:
        build(harness, head_file="logs/audit/head")
    assert refused.value.key == "head_file"
    assert "logs/audit/head is in logs/audit" in refused.value.message
    assert "a file in another folder of the instance" in refused.value.fix


def test_a_log_whose_end_was_cut_off_is_not_ready_and_each_start_says_so(harness, caplog):
    audit = build(harness)
    for _ in range(5):
        audit.record(refused(harness))
    audit.close()
    path = segments.files(harness.folder / "logs" / "audit")[0]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))

    assert build(harness).ready() == "audit_log_broken"
    assert {m.name: m.value for m in audit.measures()}["audit_log_broken"] == 1
    for _ in range(2):
        caplog.clear()
        build(harness).start_worker(4)
        (line,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
        assert "is broken from record 4 on; fix: secureml audit-log verify" in line


def test_another_instances_log_is_not_ready_and_not_written_to(harness):
    build(harness).record(refused(harness))
    (harness.folder / "store" / "audit-head").unlink()
    (harness.folder / "logs" / "audit").rename(harness.folder / "theirs")
    build(harness).record(refused(harness))  # the same key, and another chain
    (harness.folder / "logs" / "audit").rename(harness.folder / "ours")
    (harness.folder / "theirs").rename(harness.folder / "logs" / "audit")
    audit = build(harness)
    assert audit.ready() == "audit_chain_mismatch"
    with pytest.raises(RuntimeError):
        audit.record(refused(harness))


def test_what_a_command_told_is_signed_before_it_ends_and_a_request_is_not_kept_waiting(harness):
    (harness.folder / "logs").mkdir()
    audit = build(harness, checkpoint_key="file:keys/checkpoint.key")
    audit.on_event(Event("user_created", "acme"))
    assert audit._signer.signed_up_to() == 2
    audit.start_worker(4)
    audit.on_event(Event("user_disabled", "acme"))
    audit.record(refused(harness))
    assert audit._signer.signed_up_to() == 2
    audit.close()
    assert audit._signer.signed_up_to() == 4, "and a worker that ends signs the rest"


def test_what_knows_of_the_chain_is_copied_before_it(harness):
    audit = build(harness, checkpoint_key="file:keys/checkpoint.key")
    audit.record(refused(harness))
    names = [path.name for path in audit.backup_order()]
    assert names == ["audit-head", "audit-checkpoints.jsonl", "audit-000000000001.jsonl"]
