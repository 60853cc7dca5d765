"""What happened, in one vocabulary for all who keep records, and what can be measured.

Names follow the OWASP Logging Vocabulary (``authn_token_revoked``, ``user_updated``), so that
whoever reads many systems reads this one too. Facts are for people and machines alike: names,
numbers and ids, never a secret and never a value out of somebody's input.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from secureml.pipeline.exit_signals import contained

log = logging.getLogger("secureml.events")

Fact = str | int | float | bool | None
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; ``client`` is whom it concerns, "" for nobody in particular."""

    name: str
    client: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not an event name: write words_with_underscores")


@dataclass(frozen=True, slots=True)
class Measure:
    """A number as it stands now, the same in every worker: an age, a count, a lag.

    ``name`` ends with its unit (``_seconds``, ``_bytes``) where it has one. Labels hold names
    of bounded number only: models, policies, keys; never clients by the thousand.
    """

    name: str
    value: float
    description: str
    labels: Mapping[str, str] = field(default_factory=dict)


def emit(plugins: Iterable[Any], event: Event) -> None:
    """Hand an event to every plugin that has ``on_event``, the vital ones first.

    A vital plugin that cannot write it down raises, and so the change it is about is not
    called done; the others are logged and passed over.
    """
    for plugin in sorted((p for p in plugins if hasattr(p, "on_event")), key=lambda p: not p.vital):
        try:
            plugin.on_event(event)
        except BaseException as error:
            why = contained(error)
            log.exception("%s failed at the event %s", plugin.name, event.name, exc_info=why)
            if plugin.vital:
                raise why from why.__cause__


def measures(plugins: Iterable[Any]) -> list[Measure]:
    """Return what every plugin measures; one that cannot is logged and left out."""
    found: list[Measure] = []
    for plugin in plugins:
        if not hasattr(plugin, "measures"):
            continue
        try:
            found += _measured(plugin)
        except BaseException as error:
            log.exception("%s failed to measure", plugin.name, exc_info=contained(error))
    return found


def _measured(plugin: Any) -> list[Measure]:
    made = list(plugin.measures())
    wrong = [type(each).__name__ for each in made if not isinstance(each, Measure)]
    if wrong:
        raise TypeError(f"{plugin.name}.measures gave a {wrong[0]}, not a Measure")
    return made


def readiness(plugins: Iterable[Any]) -> list[Callable[[], str | None]]:
    """Return what asks each plugin that has an opinion whether it can work now.

    One that cannot say raises, and so does one that returns what is neither None nor a word:
    "not ready" must not be said by accident, nor "ready".
    """
    return [_asking(plugin) for plugin in plugins if hasattr(plugin, "ready")]


def reasons(readiness: Iterable[Callable[[], str | None]]) -> list[str]:
    """Ask each part, and return the words of those that cannot work now."""
    return [reason for ask in readiness if (reason := ask())]


def _asking(plugin: Any) -> Callable[[], str | None]:
    def ask() -> str | None:
        try:
            found: str | None = plugin.ready()
        except BaseException as error:
            log.exception("%s failed at ready", plugin.name)
            raise contained(error) from error
        if found is not None and not (isinstance(found, str) and found):
            raise TypeError(f"{plugin.name}.ready returned {found!r}; it must be None or a word")
        return found

    return ask
