"""A WSGI application that tells what reached it: the far side of every claim about the edge."""

from __future__ import annotations

import json
import os
import threading
from typing import Any
from weakref import WeakKeyDictionary

# How many requests each connection from Nginx has carried: above one, it was kept open.
_served: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
_lock = threading.Lock()


def _count(connection: Any) -> int:
    with _lock:
        _served[connection] = _served.get(connection, 0) + 1
        return _served[connection]


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer with what arrived; /status/N answers N, /crash dies, /hang never answers."""
    path = environ["PATH_INFO"]
    if "ECHO_SEEN" in os.environ:
        with open(os.environ["ECHO_SEEN"], "a", encoding="utf-8") as file:  # noqa: PTH123
            file.write(f"{environ['REQUEST_METHOD']} {path}\n")
    if path == "/crash":
        with open(os.environ["ECHO_CRASHES"], "a", encoding="ascii") as file:  # noqa: PTH123
            file.write(environ["REQUEST_METHOD"] + "\n")
        os._exit(1)
    if path == "/hang":
        threading.Event().wait(3)
    status = path.removeprefix("/status/") if path.startswith("/status/") else "200"
    seen = {
        "server": os.environ.get("ECHO_NAME", ""),
        "method": environ["REQUEST_METHOD"],
        "path": path,
        "script_name": environ["SCRIPT_NAME"],
        "scheme": environ["wsgi.url_scheme"],
        "body": len(environ["wsgi.input"].read()),
        "on_connection": _count(environ["gunicorn.socket"]),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "headers": {k[5:]: v for k, v in environ.items() if k.startswith("HTTP_")},
    }
    headers = [("Content-Type", "application/json"), ("Strict-Transport-Security", "max-age=1")]
    if path == "/counted":
        headers.append(("X-SecureML-Counted", "1"))
    if path == "/steer":
        headers.append(("X-Accel-Redirect", "/problem"))
    body = b" " * 1_000_000 if path == "/large" else json.dumps(seen).encode()
    start_response(f"{status} Echo", [*headers, ("Content-Length", str(len(body)))])
    return [body]
