"""Attack: end the process from inside a plugin. Only a signal may."""

from __future__ import annotations

import os
import signal
import sys
import threading
from asyncio import CancelledError

import pytest

from secureml.pipeline.exit_signals import PluginEnded, contained, raised_by_signal


def caught(call):
    """Return what a call raises, whatever it is."""
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - that is the point
        return error
    raise AssertionError("nothing was raised")


def raises(error):
    """Return a function that raises."""

    def call():
        raise error

    return call


@pytest.fixture
def stopped(monkeypatch):
    """Handlers as Gunicorn's: a method that leaves by SystemExit, through another one."""

    class Worker:
        def handle_quit(self, number, frame):
            self.leave(0)

        def leave(self, code):
            sys.exit(code)

    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGINT)}
    for number in before:
        signal.signal(number, Worker().handle_quit)
    yield signal.SIGUSR1
    for number, handler in before.items():
        signal.signal(number, handler)


class Own(BaseException):
    """No Exception either."""


@pytest.mark.parametrize(
    "error", [SystemExit(3), SystemExit(), GeneratorExit(), CancelledError(), Own()], ids=repr
)
def test_what_code_raises_by_itself_is_held(error):
    found = caught(raises(error))
    assert not raised_by_signal(found)
    held = contained(found)
    assert isinstance(held, PluginEnded)
    assert held.__cause__ is error
    assert type(error).__name__ in str(held)


def test_an_ordinary_exception_stays_what_it_is():
    error = ValueError("x")
    assert contained(error) is error


def test_what_a_handler_of_a_signal_raises_gets_through_wherever_it_comes(stopped):
    def plugin():
        os.kill(os.getpid(), stopped)
        for _ in range(10**9):  # the handler runs between two of these
            pass

    error = caught(plugin)
    assert isinstance(error, SystemExit)
    assert raised_by_signal(error)
    assert caught(lambda: contained(error)) is error


def test_ctrl_c_gets_through_where_python_itself_handles_it():
    """Its own handler leaves no frame behind."""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert raised_by_signal(KeyboardInterrupt())


def test_a_keyboard_interrupt_is_held_where_another_handler_is_in_charge(stopped):
    """Under Gunicorn Ctrl-C is no KeyboardInterrupt."""
    assert isinstance(contained(caught(raises(KeyboardInterrupt()))), PluginEnded)


def test_a_keyboard_interrupt_of_another_thread_is_nobodys_ctrl_c():
    """Python raises it in the main thread alone."""
    found = []
    thread = threading.Thread(
        target=lambda: found.append(contained(caught(raises(KeyboardInterrupt()))))
    )
    thread.start()
    thread.join(10)
    assert isinstance(found[0], PluginEnded)
