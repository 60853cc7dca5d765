"""Faults of the input, for a plugin in VALIDATE that names the places it refuses.

Needed to refuse a request with the places that break a rule (`invalid_input`, or a
`secureml.Problem` with a `Fault` for each), and to answer it with a warning
(``exchange.add_warning`` takes an `InputWarning` for each place).
"""

from __future__ import annotations

from secureml.pipeline.exchange import InputWarning
from secureml.pipeline.problems import Fault, invalid_input

__all__ = ["Fault", "InputWarning", "invalid_input"]
