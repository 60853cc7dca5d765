"""A request that is over leaves nothing behind that waits for the collector."""

from __future__ import annotations

import gc
import json
import weakref

import pytest

from secureml import Plugin, Problem
from secureml.pipeline.loader import LoadedPlugin
from secureml.testing import Harness


@pytest.fixture
def collector():
    """No collection but those asked for."""
    gc.collect()
    gc.disable()
    yield gc
    gc.enable()


class Remembers(Plugin):
    """Keeps a weak eye on each request."""

    name = "remembers"

    def __init__(self):
        self.seen = []

    def record(self, exchange):
        self.seen.append(weakref.ref(exchange.request))


class Refuses(Remembers):
    """Refuses in the first phase, because something else went wrong."""

    name = "refuses"

    def admit(self, exchange):
        try:
            json.loads("{")
        except ValueError as error:
            raise Problem("forbidden", reason="refuses") from error


def ask(app, path):
    """Ask as Gunicorn does; return the status line."""
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "443",
        "wsgi.url_scheme": "https",
    }
    said = []
    b"".join(app(environ, lambda line, headers: said.append(line)))
    return said[0]


@pytest.mark.parametrize(
    ("plugin", "observe", "status"),
    [(Remembers, False, "200"), (Refuses, False, "403"), (Refuses, True, "200")],
    ids=["answered", "refused", "observed"],
)
def test_no_request_stays_alive(tmp_path, collector, plugin, observe, status):
    harness, made = Harness(tmp_path), plugin()
    app = harness.app([LoadedPlugin(made, observe)])
    assert [ask(app, "/healthz")[:3] for _ in range(3)] == [status] * 3
    # The last one may still be held by the frames that are being left.
    assert [ref() for ref in made.seen[:2]] == [None, None]
