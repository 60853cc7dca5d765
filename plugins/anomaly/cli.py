"""``secureml anomaly train | list | show | drift | lift``."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from secureml import Event
from secureml.kit import output
from secureml.kit.command_types import format_time

from .decision import CLIENT, describe

if TYPE_CHECKING:
    from .baseline import Baseline
    from .blocks import Blocks
    from .drift import FeatureDrift
    from .window_store import SubjectScore, WindowStore


@dataclass(frozen=True)
class CommandContext:
    """What the commands work with."""

    window_store: WindowStore
    blocks: Blocks
    file: Path
    baseline: Baseline | None
    min_requests: int
    now: Callable[[], float]
    drift_of: Callable[[str], Sequence[FeatureDrift]]


_pass_context = click.make_pass_decorator(CommandContext)


def group(context: CommandContext, tell: Callable[[Event], None]) -> click.Group:
    """Return the commands over one store of windows."""

    @click.group("anomaly", commands=[train, list_subjects, show, drift])
    @click.pass_context
    def anomaly(ctx: click.Context) -> None:
        """Train what is usual here, and see which callers behave unusually."""
        ctx.obj = context

    @anomaly.command()
    @click.argument("subject")
    @output.json_option
    def lift(subject: str, as_json: bool) -> None:
        """Lift the block of SUBJECT: client:NAME or address:ADDRESS."""
        if not context.blocks.lift(subject):
            raise click.ClickException(
                f"{subject!r} is not blocked; fix: take a subject from `secureml anomaly list`"
            )
        client = subject.removeprefix(CLIENT) if subject.startswith(CLIENT) else ""
        tell(Event("anomaly_lifted", client, {"subject": subject}))
        output.emit({"lifted": subject}, as_json, f"{subject} may send requests again")

    return anomaly


@click.command()
@click.option(
    "--false-alarms",
    type=click.FloatRange(0, 0.1, max_open=True),
    default=0.001,
    show_default=True,
    help="The share of usual windows that may be called unusual.",
)
@output.json_option
@_pass_context
def train(context: CommandContext, false_alarms: float, as_json: bool) -> None:
    """Train on the windows counted so far; restart the server to use the baseline."""
    from .baseline import TooFewWindows
    from .baseline import train as train_baseline

    windows = context.window_store.complete(0.0, context.now())
    vectors = [w.features() for w in windows.values() if w.requests >= context.min_requests]
    try:
        baseline = train_baseline(vectors, trained_at=context.now(), false_alarms=false_alarms)
    except TooFewWindows as error:
        raise click.ClickException(
            f"{error} that have at least {context.min_requests} requests; fix: let the server "
            "run for longer, or lower [plugins.anomaly] min_requests"
        ) from None
    _write(context.file, baseline.to_json())
    output.emit(
        {"windows": len(vectors), "threshold": round(baseline.threshold, 4)},
        as_json,
        f"trained on {len(vectors)} windows; a score above {baseline.threshold:.3f} is unusual. "
        "Restart the server to use it.",
    )


@click.command("list")
@output.json_option
@_pass_context
def list_subjects(context: CommandContext, as_json: bool) -> None:
    """List blocked callers, and callers whose last window was unusual."""
    blocks = {block.subject: block for block in context.blocks.list()}
    scores = context.window_store.scores()
    odd = {name: found for name, found in scores.items() if found.streak}
    rows = [_public(scores.get(name), name, blocks.get(name)) for name in sorted({*blocks, *odd})]
    lines = [f"{row['subject']:<40} {row['state']:<8} {row['explanation']}" for row in rows]
    empty = "no caller behaves unusually"
    if context.baseline is None:
        empty = "not trained yet; fix: run `secureml anomaly train`, then restart the server"
    output.emit(rows, as_json, "\n".join(lines) or empty)


@click.command()
@click.argument("subject")
@output.json_option
@_pass_context
def show(context: CommandContext, subject: str, as_json: bool) -> None:
    """Show the last score of SUBJECT and its reasons."""
    found = context.window_store.scores([subject]).get(subject)
    block = {block.subject: block for block in context.blocks.list()}.get(subject)
    if found is None and block is None:
        raise click.ClickException(
            f"{subject!r} has no score; fix: take a subject from `secureml anomaly list`, or wait "
            f"for a window in which it has at least {context.min_requests} requests"
        )
    row = _public(found, subject, block)
    scored = f"score {found.score:.3f} at {row['window']}" if found else "no score is kept"
    text = f"{subject}: {scored}, {row['state']}"
    output.emit(row, as_json, f"{text}\n{row['explanation']}" if row["explanation"] else text)


@click.command()
@click.argument("model")
@output.json_option
@_pass_context
def drift(context: CommandContext, model: str, as_json: bool) -> None:
    """Show how far each feature of MODEL has moved from its card (PSI; above 0.25 is far)."""
    from secureml import ModelRefused

    try:
        found = context.drift_of(model)
    except ModelRefused as refused:
        raise click.ClickException(str(refused)) from None
    rows = [
        {"feature": each.feature, "psi": round(each.psi, 4), "rows": each.rows} for each in found
    ]
    lines = [f"{row['psi']:>8.3f}  {row['feature']}" for row in rows]
    empty = (
        "no drift is known: too few rows were answered in [plugins.anomaly] drift_window, or the "
        "model was sealed without a table; fix: wait, or seal it with --data"
    )
    output.emit(rows, as_json, "\n".join(lines) or empty)


def _public(score: SubjectScore | None, subject: str, block: Any) -> dict[str, Any]:
    state = block.kind if block else "unusual" if score and score.streak else "usual"
    return {
        "subject": subject,
        "state": state,
        "until": format_time(block.until) if block else None,
        "score": round(score.score, 4) if score else None,
        "streak": score.streak if score else 0,
        "window": format_time(score.start) if score else None,
        # Of a blocked caller, why: its windows since are full of refusals because of that.
        "explanation": block.reason if block else describe(score) if score else "",
        "reasons": score.reasons if score else [],
    }


def _write(path: Path, text: str) -> None:
    """Write the file whole or not at all; only its owner may change it."""
    path.parent.mkdir(mode=0o750, exist_ok=True)
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # else the name may outlive the contents, without power
        draft.chmod(0o640)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
