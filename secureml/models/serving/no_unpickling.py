"""No process that serves reads a pickle: Python itself is told to refuse.

Models are read from their data form, and nothing else here is a pickle. What would read one all
the same, such as a library or a plugin that keeps a cache, fails at the first name that the
pickle asks for, before anything of it runs.
"""

from __future__ import annotations

import sys

_EVENT = "pickle.find_class"  # raised by the unpicklers of C and of Python, joblib's included


class UnpicklingRefused(RuntimeError):
    """Something in a process that serves tried to read a pickle."""


def refuse_unpickling() -> None:
    """Have every unpickling of this process fail; it cannot be undone (PEP 578)."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event == _EVENT:
        name = ".".join(map(str, arguments))
        raise UnpicklingRefused(
            f"a process that serves does not read pickles, and one asked for {name[:200]!r}; "
            "fix: keep such data as JSON, or read it in a process of its own"
        )
