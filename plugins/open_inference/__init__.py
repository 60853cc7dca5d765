"""Open Inference Protocol: stock clients ask a model in tensors, by version 2 of the protocol."""

from .plugin import OpenInference as plugin

__all__ = ["plugin"]
