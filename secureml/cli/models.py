"""``secureml models``: seal a model so that it can be proved, and choose which version serves."""

from __future__ import annotations

import functools
import tempfile
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from secureml.cli.main import Desk
from secureml.cli.output import Command, emit, json_option
from secureml.config_error import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from secureml.models.registry import Registry
    from secureml.models.sealing import Sealed


_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class _Order:
    """What to seal, and from what."""

    file: Path
    name: str
    data: Path | None = None
    target: str | None = None
    rules: Path | None = None
    key: Path | None = None
    allow: frozenset[str] = frozenset()
    use: bool = False
    unless_same: bool = False


def _refusals_told(command: Command) -> Command:
    """Have a command end with what a refused model says, in its one line."""

    @functools.wraps(command)
    def told(*args: Any, **words: Any) -> Any:
        from secureml.models.artifact import ModelRefused

        try:
            return command(*args, **words)
        except ModelRefused as error:
            raise click.ClickException(str(error)) from None

    return told  # type: ignore[return-value]  # the same call


@click.group()
def models() -> None:
    """Seal, list and choose models."""


@models.command()
@click.argument("file", type=_EXISTING)
@click.option("--name", required=True, help="What clients will call the model.")
@click.option("--data", type=_EXISTING, help="CSV table with a header; ranges are learned from it.")
@click.option("--target", help="Column of the table that is the answer, not a feature.")
@click.option("--rules", type=_EXISTING, help="TOML file of [[rules]] for rows; see input_rules.")
@click.option(
    "--allow", multiple=True, help="Exact name of an extra class the file uses; repeatable."
)
@click.option("--key", type=_EXISTING, help="Sealing key, if not keys/model-signing.key.")
@click.option("--use", is_flag=True, help="Let this version serve from the next start.")
@click.option(
    "--unless-same", is_flag=True, help="Do nothing when the version that serves is this file."
)
@json_option
@click.pass_obj
@_refusals_told
def seal(desk: Desk, /, allow: tuple[str, ...], as_json: bool, **words: Any) -> None:
    """Prove a joblib FILE, write its card, and sign both as a new version of NAME."""
    _seal(desk, _Order(allow=frozenset(allow), **words), as_json)


@models.command()
@click.option("--name", default="breast-cancer", show_default=True)
@json_option
@click.pass_obj
@_refusals_told
def demo(desk: Desk, name: str, as_json: bool) -> None:
    """Train and seal a demo model on scikit-learn's breast-cancer data, unless it is there."""
    if _registry(desk).versions(name):
        emit({"name": name, "made": False}, as_json, f"the model {name} is there already")
        return
    from secureml.cli.demo import train

    with tempfile.TemporaryDirectory() as folder:
        file, table = train(Path(folder))
        _seal(desk, _Order(file, name, table, "target", use=True), as_json)


def _seal(desk: Desk, order: _Order, as_json: bool) -> None:
    from secureml.models import sealing

    if order.unless_same and _is_current(desk, order):
        emit({"name": order.name, "made": False}, as_json, f"{order.name} is this file already")
        return
    sealed = sealing.seal(
        order.file,
        name=order.name,
        root=_folder(desk),
        data=order.data,
        target=order.target,
        rules=order.rules,
        key=_sealing_key(desk, order.key),
        allow=order.allow,
        now=time.time,
    )
    if order.use:
        _registry(desk).use(sealed.name, sealed.version)
    _tell(desk, "model_sealed", sealed.name, sealed.version, digest=sealed.card.digest)
    if order.use:
        _tell(desk, "model_chosen", sealed.name, sealed.version)
    _say_sealed(sealed, as_json)


def _is_current(desk: Desk, order: _Order) -> bool:
    registry = _registry(desk)
    if registry.current(order.name) is None:
        return False
    from secureml.models.rule_file import read_rules

    card = registry.card(order.name)
    same_file = card.digest == sha256(order.file.read_bytes()).hexdigest()
    return same_file and card.rules == read_rules(order.rules)


def _say_sealed(sealed: Sealed, as_json: bool) -> None:
    features, source = len(sealed.card.features), sealed.card.source
    first, last = sealed.card.features[0].name, sealed.card.features[-1].name
    text = f"sealed {sealed.name} version {sealed.version}: {features} features"
    text += f" from {first!r} to {last!r}"
    emit(
        {
            "name": sealed.name,
            "version": sealed.version,
            "folder": str(sealed.folder),
            "features": features,
            "ranges_from": source,
        },
        as_json,
        f"{text}, ranges from {source}",
    )


def _sealing_key(desk: Desk, given: Path | None) -> Ed25519PrivateKey:
    from secureml.models import signature

    path = given or desk.instance / "keys" / "model-signing.key"
    try:
        return signature.read_private_key(path)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the sealing key cannot be read ({type(error).__name__})",
            file=str(path),
            fix="run `secureml init`, or name one with --key",
        ) from None


@models.command("list")
@json_option
@click.pass_obj
@_refusals_told
def list_models(desk: Desk, as_json: bool) -> None:
    """List models with their versions; the one that serves is marked."""
    registry = _registry(desk)
    rows = [
        {"name": name, "version": version, "current": version == registry.current(name)}
        for name in registry.names_on_disk()
        for version in registry.versions(name)
    ]
    text = "\n".join(
        f"{'*' if row['current'] else ' '} {row['name']} {row['version']}" for row in rows
    )
    emit(rows, as_json, text or "no model is sealed yet")


@models.command()
@click.argument("name")
@click.option("--version", help="Another version than the one that serves.")
@json_option
@click.pass_obj
@_refusals_told
def show(desk: Desk, name: str, version: str | None, as_json: bool) -> None:
    """Show the card of a model."""
    card = _registry(desk).card(name, version)
    public = card.public()
    lines = [f"{key}: {value}" for key, value in public.items() if key != "features"]
    lines += [f"  {feature['name']}: {feature}" for feature in public["features"]]
    emit(
        {**public, "versions": dict(card.versions), "digest": card.digest},
        as_json,
        "\n".join(lines),
    )


@models.command()
@click.argument("name")
@click.argument("version")
@json_option
@click.pass_obj
@_refusals_told
def use(desk: Desk, name: str, version: str, as_json: bool) -> None:
    """Let VERSION of NAME serve from the next start."""
    _registry(desk).use(name, version)
    _chosen(desk, name, version, as_json)


@models.command()
@click.argument("name")
@json_option
@click.pass_obj
@_refusals_told
def rollback(desk: Desk, name: str, as_json: bool) -> None:
    """Go back to the version that served before, from the next start."""
    _chosen(desk, name, _registry(desk).rollback(name), as_json)


def _chosen(desk: Desk, name: str, version: str, as_json: bool) -> None:
    _tell(desk, "model_chosen", name, version)
    emit(
        {"name": name, "version": version, "restart_needed": True},
        as_json,
        f"{name} {version} serves from the next start",
    )


def _tell(desk: Desk, event: str, name: str, version: str, **facts: str) -> None:
    """Let records know; a machine that only seals keeps none."""
    if (desk.instance / "secureml.toml").exists():
        desk.tell(event, model=name, version=version, **facts)


def _registry(desk: Desk) -> Registry:
    """Return the registry, with the plugins that vouch where this machine has settings."""
    from secureml.models.registry import Registry

    if (desk.instance / "secureml.toml").exists():
        return desk.house.models
    # Sealing works on a machine that serves nothing, too.
    return Registry(desk.instance / "models")


def _folder(desk: Desk) -> Path:
    if (desk.instance / "secureml.toml").exists():
        return desk.house.settings.models_folder
    return desk.instance / "models"
