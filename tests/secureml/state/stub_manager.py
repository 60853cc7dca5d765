"""A secrets manager that misbehaves: a plain HTTP server on loopback that answers as told."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Stub:
    """Answers each request with what ``answer`` returns: (status, headers, pieces of a body)."""

    def __init__(self):
        self.requests, self.answer = [], lambda method, path, body: (404, {}, [b"{}"])
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                stub.requests.append((self.command, self.path, dict(self.headers), body))
                status, headers, pieces = stub.answer(self.command, self.path, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    for piece in pieces:
                        self.wfile.write(piece)
                except OSError:
                    stub.hung_up.set()

            do_POST = do_GET  # noqa: N815 - the name that the library calls

            def log_message(self, *_):
                pass

        self.hung_up = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def says(self, body, status=200, **headers):
        """Answer everything alike."""
        words = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answer = lambda method, path, sent: (status, words, [text])

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
