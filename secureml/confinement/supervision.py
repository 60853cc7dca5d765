"""Watch one confined process until it ends, and end it at its limits.

One loop in one thread: messages and result from pipes, refused system calls from the filter's
listener, memory from /proc every few milliseconds, and the end of the process from its pidfd.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

from . import seccomp
from .bounded_reader import BoundedReader
from .limits import LimitName, Limits
from .outcome import Ending, Refusal, printable
from .plan import LARGEST_REPORT, Report
from .refused_path import read_path
from .resource_watch import ResourceWatch
from .syscall_policy import call_name, is_noted, noted_errno

# Seconds between two looks at the memory; within it a process can fill some ten MiB.
_INTERVAL = 0.02


class Supervision:
    """The parent's side of one child; `limit` says for which excess the parent ended it."""

    def __init__(
        self,
        process: int,
        control: socket.socket,
        readers: dict[LimitName, BoundedReader],
        limits: Limits,
        *,
        machine: str,
        clock: Callable[[], float],
    ) -> None:
        self.limit: LimitName | None = None
        self.refusals: list[Refusal] = []
        self.report: Report | None = None
        self._process = process
        self._control = control
        self._readers = readers
        self._limits = limits
        self._machine = machine
        self._clock = clock
        self._listener = -1
        self._is_running = True
        self._watch = ResourceWatch(process, limits)
        self._selector = selectors.DefaultSelector()

    def watch(self, started: float) -> Ending:
        """Return when the process has ended. `started` is when its time began to run."""
        exited = os.pidfd_open(self._process)
        try:
            self._selector.register(exited, selectors.EVENT_READ, self._on_exit)
            self._selector.register(self._control, selectors.EVENT_READ, self._on_report)
            for name, reader in self._readers.items():
                wake = self._reading(name, reader)
                self._selector.register(reader.descriptor, selectors.EVENT_READ, wake)
            self._loop(started + self._limits.wall)
        finally:
            # Whatever went wrong on this side, nothing is left running.
            self._kill()
            ending = self._reap()
            os.close(exited)
            self._selector.close()
            if self._listener >= 0:
                os.close(self._listener)
        for name, reader in self._readers.items():
            while reader.read():
                pass
            self._check(name, reader)
        return ending

    def _loop(self, deadline: float) -> None:
        while self._is_running:
            for key, _ in self._selector.select(_INTERVAL):
                key.data()
            if self._is_running and (excess := self._watch.exceeded()):
                self._end(excess)
            if self._is_running and self._clock() >= deadline:
                self._end(LimitName.WALL)

    def _on_exit(self) -> None:
        # A last refusal may have come with the end.
        self._is_running = False

    def _on_report(self) -> None:
        """Take the report and the filter's listener, once."""
        message, descriptors, _, _ = socket.recv_fds(self._control, LARGEST_REPORT, 1)
        self._selector.unregister(self._control)
        if message:
            self.report = Report.decode(message)
        if descriptors:
            self._listener = descriptors[0]
            self._selector.register(self._listener, selectors.EVENT_READ, self._on_refusal)

    def _reading(self, name: LimitName, reader: BoundedReader) -> Callable[[], None]:
        def read() -> None:
            reader.read()
            self._check(name, reader)
            if reader.has_ended or reader.is_exceeded:
                self._selector.unregister(reader.descriptor)

        return read

    def _check(self, name: LimitName, reader: BoundedReader) -> None:
        if reader.is_exceeded:
            self._end(name)

    def _on_refusal(self) -> None:
        call = seccomp.receive(self._listener)
        if call is None:
            return
        name = call_name(self._machine, call.arch, call.number)
        path = read_path(call.process, name, call.arguments)
        if not seccomp.still_waits(self._listener, call):
            path = None
        ends = not is_noted(name, call.arguments)
        shown = printable(path.encode()) if path else None
        self.refusals.append(Refusal(name, call.arguments, shown, ends))
        if ends:
            self._kill()
        elif len(self.refusals) > self._limits.refusals:
            self._end(LimitName.REFUSALS)
        else:
            seccomp.answer(self._listener, call, noted_errno(name))

    def _end(self, limit: LimitName) -> None:
        self.limit = self.limit or limit
        self._kill()

    def _kill(self) -> None:
        """End the process and its group, if it has not been waited for."""
        with suppress(ProcessLookupError):
            os.killpg(self._process, signal.SIGKILL)

    def _reap(self) -> Ending:
        try:
            _, status, usage = os.wait4(self._process, 0)
        except ChildProcessError:
            # Someone else in this process waits for every child: nothing is known of this one.
            return Ending(-signal.SIGKILL, 0.0, self._watch.peak_memory)
        code = os.waitstatus_to_exitcode(status)
        processor = usage.ru_utime + usage.ru_stime
        return Ending(code, processor, self._watch.peak_memory)
