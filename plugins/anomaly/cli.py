"""``secureml anomaly train | list | show | lift``: learn what is usual, see who is not."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from secureml import Event, output

from .guard import words

if TYPE_CHECKING:
    from .bars import Bars
    from .baseline import Baseline
    from .drift import Moved
    from .ledger import Ledger, Standing


@dataclass(frozen=True)
class Counter:
    """What the commands work with."""

    ledger: Ledger
    bars: Bars
    file: Path
    baseline: Baseline | None
    least: int
    now: Callable[[], float]
    moved: Callable[[str], Sequence[Moved]]


_at_counter = click.make_pass_decorator(Counter)


def group(counter: Counter, tell: Callable[[Event], None]) -> click.Group:
    """Return the commands over one ledger."""

    @click.group("anomaly", commands=[train, list_standings, show, drift])
    @click.pass_context
    def anomaly(ctx: click.Context) -> None:
        """Learn what is usual here, and see who behaves otherwise."""
        ctx.obj = counter

    @anomaly.command()
    @click.argument("subject")
    @output.json_option
    def lift(subject: str, as_json: bool) -> None:
        """Let SUBJECT in again: client:NAME or address:ADDRESS."""
        if not counter.bars.lift(subject):
            raise click.ClickException(f"{subject!r} is neither held nor banned")
        tell(Event("anomaly_lifted", subject.removeprefix("client:"), {"subject": subject}))
        output.emit({"lifted": subject}, as_json, f"{subject} is let in again")

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
@_at_counter
def train(counter: Counter, false_alarms: float, as_json: bool) -> None:
    """Take the windows counted so far for usual; restart the server to use them."""
    from .baseline import TooFew, learn

    windows = counter.ledger.whole(0.0, counter.now())
    vectors = [w.features() for w in windows.values() if w.requests >= counter.least]
    try:
        baseline = learn(vectors, made=counter.now(), false_alarms=false_alarms)
    except TooFew as error:
        raise click.ClickException(
            f"{error}; let the server run with [plugins.anomaly] for a while"
        ) from None
    _write(counter.file, baseline.to_json())
    output.emit(
        {"windows": len(vectors), "threshold": round(baseline.threshold, 4)},
        as_json,
        f"learned from {len(vectors)} windows; unusual is a score above "
        f"{baseline.threshold:.3f}. Restart the server to use it.",
    )


@click.command("list")
@output.json_option
@_at_counter
def list_standings(counter: Counter, as_json: bool) -> None:
    """List who is kept out, and whose last window was unusual."""
    bars = {bar.subject: bar for bar in counter.bars.list()}
    standings = counter.ledger.standings()
    odd = {name: found for name, found in standings.items() if found.streak}
    rows = [_public(standings.get(name), name, bars.get(name)) for name in sorted({*bars, *odd})]
    lines = [f"{row['subject']:<40} {row['state']:<8} {row['why']}" for row in rows]
    empty = "nobody behaves unusually"
    if counter.baseline is None:
        empty = "not trained yet: secureml anomaly train"
    output.emit(rows, as_json, "\n".join(lines) or empty)


@click.command()
@click.argument("subject")
@output.json_option
@_at_counter
def show(counter: Counter, subject: str, as_json: bool) -> None:
    """Show the last score of SUBJECT and what made it."""
    found = counter.ledger.standings([subject]).get(subject)
    if found is None:
        raise click.ClickException(f"nothing was judged about {subject!r} yet")
    bar = {bar.subject: bar for bar in counter.bars.list()}.get(subject)
    row = _public(found, subject, bar)
    text = f"{subject}: score {found.score:.3f} at {row['window']}, {row['state']}"
    output.emit(row, as_json, f"{text}\n{row['why']}" if row["why"] else text)


@click.command()
@click.argument("model")
@output.json_option
@_at_counter
def drift(counter: Counter, model: str, as_json: bool) -> None:
    """Show how far each feature of MODEL has moved from its card (PSI; above 0.25 is far)."""
    from secureml import ModelRefused

    try:
        found = counter.moved(model)
    except ModelRefused as refused:
        raise click.ClickException(str(refused)) from None
    rows = [
        {"feature": each.feature, "psi": round(each.psi, 4), "rows": each.rows} for each in found
    ]
    lines = [f"{row['psi']:>8.3f}  {row['feature']}" for row in rows]
    empty = "too few rows so far, or a model that was sealed without a table"
    output.emit(rows, as_json, "\n".join(lines) or empty)


def _public(standing: Standing | None, subject: str, bar: Any) -> dict[str, Any]:
    state = bar.kind if bar else "unusual" if standing and standing.streak else "usual"
    return {
        "subject": subject,
        "state": state,
        "until": _time(bar.until) if bar else None,
        "score": round(standing.score, 4) if standing else None,
        "streak": standing.streak if standing else 0,
        "window": _time(standing.start) if standing else None,
        # Of who is kept out, why: the windows since are full of being refused for that.
        "why": bar.why if bar else words(standing) if standing else "",
        "reasons": standing.reasons if standing else [],
    }


def _write(path: Path, text: str) -> None:
    """Write the file whole or not at all; only its owner may change what is usual."""
    path.parent.mkdir(mode=0o750, exist_ok=True)
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w") as file:
        file.write(text)
    draft.chmod(0o640)
    draft.replace(path)


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
