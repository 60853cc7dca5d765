"""The checked, frozen contents of ``instance/secureml.toml``.

One file, no second way to say a thing: the environment gives secrets and
``SECUREML_INSTANCE``, nothing else. An unknown word anywhere stops the start.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from marshmallow import Schema, ValidationError

from secureml import store_location
from secureml.config_error import ConfigError, did_you_mean
from secureml.pipeline.body import Limits
from secureml.pipeline.refusal_log import RecordingPolicy
from secureml.pipeline.settings_errors import invalid_table
from secureml.settings_schema import TABLES
from secureml.state import secret_settings
from secureml.state.secrets.references import SecretOptions
from secureml.state.signing import Schedule

FILE = "secureml.toml"
SIGNING_FOLDER = "keys/signing"

DATABASES = ("sqlite", "postgresql")


@dataclass(frozen=True)
class Settings:
    """Everything an operator can say, checked; plugin tables are checked by their plugins."""

    instance: Path
    profile: str
    plugins: tuple[str, ...]
    accept_risk: frozenset[str]
    log_level: str
    store_url: str
    models_folder: Path
    models_allow: frozenset[str]
    body_limit: int
    limits: Limits
    signing: Schedule
    secrets: SecretOptions
    recording: RecordingPolicy
    timeout: int
    nginx: str
    bind: str
    threads: int  # of all workers together
    plugin_tables: Mapping[str, Mapping[str, Any]]

    @property
    def file(self) -> str:
        """The settings file, as the operator knows it, for messages."""
        return str(self.instance / FILE)

    @property
    def store_file(self) -> Path | None:
        """The file of a SQLite store; None for any other database."""
        url = sa.make_url(self.store_url)
        return Path(url.database or "") if url.get_backend_name() == "sqlite" else None

    @property
    def production(self) -> bool:
        """Tell whether every known risk is refused."""
        return self.profile == "production"


def instance_folder(given: str | Path | None = None) -> Path:
    """Return the instance folder: the one given, else SECUREML_INSTANCE, else ./instance."""
    return Path(given or os.environ.get("SECUREML_INSTANCE") or "instance").resolve()


def read(instance: Path) -> Settings:
    """Read and check the settings file; raises ConfigError with file, table and key."""
    file = instance / FILE
    tables = read_toml(file)
    plugin_tables = tables.pop("plugins", {})
    _refuse_unknown_tables(tables, plugin_tables, file)
    try:
        checked = {
            name: load_table(schema, tables.get(name, {}), name) for name, schema in TABLES.items()
        }
        _check_store(checked["store"]["url"])
    except ConfigError as error:
        raise error.within(file=str(file)) from None
    return _freeze(instance, checked, plugin_tables)


def read_toml(file: Path) -> dict[str, Any]:
    """Return the tables of a settings file; raises ConfigError where it cannot be read."""
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            "there is no such file",
            file=str(file),
            fix="run `secureml init`, or name the folder with --instance",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot be read ({type(error).__name__})",
            file=str(file),
            fix="check its owner, mode and encoding (UTF-8)",
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"is not valid TOML: {error}", file=str(file), fix="correct the line it names"
        ) from None


def _refuse_unknown_tables(tables: dict[str, Any], plugin_tables: Any, file: Path) -> None:
    for name in sorted(set(tables) - set(TABLES)):
        raise ConfigError(
            "this table or key is unknown",
            file=str(file),
            table=name,
            fix=f"{did_you_mean(name, [*TABLES, 'plugins'])}the tables are {', '.join(TABLES)} and "
            "plugins.<name>",
        )
    misshapen = [name for name, table in tables.items() if not isinstance(table, dict)]
    if not isinstance(plugin_tables, dict):
        misshapen.append("plugins")
    else:
        misshapen += [
            f"plugins.{name}"
            for name, table in plugin_tables.items()
            if not isinstance(table, dict)
        ]
    for name in misshapen:
        raise not_a_table(name).within(file=str(file))


def not_a_table(name: str) -> ConfigError:
    """Return the refusal of a value that stands where a table belongs."""
    return ConfigError(
        "this must be a table", table=name, fix=f"write [{name}] on a line of its own"
    )


def load_table(schema: type[Schema], table: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a table with its defaults; raises ConfigError where a value is refused."""
    try:
        loaded: dict[str, Any] = schema().load(table)
    except ValidationError as error:
        raise invalid_table(error, name, schema(), table) from None
    return loaded


def _check_store(url: str) -> None:
    """Refuse a URL that could never be opened; it may hold a password, so it is not repeated."""
    if not url:
        return
    location = {"table": "store", "key": "url"}
    fix = "leave it out for SQLite, or write postgresql+psycopg://USER@HOST/DATABASE"
    try:
        found = sa.make_url(url)
        if found.get_backend_name() not in DATABASES or not found.database:
            raise ConfigError(
                "this is no URL of a PostgreSQL or SQLite database", fix=fix, **location
            )
        found.get_dialect().import_dbapi()
    except ImportError as error:
        raise ConfigError(
            f"the driver of this URL is not installed ({error.name})",
            fix="script/extras postgres",
            **location,
        ) from None
    except (sa.exc.ArgumentError, ValueError):
        raise ConfigError("this is no URL of a database", fix=fix, **location) from None


def _freeze(
    instance: Path, tables: dict[str, dict[str, Any]], plugin_tables: dict[str, Any]
) -> Settings:
    root, payload = tables["secureml"], tables["payload"]
    return Settings(
        instance=instance,
        profile=root["profile"],
        plugins=tuple(root["plugins"]),
        accept_risk=frozenset(root["accept_risk"]),
        log_level=root["log_level"],
        store_url=store_location.url_of(tables["store"]["url"], instance),
        models_folder=instance / tables["models"]["folder"],
        models_allow=frozenset(tables["models"]["allow"]),
        body_limit=payload["body"],
        limits=Limits(**{key: value for key, value in payload.items() if key != "body"}),
        signing=Schedule(**tables["signing_keys"]),
        secrets=secret_settings.options(tables["secrets"], instance),
        recording=RecordingPolicy(**tables["recording"]),
        timeout=tables["server"]["timeout"],
        nginx=tables["server"]["nginx"],
        bind=tables["server"]["bind"],
        threads=tables["server"]["workers"] * tables["server"]["threads"],
        plugin_tables=MappingProxyType(
            {name: MappingProxyType(table) for name, table in plugin_tables.items()}
        ),
    )
