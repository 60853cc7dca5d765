"""The routes of the protocol, and how bodies and answers of inference are read and made."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, g

from secureml import Exchange, Kind, ModelHandle, Problem, public, requires
from secureml.kit.prediction import BodyLimits, predict
from secureml.kit.validation import Fault

from .instances import instances_of
from .metadata import SERVER, model_metadata
from .outputs import offered, outputs_of, written
from .refusal import TensorsRefused
from .schemas import (
    InferAnswer,
    InferRequest,
    LiveAnswer,
    ModelMetadata,
    ModelReadyAnswer,
    ReadyAnswer,
    ServerMetadata,
)
from .selection import Selection, read_selection
from .tensors import read_tensors
from .wording import worded

PREDICT = "/v1/models/<model>/predict"  # whose limits hold here as well
JSON, BINARY = "application/json", "application/octet-stream"
LENGTH = "Inference-Header-Content-Length"
STATE = "open_inference"
_LONGEST_NUMBER = 12  # digits of a length
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def refusal(problem: Problem, kind: Kind, exchange: Exchange) -> tuple[str, str]:
    """Return the wording of a refusal of these routes."""
    return worded(kind, problem.errors, exchange.id)


class TensorFormat:
    """Bodies and answers of inference; see `secureml.kit.prediction.PredictionFormat`."""

    # Triton's client names none, MLServer's says JSON of binary data: the length tells them apart.
    media_types = (JSON, BINARY, "")

    def json_length(self, exchange: Exchange, body: bytes) -> int:
        """Return what the header says, or all; raises Problem where it cannot be true."""
        headers = exchange.request.headers
        if not exchange.request.mimetype and "Origin" in headers:
            # A page may send a body without a media type to any site, unasked (Fetch, 3.2.2).
            raise Problem("unsupported_media_type", reason="open_inference.media_type")
        said = headers.get(LENGTH)
        if said is None:
            return len(body)
        digits = said.isascii() and said.isdigit() and len(said) <= _LONGEST_NUMBER
        if not digits or not 0 < int(said) <= len(body):
            raise Problem("malformed_request", reason="open_inference.json_length")
        return int(said)

    def instances(
        self, exchange: Exchange, envelope: dict[str, Any], rest: bytes, limits: BodyLimits
    ) -> list[Any]:
        """Return the rows that the tensors hold; raises the Problem that names the faults."""
        card = _model(exchange).card
        try:
            exchange.state[STATE] = read_selection(envelope, offered(card))
            tensors = read_tensors(envelope["inputs"], rest, limits.text)
            return instances_of(tensors, card.features, limits.body)
        except TensorsRefused as wrong:
            raise Problem(
                wrong.code,
                reason=f"open_inference.{wrong.word}",
                errors=[Fault(path, rule) for path, rule in wrong.faults],
            ) from None

    def answer(self, exchange: Exchange) -> Any:
        """Return the outputs: JSON data, or a response where some are binary."""
        result, model = exchange.result, _model(exchange)
        if result is None:
            raise RuntimeError("an answer without a result")
        selection: Selection = exchange.state[STATE]
        listed, parts = written(outputs_of(result, model.card), selection)
        body: dict[str, Any] = {
            "model_name": model.name,
            "model_version": model.version,
            "id": selection.request_id or exchange.id,
            "parameters": _parameters(exchange),
            "outputs": listed,
        }
        if not parts:
            return body
        head = _encode(body).encode()
        return Response(
            b"".join((head, *parts)), content_type=BINARY, headers={LENGTH: str(len(head))}
        )


def _parameters(exchange: Exchange) -> dict[str, Any]:
    """Return our own id, and warnings as JSON text: the protocol's parameters hold no lists."""
    found: dict[str, Any] = {"log_id": exchange.id}
    if exchange.warnings:
        found["warnings"] = _encode([notice._asdict() for notice in exchange.warnings])
        found["warning_count"] = exchange.warning_count
    return found


def _model(exchange: Exchange) -> ModelHandle:
    """Return the version that the core has chosen; of one that is not there it has said so."""
    if exchange.model is None:
        raise RuntimeError("no model was chosen")
    return exchange.model


def blueprint(unready: Callable[[], Any]) -> Blueprint:
    """Return the routes; ``unready`` says why requests cannot be answered."""
    views = Blueprint("open_inference", __name__)
    _add_server_routes(views, unready)
    _add_model_routes(views, unready)
    return views


def _add_server_routes(views: Blueprint, unready: Callable[[], Any]) -> None:
    @views.get("/v2", endpoint="server")
    @requires("models:read", answer=ServerMetadata, wording=refusal)
    def server() -> dict[str, Any]:
        """Say what the server calls itself, and which extensions it has."""
        return SERVER

    @views.get("/v2/health/live", endpoint="live")
    @public(answer=LiveAnswer, wording=refusal)
    def live() -> dict[str, Any]:
        """Tell that the process answers."""
        return {"live": True}

    @views.get("/v2/health/ready", endpoint="ready")
    @public(answer=ReadyAnswer, answered_at=(200, 503), wording=refusal)
    def ready() -> Response:
        """Tell whether requests can be answered now."""
        return _readiness({}, unready)


def _add_model_routes(views: Blueprint, unready: Callable[[], Any]) -> None:
    of_model, of_version = "/v2/models/<model>", "/v2/models/<model>/versions/<version>"

    @views.get(of_model, endpoint="model")
    @views.get(of_version, endpoint="version")
    @requires("models:read", answer=ModelMetadata, wording=refusal)
    def describe(model: str, version: str = "") -> dict[str, Any]:
        """Say what a model reads and answers with, in tensors."""
        return model_metadata(_model(g.exchange).card)

    @views.get(f"{of_model}/ready", endpoint="model_ready")
    @views.get(f"{of_version}/ready", endpoint="version_ready")
    @requires("models:read", answer=ModelReadyAnswer, answered_at=(200, 503), wording=refusal)
    def model_ready(model: str, version: str = "") -> Response:
        """Tell whether a model answers now."""
        return _readiness({"name": _model(g.exchange).name}, unready)

    @views.post(f"{of_model}/infer", endpoint="infer")
    @views.post(f"{of_version}/infer", endpoint="infer_version")
    @requires(
        "predict",
        body=InferRequest,
        answer=InferAnswer,
        format=TensorFormat(),
        wording=refusal,
        limited_as=PREDICT,
    )
    def infer(model: str, version: str = "") -> Any:  # a Result, which the core carries on
        """Ask a model about rows, in tensors."""
        return predict(g.exchange)


def _readiness(body: dict[str, Any], unready: Callable[[], Any]) -> Response:
    """Return the answer to a probe; the reasons are for /readyz, which is asked from nearby."""
    reasons = unready()
    return Response(
        _encode({**body, "ready": not reasons}), 503 if reasons else 200, content_type=JSON
    )
