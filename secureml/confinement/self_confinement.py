"""The steps by which the child confines itself, in the only order in which they work.

Namespaces need rights that are given up afterwards; a change of user undoes the wish to end with
the parent; Landlock and seccomp need no_new_privs; and seccomp comes last, because it refuses all
of the others.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from functools import partial

from . import landlock, linux, namespaces, privileges, seccomp
from .plan import LANDLOCK, MECHANISMS, NAMESPACES, SECCOMP, USER, Plan, Report
from .syscall_policy import work_filter


class SelfConfinement:
    """One process that confines itself; `inactive` has the reason for what is not in force."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._wanted = set(plan.mechanisms)
        self._inactive = dict.fromkeys(set(MECHANISMS) - self._wanted, "not asked for")
        self._listener: int | None = None
        self._abi = 0

    def apply(self) -> tuple[Report, int | None]:
        """Confine this process as far as the system allows, and say how far that was.

        What needs no permission (limits, no new privileges, no capabilities) raises OSError if
        it fails. Returns the report and the descriptor of the filter's listener.
        """
        os.umask(0o077)
        self._leave_namespaces_and_user()
        privileges.end_with_parent(self._plan.parent)
        privileges.drop_bounding_set()
        privileges.drop_capabilities()
        privileges.forbid_gain()
        for name, bounds in self._plan.resources.items():
            resource.setrlimit(getattr(resource, name), (bounds[0], bounds[1]))
        if LANDLOCK in self._wanted:
            self._attempt(LANDLOCK, self._restrict_files)
        if SECCOMP in self._wanted:
            self._attempt(SECCOMP, self._filter_calls)
        active = tuple(name for name in MECHANISMS if name not in self._inactive)
        report = Report(active, self._inactive, self._abi, self._listener is not None)
        return report, self._listener

    def _attempt(self, name: str, step: Callable[[], object]) -> bool:
        try:
            step()
        except OSError as error:
            self._inactive[name] = error.strerror or str(error)
            return False
        self._inactive.pop(name, None)
        return True

    def _leave_namespaces_and_user(self) -> None:
        """As root before the change of user, else as the user that the work runs as."""
        wanted = NAMESPACES in self._wanted
        done = wanted and self._attempt(NAMESPACES, partial(namespaces.enter, as_user=False))
        # Before the change of user, which takes the right to do it.
        privileges.drop_bounding_set()
        if USER in self._wanted:
            self._attempt(USER, self._change_user)
        if wanted and not done:
            self._attempt(NAMESPACES, partial(namespaces.enter, as_user=True))

    def _change_user(self) -> None:
        if self._plan.user is None:
            raise OSError(0, "not started as root, or the files to read are closed to others")
        privileges.change_user(self._plan.user)

    def _restrict_files(self) -> None:
        self._abi = landlock.restrict(self._plan.readable)

    def _filter_calls(self) -> None:
        machine, control = linux.machine(), self._plan.control
        try:
            program = work_filter(machine, process=os.getpid(), control=control)
            self._listener = seccomp.install(program, listener=True)
        except OSError:
            # An old kernel, or an outer filter has the one listener there can be.
            program = work_filter(machine, process=os.getpid(), control=control, reported=False)
            seccomp.install(program, listener=False)
