"""``secureml models``: seal a model so that it can be proved, and choose which version serves."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from secureml.cli import allowed_names, bundles, deployments, trials
from secureml.cli.assess import assess
from secureml.cli.main import CommandContext
from secureml.cli.model_records import emit_event, has_settings, registry_of
from secureml.cli.model_refusals import with_refusals
from secureml.cli.sealing import (
    Order,
    card_sections,
    seal_ordered,
)
from secureml.cli.table_options import said_of_table, table_options
from secureml.config_error import ConfigError
from secureml.kit.output import emit, json_option
from secureml.pipeline import builtin_plugins

if TYPE_CHECKING:
    from collections.abc import Mapping

    from secureml.models.card_section import CardSection


_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
_MODEL = click.Path(exists=True, path_type=Path)  # a file, or a folder of MLflow


@click.group()
def models() -> None:
    """Seal, list, choose and remove models."""


models.add_command(assess)
models.add_command(allowed_names.allow)


class _SealCommand(click.Command):
    """`models seal`, with the options of what plugins keep on cards."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        *own, help_option = super().get_params(ctx)
        taken = {parameter.name for parameter in own}
        for name, section in _sections_here(ctx.obj).items():
            for option in section.options:
                if option.name in taken:
                    raise _option_taken(name, option)
                taken.add(option.name)
                own.append(option)
        return [*own, help_option]


def _sections_here(context: CommandContext) -> Mapping[str, CardSection]:
    try:
        return card_sections(context)
    except ConfigError:
        # `--help` is answered without settings that can be read; the command itself says what is
        # wrong with them.
        return builtin_plugins.card_sections()


def _option_taken(plugin: str, option: click.Option) -> ConfigError:
    return ConfigError(
        f"its card section has the option {option.opts[0]}, and `secureml models seal` has one of "
        "that name already",
        table=f"plugins.{plugin}",
        fix="give the option another name in the plugin's card section",
    )


@models.command(cls=_SealCommand)
@click.argument("file", type=_MODEL)
@click.option("--name", required=True, help="The name by which clients use the model.")
@click.option(
    "--data",
    type=_EXISTING,
    help="Table with a header (CSV or Parquet); features and ranges are learned from it.",
)
@click.option("--target", help="Column of the table with the answers; it is not a feature.")
@table_options
@click.option(
    "--allow",
    multiple=True,
    help=(
        "Exact name of a class or function of your own that the file uses, where there are no "
        "settings; repeatable. Where there are, `secureml models allow` writes it into them."
    ),
)
@click.option(
    "--entry",
    default="",
    metavar="KEY",
    help="Which estimator to seal, where the file holds several in a dictionary or a list.",
)
@click.option("--key", type=_EXISTING, help="Sealing key; default: keys/model-signing.key.")
@click.option("--use", is_flag=True, help="Have this version answer from now on.")
@click.option(
    "--memory-limit",
    type=click.IntRange(256),
    metavar="MIB",
    help="Most memory that reading the file may take; default: by the sizes of file and table.",
)
@click.option(
    "--time-limit",
    type=click.IntRange(1),
    default=900,
    show_default=True,
    metavar="SECONDS",
    help="Most processor time that reading the file may take.",
)
@click.option(
    "--unconfined",
    is_flag=True,
    help=(
        "Read the file even where this system cannot confine the process that reads it. For "
        "files that you made yourself: another's may then run what it likes."
    ),
)
@click.option(
    "--assess/--no-assess",
    default=True,
    show_default=True,
    help="Measure in a few seconds what the model gives away, and write it on the card.",
)
@click.option(
    "--unless-same",
    is_flag=True,
    help="Do nothing if the version in use was made from this file.",
)
@bundles.bundle_options
@json_option
@click.pass_obj
@with_refusals
def seal(
    context: CommandContext,
    /,
    allow: tuple[str, ...],
    as_json: bool,
    **words: Any,
) -> None:
    """Convert a model FILE to data, write its card, and sign both as a new version of NAME.

    FILE is what joblib, pickle, cloudpickle or skops has written, a model in ONNX, or the folder
    of a model of MLflow; its content tells which, and not its name. It is read by a process that
    can reach nothing else; the server reads the data alone. A failure changes nothing. If there
    are settings, the result is verified as the next start would verify it.
    """
    options = {
        name: {option.name: words.pop(option.name) for option in section.options}
        for name, section in card_sections(context).items()
    }
    signed = bundles.signed_files(words.pop("bundle"), words.pop("bundle_key"))
    order = Order(
        allow=frozenset(allow), options=options, signed=signed, **said_of_table(words), **words
    )
    seal_ordered(context, order, as_json)


@models.command()
@click.option("--name", default="breast-cancer", show_default=True)
@json_option
@click.pass_obj
@with_refusals
def demo(context: CommandContext, name: str, as_json: bool) -> None:
    """Train and seal a demo model on scikit-learn's breast-cancer data, unless it is there."""
    if registry_of(context).versions(name):
        emit({"name": name, "made": False}, as_json, f"the model {name} exists already")
        return
    from secureml.cli.demo import train

    with tempfile.TemporaryDirectory() as folder:
        file, table = train(Path(folder))
        # Made here, this moment, by us: it may be read where nothing can be confined.
        order = Order(file, name, table, "target", use=True, unconfined=True)
        seal_ordered(context, order, as_json)


@models.command("list")
@json_option
@click.pass_obj
@with_refusals
def list_models(context: CommandContext, as_json: bool) -> None:
    """List models with their versions; * marks the version in use."""
    if not context.instance.is_dir():
        raise ConfigError(
            "there is no such folder",
            file=str(context.instance),
            fix="run `secureml init`, or name the folder with --instance",
        )
    registry = registry_of(context)
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
@click.argument("model", metavar="NAME[@VERSION]")
@json_option
@click.pass_obj
@with_refusals
def show(context: CommandContext, model: str, as_json: bool) -> None:
    """Show the card of a model, of the version in use unless another is named."""
    name, _, version = model.partition("@")
    card = registry_of(context).card(name, version or None)
    public = card.public()
    lines = [f"{key}: {value}" for key, value in public.items() if key != "features"]
    lines += [f"  {feature['name']}: {feature}" for feature in public["features"]]
    lines += [f"assessment: {key}: {value}" for key, value in card.assessment.items()]
    assessment = {"assessment": dict(card.assessment)} if card.assessment else {}
    emit(
        {**public, "versions": dict(card.versions), "digest": card.digest, **assessment},
        as_json,
        "\n".join(lines),
    )


@models.command()
@click.argument("model", metavar="NAME[@VERSION]")
@click.option("--all", "whole", is_flag=True, help="Remove NAME with all its versions.")
@json_option
@click.pass_obj
@with_refusals
def remove(context: CommandContext, model: str, whole: bool, as_json: bool) -> None:
    """Remove a version that is not in use, or with --all a whole model.

    A running server no longer answers with it.
    """
    name, sign, version = model.partition("@")
    if bool(sign) == whole:
        raise click.UsageError(
            f"the version is missing; fix: `secureml models remove {name}@VERSION` for one "
            f"version, `secureml models remove {name} --all` for all of them"
        )
    registry = registry_of(context)
    registry.check_removable(name, version if sign else None)
    versions = [version] if sign else registry.versions(name)
    # Emitted first: what is gone could not be put back if it cannot be recorded.
    for each in versions:
        emit_event(context, "model_removed", model=name, version=each)
    registry.remove(name, version if sign else None)
    if has_settings(context):
        context.core.serving.deployments.forget(name, version if sign else None)
    emit(
        {"name": name, "removed": versions},
        as_json,
        f"removed {name} version " + ", ".join(versions),
    )


for _command in (*bundles.COMMANDS, *deployments.COMMANDS, *trials.COMMANDS):
    models.add_command(_command)
