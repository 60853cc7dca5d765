"""One plugin in one phase, and what it may return there.

A phase acts by raising, never by returning: somebody who returns False, a coroutine or an answer
has not refused anything, however it looks in the source. What a phase does not know how to take
is therefore a fault of the plugin, and refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from secureml.pipeline.call_analysis import let_go
from secureml.pipeline.exchange import Exchange, Refusal
from secureml.pipeline.exit_signals import PluginEnded
from secureml.pipeline.loader import LoadedPlugin
from secureml.pipeline.phases import OBSERVABLE, Phase
from secureml.pipeline.principal import Principal
from secureml.pipeline.problems import Problem

if TYPE_CHECKING:
    from secureml.models.serving.result import Result

log = logging.getLogger("secureml.pipeline")


class WrongReturn(TypeError):
    """A plugin returned what its phase cannot take; ``reason`` is for the log."""

    def __init__(self, step: Step, phase: Phase, what: str, expected: str) -> None:
        super().__init__(f"{step.plugin}.{phase} returned {what}; it must return {expected}")
        self.reason = f"{step.plugin}.{phase}_returned:{what}"


@dataclass(frozen=True, slots=True)
class Step:
    """One plugin in one phase."""

    plugin: str
    call: Callable[..., Any]
    observe: bool
    vital: bool


def steps_at(plugins: Sequence[LoadedPlugin], phase: Phase) -> tuple[Step, ...]:
    """Return who runs in a phase, in the order of the list."""
    return tuple(
        Step(
            loaded.name,
            _watched(call) if loaded.observe and phase in OBSERVABLE else call,
            observe=loaded.observe and phase in OBSERVABLE,
            # Unwritten means unanswered, but not for one that may change no answer.
            vital=loaded.plugin.vital and not loaded.observe and phase is Phase.RECORD,
        )
        for loaded in plugins
        if (call := getattr(loaded.plugin, phase.value, None)) is not None
    )


def _watched(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a call after which the request goes on as if it had not been made."""

    def watched(exchange: Exchange, *given: Any) -> Any:
        undo = exchange.undone()
        try:
            return call(exchange, *given)
        finally:
            undo()

    return watched


def check_returned(step: Step, phase: Phase, found: Any, given: Result | None = None) -> None:
    """Raise WrongReturn unless a step returned what its phase takes.

    ``given`` is the result that a step at SHAPE was shown.
    """
    if phase is Phase.SHAPE:
        _check_shaped(step, found, given)
    elif phase is Phase.IDENTIFY:
        if found is not None and not isinstance(found, Principal):
            raise _wrong(step, phase, found, "a Principal, or None for a caller it does not know")
        if found is not None and not found.client:
            # Limits and records go by this name, and nobody's is no name.
            raise WrongReturn(step, phase, "a Principal without a client", "one that has a client")
    elif found is not None:
        raise _wrong(step, phase, found, "nothing: it refuses by raising Problem")


def _check_shaped(step: Step, found: Any, given: Any) -> None:
    if not isinstance(found, type(given)):
        raise _wrong(step, Phase.SHAPE, found, "a Result")
    if found is given:
        return
    try:
        given.check_coarser(found)
    except (ValueError, TypeError, AttributeError) as error:
        raise WrongReturn(step, Phase.SHAPE, f"another result ({error})", "a coarser one") from None


def _wrong(step: Step, phase: Phase, found: Any, expected: str) -> WrongReturn:
    let_go(found)
    return WrongReturn(step, phase, type(found).__name__, expected)


def reason_of(error: Exception) -> str:
    """Return the word for the log that an exception is known by."""
    if isinstance(error, WrongReturn):
        return error.reason
    cause = error.__cause__ if isinstance(error, PluginEnded) else None
    return f"unexpected.{type(cause or error).__name__}"


def note_observed(exchange: Exchange, phase: Phase, step: Step, problem: Problem) -> None:
    """Write down what a plugin in observe mode would have refused."""
    exchange.observed.append(Refusal(phase, step.plugin, problem.settle()))
    words = (step.plugin, phase, exchange.id, problem.reason)
    log.warning("observed: %s at %s would refuse %s: %s", *words)


def detached(result: Result) -> Result:
    """Return a copy that can be changed in place without changing the answer."""
    return replace(
        result,
        predictions=deepcopy(result.predictions),
        probabilities=deepcopy(result.probabilities),
    )


def differs(one: Any, other: Any) -> bool:
    """Tell whether two results differ; what cannot be compared does."""
    try:
        return bool(one != other)
    except Exception:  # noqa: BLE001 - a plugin may put anything there, and only the log is at stake
        return True
