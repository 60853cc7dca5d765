"""The child's side: confine this process, then import and run the work.

Started by path with `python -I -S -B`, so that nothing but the standard library is at hand until
the process is confined. The few modules it needs are loaded without `secureml/__init__.py`, which
would bring Flask with it.
"""

from __future__ import annotations

import _socket
import importlib
import importlib.util
import os
import struct
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from secureml.confinement.plan import Plan


class Work(NamedTuple):
    """What the work is given: arguments, open inputs by name, and where its result goes."""

    arguments: tuple[str, ...]
    inputs: Mapping[str, int]
    output: int | None


class GivenPackages:
    """A finder for packages and modules that are readable, while the folder they lie in is not.

    A module is given by its file, a package by its folder.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a package by its whole name; for the rest there are other finders."""
        if name not in self._places:
            return None
        folder = self._places[name]
        if not os.path.isdir(folder):  # noqa: PTH112 - as below
            return importlib.util.spec_from_file_location(name, folder)
        return importlib.util.spec_from_file_location(
            name, f"{folder}/__init__.py", submodule_search_locations=[folder]
        )


def _without_init(name: str, folder: str) -> None:
    """Let modules of a package be imported without running its `__init__`."""
    package = ModuleType(name)
    package.__path__ = [folder]
    sys.modules[name] = package


def _send(channel: _socket.socket, message: bytes, listener: int | None) -> None:
    """Send the report, with the listener beside it, and close the only socket there is."""
    beside = [] if listener is None else [struct.pack("=i", listener)]
    channel.sendmsg([message], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, raw) for raw in beside])
    channel.close()
    if listener is not None:
        os.close(listener)


def _run(plan: Plan) -> None:
    """Import the work and call it."""
    sys.path[:] = plan.search_path
    sys.meta_path.insert(0, GivenPackages(plan.packages))
    sys.argv[:] = [plan.work, *plan.arguments]
    module, _, function = plan.work.partition(":")
    work = Work(tuple(plan.arguments), plan.inputs, plan.output)
    getattr(importlib.import_module(module), function)(work)


def main() -> None:
    """Confine, report, and run; the exit code tells a lack of memory from other faults."""
    folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib is slow
    _without_init("secureml", os.path.dirname(folder))  # noqa: PTH120
    _without_init("secureml.confinement", folder)
    plans = importlib.import_module("secureml.confinement.plan")
    confinement = importlib.import_module("secureml.confinement.self_confinement")
    plan: Plan = plans.Plan.decode(sys.argv[1])
    # Made before it is confined: to make one of a descriptor takes calls that are refused then.
    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, plan.control)
    report, listener = confinement.SelfConfinement(plan).apply()
    _send(channel, report.encode(), listener)
    if set(plan.required) - set(report.active):
        sys.exit(plans.UNCONFINED_EXIT)
    del sys.modules["secureml"]
    try:
        _run(plan)
    except MemoryError:
        sys.exit(plans.MEMORY_EXIT)


if __name__ == "__main__":
    main()
