"""What the application itself can measure: models, keys, secrets, room on disk.

Asked when somebody looks, never on the path of a request. What cannot be measured now is left
out and logged: its absence shows in monitoring, and the rest is still there.
"""

from __future__ import annotations

import logging
import platform
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING

from secureml.pipeline.events import Measure
from secureml.secret_report import ages

if TYPE_CHECKING:
    from secureml.core import Core

log = logging.getLogger("secureml.measures")


def measures(core: Core, now: float) -> list[Measure]:
    """Return what can be measured of the application at ``now``, seconds since the epoch."""
    parts: dict[str, Callable[[], Iterator[Measure]]] = {
        "versions": _versions,
        "models": lambda: _models(core),
        "refused models": lambda: _refused(core),
        "signing keys": lambda: _signing_keys(core, now),
        "secrets": lambda: _secrets(core, now),
        "disks": lambda: _room(core),
    }
    found: list[Measure] = []
    for name, part in parts.items():
        try:
            found += part()
        except Exception:
            log.exception("%s cannot be measured", name)
    return found


def _versions() -> Iterator[Measure]:
    labels = {"python": platform.python_version(), "scikit_learn": version("scikit-learn")}
    yield Measure("build_info", 1.0, "Versions of this server and its libraries.", labels)


def _models(core: Core) -> Iterator[Measure]:
    for name in core.models.names():
        handle = core.models.get(name)
        if handle is None:
            continue
        labels = {"model": name, "version": handle.version}
        yield Measure("model_info", 1.0, "The version of each model in service.", labels)
        yield Measure(
            "model_load_seconds",
            core.models.load_seconds(name),
            "Time it took to verify and load each model.",
            {"model": name},
        )


def _refused(core: Core) -> Iterator[Measure]:
    for name, refused in core.models.refused().items():
        labels = {"model": name, "check": refused.check}
        yield Measure("model_refused", 1.0, "Models whose version in use was refused.", labels)


def _signing_keys(core: Core, now: float) -> Iterator[Measure]:
    for record in core.signing.list():
        state = record.state(now)
        if state == "retired":
            continue
        yield Measure(
            "signing_key_age_seconds",
            now - record.created,
            "Age of each signing key in use.",
            {"kid": record.kid, "state": state},
        )


def _secrets(core: Core, now: float) -> Iterator[Measure]:
    for secret in ages(core, now, managers=False):
        if secret.age is not None:
            yield Measure(
                "secret_age_seconds",
                secret.age,
                "Age of each secret in use, if its source says when it was made.",
                {"table": secret.table, "key": secret.key},
            )


def _room(core: Core) -> Iterator[Measure]:
    for folder in ("logs", "run", "store"):
        path = core.settings.instance / folder
        if path.is_dir():
            room = shutil.disk_usage(path)
            labels = {"folder": folder}
            yield Measure("disk_free_bytes", room.free, "Free space for each folder.", labels)
            yield Measure("disk_size_bytes", room.total, "Size of the disk of each folder.", labels)
