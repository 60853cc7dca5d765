"""Ask a server twenty times a second, each time over a new connection; say what became of each.

python live_load.py '{"host": ..., "path": ..., "headers": {...}, "body": ..., "trust": FILE}'

Prints ``answered`` after the first five answers, and when its input ends one line of JSON for each
request: ``begin`` and ``end`` (seconds), and either ``status`` or ``fault`` with ``sent``, which
tells whether the request had been sent when it failed. Run in the network of the server.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

EVERY = 0.05  # seconds


def ask(request: dict[str, Any], trust: ssl.SSLContext) -> dict[str, Any]:
    """Make one request and return what became of it."""
    found: dict[str, Any] = {"begin": time.monotonic(), "sent": False}
    connection = http.client.HTTPSConnection(request["host"], timeout=60)
    try:
        raw = socket.create_connection(("127.0.0.1", 443), 60)
        connection.sock = trust.wrap_socket(raw, server_hostname=request["host"])
        found["serial"] = connection.sock.getpeercert()["serialNumber"]
        found["sent"] = True
        connection.request("POST", request["path"], request["body"], request["headers"])
        answer = connection.getresponse()
        answer.read()
        found["status"] = answer.status
    except (OSError, http.client.HTTPException) as error:
        found["fault"] = f"{type(error).__name__}: {error}"
    finally:
        connection.close()
    found["end"] = time.monotonic()
    return found


def main() -> None:
    request = json.loads(sys.argv[1])
    trust = ssl.create_default_context(cafile=request["trust"])
    over, asked = threading.Event(), []
    threading.Thread(target=lambda: (sys.stdin.readline(), over.set()), daemon=True).start()
    with ThreadPoolExecutor(400) as pool:
        while not over.wait(EVERY):
            asked.append(pool.submit(ask, request, trust))
            if len(asked) == 5:
                [one.result() for one in asked]
                print("answered", flush=True)
    for one in asked:
        print(json.dumps(one.result()))


main()
