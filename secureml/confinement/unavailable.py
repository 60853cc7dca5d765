"""The error for a system that cannot confine."""

from __future__ import annotations

from collections.abc import Mapping

from .plan import LANDLOCK, NAMESPACES, SECCOMP, USER

_NEEDS = {
    LANDLOCK: "Landlock restricts files: Linux 5.13 or newer with `landlock` in its list of "
    "security modules (`lsm=`), and no outer filter that refuses its system calls",
    SECCOMP: "seccomp refuses system calls: Linux on x86-64 or aarch64, and no outer filter that "
    "refuses `seccomp`",
    NAMESPACES: "namespaces take the network away: `user.max_user_namespaces` above 0, and no "
    "outer filter that refuses `unshare`",
    USER: "a user without files: a start as root, and an installation that others may read",
}


class ConfinementUnavailable(Exception):
    """This system does not offer what was required; the message says what is missing and why."""

    def __init__(self, missing: Mapping[str, str], switch: str | None = None) -> None:
        self.missing = dict(missing)
        reasons = "; ".join(f"{name} ({reason})" for name, reason in missing.items())
        needs = ". ".join(_NEEDS[name] for name in missing)
        accept = f", or accept the risk with {switch}" if switch else ""
        super().__init__(
            f"untrusted work cannot be confined here: {reasons} missing; "
            f"fix: run it where this is given{accept}. {needs}."
        )


class ConfinementError(Exception):
    """The child ended before it was confined; nothing of the work has run."""
