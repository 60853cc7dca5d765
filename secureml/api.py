"""The model API: predict, list, describe, and tell whether we live and are ready.

Views return data or raise; a prediction is returned as a ``Result`` so that it cannot
reach the wire without passing the SHAPE phase.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, g
from marshmallow import Schema, ValidationError, fields

from secureml.api_schemas import (
    AliveResponse,
    ModelResponse,
    ModelsResponse,
    PredictResponse,
    ReadyResponse,
)
from secureml.models.serving.handle import ModelFailed
from secureml.pipeline.body import Limits, read_form, read_json
from secureml.pipeline.content_encoding import unpack
from secureml.pipeline.exchange import Exchange
from secureml.pipeline.json_response import JsonResponse
from secureml.pipeline.policy import health_check, requires
from secureml.pipeline.problems import Fault, Problem, invalid_input

if TYPE_CHECKING:
    from secureml.models.serving.handle import ModelHandle, Result
    from secureml.models.serving.registry import Registry

log = logging.getLogger("secureml")

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
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


def prediction(exchange: Exchange) -> dict[str, Any]:
    """Return the body of an answer to a prediction."""
    result, model = exchange.result, exchange.model
    if result is None or model is None:
        raise RuntimeError("a prediction without a result or a model")
    body: dict[str, Any] = {"predictions": result.predictions}
    if result.probabilities is not None:
        body["probabilities"] = result.probabilities
    if exchange.warnings:
        body["warnings"] = [notice._asdict() for notice in exchange.warnings]
        body["warning_count"] = exchange.warning_count
    body["model"] = {"name": model.name, "version": model.version}
    body["id"] = exchange.id
    return body


class RequestPreparation:
    """Readies a request in the VALIDATE phase: finds the model, reads the body strictly."""

    def __init__(
        self, models: Registry, limits: Limits, body_limit: int, largest: int | None = None
    ) -> None:
        """Take limits in bytes; ``largest`` is as far as a model of many columns may raise one."""
        self._models, self._limits, self._body_limit = models, limits, body_limit
        self._largest = body_limit if largest is None else largest
        self._gzip_ratio = limits.gzip_ratio if limits.gzip else None
        self._schemas: dict[type[Schema], Schema] = {}

    def __call__(self, exchange: Exchange) -> None:
        """Set the exchange's model and payload, or raise the Problem that stops here."""
        if exchange.model_name:
            exchange.model = self._models.get(exchange.model_name)
            if exchange.model is None:
                raise _absent(self._models, exchange.model_name)
        policy = exchange.policy
        if policy is None or (policy.body is None and not policy.form):
            return
        limit, limits = policy.body_limit or self._body_limit, self._limits
        if exchange.model is not None and policy.body_limit is None:
            limit, limits = self._limits_of(exchange.model)
        if policy.body is None:
            form = self._read_body(exchange, limit, FORM)
            exchange.payload = {**read_form(form, limits)}
            return
        body = self._read_body(exchange, limit, JSON)
        value = read_json(body, limits)
        if not isinstance(value, dict):
            raise Problem(
                "invalid_input", reason="payload.not_an_object", errors=[Fault("", "object")]
            )
        exchange.payload = self._fit(policy.body, value)

    def _limits_of(self, model: ModelHandle) -> tuple[int, Limits]:
        """Return the limits for questions to a model: some of its rows fit, with all its names."""
        limits, needed = self._limits, self._limits.model_rows * model.row_bytes
        if model.width > limits.keys:
            limits = replace(limits, keys=model.width)
        if needed <= self._body_limit:
            return self._body_limit, limits
        return max(self._body_limit, min(self._largest, needed)), limits

    def _read_body(self, exchange: Exchange, limit: int, media_type: str) -> bytes:
        body = _read_body(exchange, limit, media_type)
        coding = exchange.request.environ.get("HTTP_CONTENT_ENCODING")
        return body if coding is None else unpack(body, coding, limit, self._gzip_ratio)

    def _fit(self, schema: type[Schema], value: dict[str, Any]) -> dict[str, Any]:
        checker = self._schemas.get(schema) or self._schemas.setdefault(schema, schema())
        try:
            loaded: dict[str, Any] = checker.load(value)
        except ValidationError as error:
            raise invalid_input(_faults(error, set(checker.fields)), "payload.envelope") from None
        return loaded


def _absent(models: Registry, name: str) -> Problem:
    if models.is_refused(name):
        # Closed for this one alone; why is in the log, and no business of the caller's.
        return Problem("model_unavailable", reason="model_refused")
    return Problem("not_found", reason="model_unknown")


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


def _read_body(exchange: Exchange, limit: int, media_type: str) -> bytes:
    plain = exchange.request
    _check_media_type(plain.environ.get("CONTENT_TYPE", ""), plain, media_type)
    # One byte more than is allowed: where no length is announced (chunked), Werkzeug stops at
    # its limit without a word, and the beginning of a body must not pass for the body.
    plain.max_content_length = limit + 1
    body = plain.get_data(cache=False)
    if len(body) > limit:
        raise Problem("body_too_large", reason="payload.body_limit")
    exchange.bytes_in = len(body)
    return body


def _check_media_type(header: str, plain: Any, required: str) -> None:
    if header == required:
        return
    charset = plain.mimetype_params.get("charset", "utf-8").lower()
    if plain.mimetype != required or charset not in ("utf-8", "utf8"):
        raise Problem("unsupported_media_type", reason="payload.media_type")


def blueprint(models: Registry, readiness: Sequence[Callable[[], str | None]]) -> Blueprint:
    """Return the core's routes over the loaded models."""
    api = Blueprint("api", __name__)

    @api.post("/v1/models/<model>/predict", endpoint="predict")
    @requires("predict", body=PredictBody, answer=PredictResponse)
    def predict(model: str) -> Any:  # a Result, which Application carries on
        """Ask a model about rows."""
        return _predict(g.exchange)

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
        found = models.get(model)
        if found is None:
            raise _absent(models, model)
        return found.card.public()

    @api.get("/healthz", endpoint="healthz")
    @health_check(answer=AliveResponse)
    def alive() -> dict[str, str]:
        """Tell that the process answers."""
        return {"status": "alive"}

    @api.get("/readyz", endpoint="readyz")
    @health_check(answer=ReadyResponse, answered_at=(200, 503))
    def ready() -> Response:
        """Tell whether requests can be answered now."""
        reasons = [reason for ask in readiness if (reason := ask())]
        body: dict[str, Any] = {"status": "not_ready" if reasons else "ready"}
        # Who asks by another name gets the status and no more: a load balancer needs no reasons.
        if reasons and not g.exchange.foreign_host:
            body["reasons"] = reasons
        return json_response(body, 503 if reasons else 200)

    return api


def _predict(exchange: Exchange) -> Result:
    rows = exchange.read_rows()
    if exchange.model is None:
        raise RuntimeError(f"no model was prepared for {exchange.model_name}")
    try:
        return exchange.model.predict(rows)
    except ModelFailed as failed:
        if failed.row is None:
            raise
        # The model answers others, so it is this question, which no rule foresaw.
        log.info("%s: no answer to row %d", exchange.id, failed.row, exc_info=failed)
        fault = (f"/instances/{failed.row}", "unanswerable")
        raise invalid_input([fault], f"model.{failed}") from failed


def _summary(models: Registry, name: str) -> dict[str, str]:
    handle = models.get(name)
    return {"name": name, "version": handle.version if handle else ""}
