"""Bad input through the real edge: a stable code, the place of the fault, and nothing lost.

Every case is asked of Nginx and, because a site may stand behind another proxy, of Gunicorn's
own socket. The workers must be the same processes afterwards, and no larger.
"""

from __future__ import annotations

import contextlib
import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from live_servers import Answer
from live_serving import PREDICT, UnixConnection, ask
from sklearn.datasets import load_breast_cancer

if TYPE_CHECKING:
    import http.client
    from collections.abc import Iterator

    from live_serving import Instance, Served

pytestmark = pytest.mark.live

GOOD: list[float] = load_breast_cancer().data[0].tolist()
NAMED = dict(zip(map(str, load_breast_cancer().feature_names), GOOD, strict=True))
MEGABYTE = 1024 * 1024


def rows(*instances: Any) -> bytes:
    return json.dumps({"instances": list(instances)}).encode()


def cell(text: str) -> bytes:
    """Return a body whose third value is spelled as given."""
    return rows([*GOOD[:2], "@", *GOOD[3:]]).replace(b'"@"', text.encode())


# body, status, code, and the first fault: path and rule
CASES: dict[str, tuple[bytes, int, str, tuple[str, str] | None]] = {
    "no body": (b"", 400, "malformed_json", None),
    "not JSON": (b"instances=1", 400, "malformed_json", None),
    "cut off": (rows(GOOD)[:-2], 400, "malformed_json", None),
    "something after it": (rows(GOOD) + b"{}", 400, "malformed_json", None),
    "a byte order mark": (b"\xef\xbb\xbf" + rows(GOOD), 400, "malformed_json", None),
    "Latin-1": (b'{"instances": ["\xe9"]}', 400, "malformed_json", None),
    "UTF-16": (rows(GOOD).decode().encode("utf-16"), 400, "malformed_json", None),
    "half a surrogate pair": (b'{"instances": ["\\ud800"]}', 400, "malformed_json", None),
    "a number of 5000 digits": (cell("9" * 5000), 400, "not_a_number", None),
    "the same key twice": (b'{"instances": [], "instances": []}', 400, "duplicate_key", None),
    "the same feature twice": (
        rows(NAMED).replace(b'"mean radius"', b'"mean area": 1, "mean radius"'),
        400, "duplicate_key", None,
    ),
    "NaN": (cell("NaN"), 400, "not_a_number", None),
    "Infinity": (cell("Infinity"), 400, "not_a_number", None),
    "-Infinity": (cell("-Infinity"), 400, "not_a_number", None),
    "1e999": (cell("1e999"), 400, "not_a_number", None),
    "nine levels": (b'{"instances":' + b"[" * 9 + b"]" * 9 + b"}", 400, "json_too_deep", None),
    "400000 levels": (b"[" * 400_000 + b"]" * 400_000, 400, "json_too_deep", None),
    "400000 levels, left open": (b"[" * 400_000, 400, "json_too_deep", None),
    "a string of 5 kB": (cell('"' + "a" * 5000 + '"'), 400, "json_too_large", None),
    "1001 names": (rows(dict.fromkeys(map(str, range(1001)), 0)), 400, "json_too_large", None),
    "a list": (b"[]", 422, "invalid_input", ("", "object")),
    "null": (b"null", 422, "invalid_input", ("", "object")),
    "no instances": (b"{}", 422, "invalid_input", ("/instances", "required")),
    "instances null": (b'{"instances": null}', 422, "invalid_input", ("/instances", "invalid")),
    "instances a number": (b'{"instances": 7}', 422, "invalid_input", ("/instances", "type")),
    "another key": (b'{"instances": [], "x": 1}', 422, "invalid_input", ("", "unknown_key")),
    "no rows": (rows(), 422, "invalid_input", ("/instances", "empty")),
    "an empty row": (rows([]), 422, "invalid_input", ("/instances/0", "feature_count")),
    "a row too short": (
        rows(GOOD, GOOD[:-1]), 422, "invalid_input", ("/instances/1", "feature_count"),
    ),
    "a row too long": (rows([*GOOD, 1]), 422, "invalid_input", ("/instances/0", "feature_count")),
    "a row that is a number": (rows(1), 422, "invalid_input", ("/instances/0", "instance_type")),
    "an unknown feature": (
        rows(NAMED, {**NAMED, "<script>": 1}),
        422, "invalid_input", ("/instances/1", "unknown_feature"),
    ),
    "a feature missing": (
        rows({k: v for k, v in NAMED.items() if k != "mean area"}),
        422, "invalid_input", ("/instances/0/mean area", "missing_feature"),
    ),
    "a string for a number": (cell('"122.8"'), 422, "invalid_input", ("/instances/0/2", "type")),
    "a truth value for a number": (cell("true"), 422, "invalid_input", ("/instances/0/2", "type")),
    "a list for a number": (cell("[1]"), 422, "invalid_input", ("/instances/0/2", "type")),
    "null for a number": (
        cell("null"), 422, "invalid_input", ("/instances/0/2", "missing_value"),
    ),
    "a number below the range": (
        cell("-1e9"), 422, "invalid_input", ("/instances/0/2", "below_minimum"),
    ),
    "a number above the range": (
        cell("1e308"), 422, "invalid_input", ("/instances/0/2", "above_maximum"),
    ),
    "1001 rows": (
        b'{"instances":[' + b"[]," * 1000 + b"[]]}",
        422, "too_many_rows", ("/instances", "max_rows"),
    ),
    "a quarter of a million rows": (
        b'{"instances":[' + b"[0]," * 250_000 + b"[0]]}",
        422, "too_many_rows", ("/instances", "max_rows"),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def key(instance: Instance) -> str:
    return instance.key("clumsy")


@pytest.fixture(scope="module", params=["through Nginx", "straight to Gunicorn"])
def line(request: pytest.FixtureRequest, served: Served) -> Iterator[Any]:
    """Return what opens a connection, by either way in."""
    straight = request.param != "through Nginx"
    workers = served.workers()
    yield lambda: UnixConnection(served.instance) if straight else served.connect()
    assert served.workers() == workers, "a worker died"


def send(connection: http.client.HTTPConnection, key: str, body: Any, **more: str) -> Answer:
    with closing(connection):
        return ask(
            connection, "POST", PREDICT, key, body, **getattr(connection, "edge", {}), **more
        )


def check(answer: Answer, status: int, code: str) -> Any:
    """Hold a refusal to RFC 9457 and return its body."""
    said = answer.json()
    assert (answer.status, said["code"]) == (status, code)
    assert answer.all("Content-Type") == ["application/problem+json"]
    assert said["type"] == f"urn:secureml:problem:{code}"
    assert said["status"] == status
    assert set(said) <= {"type", "title", "status", "code", "id", "errors"}
    return said


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused_by_code_and_place(line: Any, key: str, case: str) -> None:
    body, status, code, fault = CASES[case]
    said = check(send(line(), key, body), status, code)
    if fault is None:
        assert "errors" not in said
    else:
        assert said["errors"][0] == {"path": fault[0], "rule": fault[1]}
        assert len(said["errors"]) <= 20
    assert b"script" not in json.dumps(said).encode()


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Type": "multipart/form-data; boundary=x"},
        {"Content_Type": "application/json; charset=latin-1"},
        {"Content_Type": "application/json; charset=utf-16"},
        {"Content_Type": "application/problem+json"},
        {"Content_Type": ""},
    ],
    ids=str,
)
def test_a_body_that_is_not_json_in_utf8_is_not_read(
    line: Any, key: str, headers: dict[str, str]
) -> None:
    check(send(line(), key, rows(GOOD), **headers), 415, "unsupported_media_type")


@pytest.mark.parametrize("coding", ["gzip", "br", "gzip, identity"])
def test_a_packed_body_is_refused_with_the_codings_that_are_accepted(
    line: Any, key: str, coding: str
) -> None:
    answer = send(line(), key, rows(GOOD), Content_Encoding=coding)
    check(answer, 415, "unsupported_encoding")
    assert answer.all("Accept-Encoding") == ["identity"]


@pytest.mark.parametrize(
    "kind", ["application/json; charset=UTF-8", 'application/json;charset="utf-8"']
)
def test_the_right_charset_said_aloud_is_fine(line: Any, key: str, kind: str) -> None:
    assert send(line(), key, rows(GOOD), Content_Type=kind).status == 200


def test_a_body_beyond_the_limit_is_refused(line: Any, key: str) -> None:
    check(upload(line(), key, [b" " * (MEGABYTE + 1)], chunked=False), 413, "body_too_large")


@pytest.mark.parametrize("chunked", [False, True], ids=["of a length told", "in chunks"])
def test_ten_million_rows_cost_no_memory(
    served: Served, line: Any, key: str, chunked: bool
) -> None:
    workers = served.workers()
    for worker in workers:
        Path(f"/proc/{worker}/clear_refs").write_text("5")  # forget the peak so far
    before = {worker: kilobytes(worker, "VmRSS") for worker in workers}
    check(upload(line(), key, ten_million(), chunked=chunked), 413, "body_too_large")
    assert served.workers() == workers
    for worker in workers:
        assert kilobytes(worker, "VmHWM") - before[worker] < 16 * 1024


def ten_million() -> Iterator[bytes]:
    """Yield a body of ten million rows, 40 MB, piece by piece."""
    yield b'{"instances":['
    for _ in range(999):
        yield b"[0]," * 10_000 + b" "
    yield b"[0]," * 9_999 + b"[0]]}"


def upload(
    connection: http.client.HTTPConnection, key: str, pieces: Any, *, chunked: bool
) -> Answer:
    """Send a body until the server has had enough, and return what it then says."""
    extra = getattr(connection, "edge", {})
    headers = {name.replace("_", "-"): value for name, value in extra.items()}
    headers |= {"X-API-Key": key, "Content-Type": "application/json"}
    pieces = list(pieces) if not chunked else pieces
    if not chunked:
        headers["Content-Length"] = str(sum(map(len, pieces)))
    with closing(connection):
        # A server that refuses early may close before the last piece: that is its right.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", PREDICT, iter(pieces), headers, encode_chunked=chunked)
        return answer_of(connection)


def answer_of(connection: http.client.HTTPConnection) -> Answer:
    """Return the answer to a request that may not have been sent to its end."""
    import http.client as client

    assert connection.sock is not None
    with client.HTTPResponse(connection.sock, method="POST") as answer:
        answer.begin()
        return Answer(answer.status, answer.getheaders(), answer.read())


def kilobytes(pid: int, name: str) -> int:
    """Return a line of /proc/PID/status that counts kilobytes."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith(name)).split()[1])


def test_after_all_that_every_worker_still_predicts(served: Served, key: str) -> None:
    answers = [served.ask("POST", PREDICT, key, rows(GOOD)) for _ in range(8)]
    assert {answer.status for answer in answers} == {200}
    assert len(served.workers()) == 2
