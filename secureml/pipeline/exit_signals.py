"""Tell a signal that stops the process from a plugin that would.

Gunicorn stops a worker from handlers of signals: they raise SystemExit in the main thread,
wherever that is just then, inside a plugin as well. Those get through. A SystemExit,
KeyboardInterrupt or GeneratorExit that somebody's code raises by itself must not: it would end
a worker for one request, and with exit code 3 Gunicorn ends all of them.
"""

from __future__ import annotations

import signal
import threading
import traceback
from types import CodeType


class PluginEnded(RuntimeError):
    """Something wanted to end the process and may not; the cause is what it raised."""


def raised_by_signal(error: BaseException) -> bool:
    """Tell whether a handler of a signal raised this, and no code that was merely running."""
    if isinstance(error, KeyboardInterrupt) and _is_ctrl_c():
        return True
    handlers = _handlers()
    return any(frame.f_code in handlers for frame, _ in traceback.walk_tb(error.__traceback__))


def contained(error: BaseException) -> Exception:
    """Return an exception that may be handled in place of one that would end the process.

    What a signal raised is raised again, as it is.
    """
    if isinstance(error, Exception):
        return error
    if raised_by_signal(error):
        raise error
    found = PluginEnded(f"{type(error).__name__}({error}) was raised, which must not end a worker")
    found.__cause__ = error
    return found


def _is_ctrl_c() -> bool:
    """Tell whether Python's own handler may have raised it: that one leaves no frame behind."""
    here = threading.current_thread() is threading.main_thread()
    return here and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _handlers() -> set[CodeType]:
    installed = (signal.getsignal(number) for number in signal.valid_signals())
    codes = (getattr(handler, "__code__", None) for handler in installed)
    return {code for code in codes if isinstance(code, CodeType)}
