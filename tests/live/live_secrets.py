"""Every secret that passes between stock clients and a server, overheard on its way."""

from __future__ import annotations

import base64
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from requests.adapters import HTTPAdapter

from tests.canaries import found

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    import requests
    from live_serving import Served

SENT = ("client_secret", "refresh_token", "code", "password", "code_verifier", "device_code")
GIVEN = ("access_token", "refresh_token", "device_code", "user_code")
COMMANDS = (
    "oauth2-server clients list",
    "oauth2-server users list",
    "signing-keys list",
    "clients list",
)


class Secrets:
    """What was overheard, by kind."""

    def __init__(self) -> None:
        self.emitted: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, kind: str, text: str) -> None:
        """Keep one; of a token, its signature: the rest of it says what may be logged."""
        if text:
            self.emitted[kind].add(text.rpartition(".")[2])

    def look(self, request: requests.PreparedRequest, answer: requests.Response) -> None:
        """Find what is secret in a request and its answer."""
        body = request.body or ""
        form = parse_qs(body if isinstance(body, str) else body.decode("utf-8", "replace"))
        for name in SENT:
            self.add(name, form.get(name, [""])[0])
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            self.add("client_secret", base64.b64decode(value).decode().partition(":")[2])
        self.add("proof", request.headers.get("DPoP", ""))
        for name in GIVEN:
            self.add(name, str(_json(answer).get(name, "")))
        place = urlsplit(answer.headers.get("Location", ""))
        self.add("code", parse_qs(place.query).get("code", [""])[0])
        for cookie in answer.cookies:
            self.add("cookie", cookie.value or "")

    @contextmanager
    def overhearing(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        """Listen to all that `requests` sends, and Authlib through it."""
        send = HTTPAdapter.send

        def spy(adapter: HTTPAdapter, request: Any, *args: Any, **words: Any) -> requests.Response:
            answer = send(adapter, request, *args, **words)
            self.look(request, answer)
            return answer

        with patch.context() as patched:
            patched.setattr(HTTPAdapter, "send", spy)
            yield

    def in_any(self, heard: dict[str, bytes]) -> list[tuple[str, str]]:
        """Return (kind, place) for each secret that is where it may not be."""
        return [
            (kind, place)
            for kind, texts in self.emitted.items()
            for place, content in heard.items()
            if any(found(text, content) for text in texts)
        ]


def _json(answer: requests.Response) -> dict[str, Any]:
    if "json" not in answer.headers.get("Content-Type", ""):
        return {}
    said = answer.json()
    return said if isinstance(said, dict) else {}


def heard_of(served: Served, instance: Any) -> dict[str, bytes]:
    """Return all that a running server shows of itself: processes, metrics, commands, logs.

    Ends the server, for what it prints at its end.
    """
    heard = {}
    for pid in served.processes():
        for name in ("cmdline", "environ"):
            heard[f"{name} of {pid}"] = Path(f"/proc/{pid}/{name}").read_bytes()
    instance.run("clients", "add", "overseer", "--scope", "metrics")
    key = instance.run("api-keys", "issue", "overseer")["key"]
    metrics = served.ask("GET", "/metrics", key)
    assert metrics.status == 200
    heard["metrics"] = metrics.body
    for words in COMMANDS:
        heard[words] = str(instance.run(*words.split())).encode()
    served.stop()
    heard["output"] = served.output.encode()
    logs = [path for path in (instance.folder / "logs").rglob("*") if path.is_file()]
    assert {"access.log"} <= {path.name for path in logs}
    heard |= {str(path.relative_to(instance.folder)): path.read_bytes() for path in logs}
    return heard
