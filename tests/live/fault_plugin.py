"""Plugins that fail or wait on demand, so that a live test can have what it needs for real."""

from __future__ import annotations

import os
import time
from pathlib import Path
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


class Waits(Plugin):
    """Holds a request with the header X-Wait until the file `run/go` is there.

    It says in `run/arrived` that one has come, and waits for no more than twenty seconds.
    """

    name = "waits"

    def admit(self, exchange: Exchange) -> None:
        if "X-Wait" not in exchange.request.headers:
            return
        folder = Path(os.environ["SECUREML_INSTANCE"]) / "run"
        (folder / "arrived").touch()
        deadline = time.monotonic() + 20
        while not (folder / "go").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
