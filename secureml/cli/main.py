"""The root of the ``secureml`` command: the core's groups, then each plugin's under its name.

``--instance DIR`` and ``--json`` may be anywhere on the line; without the first it is
SECUREML_INSTANCE, else ./instance. A fault is one line on stderr, never a traceback.
"""

from __future__ import annotations

import difflib
import gc
import os
import sys
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from secureml.config_error import ConfigError
from secureml.kit.output import print_error
from secureml.state.store import StoreUnavailable

if TYPE_CHECKING:
    from secureml.core import Core
    from secureml.pipeline.events import Fact
    from secureml.state.clients import Clients
    from secureml.state.store import Store

# Where each command lives; imported only when called, so that `--help` is quick.
CORE = {
    "init": "secureml.cli.init:init",
    "serve": "secureml.cli.serve:serve",
    "check": "secureml.cli.inspect:check",
    "phases": "secureml.cli.inspect:phases",
    "routes": "secureml.cli.inspect:routes",
    "clients": "secureml.cli.clients:clients",
    "access": "secureml.cli.access:access",
    "signing-keys": "secureml.cli.signing_keys:signing_keys",
    "models": "secureml.cli.models:models",
    "score": "secureml.cli.score:score",
    "reload": "secureml.cli.reload:reload",
    "nginx-conf": "secureml.cli.nginx_conf:nginx_conf",
    "events": "secureml.cli.events:events",
    "sbom": "secureml.cli.sbom:sbom",
    "backup": "secureml.cli.backup:backup",
    "restore": "secureml.cli.restore:restore",
    "db": "secureml.cli.db:db",
}
_WHY = "secureml.why_no_plugins"  # under this word a context keeps why the application is not there


class CommandContext:
    """What commands are handed: the instance, and the application built on first need."""

    def __init__(self, instance: str | None) -> None:
        self._given = instance

    @cached_property
    def instance(self) -> Path:
        """The instance folder."""
        from secureml.settings import instance_folder

        return instance_folder(self._given)

    @cached_property
    def core(self) -> Core:
        """Settings, state and plugins; raises ConfigError where they cannot be."""
        from secureml.core import build_core

        return build_core(self.instance)

    @property
    def clients(self) -> Clients:
        """The named clients."""
        return self.core.clients

    def known_scopes(self) -> frozenset[str]:
        """Return the scopes that mean something on this server."""
        from secureml.app import known_scopes

        return known_scopes(self.core)

    def known_models(self) -> frozenset[str]:
        """Return the names of sealed models, whether they serve or not."""
        return frozenset(self.core.models.names_on_disk())

    def emit(self, name: str, client: str = "", **facts: Fact) -> None:
        """Let the recorders know what a command did."""
        from secureml.pipeline.events import Event

        self.core.emit(Event(name, client, facts))

    @property
    def store(self) -> Store:
        """The store."""
        return self.core.store


class Root(click.Group):
    """Finds the core's commands by name, and the plugins' by asking the application."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every command; plugins' only where the instance can be read."""
        from secureml.cli import plugin_commands

        try:
            plugins = plugin_commands.names(ctx.ensure_object(CommandContext).core)
        except (ConfigError, TypeError):
            plugins = []
        return [*CORE, *(name for name in plugins if name not in CORE)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name; of one that cannot run here, what `--help` needs."""
        if cmd_name in CORE:
            module, _, attribute = CORE[cmd_name].partition(":")
            command: click.Command = getattr(import_module(module), attribute)
            return command
        from secureml.cli import plugin_commands

        try:
            found = plugin_commands.enabled(ctx.ensure_object(CommandContext).core, cmd_name)
        except ConfigError as why:
            ctx.meta[_WHY] = why
            return plugin_commands.to_read_about(cmd_name, why)
        return found or plugin_commands.to_read_about(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a line; for one that is not there, say what else it may have been."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from secureml.cli.plugin_commands import words_of_ours

            known = [*self.list_commands(ctx), *words_of_ours()]
            near = difflib.get_close_matches(args[0], known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            why = ctx.meta.get(_WHY)
            if why is not None:
                hint += f" The commands of your own plugins are unknown, because {why}."
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Say where the others are."""
        formatter.write_paragraph()
        formatter.write_text(
            "Commands of plugins are listed if the settings of an instance name the plugins; "
            "those of the built-in plugins always have --help."
        )


def _print_version(ctx: click.Context, param: click.Parameter, help_error: bool) -> None:
    del param
    if help_error and not ctx.resilient_parsing:
        from secureml.cli.version import version

        click.echo(f"secureml {version()}")
        ctx.exit()


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.pass_context
def secureml(ctx: click.Context) -> None:
    """Serve scikit-learn models securely.

    Every command takes --instance DIR (else SECUREML_INSTANCE, else ./instance) and --json.
    """
    ctx.ensure_object(CommandContext)


def take_instance(arguments: list[str]) -> tuple[str | None, list[str]]:
    """Take ``--instance DIR`` out of a command line, anywhere before ``--``."""
    found: str | None = None
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            return found, [*rest, word, *words]
        if word == "--instance":
            found = next(words, "")
        elif word.startswith("--instance="):
            found = word.removeprefix("--instance=")
        else:
            rest.append(word)
            continue
        if not found:
            # An empty one is a script's unset variable; ./instance is not what it meant.
            raise ConfigError("--instance needs the path of a folder", fix="--instance DIR")
    return found, rest


def move_json(arguments: list[str]) -> tuple[bool, list[str]]:
    """Move ``--json`` to where the last command takes it, from anywhere before ``--``."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    words = [word for word in arguments[:end] if word != "--json"]
    json_wanted = len(words) < end
    return json_wanted, [*words, *["--json"] * json_wanted, *arguments[end:]]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; the console script's entry."""
    # As in wsgi.py: what a command imports stays, and looking through it again and again is a
    # tenth of the time of a short one.
    gc.set_threshold(20_000, 20, 50)
    as_json, words = move_json(list(sys.argv[1:] if arguments is None else arguments))
    try:
        instance, rest = take_instance(words)
        code = secureml.main(
            rest, prog_name="secureml", obj=CommandContext(instance), standalone_mode=False
        )
    except click.exceptions.NoArgsIsHelpError as help_error:
        help_error.show()
        code = help_error.exit_code
    except BrokenPipeError:
        # The reader of the pipe has ended; what is left in the buffer cannot be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except (click.ClickException, ConfigError, StoreUnavailable, OSError) as error:
        code = print_error(error, as_json)
    except click.Abort:
        code = 130
    sys.exit(code)
