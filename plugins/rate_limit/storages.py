"""Where the counters of one instance are kept, by its settings: files, or a Redis.

It knows `ConfigError` and secrets, so it stands on the side of `settings.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from secureml import ConfigError, Host, LiveSecret, SecretUnavailable

from .declared import LASTING_SIZE, Place, file_place


def places(config: Mapping[str, Any], host: Host) -> tuple[Place, Place]:
    """Return where quick and lasting counters are kept."""
    busy = config["busy"]
    if not config["redis"]:
        quick = host.instance / config["counters"]
        lasting = host.instance / config["budgets"]
        if quick == lasting:
            raise ConfigError("one file cannot be both", key="budgets", fix="name another")
        words = {"clock": host.now, "busy": busy}
        return (
            file_place(quick, size=config["size"], **words),
            file_place(lasting, size=LASTING_SIZE, capacity=0, **words),
        )
    try:
        make = import_module(".redis_place", __package__).redis_place
        place: Place = make(config["redis"], busy=busy, password=_password(config, host))
    except ImportError as error:
        raise ConfigError(
            f"the Redis client is not installed ({error.name})",
            key="redis",
            fix="pip install 'flask-limiter[redis]'",
        ) from None
    return place, place


def _password(config: Mapping[str, Any], host: Host) -> Callable[[], str | None] | None:
    source = config["redis_password"]
    if source is None:
        return None
    try:
        live: LiveSecret = source.watch(host.instance, now=host.now)
    except ConfigError as error:
        raise ConfigError(error.message, key="redis_password", fix=error.fix) from None

    def current() -> str | None:
        try:
            return live.current().reveal().decode()
        except SecretUnavailable:
            return None

    return current
