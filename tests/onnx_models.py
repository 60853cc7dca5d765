"""Models in ONNX, made by hand of its operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.optional_packages import need

WEIGHTS = np.array([[1.0, -0.5], [0.25, 2.0], [-1.0, 0.5]], dtype=np.float32)
BIASES = np.array([0.1, -0.2, 0.3], dtype=np.float32)
DOMAINS = {"": 17, "ai.onnx.ml": 3}


def model_of(graph: Any, domains: dict[str, int] | None = None) -> Any:
    """Return the model of a graph, as onnx has it."""
    onnx = need("onnx")
    opsets = [onnx.helper.make_opsetid(*pair) for pair in (domains or DOMAINS).items()]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


def regressor(**words: Any) -> Any:
    """Return a linear regression of two columns."""
    onnx = need("onnx")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    weights = onnx.numpy_helper.from_array(WEIGHTS[:1].T.copy(), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["X", "w"], ["y"])],
        "regressor",
        [helper.make_tensor_value_info("X", number, [None, 2])],
        [helper.make_tensor_value_info("y", number, [None, 1])],
        [weights],
    )
    return model_of(graph, **words)


def classifier(labels: tuple[Any, ...] = (3, 5, 9), *, zipped: bool = False) -> Any:
    """Return a linear classifier of two columns and three classes."""
    onnx = need("onnx")
    helper, proto = onnx.helper, onnx.TensorProto
    words = type(labels[0]) is str
    named = {"classlabels_strings" if words else "classlabels_ints": list(labels)}
    nodes = [
        helper.make_node(
            "LinearClassifier", ["X"], ["label", "scores"], domain="ai.onnx.ml",
            coefficients=WEIGHTS.ravel().tolist(), intercepts=BIASES.tolist(),
            post_transform="SOFTMAX", **named,
        )
    ]  # fmt: skip
    scores = helper.make_tensor_value_info("scores", proto.FLOAT, [None, 3])
    if zipped:
        key = "classlabels_strings" if words else "classlabels_int64s"
        nodes.append(
            helper.make_node(
                "ZipMap", ["scores"], ["maps"], domain="ai.onnx.ml", **{key: list(labels)}
            )
        )
        kind = helper.make_map_type_proto(
            proto.STRING if words else proto.INT64, helper.make_tensor_type_proto(proto.FLOAT, [])
        )
        scores = helper.make_value_info("maps", helper.make_sequence_type_proto(kind))
    label = helper.make_tensor_value_info("label", proto.STRING if words else proto.INT64, [None])
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("X", proto.FLOAT, [None, 2])],
        [label, scores],
    )
    return model_of(graph)


def of_columns() -> Any:
    """Return a model of a column of numbers and one of texts."""
    onnx = need("onnx")
    helper, proto = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node(
            "LabelEncoder", ["plan"], ["code"], domain="ai.onnx.ml",
            keys_strings=["basic", "plus", "pro"], values_floats=[0.0, 1.0, 2.0],
            default_float=-1.0,
        ),
        helper.make_node("Add", ["code", "months"], ["sum"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "columns",
        [
            helper.make_tensor_value_info("plan", proto.STRING, [None, 1]),
            helper.make_tensor_value_info("months", proto.FLOAT, [None, 1]),
        ],
        [helper.make_tensor_value_info("sum", proto.FLOAT, [None, 1])],
    )
    return model_of(graph)
