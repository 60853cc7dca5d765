"""What stock clients make of a server, as JSON: run by the Python that has them installed.

``python inference_clients.py triton|mlserver`` reads what to ask from standard input. Numbers go
out as hexadecimal of their bytes, so that nothing is rounded on the way.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
from typing import Any

import numpy as np


def bits(array: Any) -> str:
    """Return the bytes of an array of numbers, or the texts of one of texts."""
    if array.dtype == object:
        return json.dumps([one.decode() if isinstance(one, bytes) else one for one in array])
    return array.tobytes().hex()


def triton(said: dict[str, Any]) -> dict[str, Any]:
    """Ask by Triton's client, in its default binary form and in JSON."""
    import tritonclient.http as client

    server = client.InferenceServerClient(
        said["address"],
        ssl=True,
        ssl_options={"ca_certs": said["authority"]},
        network_timeout=30,
        connection_timeout=30,
    )
    headers, rows = {"X-API-Key": said["key"]}, np.array(said["rows"])
    metadata = server.get_model_metadata("breast-cancer", headers=headers)

    def matrix(kind: Any, name: str, *, binary: bool) -> list[Any]:
        tensor = client.InferInput("rows", list(rows.shape), name)
        tensor.set_data_from_numpy(rows.astype(kind), binary_data=binary)
        return [tensor]

    def columns(*, binary: bool) -> list[Any]:
        made = []
        for number, column in enumerate(metadata["inputs"]):
            tensor = client.InferInput(column["name"], [len(rows)], column["datatype"])
            values = np.ascontiguousarray(rows[:, number])
            made.append(tensor.set_data_from_numpy(values, binary_data=binary))
        return made

    def infer(inputs: list[Any], **words: Any) -> dict[str, Any]:
        answer = server.infer("breast-cancer", inputs, headers=dict(headers), **words)
        names = ("predictions", "probabilities")
        found = {name: answer.as_numpy(name) for name in names}
        head = {key: answer.get_response()[key] for key in ("model_name", "model_version", "id")}
        return head | {name: None if one is None else bits(one) for name, one in found.items()}

    def refused(key: str, **words: Any) -> list[Any]:
        try:
            server.infer("breast-cancer", headers={"X-API-Key": key}, **words)
        except client.InferenceServerException as error:
            return [error.status(), error.message()]
        return []

    plain = matrix(np.float64, "FP64", binary=True)
    as_json = [
        client.InferRequestedOutput(name, binary_data=False)
        for name in ("predictions", "probabilities")
    ]
    return {
        "live": server.is_server_live(),
        "ready": server.is_server_ready(),
        "model_ready": server.is_model_ready("breast-cancer", "1", headers=headers),
        "other_ready": server.is_model_ready("breast-cancer", "2", headers=headers),
        "server": server.get_server_metadata(headers=headers),
        "model": metadata,
        "binary": infer(plain, request_id="mine"),
        "json": infer(matrix(np.float64, "FP64", binary=False), outputs=as_json),
        "columns": infer(columns(binary=True), model_version="1"),
        "columns_json": infer(columns(binary=False), outputs=as_json),
        "single": infer(matrix(np.float32, "FP32", binary=True)),
        "selected": infer(plain, outputs=[client.InferRequestedOutput("predictions")]),
        "no_key": refused("sml_wrong", inputs=plain),
        "no_version": refused(said["key"], inputs=plain, model_version="2"),
        "sequence": refused(said["key"], inputs=plain, sequence_id=7),
        "beyond": refused(
            said["key"],
            inputs=[
                client.InferInput("rows", list(rows.shape), "FP64").set_data_from_numpy(rows * 1e6)
            ],
        ),
        "counted": [refused(said["counted"], inputs=plain) for _ in range(3)],
    }


def mlserver(said: dict[str, Any]) -> dict[str, Any]:
    """Ask by MLServer's codecs and types: a frame goes out, a frame comes back."""
    import pandas as pd
    from mlserver.codecs import NumpyRequestCodec, PandasCodec
    from mlserver.types import InferenceResponse, MetadataModelResponse, MetadataServerResponse

    frame = pd.DataFrame(said["frame"]).astype({"home": object})
    trust = ssl.create_default_context(cafile=said["authority"])
    connection = http.client.HTTPSConnection(said["address"], timeout=30, context=trust)

    def ask(method: str, path: str, body: str | None = None) -> bytes:
        headers = {"X-API-Key": said["key"], "Content-Type": "application/json"}
        connection.request(method, path, body.encode() if body else None, headers)
        answer = connection.getresponse()
        found = answer.read()
        if answer.status != 200:
            raise SystemExit(found.decode())
        return found

    def infer(model: str, request: Any) -> Any:
        body = request.model_dump_json()
        return InferenceResponse.model_validate_json(ask("POST", f"/v2/models/{model}/infer", body))

    answer = infer("mixed", PandasCodec.encode_request(frame, use_bytes=False))
    numbers = infer("breast-cancer", NumpyRequestCodec.encode_request(np.array(said["rows"])))
    metadata = MetadataModelResponse.model_validate_json(ask("GET", "/v2/models/mixed"))
    server = MetadataServerResponse.model_validate_json(ask("GET", "/v2"))
    mixed = {one.name: one.data.root for one in answer.outputs}
    return {
        "predictions": mixed["predictions"],
        "probabilities": mixed["probabilities"],
        "numbers": {one.name: one.data.root for one in numbers.outputs}["probabilities"],
        "frame": PandasCodec.decode_response(
            answer.model_copy(update={"outputs": answer.outputs[:1]})
        )["predictions"].tolist(),
        "inputs": {one.name: one.datatype for one in metadata.inputs or []},
        "extensions": server.extensions,
    }


if __name__ == "__main__":
    ways = {"triton": triton, "mlserver": mlserver}
    print(json.dumps(ways[sys.argv[1]](json.load(sys.stdin))))
