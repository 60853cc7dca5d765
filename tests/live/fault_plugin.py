"""A plugin that fails on demand, so that each refusal of the application can be had for real."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secureml import Plugin, Problem

if TYPE_CHECKING:
    from secureml import Exchange


class Faults(Plugin):
    """Raises the problem that the header X-Fault names, or something unforeseen."""

    name = "faults"

    def admit(self, exchange: Exchange) -> None:
        code = exchange.request.headers.get("X-Fault")
        if code == "bug":
            raise RuntimeError("canary-of-a-traceback")
        if code:
            raise Problem(code, reason="faults.asked")
