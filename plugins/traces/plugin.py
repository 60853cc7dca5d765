"""Traces: one span a request with a child for each phase, sent to a collector by OpenTelemetry.

Runs in RECORD. Off unless named, and not vital: a collector that is gone costs spans, never
an answer. Needs the libraries of the extra `otel`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from marshmallow import Schema, ValidationError, validate
from marshmallow import fields as plain

from secureml import ConfigError, Exchange, Host, Plugin
from secureml.kit import fields
from secureml.kit.networks import is_loopback
from secureml.kit.secrets import LiveSecret

if TYPE_CHECKING:
    from .spans import Spans


def _endpoint(text: str) -> None:
    """Refuse an address at which spans would travel in the clear, or with a password in it."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    if not host or not safe or parts.username is not None or parts.fragment:
        raise ValidationError("This must be an https address, or http on this machine.")


class Config(Schema):
    """The ``[plugins.traces]`` table."""

    endpoint = plain.String(
        load_default="http://127.0.0.1:4318/v1/traces",
        validate=_endpoint,
        metadata={"description": "Where spans go, OTLP over HTTP: https, or http on this machine."},
    )
    token = fields.SecretRef(
        load_default=None,
        metadata={"description": ("The token for the collector, sent as `Authorization: Bearer`.")},
    )
    service = plain.String(
        load_default="secureml",
        validate=validate.Length(1, 100),
        metadata={"description": "The name of this server in traces."},
    )
    share = fields.StrictFloat(
        load_default=1.0,
        validate=validate.Range(0, 1),
        metadata={"description": "Share of requests that are traced, from 0 to 1."},
    )
    believe_edge = fields.StrictBoolean(
        load_default=False,
        metadata={
            "description": (
                "Whether the proxy in front writes `traceparent` itself. If "
                "it passes on the header of the caller, leave this off: any "
                "caller could set it."
            )
        },
    )
    believe_clients = plain.List(
        fields.ClientName(validate=validate.Length(min=1)),
        load_default=list,
        metadata={"description": "The only clients whose `traceparent` is continued."},
    )


class Traces(Plugin):
    """Makes the spans of each finished request."""

    name = "traces"
    schema = Config

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._edge: bool = config["believe_edge"]
        self._clients = frozenset(config["believe_clients"])
        self._spans = _spans(config, host)

    def record(self, exchange: Exchange) -> None:
        """Trace what was asked and what became of it."""
        self._spans.write(exchange, self._parent(exchange))

    def close(self) -> None:
        """Send what is waiting."""
        self._spans.close()

    def _parent(self, exchange: Exchange) -> str:
        """Return the caller's traceparent (W3C Trace Context) where it is to be believed."""
        header: str = exchange.request.environ.get("HTTP_TRACEPARENT", "")
        if not header:
            return ""
        caller = exchange.principal
        # A foreign id is there only where a trusted proxy has handed the request on.
        edge = self._edge and bool(exchange.foreign_id)
        return header if edge or (caller and caller.client in self._clients) else ""


def _spans(config: Mapping[str, Any], host: Host) -> Spans:
    try:
        from .spans import Spans, Target
    except ImportError as error:
        raise ConfigError(
            f"traces need the library {error.name}, the extra otel",
            fix="script/extras otel",
        ) from None
    token = _shown(config["token"], host) if config["token"] else None
    return Spans(Target(config["endpoint"], config["service"], config["share"], token))


def _shown(source: Any, host: Host) -> Callable[[], str]:
    secret: LiveSecret = source.watch(host.instance, now=host.now)
    return lambda: str(secret.current().reveal(), "ascii")
