"""Raw requests out of a corpus: what is sent, what must come back, what must arrive.

Behind each one goes a last request of ours. If the server read the first as it should, there is
one answer to it, and then one to ours or an end; an answer too many or a request that nobody
sent is a desynchronised connection.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from live_servers import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from live_servers import Gunicorn

CORPUS = CHECKOUT / "tests/attacks/corpus"
LAST = b"GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_REPEATED = re.compile(r"\{\{(.+?)\*(\d+)\}\}", re.DOTALL)


@dataclass(frozen=True)
class Case:
    """One raw request, and what must come of it by either way, in the words of `outcome`."""

    name: str
    sent: bytes
    why: str
    nginx: str
    gunicorn: str
    nginx_current: str = ""


def cases(name: str) -> dict[str, Case]:
    """Return a corpus by the names of its cases."""
    table = tomllib.loads((CORPUS / name).read_text("utf-8"))
    found = [_case(item) for item in table["case"]]
    assert len({case.name for case in found}) == len(found)
    return {case.name: case for case in found}


def _case(item: dict[str, Any]) -> Case:
    text = _REPEATED.sub(lambda match: match[1] * int(match[2]), item.pop("sent"))
    # A character is a byte, but for those beyond Latin-1, which go as UTF-8.
    sent = b"".join(
        one.encode("latin-1") if one < "\u0100" else one.encode("utf-8") for one in text
    )
    return Case(sent=sent, **item)


def outcome(send: Callable[[bytes], bytes], gunicorn: Gunicorn, case: Case) -> str:
    """Return what came of a case, in one line: answers, then what arrived."""
    before = len(gunicorn.seen())
    answers = statuses(send(case.sent + LAST))
    arrived = gunicorn.seen()[before:]
    return f"{' '.join(answers) or 'closed'}; {', '.join(arrived) or 'nothing'}"


def statuses(raw: bytes) -> list[str]:
    """Return the status of every answer, read by its length; refusals of ours with their code."""
    found = []
    while raw:
        head, _, rest = raw.partition(b"\r\n\r\n")
        match = re.match(rb"HTTP/1\.[01] (\d{3}) ", head)
        if match is None:
            found.append(f"bare:{json.loads(raw)['code']}")
            break
        status = match[1].decode()
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        size = int(length[1]) if length else 0
        body, raw = rest[:size], rest[size:]
        assert len(body) == size, "half an answer"
        refused = b"application/problem+json" in head
        found.append(f"{status}:{json.loads(body)['code']}" if refused else status)
    return found
