"""Types of options: good values are converted, bad ones are explained."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from secureml.kit.command_types import (
    Duration,
    DurationOrNever,
    Label,
    ScopeName,
    Time,
    format_time,
    scopes_option,
)

NOW = 1_769_860_800.0  # 2026-01-31T12:00:00Z


def test_times_are_written_in_utc():
    """To the second, with a Z; no time stays none."""
    assert format_time(NOW + 0.9) == "2026-01-31T12:00:00Z"
    assert format_time(None) is None


def test_a_scope_is_checked_as_in_settings():
    """The name itself, or an explanation that quotes a part of it."""
    assert ScopeName().convert("models:read", None, None) == "models:read"
    with pytest.raises(click.BadParameter, match="Not A Scope"):
        ScopeName().convert("Not A Scope", None, None)


def test_the_option_for_scopes_is_repeatable_and_checked():
    """Without it there are none."""

    @click.command()
    @scopes_option("Narrow it.")
    def show(scopes):
        click.echo(",".join(scopes))

    def run(*words):
        return CliRunner().invoke(show, words)

    assert run("--scope", "predict", "--scope", "models:read").output == "predict,models:read\n"
    assert run().output == "\n"
    assert run("--scope", "Not A Scope").exit_code == 2


@pytest.mark.parametrize("text", ["x" * 81, "a\nb", "\x1b[31m", "a\u2028b", "\u202eb"])
def test_a_label_is_short_and_steers_no_terminal(text):
    """Nor is it turned around (CVE-2021-42574)."""
    assert [Label(80).convert(good, None, None) for good in ("", "x" * 80)] == ["", "x" * 80]
    with pytest.raises(click.BadParameter, match="up to 80 printable characters"):
        Label(80).convert(text, None, None)


def test_durations_are_seconds():
    """`never` only where it is allowed."""
    assert Duration().convert("2h", None, None) == 7200
    assert DurationOrNever().convert("90d", None, None) == 90 * 86400
    assert DurationOrNever().convert("never", None, None) is None
    for kind in (Duration(), DurationOrNever()):
        with pytest.raises(click.BadParameter):
            kind.convert("soon", None, None)
    with pytest.raises(click.BadParameter):
        Duration().convert("never", None, None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("now", NOW),
        ("2h", NOW - 7200),
        ("2026-01-31T12:00:00Z", NOW),
        ("2026-01-31T14:00:00+02:00", NOW),
        ("2026-01-31T12:00:01Z", NOW + 1),
    ],
)
def test_a_time_is_absolute_or_before_now(text, seconds):
    """In epoch seconds."""
    assert Time(lambda: NOW).convert(text, None, None) == seconds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yesterday", "is not a time"),
        ("2026-13-01", "is not a time"),
        ("2026-01-31T12:00:00", "no zone"),
        ("2026-01-31T12:00:01Z", "in the future"),
    ],
)
def test_what_is_no_past_time_is_refused_with_the_fix(text, words):
    """Each in its own words."""
    with pytest.raises(click.BadParameter, match=words) as refused:
        Time(lambda: NOW, past_only=True).convert(text, None, None)
    assert "fix: " in str(refused.value)
