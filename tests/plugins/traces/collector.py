"""A collector in ten lines: what OTLP over HTTP sends, decoded."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager
from types import SimpleNamespace

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@contextmanager
def collecting(status=200):
    """Listen on loopback; yields `url`, `spans` by name, `resources` and `headers`."""
    seen = SimpleNamespace(spans=[], resources=[], headers=[])

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sent = ExportTraceServiceRequest.FromString(body)
            seen.headers.append(dict(self.headers))
            for group in sent.resource_spans:
                seen.resources.append(plain(group.resource.attributes))
                for scope in group.scope_spans:
                    seen.spans.extend(scope.spans)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words):
            del words

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        seen.url = f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()


def plain(attributes):
    """Return attributes as a dict of Python values."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
