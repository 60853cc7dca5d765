"""What a system offers, in words, and what is said where it does not suffice."""

from __future__ import annotations

import pytest

from secureml.confinement import capabilities
from secureml.confinement.capabilities import Capabilities, available
from secureml.confinement.plan import LANDLOCK, MECHANISMS, NAMESPACES, SECCOMP, USER, Report
from secureml.confinement.unavailable import ConfinementError, ConfinementUnavailable

ALL = Report(MECHANISMS, {}, 7, True)
# As in a service of systemd with RestrictNamespaces, on a kernel without Landlock.
SANDBOX = Report((SECCOMP,), {LANDLOCK: "Function not implemented", USER: "not started as root",
                              NAMESPACES: "Operation not permitted"}, 0, False)  # fmt: skip


def test_this_system_is_asked_by_confining_a_child():
    found = available()
    assert set(found.report.active) | set(found.report.inactive) == set(MECHANISMS)
    assert not set(found.report.active) & set(found.report.inactive)


def test_each_mechanism_has_a_line():
    lines = Capabilities(ALL).describe()
    assert [line.split(":")[0] for line in lines] == [
        "landlock (ABI 7)", "seccomp", "namespaces", "user",
    ]  # fmt: skip
    assert not any("missing" in line for line in lines)


def test_what_is_missing_is_told_with_the_reason():
    landlock, seccomp, namespaces, _ = Capabilities(SANDBOX).describe()
    assert landlock.startswith("landlock: missing (Function not implemented); files:")
    assert "not named" in seccomp
    assert "missing (Operation not permitted)" in namespaces


def test_the_minimum_is_landlock_and_seccomp():
    Capabilities(ALL).require()
    Capabilities(SANDBOX).require([SECCOMP])
    with pytest.raises(ConfinementUnavailable) as refused:
        Capabilities(SANDBOX).require(switch="[models] unconfined = true")
    assert set(refused.value.missing) == {LANDLOCK}
    assert str(refused.value) == (
        "untrusted work cannot be confined here: landlock (Function not implemented) missing; "
        "fix: run it where this is given, or accept the risk with [models] unconfined = true. "
        "Landlock restricts files: Linux 5.13 or newer with `landlock` in its list of security "
        "modules (`lsm=`), and no outer filter that refuses its system calls."
    )


def test_a_child_that_cannot_be_started_means_that_nothing_is_offered(monkeypatch):
    def fails(*_, **__):
        raise ConfinementError("ended by SIGSYS")

    monkeypatch.setattr(capabilities, "run", fails)
    found = available()
    assert found.report.active == ()
    with pytest.raises(ConfinementUnavailable, match="ended by SIGSYS"):
        found.require()
