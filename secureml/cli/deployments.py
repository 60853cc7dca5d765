"""``secureml models use``, ``load``, ``retire`` and the like: which versions answer.

Workers that serve follow within a second; a command waits until they have, and says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from secureml.cli.main import CommandContext
from secureml.cli.model_records import emit_event, has_settings, registry_of, undone
from secureml.cli.model_refusals import with_refusals
from secureml.kit.command_types import Time, format_time
from secureml.kit.output import emit, json_option
from secureml.state.deployments import Retirement

if TYPE_CHECKING:
    from secureml.core import Core
    from secureml.state.serving_reports import ServerReport

PATIENCE = 30.0  # seconds that workers may take to load a version
_LOOK = 0.1


# --- which version is in use ----------------------------------------------------------------------


@click.command()
@click.argument("name")
@click.argument("version")
@json_option
@click.pass_obj
@with_refusals
def use(context: CommandContext, name: str, version: str, as_json: bool) -> None:
    """Have VERSION of NAME answer from now on; the version before stays loaded."""
    _choose(context, name, version, as_json)


@click.command()
@click.argument("name")
@json_option
@click.pass_obj
@with_refusals
def rollback(context: CommandContext, name: str, as_json: bool) -> None:
    """Have the version that answered before answer again."""
    _choose(context, name, registry_of(context).previous(name), as_json)


def _choose(context: CommandContext, name: str, version: str, as_json: bool) -> None:
    registry = registry_of(context)
    before = registry.pointers(name)
    registry.use(name, version)
    with undone(lambda: registry.restore_current(name, before)):
        emit_event(context, "model_chosen", model=name, version=version)
    _end_trial_of(context, name, version)
    workers = wait_for_workers(context, name, version)
    text = f"version {version} of {name} answers in {workers} workers"
    if not workers:
        text = f"version {version} of {name} answers from the next start on: no server runs here"
    emit({"name": name, "version": version, "workers": workers}, as_json, text)


def _end_trial_of(context: CommandContext, name: str, version: str) -> None:
    if not has_settings(context):
        return
    trial = context.core.serving.deployments.of(name).trial
    if trial is not None and trial.runs and trial.version == version:
        context.core.serving.deployments.stop_trial(name, trial.run, "it was put into use")


def wait_for_workers(context: CommandContext, name: str, version: str) -> int:
    """Wait until a version is in use in every worker; return how many there are.

    Raises ClickException where a worker refuses the version, or takes too long.
    """
    if not has_settings(context):
        return 0

    def refusal(report: ServerReport) -> str | None:
        return report.refused.get(name)

    return _wait(context.core, name, lambda report: report.served.get(name) == version, refusal)


def _wait(
    core: Core,
    name: str,
    done: Callable[[ServerReport], bool],
    refusal: Callable[[ServerReport], str | None],
) -> int:
    deadline = time.monotonic() + PATIENCE
    while True:
        alive = core.serving.reports.alive()
        if all(map(done, alive)):
            return len(alive)
        for report in alive:
            if not done(report) and (why := refusal(report)):
                raise click.ClickException(f"the worker {report.place} does not take it: {why}")
        if time.monotonic() > deadline:
            late = ", ".join(report.place for report in alive if not done(report))
            raise click.ClickException(
                f"not every worker serves the new state of {name} after {PATIENCE:.0f} s: {late}; "
                "fix: see the log of the server"
            )
        time.sleep(_LOOK)


# --- versions that clients may name ---------------------------------------------------------------


@click.command()
@click.argument("name")
@click.argument("version")
@json_option
@click.pass_obj
@with_refusals
def load(context: CommandContext, name: str, version: str, as_json: bool) -> None:
    """Keep VERSION of NAME loaded, for clients who ask for it by number.

    The version in use and the one before are loaded without being told.
    """
    context.core.models.prove(name, version)
    context.core.serving.deployments.set_loaded(name, version, loaded=True)
    emit_event(context, "model_loaded", model=name, version=version)
    path = f"/v1/models/{name}/versions/{version}/predict"
    emit(
        {"name": name, "version": version, "loaded": True, "path": path},
        as_json,
        f"version {version} of {name} answers at {path}",
    )


@click.command()
@click.argument("name")
@click.argument("version")
@json_option
@click.pass_obj
@with_refusals
def unload(context: CommandContext, name: str, version: str, as_json: bool) -> None:
    """Keep VERSION of NAME loaded no longer, unless it is in use or was before."""
    context.core.models.artifact(name, version)
    context.core.serving.deployments.set_loaded(name, version, loaded=False)
    emit_event(context, "model_unloaded", model=name, version=version)
    emit(
        {"name": name, "version": version, "loaded": False},
        as_json,
        f"version {version} of {name} is no longer kept loaded",
    )


@click.command()
@click.argument("name")
@click.argument("version")
@click.option("--deprecated", type=Time(time.time), help="Since when it should not be used.")
@click.option("--sunset", type=Time(time.time), help="When it ends.")
@click.option("--link", default="", help="A page that says what to do, https://...")
@click.option("--cancel", is_flag=True, help="Take the announcement back.")
@json_option
@click.pass_obj
@with_refusals
def retire(
    context: CommandContext,
    name: str,
    version: str,
    deprecated: float | None,
    sunset: float | None,
    link: str,
    cancel: bool,
    as_json: bool,
) -> None:
    """Announce the end of VERSION of NAME in the answers that it gives.

    They carry `Deprecation` (RFC 9745) and `Sunset` (RFC 8594); the version goes on answering until
    it is unloaded or removed.
    """
    _check_retirement(deprecated, sunset, link, cancel=cancel)
    context.core.models.artifact(name, version)
    retirement = Retirement(deprecated, sunset, link)
    context.core.serving.deployments.retire(name, version, retirement)
    dates = {"deprecated": format_time(deprecated), "sunset": format_time(sunset)}
    emit_event(context, "model_retired", model=name, version=version,
               **{key: value or "" for key, value in dates.items()})  # fmt: skip
    said = ", ".join(f"{key} {value}" for key, value in dates.items() if value)
    emit(
        {"name": name, "version": version, **dates, "link": link},
        as_json,
        f"answers of version {version} of {name} say: {said or 'nothing'}",
    )


def _check_retirement(
    deprecated: float | None, sunset: float | None, link: str, *, cancel: bool
) -> None:
    if cancel == (deprecated is not None or sunset is not None):
        raise click.UsageError("give --deprecated, --sunset or both, or --cancel alone")
    if deprecated is not None and sunset is not None and sunset < deprecated:
        raise click.UsageError("--sunset is before --deprecated (RFC 9745, section 4)")
    if link and not (link.startswith("https://") and link.isascii() and link.isprintable()):
        raise click.BadParameter("write an address that begins with https://", param_hint="--link")
    if any(sign in link for sign in ' <>"'):
        raise click.BadParameter("an address has no spaces, quotes or <>", param_hint="--link")


COMMANDS = (use, rollback, load, unload, retire)
