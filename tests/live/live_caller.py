"""Callers on another host: a program of its own, which tells of each answer in a line of JSON.

Its one argument is an object of JSON: ``address`` and ``port`` to connect to, ``name`` of the
server and ``authority`` of its certificate, ``key``, ``path``, ``body``, ``headers``, how many
``callers``, ``count`` of requests in all or null, and ``preface``, which is sent before TLS begins.
Each caller has a connection of its own and asks again and again, ``count`` times in all or until
standard input ends. A line is ``[caller, begun, ended, status, word]``. Times are those of
CLOCK_MONOTONIC, the same for all processes of a machine. The word is the version that answered;
where there was no answer, the status is 0 and the word is the kind of failure.
"""

from __future__ import annotations

import http.client
import itertools
import json
import select
import socket
import ssl
import sys
import threading
import time

WORDS = json.loads(sys.argv[1])
STOP, SAYING = threading.Event(), threading.Lock()
NUMBERS = itertools.count()


class Connection(http.client.HTTPSConnection):
    """To an address, for a name."""

    def connect(self) -> None:
        trust = ssl.create_default_context(cafile=WORDS["authority"])
        plain = socket.create_connection((WORDS["address"], WORDS["port"]), timeout=self.timeout)
        plain.sendall(WORDS["preface"].encode())
        self.sock = trust.wrap_socket(plain, server_hostname=WORDS["name"])


def say(caller: int, begun: float, *found: object) -> None:
    line = json.dumps([caller, begun, time.monotonic(), *found])
    with SAYING:
        print(line, flush=True)


def run(caller: int) -> None:
    connection = Connection(WORDS["name"], timeout=20)
    headers = {"Content-Type": "application/json", **WORDS["headers"]}
    if WORDS["key"]:
        headers["X-API-Key"] = WORDS["key"]
    while not STOP.is_set():
        if WORDS["count"] is not None and next(NUMBERS) >= WORDS["count"]:
            break
        begun = time.monotonic()
        try:
            connection.request("POST", WORDS["path"], json.dumps(WORDS["body"]), headers)
            answer = connection.getresponse()
            body = answer.read()
            version = json.loads(body)["model"]["version"] if answer.status == 200 else ""
            say(caller, begun, answer.status, version)
        except (OSError, http.client.HTTPException) as error:
            say(caller, begun, 0, type(error).__name__)
            connection.close()
            select.select([], [], [], 0.05)  # as a sensible client, which does not hurry then
    connection.close()


threads = [threading.Thread(target=run, args=(number,)) for number in range(WORDS["callers"])]
for thread in threads:
    thread.start()
if WORDS["count"] is None:
    sys.stdin.read()
    STOP.set()
for thread in threads:
    thread.join()
