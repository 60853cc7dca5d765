"""How an end is told."""

from __future__ import annotations

import signal

import pytest

from secureml.confinement.limits import MIB, LimitName, Limits
from secureml.confinement.outcome import Ending, Outcome, Refusal, printable
from secureml.confinement.plan import MEMORY_EXIT, Report

LIMITS = Limits(memory=64 * MIB, processor=2, wall=2.5, output=10, threads=4)
SUBJECT = "the model file"


def outcome(**changed):
    given = {"exit_code": 1, "signal": None, "limit": None, "refusals": (), "messages": "",
             "peak_memory": 0, "processor": 0.0, "seconds": 0.0, "report": Report((), {}),
             "limits": LIMITS}  # fmt: skip
    return Outcome(**given | changed)


@pytest.mark.parametrize(
    ("call", "arguments", "path", "attempt"),
    [
        ("socket", (2, 1), None, "open a network socket"),
        ("socket", (10, 1), None, "open a network socket"),
        ("socket", (1, 1), None, "open a Unix socket"),
        ("socket", (16, 3), None, "open a netlink socket"),
        ("execve", (), "/bin/sh", "run the program /bin/sh"),
        ("execveat", (), None, "run another program"),
        ("openat", (), "/etc/cron.d/x", "open /etc/cron.d/x for writing"),
        ("creat", (), None, "open a file for writing"),
        ("unlinkat", (), "/a", "delete /a"),
        ("mkdir", (), None, "make the folder a file"),
        ("vfork", (), None, "start another process"),
        ("tgkill", (), None, "send a signal to another process"),
        ("process_vm_writev", (), None, "reach into another process"),
        ("prlimit64", (), None, "change its limits"),
        ("bpf", (), None, "make the system call bpf"),
        ("a call by another ABI", (), None, "make a call by another ABI"),
    ],
)
def test_what_was_tried_is_said_in_words(call, arguments, path, attempt):
    assert Refusal(call, arguments, path).attempt() == attempt


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"exit_code": 0}, "ended well"),
        (
            {"exit_code": 0, "refusals": (Refusal("unlink", (), "/a"),)},
            "ended well, though it was refused to delete /a",
        ),
        (
            {"refusals": (Refusal("mkdir"), Refusal("socket", (2,), ended=True))},
            "tried to open a network socket",
        ),
        (
            {"refusals": (Refusal("rename", (), "/a"),)},
            "tried to rename /a, and ended without a result",
        ),
        ({"limit": LimitName.MEMORY}, "needed more memory than 64 MiB"),
        ({"limit": LimitName.PROCESSOR}, "computed for more than 2 s"),
        ({"limit": LimitName.WALL}, "did not end within 2.5 s"),
        ({"limit": LimitName.OUTPUT}, "wrote a result of more than 10 bytes"),
        ({"limit": LimitName.THREADS}, "started more than 4 threads"),
        (
            {"limit": LimitName.REFUSALS, "refusals": (Refusal("mkdir", (), "/a"),)},
            "was refused more than 100 system calls, the first to make the folder /a",
        ),
        ({"exit_code": None, "signal": "SIGSYS"}, "made a system call that is refused"),
        ({"exit_code": None, "signal": "SIGSEGV"}, "was ended by the signal SIGSEGV"),
        (
            {"messages": "PermissionError: [Errno 13] Permission denied: '/etc/passwd'\n"},
            "tried to open /etc/passwd, which it may not read",
        ),
        ({"messages": "Traceback\nValueError: no\n"}, "failed: ValueError: no"),
        ({"exit_code": 3}, "failed: exit code 3"),
    ],
)  # fmt: skip
def test_the_end_is_told_in_one_sentence(changed, sentence):
    assert outcome(**changed).explain(SUBJECT) == f"{SUBJECT} {sentence}"


def test_every_limit_has_its_words():
    for limit in LimitName:
        assert outcome(limit=limit).explain().startswith("the work ")


def test_it_ended_well_only_by_itself_within_its_limits_and_without_an_ending_refusal():
    noted = Refusal("mkdir")
    assert outcome(exit_code=0, refusals=(noted,)).ok
    assert not outcome(exit_code=1).ok
    assert not outcome(exit_code=None, signal="SIGKILL").ok
    assert not outcome(exit_code=0, limit=LimitName.OUTPUT).ok
    assert not outcome(exit_code=0, refusals=(noted, Refusal("bpf", ended=True))).ok


def test_messages_show_what_a_terminal_would_act_on():
    assert printable(b"a\x1b[2J\tb\n\xff\x07\xe2\x80\xae\xc3\xbc") == (
        "a\\x1b[2J\tb\n\\xff\\x07\\x202eü"
    )


@pytest.mark.parametrize(
    ("code", "processor", "peak", "limit"),
    [
        (0, 9, 99 * MIB, None),
        (1, 9, 99 * MIB, None),
        (-signal.SIGXCPU, 1.99, 0, LimitName.PROCESSOR),
        (-signal.SIGKILL, 3, 0, LimitName.PROCESSOR),
        (-signal.SIGKILL, 1, 0, None),
        (-signal.SIGXFSZ, 0, 0, LimitName.OUTPUT),
        (MEMORY_EXIT, 0, 0, LimitName.MEMORY),
        (-signal.SIGABRT, 0, 63 * MIB, LimitName.MEMORY),
        (-signal.SIGSEGV, 0, 10 * MIB, None),
    ],
)
def test_the_limit_is_known_by_how_the_process_ended(code, processor, peak, limit):
    assert Ending(code, processor, peak).limit(Limits(memory=64 * MIB, processor=2)) is limit


def test_signals_have_their_names():
    assert Ending(-signal.SIGSEGV, 0, 0).signal_name() == "SIGSEGV"
    assert Ending(-60, 0, 0).signal_name() == "signal 60"
    assert Ending(1, 0, 0).signal_name() is None
