"""Where the modules of allowed names lie, so that a confined child may read them and no more."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from pkgutil import iter_modules

from secureml.confinement import readable_paths
from secureml.models.unpickling.allowlist import builtin_names, never
from secureml.models.unpickling.module_search import find_spec


def own_modules(allow: Iterable[str]) -> dict[str, Path]:
    """Return the folder or file of each top-level module of these names that is not installed.

    What is installed can be read in any case. Nothing is imported. Beside it, what such a module
    imports must be installed: the folder it lies in may hold anything.
    """
    names = {name for name in allow if name not in builtin_names() and not never(name)}
    tops = sorted({top for name in names if (top := name.partition(".")[0]).isidentifier()})
    found = {top: _place(top) for top in tops}
    return {top: path for top, path in found.items() if path and not _is_installed(path)}


def names_beside() -> tuple[str, ...]:
    """Return the modules in folders of our path that a confined child does not have on its own.

    Nothing is imported, and a module within a package is not looked for.
    """
    installed = set(readable_paths.search_path())
    folders = [entry for entry in sys.path if entry and entry not in installed]
    return tuple(sorted({module.name for module in iter_modules(folders)}))


def _place(top: str) -> Path | None:
    spec = find_spec(top)
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    if folders:
        return Path(folders[0])
    return Path(spec.origin) if spec.has_location and spec.origin else None


def _is_installed(path: Path) -> bool:
    folders = [Path(entry) for entry in readable_paths.search_path()]
    return any(path.is_relative_to(folder) for folder in folders)
