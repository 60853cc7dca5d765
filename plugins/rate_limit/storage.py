"""The limits as Flask-Limiter holds them, and where they are stored: files, or a Redis.

An adapter, so it may know Flask, `ConfigError` and secrets. Every rule is declared to a
`flask_limiter.Limiter`, which parses it and makes the storage its URI names and the strategy
over it; ``limiter.limiter.hit_with_stats(...)`` then decides each hit. There is one Limiter for
each strategy in use over each storage, and ``app.extensions["limiter"]`` shows them all.

What Flask-Limiter does not get is its hooks: they cost 100 microseconds a request where a
strategy costs 20, and the phases of the pipeline are the only hooks of this application.
`Limiter.init_app` registers none for a limiter that the app already has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from flask import Flask
from flask_limiter import ApplicationLimit, Limiter
from limits import RateLimitItem
from limits.storage import Storage

from secureml import ConfigError, Host
from secureml.kit.secrets import LiveSecret, SecretUnavailable

from .rules import Rule
from .sqlite_storage import SCHEME, SQLiteStorage
from .strategies import Strategy, registered_name

DURABLE_SIZE = 1024 * 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """The URI of a storage for `limits`, and the options its constructor takes."""

    uri: str
    options: Mapping[str, Any]


class LimiterRegistry:
    """The Limiters of all rules; ``attach`` shows them to an app, without one they work as well.

    ``key_function`` returns, for a rule, the function by which Flask-Limiter knows its key.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        ephemeral: StorageConfig,
        durable: StorageConfig,
        key_function: Callable[[Rule], Callable[[], str]],
    ) -> None:
        self._configs = {False: ephemeral, True: durable}
        self._declared = {rule: _declare(rule, key_function) for rule in rules}
        self.items: dict[Rule, RateLimitItem] = {
            rule: next(iter(limit)).limit for rule, limit in self._declared.items()
        }
        self._limiters: dict[tuple[str, bool], Limiter] = {}

    def attach(self, app: Flask) -> None:
        """Make the Limiters anew and show them to an app; no hook of theirs is registered."""
        self.close()
        self._limiters.clear()
        for durable, config in self._configs.items():
            shared: dict[str, Any] = {}
            for strategy in self._strategies(durable=durable):
                limiter = self._limiter(strategy, durable, {**config.options, **shared})
                app.extensions.setdefault("limiter", set()).add(limiter)
                limiter.init_app(app)
                self._limiters[strategy, durable] = limiter
                if isinstance(limiter.storage, SQLiteStorage):
                    # One connection to a file in each process, whatever number of strategies.
                    shared = {"shared": limiter.storage}

    def limiter(self, strategy: str, *, durable: bool) -> Limiter:
        """Return the Limiter of a strategy over the durable or the ephemeral storage."""
        if not self._limiters:
            self.attach(Flask("rate_limit"))  # a command has no app
        return self._limiters[strategy, durable]

    def strategy(self, rule: Rule) -> Strategy:
        """Return what decides a rule: ``limiter.limiter`` of its Limiter."""
        limiter = self.limiter(rule.strategy, durable=rule.allowance.durable)
        return cast("Strategy", limiter.limiter)

    def storages(self) -> list[Storage]:
        """Return the storages that rules need, the ephemeral one always."""
        if not self._limiters:
            self.attach(Flask("rate_limit"))
        found = {durable: one.storage for (_, durable), one in self._limiters.items()}
        return list(found.values())

    def close(self) -> None:
        """Close the files, if there are any."""
        for limiter in self._limiters.values():
            if isinstance(limiter.storage, SQLiteStorage):
                limiter.storage.close()

    def _strategies(self, *, durable: bool) -> list[str]:
        used = {r.strategy for r in self._declared if r.allowance.durable == durable}
        # The ephemeral storage is opened and checked even where nothing uses it yet.
        return sorted(used) or ([] if durable else ["fixed-window"])

    def _limiter(self, strategy: str, durable: bool, options: Mapping[str, Any]) -> Limiter:
        limits = [
            limit
            for rule, limit in self._declared.items()
            if (rule.strategy, rule.allowance.durable) == (strategy, durable)
        ]
        return Limiter(
            lambda: "",
            application_limits=[*limits],
            storage_uri=self._configs[durable].uri,
            storage_options=dict(options),
            strategy=registered_name(strategy),
            headers_enabled=False,
        )


def _declare(rule: Rule, key_function: Callable[[Rule], Callable[[], str]]) -> ApplicationLimit:
    return ApplicationLimit(
        limit_provider=rule.allowance.notation, key_function=key_function(rule), scope=rule.name
    )


def storage_configs(config: Mapping[str, Any], host: Host) -> tuple[StorageConfig, StorageConfig]:
    """Return the ephemeral and the durable storage of an instance; raises ConfigError."""
    timeout = config["storage_timeout"]
    if config["redis"]:
        password = _password(config, host)
        redis = redis_config(config["redis"], timeout=timeout, password=password)
        return redis, redis
    ephemeral = host.instance / config["counters"]
    durable = host.instance / config["budgets"]
    if ephemeral == durable:
        raise ConfigError(
            f"counters and budgets are both kept in {ephemeral}",
            key="budgets",
            fix="name a different file in budgets",
        )
    options = {"clock": host.now, "timeout": timeout}
    return (
        sqlite_config(ephemeral, size=config["max_size"], **options),
        sqlite_config(durable, size=DURABLE_SIZE, capacity=0, **options),
    )


def sqlite_config(path: Path, **options: Any) -> StorageConfig:
    """Return the storage that is a SQLite file of ours; ``options`` as `SQLiteStorage` has them."""
    return StorageConfig(f"{SCHEME}://{quote(str(path))}", {"wrap_exceptions": True, **options})


def redis_config(
    uri: str, *, timeout: float, password: Callable[[], str | None] | None
) -> StorageConfig:
    """Return the storage that is a Redis; ``timeout`` in seconds bounds each of its answers.

    ``password`` is called at each connection, and returns None where it cannot be read. Raises
    ConfigError where the Redis client is not installed.
    """
    try:
        retry = import_module("redis.retry").Retry
        no_backoff = import_module("redis.backoff").NoBackoff
    except ImportError as error:
        raise ConfigError(
            f"the Redis client is not installed ({error.name})",
            key="redis",
            fix="script/extras redis",
        ) from None
    options: dict[str, Any] = {
        "wrap_exceptions": True,
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        # One try: the client's own default is to try for seconds while the request waits.
        "retry": retry(no_backoff(), 0),
    }
    if password is not None:
        options["credential_provider"] = _rotating_password(password)
    return StorageConfig(uri, options)


def _rotating_password(password: Callable[[], str | None]) -> Any:
    """Return a CredentialProvider that reads the password at each connection."""
    provider: Any = import_module("redis.credentials").CredentialProvider
    exceptions = import_module("redis.exceptions")

    class RotatingPassword(provider):  # type: ignore[misc]
        def get_credentials(self) -> tuple[str]:
            text = password()
            if text is None:
                raise exceptions.AuthenticationError("the password cannot be read")
            return (text,)

    return RotatingPassword()


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
