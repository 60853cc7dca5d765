"""Start one piece of untrusted work in a confined child process, and wait for its end."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, TypedDict

from . import child_process, linux, readable_paths
from .bounded_reader import BoundedReader
from .limits import LimitName, Limits
from .outcome import Outcome, printable
from .plan import LANDLOCK, MECHANISMS, SECCOMP, Plan
from .result_channel import ResultChannel
from .supervision import Supervision
from .unavailable import ConfinementError, ConfinementUnavailable

MINIMUM = (LANDLOCK, SECCOMP)


@dataclass(frozen=True)
class Job:
    """What is run: a function (`package.module:function`), and what it is given.

    The function is called with a `launcher.Work`: the arguments, the inputs as open descriptors,
    and the descriptor that its result is written to. `inputs` are files or pipes that are open
    for reading, by name. `readable` is what may be read beside the Python installation, and
    modules are found in `search_path` as well. `packages` are top-level modules by name, each with
    its folder or file: those alone can be read, and not the folder they lie in. `environment` is
    added to the little that numeric libraries need.
    """

    function: str
    arguments: Sequence[str] = ()
    inputs: Mapping[str, int] = field(default_factory=dict)
    readable: Sequence[Path] = ()
    search_path: Sequence[Path] = ()
    packages: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def run(
    job: Job,
    *,
    limits: Limits,
    output: Path | BinaryIO | None = None,
    required: Sequence[str] = MINIMUM,
    mechanisms: Sequence[str] = MECHANISMS,
    switch: str | None = None,
) -> Outcome:
    """Call a function in a confined child process, and wait for its end.

    `output` as a path is made new, with mode 600, and is removed unless the work ended well; a
    file object gets what arrives, whole or not. All `mechanisms` are tried, and what is missing
    of them is in the report of the outcome.

    Raises ConfinementUnavailable where one of the `required` mechanisms is not in force, with
    `switch` as the way to accept that; ConfinementError where the child ended before it was
    confined; ValueError for an input that is no file opened for reading; FileExistsError for an
    `output` that is there. In all of these nothing of the work has run.
    """
    started = time.monotonic()
    for name, descriptor in job.inputs.items():
        child_process.check_input(name, descriptor)
    ours, theirs = socket.socketpair()
    with ours, theirs, ResultChannel(output, limits) as result:
        plan = Plan(
            work=job.function,
            output=result.descriptor,
            control=theirs.fileno(),
            parent=os.getpid(),
            resources=limits.resources(),
            mechanisms=tuple(mechanisms),
            required=tuple(required),
            **_given(job),
        )
        with child_process.start(plan, job.environment) as child:
            theirs.close()
            result.started()
            assert child.stdout is not None  # noqa: S101 - it was asked for
            messages = BoundedReader(child.stdout.fileno(), limits.messages)
            outcome = _watched(child.pid, ours, messages, result, limits, started)
            child.returncode = outcome.exit_code or 0
        _check_report(outcome, required, switch)
        if outcome.ok:
            result.keep()
        return outcome


class _Given(TypedDict):
    arguments: tuple[str, ...]
    inputs: Mapping[str, int]
    readable: tuple[str, ...]
    search_path: tuple[str, ...]
    packages: Mapping[str, str]
    user: int | None


def _given(job: Job) -> _Given:
    """Return the part of the plan that the job and the installation decide."""
    # By their real paths: what a link is changed to later is not readable.
    given = (*job.search_path, *job.readable, *job.packages.values())
    extra = [str(path.resolve()) for path in given]
    paths = (*readable_paths.installation(), *extra)
    return {
        "arguments": tuple(job.arguments),
        "inputs": dict(job.inputs),
        "readable": paths,
        "search_path": (*map(str, job.search_path), *readable_paths.search_path()),
        "packages": {
            **{name: str(path.resolve()) for name, path in job.packages.items()},
            **readable_paths.packages(),
        },
        "user": child_process.user_to_become(paths),
    }


def _watched(
    process: int,
    control: socket.socket,
    messages: BoundedReader,
    result: ResultChannel,
    limits: Limits,
    started: float,
) -> Outcome:
    """Wait for the end of the child, and put together what is known of it."""
    readers = {LimitName.MESSAGES: messages}
    if result.reader:
        readers[LimitName.OUTPUT] = result.reader
    supervision = Supervision(
        process, control, readers, limits, machine=linux.machine(), clock=time.monotonic
    )
    ending = supervision.watch(started)
    text = printable(messages.tail)
    if supervision.report is None:
        raise ConfinementError(
            f"the child ended before it was confined, by {ending.signal_name() or ending.code}: "
            f"{text.strip()[-2000:]}"
        )
    outcome = Outcome(
        exit_code=ending.code if ending.code >= 0 else None,
        signal=ending.signal_name(),
        limit=supervision.limit,
        refusals=tuple(supervision.refusals),
        messages=text,
        peak_memory=ending.peak_memory,
        processor=ending.processor,
        seconds=time.monotonic() - started,
        report=supervision.report,
        limits=limits,
    )
    if outcome.limit or outcome.ending_refusal:
        return outcome
    by_kernel = LimitName.OUTPUT if result.is_too_long() else ending.limit(limits)
    return replace(outcome, limit=by_kernel)


def _check_report(outcome: Outcome, required: Sequence[str], switch: str | None) -> None:
    inactive = outcome.report.inactive
    missing = {name: inactive[name] for name in required if name in inactive}
    if missing:
        raise ConfinementUnavailable(missing, switch)
