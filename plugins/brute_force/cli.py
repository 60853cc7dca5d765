"""``secureml brute-force list | lift``: who must wait, and ending a wait."""

from __future__ import annotations

from collections.abc import Callable

import click

from secureml import Event
from secureml.kit import output
from secureml.kit.command_types import format_time

from .failure_store import FailureStore


def group(failures: FailureStore, tell: Callable[[Event], None]) -> click.Group:
    """Return the commands over one store of failures."""

    @click.group("brute-force")
    def brute_force() -> None:
        """See who must wait after wrong guesses, and let them try again."""

    @brute_force.command("list")
    @output.json_option
    def list_waiting(as_json: bool) -> None:
        """List who must wait now."""
        rows = [
            {"subject": wait.subject, "failures": wait.failures, "until": format_time(wait.until)}
            for wait in failures.list()
        ]
        lines = [f"{row['subject']:<60} {row['failures']:>5}  {row['until']}" for row in rows]
        output.emit(rows, as_json, "\n".join(lines) or "no caller must wait")

    @brute_force.command()
    @click.argument("subject")
    @output.json_option
    def lift(subject: str, as_json: bool) -> None:
        """Forget the failures of SUBJECT, as `list` shows it."""
        if not failures.lift(subject):
            raise click.ClickException(f"{subject!r} has no failures; see brute-force list")
        tell(Event("authn_login_lifted", "", {"subject": subject}))
        output.emit({"lifted": subject}, as_json, f"{subject} may try again")

    return brute_force
