"""The answer to a browser's preflight: what a page of an allowed origin may send to a route.

A browser asks with OPTIONS, and without any credential, before it sends what a form could not
(Fetch, 4.8). So the answer is given behind ADMIT and before IDENTIFY; the request it asks about
passes every phase when it comes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from flask import Response

from secureml.pipeline.plugin_set import credential_headers
from secureml.pipeline.policy import Policy, endpoint_of_other_method

if TYPE_CHECKING:
    from secureml.pipeline.exchange import Exchange
    from secureml.pipeline.loader import LoadedPlugin

MAX_AGE = 600  # seconds a browser remembers the answer

# Both together make a preflight; an OPTIONS without them is a request like any other.
_ORIGIN, _METHOD = "HTTP_ORIGIN", "HTTP_ACCESS_CONTROL_REQUEST_METHOD"


class Preflights:
    """Answers preflights of allowed origins from the policies of the routes."""

    def __init__(self, plugins: Sequence[LoadedPlugin]) -> None:
        proofs = (loaded.plugin.proof_headers for loaded in plugins)
        self._credentials = credential_headers(plugins).union(*proofs)

    def answer(self, exchange: Exchange, policies: Mapping[str, Policy]) -> Response | None:
        """Return the answer; None for what is no preflight, and so goes on.

        A path that is not there goes on as well: a stranger is told nothing about it.
        """
        environ = exchange.request.environ
        methods = getattr(exchange.request.routing_exception, "valid_methods", None)
        if exchange.known or not methods or not asks(environ):
            return None
        requested = environ[_METHOD]
        endpoint = endpoint_of_other_method(requested if requested in methods else "")
        policy = policies.get(endpoint or "")
        sendable = set() if policy is None or policy.public else set(self._credentials)
        if policy is not None and (policy.body is not None or policy.form):
            sendable.add("Content-Type")
        return Response(status=204, headers=headers(methods, sendable))


def asks(environ: Mapping[str, str]) -> bool:
    """Tell whether a request is a preflight."""
    return environ["REQUEST_METHOD"] == "OPTIONS" and _ORIGIN in environ and _METHOD in environ


def headers(methods: Iterable[str], sendable: Collection[str]) -> dict[str, str]:
    """Return the headers of the answer: the methods of the route, and headers a page may send."""
    return {
        "Access-Control-Allow-Methods": ", ".join(sorted(set(methods) - {"OPTIONS"})),
        "Access-Control-Allow-Headers": ", ".join(sorted(sendable)),
        "Access-Control-Max-Age": str(MAX_AGE),
    }
