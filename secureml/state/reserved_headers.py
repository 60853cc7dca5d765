"""Headers that mean something already, so that no credential of ours may travel in them.

A closed list: each defines the reason why a key in it would be lost, logged, trusted or
taken for something else.
"""

from __future__ import annotations

_ROUTING = "it names the server, and every proxy reads it"
_CREDENTIALS = "browsers and other plugins use it for credentials"
_BODY = "it describes the body"
_CONNECTION = "it belongs to the connection, and a proxy removes it"
_PROXY = "Nginx overwrites or removes it"
_NEGOTIATION = "every client sends it"
_BROWSER = "browsers write it, and pages cannot"
_CACHE = "caches act on it"
_TRACE = "it is written to logs and traces"

_BY_NAME = {
    "host": _ROUTING,
    **dict.fromkeys(("authorization", "proxy-authorization", "cookie", "dpop"), _CREDENTIALS),
    **dict.fromkeys(("set-cookie", "www-authenticate", "proxy-authenticate"), _CREDENTIALS),
    **dict.fromkeys(
        ("connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "expect",
         "transfer-encoding", "http2-settings", "max-forwards", "via"),
        _CONNECTION,
    ),
    **dict.fromkeys(("accept", "user-agent", "range", "date", "from", "prefer"), _NEGOTIATION),
    **dict.fromkeys(("origin", "referer", "dnt"), _BROWSER),
    **dict.fromkeys(("cache-control", "pragma", "vary", "etag", "age"), _CACHE),
    **dict.fromkeys(
        ("forwarded", "x-forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip",
         "true-client-ip", "cf-connecting-ip", "x-client-cert", "x-client-verify", "x-client-dn",
         "x-arr-clientcert", "x-http-method-override", "x-original-url", "x-rewrite-url"),
        _PROXY,
    ),
    **dict.fromkeys(
        ("x-request-id", "traceparent", "tracestate", "baggage", "idempotency-key"), _TRACE
    ),
}  # fmt: skip
_BY_BEGINNING = {
    "content-": _BODY,
    "accept-": _NEGOTIATION,
    "if-": _CACHE,
    "sec-": _BROWSER,
    "access-control-": _BROWSER,
    "x-forwarded-": _PROXY,
    "x-secureml-": _PROXY,
    "x-ssl-": _PROXY,
    "ssl-": _PROXY,
    "client-cert": _PROXY,
    "x-amzn-": _PROXY,
}


def meaning_of(name: str) -> str:
    """Return why a header is taken, by its name in any letters; "" for one that is free."""
    lower = name.lower()
    begun = [why for start, why in _BY_BEGINNING.items() if lower.startswith(start)]
    return _BY_NAME.get(lower) or (begun[0] if begun else "")
