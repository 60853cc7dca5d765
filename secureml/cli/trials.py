"""``secureml models canary``, ``shadow`` and ``trial``: a version tried beside the one in use."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from secureml.cli.main import CommandContext
from secureml.cli.model_records import emit_event, undone
from secureml.cli.model_refusals import with_refusals
from secureml.kit.command_types import format_time
from secureml.kit.output import emit, json_option
from secureml.state.deployments import TrialLimits

if TYPE_CHECKING:
    from secureml.models.serving.comparison import Comparison, Side
    from secureml.state.deployments import Trial


class _Share(click.FloatRange):
    """More than nothing, and at most all; not a number is not in between, too."""

    def __init__(self) -> None:
        super().__init__(0, 1, min_open=True)

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Return the share; raises BadParameter."""
        found: float = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value!r} is not a share; write 0.1", param, ctx)
        return found


def _limits(command: Any) -> Any:
    """Give a command the limits that end a trial by itself."""
    options = [
        click.option("--after", "least", type=click.IntRange(1), default=100, show_default=True,
                     help="Requests to compare before anything is judged."),
        click.option("--max-error-rate", "error_rate", type=click.FloatRange(0, 1), default=0.01,
                     show_default=True, help="How much greater its share of failures may be."),
        click.option("--max-latency", "latency", type=click.FloatRange(0), default=3.0,
                     show_default=True, help="How many times as long it may take."),
        click.option("--max-disagreement", "disagreement", type=click.FloatRange(0, 1),
                     help="Share of rows that it may answer otherwise; default: no limit."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("name")
@click.argument("version")
@click.option(
    "--share", type=_Share(), default=0.1, show_default=True, help="Share of the clients."
)
@_limits
@json_option
@click.pass_obj
@with_refusals
def canary(
    context: CommandContext, /, name: str, version: str, share: float, as_json: bool, **limits: Any
) -> None:
    """Have VERSION of NAME answer a share of the clients, and stop that where it does badly.

    A client always gets the same version. `secureml models trial NAME` shows how it does.
    """
    _try_out(context, name, version, share, TrialLimits(**limits), canary=True, as_json=as_json)


@click.command()
@click.argument("name")
@click.argument("version")
@click.option("--share", type=_Share(), default=1.0, show_default=True, help="Share of requests.")
@_limits
@json_option
@click.pass_obj
@with_refusals
def shadow(
    context: CommandContext, /, name: str, version: str, share: float, as_json: bool, **limits: Any
) -> None:
    """Ask VERSION of NAME what clients ask, beside the version in use; nobody gets its answers.

    `secureml models trial NAME` compares the two.
    """
    _try_out(context, name, version, share, TrialLimits(**limits), canary=False, as_json=as_json)


def _try_out(
    context: CommandContext,
    name: str,
    version: str,
    share: float,
    limits: TrialLimits,
    *,
    canary: bool,
    as_json: bool,
) -> None:
    core, word = context.core, "canary" if canary else "shadow"
    if core.models.chosen(name) == version:
        raise click.ClickException(f"version {version} of {name} is the one in use")
    core.models.prove(name, version)
    deployments = core.serving.deployments
    trial = deployments.start_trial(name, version, canary=canary, share=share, limits=limits)
    running = [each.trial.run for each in deployments.read().values() if each.trial is not None]
    core.serving.reports.drop_comparisons(keep=frozenset(running))

    def stop() -> None:
        deployments.stop_trial(name, trial.run, "it was not recorded")

    with undone(stop):
        emit_event(context, "model_trial_started", model=name, version=version, kind=word)
    emit(
        {"name": name, "version": version, "kind": word, "share": share, "run": trial.run},
        as_json,
        f"version {version} of {name} is on trial as {word}, share {share:.0%}; "
        f"compare with `secureml models trial {name}`",
    )


@click.command()
@click.argument("name")
@click.option("--stop", is_flag=True, help="End the trial.")
@json_option
@click.pass_obj
@with_refusals
def trial(context: CommandContext, name: str, stop: bool, as_json: bool) -> None:
    """Show how the version on trial compares with the one in use."""
    core = context.core
    found = core.serving.deployments.of(name).trial
    if found is None:
        raise click.ClickException(
            f"no version of {name} was on trial; fix: begin one with "
            f"`secureml models shadow {name} VERSION`"
        )
    if stop:
        core.serving.deployments.stop_trial(name, found.run, "an operator stopped it")
        emit_event(context, "model_trial_stopped", model=name, version=found.version,
                   why="an operator stopped it")  # fmt: skip
        found = core.serving.deployments.of(name).trial or found
    sums = core.serving.trials.compared(found)
    emit(_as_json(found, sums), as_json, "\n".join(_lines(found, sums)))


def _as_json(trial: Trial, sums: Comparison) -> dict[str, Any]:
    return {
        "version": trial.version,
        "kind": "canary" if trial.canary else "shadow",
        "share": trial.share,
        "started": format_time(trial.started),
        "stopped": format_time(trial.stopped),
        "why": trial.why,
        "rows": sums.rows,
        "disagreement": sums.disagreement,
        "probability_difference": sums.probability_difference / sums.rows if sums.rows else 0.0,
        "drift": sums.drift,
        "latency_ratio": sums.latency_ratio,
        "not_compared": sums.dropped,
        "in_use": _side(sums.in_use),
        "tried": _side(sums.tried),
    }


def _side(side: Side) -> dict[str, Any]:
    found: dict[str, Any] = {
        "requests": side.requests,
        "error_rate": side.error_rate,
        "mean_microseconds": side.mean_microseconds,
    }
    if side.labels:
        found["answers"] = dict(side.labels.most_common())
    if side.amounts:
        found |= {"mean": side.mean, "deviation": side.deviation}
    return found


def _lines(trial: Trial, sums: Comparison) -> list[str]:
    kind = "canary" if trial.canary else "shadow"
    state = "runs" if trial.runs else f"ended {format_time(trial.stopped)}: {trial.why}"
    apart = sums.probability_difference / sums.rows if sums.rows else 0.0
    tried, in_use = sums.tried, sums.in_use
    usual = in_use.mean_microseconds
    rows = {
        "rows answered by both": f"{sums.rows}",
        "answered otherwise": f"{sums.disagreement:.2%}" if sums.rows else "-",
        "probabilities apart": f"{apart:.4f} in the mean" if sums.rows else "-",
        "drift of answers": f"{sums.drift:.3f}" if sums.rows else "-",
        "requests": f"{tried.requests} (in use: {in_use.requests})",
        "error rate": f"{tried.error_rate:.2%} (in use: {in_use.error_rate:.2%})",
        "time of the model": f"{tried.mean_microseconds:.0f} us (in use: {usual:.0f} us)",
        "not compared": f"{sums.dropped} requests",
    }
    head = f"version {trial.version}, {kind}, share {trial.share:.0%}, "
    head += f"since {format_time(trial.started)}: {state}"
    return [head, *(f"  {name:<24}{value}" for name, value in rows.items())]


COMMANDS = (canary, shadow, trial)
