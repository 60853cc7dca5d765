"""The steps of confinement, each tried in a process of its own, for they cannot be undone."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]


def told(script):
    """Run a script in a process of its own and return what it prints, line by line."""
    return subprocess.run(
        [sys.executable, "-B", "-c", textwrap.dedent(script)],
        cwd=CHECKOUT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip


def test_privileges_do_not_come_back():
    lines = told("""
        import os
        from pathlib import Path
        from secureml.confinement import privileges
        privileges.drop_bounding_set()
        privileges.drop_capabilities()
        privileges.forbid_gain()
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(("CapEff", "CapPrm", "CapAmb", "NoNewPrivs")):
                print(line)
        try:
            os.setuid(12345)
        except PermissionError:
            print("no other user")
    """)
    assert [line.split("\t")[1].strip("0") or "0" for line in lines[:-1]] == ["0", "0", "0", "1"]
    assert lines[-1] == "no other user"


def test_a_child_whose_parent_is_gone_does_not_go_on():
    lines = told("""
        import os
        from secureml.confinement import privileges
        privileges.end_with_parent(os.getppid())
        try:
            privileges.end_with_parent(1)
        except OSError as error:
            print(error.strerror)
    """)
    assert lines == ["the parent has ended"]


def test_landlock_holds_for_what_is_opened_afterwards(tmp_path):
    (tmp_path / "given").write_text("given")
    (tmp_path / "other").write_text("other")
    lines = told(f"""
        from pathlib import Path
        from secureml.confinement import landlock, privileges
        folder = Path({str(tmp_path)!r})
        before = (folder / "other").open()
        privileges.forbid_gain()
        print(landlock.restrict([str(folder / "given"), "/no/such/path"]) >= 1)
        print((folder / "given").read_text(), before.read())
        for change in (lambda: (folder / "other").read_text(), lambda: (folder / "new").touch(),
                       lambda: (folder / "given").write_text("")):
            try:
                change()
            except PermissionError:
                print("denied")
    """)
    assert lines == ["True", "given other", "denied", "denied", "denied"]


def test_a_namespace_has_no_network_and_nothing_that_can_be_written(tmp_path):
    lines = told(f"""
        import os, socket
        from pathlib import Path
        from secureml.confinement import namespaces
        try:
            try:
                namespaces.enter(as_user=False)
            except PermissionError:
                namespaces.enter(as_user=True)
        except OSError as error:
            print("none", error)
            raise SystemExit
        print([name for _, name in socket.if_nameindex()])
        try:
            Path({str(tmp_path / "new")!r}).touch()
        except OSError as error:
            print(error.strerror)
        Path("/dev/null").write_text("")
    """)
    if lines[0].startswith("none"):
        pytest.skip(lines[0])
    assert lines[1:] == ["Read-only file system"]
    assert "lo" in lines[0]
    assert "eth" not in lines[0]


def test_an_error_of_the_kernel_names_the_call():
    from secureml.confinement import linux

    with pytest.raises(OSError, match="mount") as refused:
        linux.syscall("mount", b"none", b"/no/such/folder", b"none", 0, None)
    assert refused.value.errno


def test_another_processor_family_is_told(monkeypatch):
    from secureml.confinement import linux

    monkeypatch.setattr(linux.platform, "machine", lambda: "riscv64")
    with pytest.raises(OSError, match="riscv64 is not supported"):
        linux.machine()
