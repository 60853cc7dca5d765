"""The real pipeline around a plugin that would end its worker, in each way there is."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, request

from secureml import Plugin, public
from secureml.testing import Harness
from secureml.workers.inline_thread import Pace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from secureml import Exchange

# The second request of a connection is answered in the main thread, where signals arrive.
Pace.steady, Pace.enough = 0.0, 1

ENDS: dict[str, BaseException] = {
    "boot": SystemExit(3),
    "clean": SystemExit(0),
    "bare": SystemExit(),
    "ctrl-c": KeyboardInterrupt(),
    "generator": GeneratorExit(),
}


class Ender(Plugin):
    """Raises what a header names, in the phase that another one names; waits where told to."""

    name = "ender"

    def admit(self, exchange: Exchange) -> None:
        self._act("admit", exchange)

    def respond(self, exchange: Exchange, headers: Any) -> None:
        headers["X-Pid"] = str(os.getpid())
        headers["X-Thread"] = threading.current_thread().name
        self._act("respond", exchange)

    def record(self, exchange: Exchange) -> None:
        self._act("record", exchange)

    def _act(self, phase: str, exchange: Exchange) -> None:
        if exchange.request.headers.get("X-At") != phase:
            return
        if wait := exchange.request.headers.get("X-Wait"):
            Path(wait).touch()
            threading.Event().wait(30)
        raise ENDS[exchange.request.headers["X-End"]]


views = Blueprint("views", __name__)


@views.get("/streamed")
@public()
def streamed() -> Response:
    """End the worker while an answer is made."""
    end = ENDS[request.headers["X-End"]]

    def body() -> Iterator[bytes]:
        yield b"begun"
        raise end

    return Response(body(), content_type="text/plain")


@views.get("/sent")
@public()
def sent() -> Response:
    """End the worker once the answer is out."""
    end = ENDS[request.headers["X-End"]]
    response = Response(b"sent")

    @response.call_on_close
    def close() -> None:
        raise end

    return response


_harness = Harness(Path(tempfile.mkdtemp(prefix="ending-")))
application = _harness.app([_harness.load(Ender)], [views])
