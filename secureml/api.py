"""The model API: predict, list, describe, and tell whether we live and are ready.

Views return data or raise; a prediction is returned as a ``Result`` so that it cannot
reach the wire without passing the SHAPE phase.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from flask import Blueprint, Response, g
from marshmallow import Schema, ValidationError, fields

from secureml.api_schemas import (
    AliveResponse,
    ModelResponse,
    ModelsResponse,
    PredictResponse,
    ReadyResponse,
    VersionsResponse,
)
from secureml.pipeline import events
from secureml.pipeline.body import Limits, read_form, read_json
from secureml.pipeline.content_encoding import unpack
from secureml.pipeline.exchange import Exchange
from secureml.pipeline.json_response import JsonResponse
from secureml.pipeline.policy import Policy, health_check, requires
from secureml.pipeline.prediction import predict
from secureml.pipeline.prediction_format import BodyLimits
from secureml.pipeline.problems import Fault, Problem, invalid_input

if TYPE_CHECKING:
    from secureml.models.serving.handle import ModelHandle
    from secureml.models.serving.registry import Registry

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
PREDICT = "/v1/models/<model>/predict"
# Made once: json.dumps makes one a call for anything but its defaults.
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


class PredictBody(Schema):
    """The envelope of a prediction request; the rows inside are read by the model's card.

    ``Raw`` does not look into its value, so a thousand rows cost what one does: 4 microseconds.
    A list of fields would cost 6 for each row.
    """

    instances = fields.Raw(
        required=True, allow_none=False, metadata={"type": "array", "minItems": 1}
    )


def json_response(body: Any, status: int = 200) -> Response:
    """Return strict JSON: a number JSON cannot carry raises ValueError, hence a 500."""
    return JsonResponse(_ENCODER.encode(body), status=status, content_type=JSON)


class RequestPreparation:
    """Readies a request in the VALIDATE phase: reads its body strictly, once its model is there."""

    def __init__(
        self, models: Registry, limits: Limits, body_limit: int, largest: int | None = None
    ) -> None:
        """Take limits in bytes; ``largest`` is as far as a model of many columns may raise one."""
        self._models, self._limits, self._body_limit = models, limits, body_limit
        self._largest = body_limit if largest is None else largest
        self._gzip_ratio = limits.gzip_ratio if limits.gzip else None
        self._schemas: dict[type[Schema], Schema] = {}
        # Weak: a version that was swapped out must not live on here.
        self._by_model: WeakKeyDictionary[ModelHandle, tuple[int, Limits]] = WeakKeyDictionary()

    def __call__(self, exchange: Exchange) -> None:
        """Set the exchange's payload, or raise the Problem that stops here."""
        if exchange.model_name and exchange.model is None:
            raise _absent(self._models, exchange.model_name, exchange.model_version)
        policy = exchange.policy
        if policy is None or (policy.body is None and not policy.form):
            return
        limit, limits = policy.body_limit or self._body_limit, self._limits
        if exchange.model is not None and policy.body_limit is None:
            limit, limits = self._limits_of(exchange.model)
        if policy.body is None:
            form = self._read_body(exchange, limit, (FORM,))
            exchange.payload = {**read_form(form, limits)}
        elif policy.format is not None:
            exchange.payload = self._read_prediction(exchange, policy, limit, limits)
        else:
            body = self._read_body(exchange, limit, (JSON,))
            exchange.payload = self._read_object(policy.body, body, limits)

    def _read_prediction(
        self, exchange: Exchange, policy: Policy, limit: int, limits: Limits
    ) -> dict[str, Any]:
        """Return the payload that the core's own route would have, from another format."""
        read = policy.format
        if read is None or policy.body is None:
            raise RuntimeError("a format without a body")
        body = self._read_body(exchange, limit, read.media_types)
        length = read.json_length(exchange, body)
        envelope = self._read_object(policy.body, body[:length], limits)
        kept = BodyLimits(limit, limits.string)
        return {"instances": read.instances(exchange, envelope, body[length:], kept)}

    def _read_object(self, schema: type[Schema], body: bytes, limits: Limits) -> dict[str, Any]:
        value = read_json(body, limits)
        if not isinstance(value, dict):
            raise Problem(
                "invalid_input", reason="payload.not_an_object", errors=[Fault("", "object")]
            )
        return self._fit(schema, value)

    def _limits_of(self, model: ModelHandle) -> tuple[int, Limits]:
        """Return the limits for questions to a model: some of its rows fit, with all its names."""
        found = self._by_model.get(model)
        if found is None:
            found = self._by_model[model] = self._widened(model)
        return found

    def _widened(self, model: ModelHandle) -> tuple[int, Limits]:
        limits, needed = self._limits, self._limits.model_rows * model.row_bytes
        if model.width > limits.keys:
            limits = replace(limits, keys=model.width)
        if needed <= self._body_limit:
            return self._body_limit, limits
        return max(self._body_limit, min(self._largest, needed)), limits

    def _read_body(self, exchange: Exchange, limit: int, media_types: Collection[str]) -> bytes:
        body = _read_body(exchange, limit, media_types)
        coding = exchange.request.environ.get("HTTP_CONTENT_ENCODING")
        return body if coding is None else unpack(body, coding, limit, self._gzip_ratio)

    def _fit(self, schema: type[Schema], value: dict[str, Any]) -> dict[str, Any]:
        checker = self._schemas.get(schema) or self._schemas.setdefault(schema, schema())
        try:
            loaded: dict[str, Any] = checker.load(value)
        except ValidationError as error:
            raise invalid_input(_faults(error, set(checker.fields)), "payload.envelope") from None
        return loaded


def _absent(models: Registry, name: str, version: str = "") -> Problem:
    if models.get(name) is None and models.is_refused(name):
        # Closed for this one alone; why is in the log, and no business of the caller's.
        return Problem("model_unavailable", reason="model_refused")
    return Problem("not_found", reason="version_unknown" if version else "model_unknown")


def _faults(error: ValidationError, known: set[str]) -> list[tuple[str, str]]:
    """Name the envelope's faulty keys; an unknown key is the client's text, so not echoed."""
    messages = error.messages_dict
    faults = [
        (f"/{key}", "required" if "issing" in str(messages[key]) else "invalid")
        for key in messages
        if key in known
    ]
    if set(messages) - known:
        faults.append(("", "unknown_key"))
    return faults


def _read_body(exchange: Exchange, limit: int, media_types: Collection[str]) -> bytes:
    plain = exchange.request
    _check_media_type(plain.environ.get("CONTENT_TYPE", ""), plain, media_types)
    # One byte more than is allowed: where no length is announced (chunked), Werkzeug stops at
    # its limit without a word, and the beginning of a body must not pass for the body.
    plain.max_content_length = limit + 1
    body = plain.get_data(cache=False)
    if len(body) > limit:
        raise Problem("body_too_large", reason="payload.body_limit")
    exchange.bytes_in = len(body)
    return body


def _check_media_type(header: str, plain: Any, accepted: Collection[str]) -> None:
    if header in accepted:
        return
    charset = plain.mimetype_params.get("charset", "utf-8").lower()
    if plain.mimetype not in accepted or charset not in ("utf-8", "utf8"):
        raise Problem("unsupported_media_type", reason="payload.media_type")


def blueprint(models: Registry, readiness: Sequence[Callable[[], str | None]]) -> Blueprint:
    """Return the core's routes over the loaded models."""
    api = Blueprint("api", __name__)

    @api.post(PREDICT, endpoint="predict")
    @requires("predict", body=PredictBody, answer=PredictResponse)
    def ask(model: str) -> Any:  # a Result, which SecureFlask carries on
        """Ask a model about rows."""
        return predict(g.exchange)

    @api.post("/v1/models/<model>/versions/<version>/predict", endpoint="predict_version")
    @requires("predict", body=PredictBody, answer=PredictResponse, limited_as=PREDICT)
    def ask_version(model: str, version: str) -> Any:
        """Ask one version of a model about rows."""
        return predict(g.exchange)

    @api.get("/v1/models", endpoint="models")
    @requires("models:read", answer=ModelsResponse)
    def list_models() -> dict[str, Any]:
        """List the models this client may use."""
        principal = g.exchange.principal
        found = [_summary(models, name) for name in models.names()]
        return {
            "models": [each for each in found if principal.may_use(each["name"], each["version"])]
        }

    @api.get("/v1/models/<model>", endpoint="model")
    @requires("models:read", answer=ModelResponse)
    def describe(model: str) -> dict[str, Any]:
        """Say what a model expects and promises."""
        return _handle(g.exchange).card.public()

    @api.get("/v1/models/<model>/versions", endpoint="versions")
    @requires("models:read", answer=VersionsResponse)
    def list_versions(model: str) -> dict[str, Any]:
        """List the versions of a model that this client may ask for by number."""
        return {"versions": _versions(models, g.exchange)}

    @api.get("/v1/models/<model>/versions/<version>", endpoint="version")
    @requires("models:read", answer=ModelResponse)
    def describe_version(model: str, version: str) -> dict[str, Any]:
        """Say what one version of a model expects and promises."""
        return _handle(g.exchange).card.public()

    @api.get("/healthz", endpoint="healthz")
    @health_check(answer=AliveResponse)
    def alive() -> dict[str, str]:
        """Tell that the process answers."""
        return {"status": "alive"}

    @api.get("/readyz", endpoint="readyz")
    @health_check(answer=ReadyResponse, answered_at=(200, 503))
    def ready() -> Response:
        """Tell whether requests can be answered now."""
        reasons = events.reasons(readiness)
        body: dict[str, Any] = {"status": "not_ready" if reasons else "ready"}
        # Who asks by another name gets the status and no more: a load balancer needs no reasons.
        if reasons and not g.exchange.foreign_host:
            body["reasons"] = reasons
        return json_response(body, 503 if reasons else 200)

    return api


def _handle(exchange: Exchange) -> ModelHandle:
    if exchange.model is None:
        raise RuntimeError(f"no model was prepared for {exchange.model_name}")
    return exchange.model


def _versions(models: Registry, exchange: Exchange) -> list[dict[str, Any]]:
    principal, name = exchange.principal, exchange.model_name
    served = models.served(name)
    if served is None or principal is None:
        raise _absent(models, name)
    return [
        {"version": version, "current": handle is served.current}
        for version, handle in sorted(served.pinned.items(), key=lambda item: int(item[0]))
        if principal.may_use(name, version)
    ]


def _summary(models: Registry, name: str) -> dict[str, str]:
    handle = models.get(name)
    return {"name": name, "version": handle.version if handle else ""}
