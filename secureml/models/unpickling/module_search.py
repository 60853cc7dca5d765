"""Whether Python finds a module here, told without importing it, and what to do where it does not.

A name that a model file asks for may be anybody's, so looking for its module must run none of it,
and none of the packages above it either.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec


def first_absent(module: str) -> str:
    """Return the shortest part of a dotted module name that Python does not find; "" for none.

    What no finder can tell without importing counts as found.
    """
    folders: Sequence[str] | None = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        loaded = sys.modules.get(name)
        if loaded is not None:
            # Not asked for as an attribute: a module may make up its attributes, and import.
            folders = vars(loaded).get("__path__")
            continue
        if not parts[depth - 1].isidentifier() or (depth > 1 and folders is None):
            return name  # nothing lies below a module that is no package
        try:
            spec = find_spec(name, folders)
        except Exception:  # noqa: BLE001 - a finder may raise anything; the import will tell
            return ""
        if spec is None:
            return name
        folders = spec.submodule_search_locations
    return ""


def find_spec(name: str, folders: Sequence[str] | None = None) -> ModuleSpec | None:
    """Ask Python's finders in their order, as an import does; they load nothing."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        found: ModuleSpec | None = find(name, folders, None) if find is not None else None
        if found is not None:
            return found
    return None


def how_to_find(modules: Iterable[str]) -> str:
    """Return what to do so that commands and servers find these modules, one or more."""
    tops = list(dict.fromkeys(module.partition(".")[0] for module in modules))
    return (
        f"install {', '.join(tops)}, or name the folder that holds it in PYTHONPATH: "
        "PYTHONPATH=/path/to/folder before this command, "
        "Environment=PYTHONPATH=/path/to/folder in the systemd unit"
    )
