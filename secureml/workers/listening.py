"""Where Gunicorn listens, how it serves TLS without Nginx, and its own refusals.

Nginx alone holds off clients that are slow: a handful of them would occupy every thread here. So
Gunicorn listens on unix sockets and loopback, and in production never terminates TLS.
"""

from __future__ import annotations

import json
import logging
import secrets
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gunicorn.http.wsgi  # type: ignore[import-untyped]  # ships no types
import gunicorn.util  # type: ignore[import-untyped]  # the same

from secureml.config_error import ConfigError
from secureml.kit.networks import is_loopback
from secureml.pipeline.problems import CATALOGUE

# What Gunicorn may have to refuse before the application sees a request, by status.
_REFUSALS = {
    400: "malformed_request",
    403: "forbidden",
    414: "uri_too_long",
    431: "headers_too_large",
    500: "internal_error",
    501: "method_not_implemented",
}


def check_addresses(addresses: Sequence[Any], file: Path) -> None:
    """Raise ConfigError where an address can be reached past Nginx; sockets are paths."""
    for address in addresses:
        if isinstance(address, tuple) and not is_loopback(address[0]):
            raise ConfigError(
                f"{address[0]} can be reached without Nginx",
                file=str(file),
                table="server",
                key="bind",
                fix=(
                    "leave bind empty for a unix socket, or bind 127.0.0.1, and let "
                    "Nginx accept connections"
                ),
            )


def check_tls(*, tls: bool, production: bool, file: Path) -> None:
    """Raise ConfigError where Gunicorn has a certificate of its own in production."""
    if tls and production:
        raise ConfigError(
            "in production Nginx terminates TLS, but Gunicorn was given a certificate",
            file=str(file),
            table="secureml",
            key="profile",
            fix="omit --certfile and --keyfile",
        )


def tls_context(config: Any, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Return what nginx.conf has, for `secureml serve --no-nginx`: Mozilla's intermediate 6.0."""
    del config
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
        "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
        "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
    )
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    return context


def word_refusals() -> None:
    """Have Gunicorn refuse with our problems, and name itself nowhere."""
    gunicorn.util.write_error = write_problem
    # Nginx drops this header; where Gunicorn faces the client itself, it need not name its kind.
    gunicorn.http.wsgi.SERVER = "secureml"


def write_problem(sock: Any, status_int: int, reason: str, mesg: str) -> None:
    """Answer in Gunicorn's place with a problem body (RFC 9457).

    Gunicorn's page is HTML and quotes the bytes it could not parse, so an attacker would read
    their own input back; ``reason`` and ``mesg`` are dropped, and its log has them already.
    """
    del reason, mesg
    status = status_int if status_int in _REFUSALS else 400
    kind = CATALOGUE[_REFUSALS[status]]
    body = {"type": f"urn:secureml:problem:{kind.code}", "title": kind.title, "status": status}
    body |= {"code": kind.code, "id": secrets.token_hex(16)}
    logging.getLogger("gunicorn.error").info("answered %s, id %s", kind.code, body["id"])
    content = json.dumps(body).encode()
    head = (
        f"HTTP/1.1 {status} {kind.title}\r\nConnection: close\r\nCache-Control: no-store\r\n"
        f"Content-Type: application/problem+json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    gunicorn.util.write_nonblock(sock, head.encode() + content)
