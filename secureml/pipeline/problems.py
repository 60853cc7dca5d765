"""Refusals: a public code from one catalogue, a private reason for the log.

Every answer that is not a success is worded here, as RFC 9457 problem details.
A body holds nothing but catalogue text, the request id and, for faulty input, where
the fault is: no value, path, class name, version or stack can get in, because nothing
that could hold one is ever asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from werkzeug.exceptions import HTTPException, MethodNotAllowed

MEDIA_TYPE = "application/problem+json"
MAX_FAULTS = 20


class Kind(NamedTuple):
    """One line of the catalogue: what the public may know about a refusal."""

    code: str
    status: int
    title: str


class Fault(NamedTuple):
    """Where faulty input is wrong: a JSON pointer (RFC 6901) and the rule it broke."""

    path: str
    rule: str


class Problem(Exception):
    """A refusal. The code is public and from the catalogue; the reason is for the log alone."""

    def __init__(
        self,
        code: str,
        *,
        reason: str = "",
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Fault] = (),
    ) -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason or code
        self.headers = dict(headers or {})
        self.errors = tuple(errors[:MAX_FAULTS])

    def settle(self) -> Problem:
        """Let go of the frames it was raised in, once it has been caught for good; return it.

        The exchange keeps its problem. With the frames it would keep itself, the body and all
        that was made of it, until the collector comes by: a megabyte a refusal.
        """
        self.__traceback__ = self.__context__ = self.__cause__ = None
        return self


def invalid_input(faults: list[tuple[str, str]], reason: str) -> Problem:
    """Return the refusal for input that breaks rules, with at most twenty places."""
    return Problem(
        "invalid_input", reason=reason, errors=[Fault(*each) for each in faults[:MAX_FAULTS]]
    )


CATALOGUE: dict[str, Kind] = {
    kind.code: kind
    for kind in (
        Kind("malformed_request", 400, "The request is malformed"),
        Kind("malformed_json", 400, "The body is not valid JSON"),
        Kind("malformed_encoding", 400, "The body does not decode as its encoding says"),
        Kind("duplicate_key", 400, "A JSON object names the same key twice"),
        Kind("not_a_number", 400, "The body holds a number JSON cannot carry"),
        Kind("json_too_deep", 400, "The JSON is nested too deeply"),
        Kind("json_too_large", 400, "A JSON object or string is too large"),
        Kind("credential_in_url", 400, "Credentials do not belong in a URL"),
        Kind("unauthorized", 401, "Valid credentials are required"),
        Kind("forbidden", 403, "This credential may not do this"),
        Kind("request_blocked", 403, "The request looks like an attack"),
        Kind("insecure_transport", 403, "This service answers over HTTPS only"),
        Kind("not_found", 404, "There is nothing at this address"),
        Kind("method_not_allowed", 405, "The method is not allowed here"),
        Kind("not_acceptable", 406, "The answer cannot take the requested form"),
        Kind("request_timeout", 408, "The request took too long to arrive"),
        Kind("body_too_large", 413, "The body is too large"),
        Kind("body_expands", 413, "The body unpacks to far more than was sent"),
        Kind("uri_too_long", 414, "The address is too long"),
        Kind("unsupported_media_type", 415, "The body must be application/json in UTF-8"),
        Kind("unsupported_encoding", 415, "The body's Content-Encoding is not accepted"),
        Kind("misdirected_request", 421, "This server does not answer for that host"),
        Kind("invalid_input", 422, "The input breaks a rule of this endpoint"),
        Kind("too_many_rows", 422, "The request holds too many rows"),
        Kind("rate_limited", 429, "Too many requests"),
        Kind("headers_too_large", 431, "The request headers are too large"),
        Kind("internal_error", 500, "The server failed to answer"),
        Kind("method_not_implemented", 501, "The server does not know this method"),
        Kind("bad_gateway", 502, "The server behind the gateway failed"),
        Kind("unavailable", 503, "The server cannot answer now"),
        Kind("model_unavailable", 503, "This model is unavailable until the operator corrects it"),
        Kind("not_recorded", 503, "The answer could not be recorded and was withheld"),
        Kind("gateway_timeout", 504, "The server behind the gateway took too long"),
    )
}

# Where several codes share a status, the one that speaks for Werkzeug's own exceptions.
_BY_STATUS: dict[int, str] = {
    **{kind.status: kind.code for kind in reversed(CATALOGUE.values())},
    403: "forbidden",
    503: "unavailable",
}


class Catalogue:
    """The core's codes and those that plugins add under their own name, fixed at the start."""

    def __init__(self, additions: Iterable[Kind] = ()) -> None:
        self._kinds = dict(CATALOGUE)
        for kind in additions:
            if kind.code in self._kinds:
                raise ValueError(f"problem code {kind.code!r} is already in the catalogue")
            self._kinds[kind.code] = kind

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def kind(self, code: str) -> Kind:
        """Return the public wording of ``code``; an unknown code is our fault, so a 500."""
        return self._kinds.get(code) or self._kinds["internal_error"]


def bare_body(kind: Kind, request_id: str) -> dict[str, Any]:
    """Return the wording used when no plugin renders: terse, never talkative."""
    return {"code": kind.code, "id": request_id}


def from_http(error: HTTPException) -> Problem:
    """Translate an exception of Werkzeug's into a refusal of ours; the text stays behind."""
    code = _BY_STATUS.get(error.code or 500)
    if code is None:
        code = "malformed_request" if 400 <= (error.code or 500) < 500 else "internal_error"
    headers = {}
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        headers["Allow"] = ", ".join(sorted(set(error.valid_methods) - {"OPTIONS"}))
    return Problem(code, reason=f"http.{type(error).__name__}", headers=headers)


def problem_of(error: Problem | HTTPException) -> Problem:
    """Return a refusal as ours, in whichever way it was raised.

    Flask would take an exception of Werkzeug's that carries a response for the answer itself.
    """
    return error if isinstance(error, Problem) else from_http(error)
